"""A grant in bare ASGI: what comes in one turn of the event loop goes to Redis in one piece."""

import asyncio
import json
import os
import re
import time
from binascii import crc32
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import hiredis
import msgspec

ROUTE = "/discount/{discount_id}/grant"
REFUSALS = {"not-found": 404, "closed": 409, "paused": 409, "expired": 409, "not-started": 409, "sold-out": 409}
SAFE = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
#: Log lines that are written together.
LINES = 32


class GrantIn(msgspec.Struct, forbid_unknown_fields=True):
    user_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class GrantOut(msgspec.Struct):
    discount_id: str
    user_id: str
    code: str
    granted_at: datetime
    granted: bool = True
    good_until: None = None
    void: bool = False


class Entry(msgspec.Struct):
    request_id: str
    status: int
    ms: float
    time: datetime
    method: str = "POST"
    route: str = ROUTE
    event: str = "request"
    level: str = "info"


decode = msgspec.json.Decoder(GrantIn).decode
encode = msgspec.json.Encoder().encode


class Command:
    """The grant's command, with its variable parts."""

    def __init__(self) -> None:
        self._buckets, self._groups = int(os.environ["BUCKETS"]), int(os.environ["GROUPS"])
        words = ["EVALSHA", *json.loads(os.environ["COMMAND"])]
        # Constants at even places, names of variables at odd ones.
        self._words = [re.split("<([a-z]+)>", word) for word in words]

    def fill(self, discount_id: str, user_id: str) -> Sequence[str]:
        number = crc32(user_id.encode())
        values = {
            "discount": discount_id,
            "user": user_id,
            "bucket": str(number % self._buckets),
            "group": str(number % self._groups),
        }
        return [
            parts[0]
            if len(parts) == 1
            else "".join(values[part] if place % 2 else part for place, part in enumerate(parts))
            for parts in self._words
        ]


class Gathered(asyncio.Protocol):
    """A connection to Redis on which the commands of one turn of the loop go out together."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(encoding="utf-8")
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._out: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, words: Sequence[str]) -> "asyncio.Future[Any]":
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(tuple(words)))  # type: ignore[arg-type]
        future = self._loop.create_future()
        self._waiting.append(future)
        return future

    def _flush(self) -> None:
        self.transport.write(b"".join(self._out))
        self._out.clear()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            future = self._waiting.popleft()
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)


class Log:
    """A file of JSON lines."""

    def __init__(self) -> None:
        self._file = os.open(os.environ["LOG"], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._held: list[bytes] = []

    def write(self, request_id: str, status: int, started: float) -> None:
        ms = round((time.perf_counter() - started) * 1000, 2)
        self._held.append(encode(Entry(request_id, status, ms, datetime.now(UTC))) + b"\n")
        if len(self._held) == LINES:
            os.write(self._file, b"".join(self._held))
            self._held.clear()


Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class App:
    """The application of one process."""

    command: Command
    log: Log
    redis: Gathered

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        started = time.perf_counter()
        request_id = os.urandom(16).hex()
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        path = scope["path"]
        if scope["method"] == "POST" and path.startswith("/discount/") and path.endswith("/grant"):
            status, out = await self._grant(path[len("/discount/") : -len("/grant")], body)
        else:
            status, out = 404, b'{"type":"/problems/not-found"}'
        self.log.write(request_id, status, started)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(out)).encode()),
            (b"x-request-id", request_id.encode()),
            *SAFE,
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": out})

    async def _live(self, receive: Receive, send: Send) -> None:
        kind = ""
        while kind != "lifespan.shutdown":
            kind = (await receive())["type"]
            if kind == "lifespan.startup":
                loop = asyncio.get_running_loop()
                self.command, self.log = Command(), Log()
                _, self.redis = await loop.create_unix_connection(Gathered, os.environ["REDIS_SOCKET"])
            await send({"type": f"{kind}.complete"})

    async def _grant(self, discount_id: str, body: bytes) -> tuple[int, bytes]:
        try:
            user_id = decode(body).user_id
        except ValueError:
            return 422, b'{"type":"/problems/invalid"}'
        word, *fields = await self.redis.send(self.command.fill(discount_id, user_id))
        if word not in ("granted", "held"):
            return REFUSALS.get(word, 503), b'{"type":"/problems/%s"}' % word.encode()
        micros, _, code = fields[0].partition(" ")
        seconds, micro = divmod(int(micros), 1_000_000)
        at = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micro)
        return 201 if word == "granted" else 200, encode(GrantOut(discount_id, user_id, code, at))


app = App()
