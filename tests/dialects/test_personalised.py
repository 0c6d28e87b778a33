"""Personalised codes with the native service, by the two example scripts."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from tempfile import TemporaryFile
from threading import Thread
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.security.issuer import (
    AUDIENCE,
    ISSUER,
    SECRET,
    signed,
)
from tests.security.two_brands import ADMIN, PEPPER
from tests.support.redis_server import RedisServer
from tests.support.service import ROOT, Service, ask

EXAMPLES = ROOT / "examples"
NOBODY = "http://127.0.0.1:9"


def run(script: str, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    rest = {name: value for name, value in os.environ.items() if name not in ("DISCOUNT_KEY", "USER_TOKEN")}
    return subprocess.run(
        [sys.executable, EXAMPLES / f"{script}.py", *words],
        env=rest | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_discount_is_created_and_a_user_gets_the_same_code_each_time(service: Service) -> None:
    created = run("create", "IKEA", "Summer sale", "1", DISCOUNT_URL=service.urls[0])
    assert (created.returncode, created.stderr) == (0, "")
    discount = created.stdout.strip()
    codes = [run("fetch", discount, "User 1", DISCOUNT_URL=url).stdout for url in service.urls]
    assert codes[0] == codes[1]
    assert re.fullmatch(r"ikea-thinks-user-1-is-awesome-[2-9A-HJ-NP-Za-km-z]{22}\n", codes[0])
    # It had one code.
    refused = run("fetch", discount, "User 2", DISCOUNT_URL=service.urls[0])
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "/problems/sold-out" in refused.stderr


@pytest.fixture
def calls() -> Iterator[tuple[str, "Queue[tuple[dict[str, str], bytes]]"]]:
    """The address of a webhook, and the calls that it gets."""
    came: Queue[tuple[dict[str, str], bytes]] = Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.put((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", came
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def worker(redis_server: RedisServer) -> Iterator[None]:
    """A worker on the same Redis, which starts empty."""
    redis_server.client().flushall()
    settings = {"REDIS_URL": redis_server.url, "WEBHOOK_LOOPBACK": "1", "WORKER_PORT": "0", "SECRET": PEPPER}
    command = [sys.executable, "-m", "discount", "worker"]
    with TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=log, stderr=log)
        yield
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait()


@pytest.mark.usefixtures("worker")
def test_the_webhook_is_called_with_the_code_of_the_user(
    redis_server: RedisServer, calls: tuple[str, "Queue[tuple[dict[str, str], bytes]]"]
) -> None:
    hook, came = calls
    with Service(redis_server.url, replicas=1, webhook_loopback=1, secret=PEPPER) as service:
        discount, secret = run("create", "IKEA", "Sale", "9", hook, DISCOUNT_URL=service.urls[0]).stdout.split()
        code = run("fetch", discount, "User 1", DISCOUNT_URL=service.urls[0]).stdout.strip()
        events = {}
        while "code.granted" not in events:
            headers, body = came.get(timeout=60)
            event = Webhook(secret).verify(body, headers)
            events[event["type"]] = event["data"]
    granted: dict[str, Any] = {
        "discount_id": discount,
        "user_id": "User 1",
        "code": code,
        "metadata": {},
        "waited_since": None,
    }
    assert events["code.granted"] == granted


@pytest.mark.usefixtures("worker")
def test_a_webhook_of_the_dialect_is_called_with_user_code_and_discount_alone(
    redis_server: RedisServer, calls: tuple[str, "Queue[tuple[dict[str, str], bytes]]"]
) -> None:
    hook, came = calls
    with Service(redis_server.url, replicas=1, webhook_loopback=1, secret=PEPPER) as service:
        url = service.urls[0]
        body = {"name": "Sale", "num_codes": 1, "webhook_url": hook}
        made = ask(url, "POST", "/create-discount-codes", body, headers={"brand_auth_token": "Nike"})
        assert made.status == 200, made.raw
        wanted = {"discount_id": made.json["id"]}
        got = ask(url, "GET", "/get-discount-code", wanted, headers={"user_auth_token": "Stina"})
        headers, received = came.get(timeout=60)
    assert got.json == {"discount-code": f"Nike-thinks-Stina-is-awesome-{made.json['id']}"}
    assert json.loads(received) == {
        "user_id": "Stina",
        "discount_code": got.json["discount-code"],
        "discount_id": made.json["id"],
    }
    assert headers["Content-Type"] == "application/json"
    # It gets events of codes only, not of the new discount or of its last code.
    assert came.empty()


@pytest.fixture
def guarded(redis_server: RedisServer) -> Service:
    """The service with tokens on."""
    users = {"jwt_secret": SECRET, "jwt_audience": AUDIENCE, "jwt_issuer": ISSUER}
    return Service(redis_server.url, replicas=1, auth="token", admin_key=ADMIN, secret=PEPPER, **users)


def test_the_scripts_bring_the_tokens_that_the_environment_has(guarded: Service) -> None:
    with guarded:
        url = guarded.urls[0]
        admin = {"Authorization": f"Bearer {ADMIN}"}
        assert ask(url, "POST", "/brand", {"id": "Billo"}, headers=admin).status == 201
        key = ask(url, "POST", "/brand/Billo/keys", {"name": "a key"}, headers=admin).json["key"]
        refused = run("create", "Billo", "Sale", "10", DISCOUNT_URL=url)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "/problems/unauthenticated" in refused.stderr
        discount = run("create", "Billo", "Sale", "10", DISCOUNT_URL=url, DISCOUNT_KEY=key).stdout.strip()
        fetched = run("fetch", discount, "Ann", DISCOUNT_URL=url, USER_TOKEN=signed("Ann"))
        assert fetched.stdout.startswith("billo-thinks-ann-is-awesome-")
        assert "/problems/forbidden" in run("fetch", discount, "Bo", DISCOUNT_URL=url, USER_TOKEN=signed("Ann")).stderr


@pytest.mark.parametrize(
    "words", [("create",), ("create", "IKEA", "Sale", "ten"), ("fetch",), ("fetch", "a", "b", "c")]
)
def test_a_wrong_command_line_is_answered_with_the_usage(words: tuple[str, ...]) -> None:
    done = run(*words, DISCOUNT_URL=NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"usage: \w+\.py [A-Z_ \[\]]+\n", done.stderr)


@pytest.mark.parametrize("words", [("create", "IKEA", "Sale", "10"), ("fetch", "dsc-x", "Ann")])
def test_a_missing_server_is_one_line_of_error(words: tuple[str, ...]) -> None:
    done = run(*words, DISCOUNT_URL=NOBODY)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(NOBODY)
