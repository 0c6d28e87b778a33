"""Measure each layer of a grant and of a redemption by itself, in one process, in microseconds.

Each is run alone and again and again, so that all it needs is at hand: in the service, between others, the same takes
up to twice as long. What is left of the app's CPU in the HTTP table is the server: sockets, threads, the log's writes.
"""

import io
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import thread_time
from typing import Any

import hiredis
import msgspec
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create

from bench import load, over_http, tables
from discount import logs
from discount.api.inputs import body_reader
from discount.api.schemas.grants import GrantIn
from discount.api.schemas.redemptions import RedemptionIn
from discount.app import create_app
from discount.config import Settings
from discount.services import brands
from discount.serving import fast_parser
from discount.store import autopipeline
from discount.store.connection import Store
from discount.store.exchanges import Command
from tests.support.redis_server import RedisServer

_BLOCK = 1_000


class _Recorded(Store):
    """A store that can replay its last answer."""

    sent: Sequence[Command] = ()
    answer: Any = None
    again = False

    def _exchange_now(self, commands: Sequence[Command]) -> list[Any]:
        if self.again:
            # A copy, so that changes to an answer do not show in the next one.
            return [list(self.answer)]
        replies = super()._exchange_now(commands)
        self.sent, self.answer = commands, list(replies[-1]) if isinstance(replies[-1], list) else replies[-1]
        return replies


def run(rounds: int) -> None:
    """Print the table."""
    with RedisServer() as redis, _quiet():
        calls: dict[str, Callable[[], object]] = {}
        scripts = {}
        for name, with_key in (("grant", False), ("grant with an API key", True), ("redemption", False)):
            some, script = _layers(redis, name, with_key)
            calls |= {f"{name}: {layer}": call for layer, call in some.items()}
            scripts[f"{name}: the script, in Redis"] = script
        greenlets = autopipeline.Calls(lambda _commands, _resume: None)
        calls["a call that does nothing, in a greenlet"] = partial(greenlets.start, lambda: None)
        found: dict[str, list[float]] = defaultdict(list)
        for turn in range(rounds + 1):
            for name, call in calls.items():
                started = thread_time()
                for _ in range(_BLOCK):
                    call()
                if turn:
                    found[name].append((thread_time() - started) / _BLOCK * 1e6)
            for name, measure in scripts.items():
                if turn:
                    found[name].append(measure())
    rows = [(name, tables.spread(found[name], 1)) for name in sorted(found, key=lambda each: each.partition(":")[0])]
    tables.show(f"Layers, {rounds} rounds of {_BLOCK:,} calls each (min / median / max)", ("layer", "CPU us"), rows)


@contextmanager
def _quiet() -> Iterator[None]:
    """Format log lines, but discard them."""
    before = sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stderr = nowhere
        try:
            yield
        finally:
            logs.flush()
            sys.stderr = before


def _layers(
    redis: RedisServer, name: str, with_key: bool
) -> tuple[dict[str, Callable[[], object]], Callable[[], float]]:
    store = _Recorded.at(redis.url, 10.0, 16)
    assert isinstance(store, _Recorded)
    settings, token = Settings(redis_url=redis.url), ""
    if with_key:
        secret = over_http.SECRET
        settings = Settings(
            redis_url=redis.url, auth="token", admin_key=secret, secret=secret, rate_key="9999999/minute"
        )
        brands.create(store, over_http.BRAND, over_http.BRAND)
        token = brands.create_key(store, secret, over_http.BRAND, "bench")[1]
    logs.configure(settings)
    app: Any = create_app(settings, store)
    if name == "redemption":
        sent = over_http.orders(store, 1)[0]
    else:
        sent = load.post(f"/discount/{over_http.create_discount(store, 1)}/grant", {"user_id": "User 1"}, token)
    _, _, raw = sent.partition(b"\r\n\r\n")
    shape: type = RedemptionIn if name == "redemption" else GrantIn
    read_body = body_reader(shape, 64 * 1024)

    end = len(sent) - len(raw)
    head = fast_parser.read_head(sent, end)
    assert head is not None

    def environ() -> dict[str, Any]:
        own = {"REQUEST_METHOD": "POST", "PATH_INFO": head.path, "REMOTE_ADDR": "127.0.0.1", "wsgi.errors": None}
        return head.variables | own | {"wsgi.input": io.BytesIO(raw)}

    def respond() -> bytes:
        return bytes(app.wsgi_app.respond(*head[:3], raw, "127.0.0.1", keep_alive=True))

    def ask(through: Any, asked: dict[str, Any]) -> bytes:
        return b"".join(through(asked, lambda *_: None))

    # The first call makes the change; the following ones repeat it.
    for _ in range(2):
        answer = ask(app, environ())
    commands = list(store.sent)
    store.again = True
    told = msgspec.json.decode(answer)
    encode = msgspec.json.Encoder().encode
    asked = environ()
    reply = _resp(store.answer)
    slow = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
    }

    def again(asked: dict[str, Any]) -> dict[str, Any]:
        asked["wsgi.input"] = io.BytesIO(raw)
        return dict(asked)

    def script() -> float:
        with redis.client() as client:
            client.config_resetstat()
            store.again = False
            for _ in range(100):
                store.commands(commands)
            store.again = True
            return float(client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])

    return {
        "read, past the server's parser": partial(fast_parser.read_head, sent, end),
        "read, by the server's parser": partial(_parse, sent),
        "the app, past the framework, Redis answering at once": respond,
        "the app, through Flask, Redis answering at once": lambda: ask(app.wsgi_app._app, again(asked | slow)),
        "of it: the body read and checked": lambda: read_body(again(asked)),
        "of it: JSON written": partial(encode, told),
        "of it: the log's line and the figures": lambda: app.wsgi_app._count(asked, "200", 0.0, "x"),
        "packed for Redis": lambda: [hiredis.pack_command(each) for each in commands],  # type: ignore[arg-type]
        "Redis's answer read": partial(_unpack, reply),
    }, script


CONFIG = Config()
CONFIG.set("forwarded_allow_ips", "")


def _parse(sent: bytes) -> None:
    request = next(RequestParser(CONFIG, iter([sent]), ("127.0.0.1", 1)))
    create(request, None, ("127.0.0.1", 1), ("127.0.0.1", 2), CONFIG)


def _resp(answer: Any) -> bytes:
    """Return an answer in the form in which Redis sends it."""
    words = [str(each).encode() for each in answer]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _unpack(reply: bytes) -> Any:
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(reply)
    return reader.gets()
