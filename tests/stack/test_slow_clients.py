"""Slow, silent and faulty clients on the app's own port: they hold up no other client, and learn why."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from discount.domain.errors import TooSlow
from discount.serving import connections
from discount.serving.connections import ClientSocket
from tests.security.issuer import AUDIENCE, ISSUER, signed
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, create, wait_until

PATIENCE = 30.0
ADMIN, SECRET = "admin-" + "a" * 32, "secret-" + "s" * 32


@pytest.fixture(scope="module")
def narrow(redis_server: RedisServer) -> Iterator[Service]:
    """One replica with one process and one thread for ordinary calls."""
    with Service(redis_server.url, replicas=1, threads=1, long_calls=3, log_level="info") as service:
        yield service


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.ports[0]), PATIENCE)


def read(connection: socket.socket) -> bytes:
    """Return everything until the other side closes."""
    seen = b""
    while piece := connection.recv(65536):
        seen += piece
    return seen


@contextmanager
def many(service: Service, begun: bytes, count: int = 24) -> Iterator[None]:
    """Open connections with an incomplete request on each."""
    with ExitStack() as open_ones:
        for _ in range(count):
            open_ones.enter_context(connect(service)).sendall(begun)
        yield


def assert_all_is_answered(service: Service, discount_id: str) -> None:
    for path in ("/healthy", "/ready", "/metrics", f"/discount/{discount_id}"):
        assert ask(service.urls[0], "GET", path, timeout=PATIENCE).status == 200
    assert ask(service.urls[0], "POST", f"/discount/{discount_id}/grant", {"user_id": "User 1"}).status in (200, 201)


BEGUN = {
    "nothing": b"",
    "half a line": b"GET /discount HT",
    "half a head": b"GET /discount HTTP/1.1\r\nHost: localhost\r\nX-More",
    "half a body": b"POST /discount HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{",
    "half a hot body": b"POST /redemption HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{",
    "half of the chunks": b"POST /discount HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    "what looks like the last chunk": (
        b"POST /discount HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n0\r\n\r\n"
    ),
    "a body that waits to be asked for": (
        b"POST /discount HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n"
    ),
    "a body that is too large": (
        b"POST /discount HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 99999999\r\n\r\n{"
    ),
    "a body that is not read": b"GET /healthy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n",
}


@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN)
def test_unfinished_requests_delay_no_other_client(narrow: Service, begun: bytes) -> None:
    discount_id = create(narrow.urls[0], 10)
    with many(narrow, begun):
        assert_all_is_answered(narrow, discount_id)


def test_clients_that_do_not_close_delay_no_others(narrow: Service) -> None:
    discount_id = create(narrow.urls[0], 10)
    with many(narrow, b"GET /healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"):
        assert_all_is_answered(narrow, discount_id)


def fill(service: Service, discount_id: str, open_ones: ExitStack, token: str = "") -> int:
    """Begin imports and send nothing more, until one is refused; return how many were accepted."""
    head = f"POST /discount/{discount_id}/codes HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
    head += f"Authorization: Bearer {token}\r\n" if token else ""
    for count in range(20):
        connection = open_ones.enter_context(connect(service))
        connection.sendall(f"{head}Content-Length: 999999\r\n\r\nA".encode())
        connection.settimeout(1)
        try:
            refused = connection.recv(65536)
        except TimeoutError:
            continue
        assert b" 429 " in refused
        # A proxy must not send another request on it.
        assert b"\r\nConnection: close\r\n" in refused
        assert b"\r\nRetry-After: 2\r\n" in refused
        return count
    raise AssertionError("no import was refused")


def test_long_calls_leave_a_thread_to_others(narrow: Service) -> None:
    discount_id = create(narrow.urls[0], 10)
    own = create(narrow.urls[0], 1, codes={"kind": "imported"})
    polling = b"GET /event?brand_id=other&wait=25 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as open_ones, many(narrow, polling, 3):
        assert fill(narrow, own, open_ones) == 3
        assert ask(narrow.urls[0], "GET", f"/discount/{own}/codes").status == 429
        assert_all_is_answered(narrow, discount_id)
    # A closed connection frees its place.
    wait_until(lambda: ask(narrow.urls[0], "GET", f"/discount/{own}/codes").status == 200, "a place is free")


def test_a_brand_and_a_key_have_a_limited_number_of_places_each() -> None:
    settings: dict[str, Any] = {"auth": "token", "admin_key": ADMIN, "secret": SECRET, "long_calls_per_brand": 3}
    with RedisServer() as redis, Service(redis.url, replicas=1, **settings) as service, ExitStack() as open_ones:
        admin = {"Authorization": f"Bearer {ADMIN}"}

        def key_of(brand: str) -> str:
            made = ask(service.urls[0], "POST", f"/brand/{brand}/keys", {"name": "a key"}, headers=admin)
            return str(made.json["key"])

        def discount_of(brand: str, key: str) -> str:
            wanted = {"brand_id": brand, "discount_code": "Own", "total_count": 1, "codes": {"kind": "imported"}}
            made = ask(service.urls[0], "POST", "/discount", wanted, headers={"Authorization": f"Bearer {key}"})
            return str(made.json["id"])

        for brand in ("Busy", "Quiet"):
            ask(service.urls[0], "POST", "/brand", {"id": brand}, headers=admin)
        busy, other, quiet = key_of("Busy"), key_of("Busy"), key_of("Quiet")
        own, of_quiet = discount_of("Busy", busy), discount_of("Quiet", quiet)
        assert fill(service, own, open_ones, busy) == 2
        assert fill(service, own, open_ones, other) == 1
        assert fill(service, of_quiet, open_ones, quiet) == 2


REFUSED = {
    "not ASCII": (400, "bad-request", b"GET /user/\xc3\x85sa-qz47/grants HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "no colon": (
        400,
        "bad-request",
        b"GET /discount HTTP/1.1\r\nHost: localhost\r\nAuthorization Bearer qz47\r\n\r\n",
    ),
    "a chunk's size": (
        400,
        "bad-request",
        b"POST /discount HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n\xc3\x85sa-qz47\r\n",
    ),
    "version": (400, "bad-request", b"GET /\xc3\x85sa-qz47 HTTP/9.9\r\nHost: localhost\r\n\r\n"),
    "method": (400, "bad-request", b"G@T /discount?user_id=qz47 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "length": (400, "bad-request", b"POST /discount HTTP/1.1\r\nHost: localhost\r\nContent-Length: qz47x\r\n\r\n"),
    "two lengths": (
        400,
        "bad-request",
        b"POST /discount HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nqz47",
    ),
    "coding": (400, "bad-request", b"POST /discount HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xqz47\r\n\r\n"),
    "line ends": (400, "bad-request", b"GET /discount?user_id=qz47 HTTP/1.1\nHost: localhost\n\n"),
    "long address": (414, "uri-too-long", b"GET /" + b"qz47" * 3000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "long header": (
        431,
        "headers-too-large",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"qz47" * 3000 + b"\r\n\r\n",
    ),
    "endless head": (431, "headers-too-large", b"GET / HTTP/1.1\r\n" + b"X: qz47\r\n" * 9000),
}


@pytest.mark.parametrize(("status", "word", "sent"), REFUSED.values(), ids=REFUSED)
def test_a_malformed_request_is_refused_with_a_problem(narrow: Service, status: int, word: str, sent: bytes) -> None:
    first, _, rest = sent.partition(b"\r\n")
    named = first + b"\r\nX-Request-Id: mine\r\n" + rest if rest else sent
    with connect(narrow) as connection:
        connection.sendall(named)
        head, _, body = read(connection).partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert (int(head[9:12]), problem["status"], problem["type"]) == (status, status, f"/problems/{word}")
    headers = {line.partition(b": ")[0]: line.partition(b": ")[2] for line in head.split(b"\r\n")[1:]}
    assert headers[b"Content-Type"] == b"application/problem+json"
    assert headers[b"X-Request-Id"].decode() == problem["request_id"]
    assert not rest or word != "bad-request" or problem["request_id"] == "mine"
    assert headers[b"Cache-Control"] == b"no-store"


def test_the_log_contains_nothing_from_a_malformed_request(narrow: Service) -> None:
    for _, _, sent in REFUSED.values():
        with connect(narrow) as connection:
            connection.sendall(sent)
            read(connection)
    assert "malformed request: InvalidHeader" in wait_until(lambda: narrow.log(0), "a log")
    assert "qz47" not in narrow.log(0)


def test_a_body_waiting_for_continue_is_requested_once(narrow: Service) -> None:
    body = b'{"brand_id": "IKEA", "discount_code": "Spring", "total_count": 1}'
    head = b"POST /discount HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    for length in (b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked"):
        sent = body if b"Length" in length else b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        with connect(narrow) as connection:
            connection.sendall(head + length + b"\r\nExpect: 100-continue\r\n\r\n")
            asked = connection.recv(65536)
            assert asked == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(sent)
            assert read(connection).startswith(b"HTTP/1.1 201 ")


def test_the_maximum_of_idle_connections_locks_no_client_out(narrow: Service) -> None:
    discount_id = create(narrow.urls[0], 10)
    with many(narrow, b"", 1100):
        assert_all_is_answered(narrow, discount_id)


def test_a_body_that_comes_slower_than_the_least_speed_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WINDOW", 0.2)
    ours, theirs = socket.socketpair()
    client = ClientSocket(ours)
    client.waits = True
    with client, theirs:
        theirs.sendall(b"x" * 10)
        assert client.recv(100) == b"x" * 10
        with pytest.raises(TooSlow):
            client.recv(100)


def test_a_body_that_keeps_the_least_speed_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0.0
    monkeypatch.setattr(connections, "WINDOW", 0.05)
    # Time passes with the pieces alone, however late the sender's thread is.
    monkeypatch.setattr(connections, "monotonic", lambda: passed)
    ours, theirs = socket.socketpair()
    client = ClientSocket(ours)
    client.waits = True
    taken = threading.Semaphore(1)

    def send() -> None:
        nonlocal passed
        for _ in range(20):
            taken.acquire(timeout=PATIENCE)
            passed += 0.02
            theirs.sendall(b"x" * 10_000)
        theirs.close()

    sender = threading.Thread(target=send)
    sender.start()
    with client:
        seen = 0
        while piece := client.recv(65536):
            seen += len(piece)
            taken.release()
    sender.join()
    assert seen == 200_000


def test_an_answer_that_is_not_read_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WINDOW", 0.2)
    ours, theirs = socket.socketpair()
    client = ClientSocket(ours)
    client.waits = True
    with client, theirs, pytest.raises(TooSlow):
        client.sendall(b"x" * 100_000_000)
    assert not client.held


def test_a_hanging_key_server_delays_no_hot_call() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, RedisServer() as redis:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/keys"
        tokens = {"auth": "token", "admin_key": ADMIN, "secret": SECRET, "jwks_url": url}
        settings: dict[str, Any] = {**tokens, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "threads": 1}
        with Service(redis.url, replicas=1, **settings) as service:
            admin = {"Authorization": f"Bearer {ADMIN}"}
            ask(service.urls[0], "POST", "/brand", {"id": "Patient"}, headers=admin)
            made = ask(service.urls[0], "POST", "/brand/Patient/keys", {"name": "till"}, headers=admin)
            key = {"Authorization": f"Bearer {made.json['key']}"}
            wanted = {"brand_id": "Patient", "discount_code": "Spring", "total_count": 99}
            path = f"/discount/{ask(service.urls[0], 'POST', '/discount', wanted, headers=key).json['id']}/grant"
            body = b'{"user_id":"Ann"}'
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            head += f"Content-Length: {len(body)}\r\n"
            foreign = f"{head}Authorization: Bearer {signed()}\r\n\r\n".encode() + body
            with many(service, foreign, 8):
                # The fetch of keys lasts two seconds; these calls are answered while it does.
                wait_until(lambda: _is_called(silent), "the keys are being fetched")
                for number in range(20):
                    assert ask(service.urls[0], "POST", path, {"user_id": f"{number}"}, headers=key).status == 201
                with connect(service) as connection:
                    connection.sendall(foreign.replace(b"Host: localhost", b"Host: localhost\r\nConnection: close"))
                    assert b" 503 " in read(connection)


def _is_called(server: socket.socket) -> bool:
    server.settimeout(0.5)
    try:
        server.accept()
    except TimeoutError:
        return False
    return True
