"""Requests of the fast path in a hot worker: each is answered as if it were alone, whatever its client does."""

import json
import re
import selectors
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import psutil
import pytest

from discount.services import code_pools
from discount.store.connection import Store
from tests.support.load import drive, grant_call
from tests.support.needs import need
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, create, wait_until

#: gunicorn ignores a header with an underscore, but the fast parser then leaves the request to gunicorn's parser.
THROUGH_PARSER = "X_Way: parser"
SECRET = "only-for-this-test-and-only-in-here"


@pytest.fixture(scope="module")
def alone(redis_server: RedisServer) -> Iterator[Service]:
    """One replica with one process, so that simultaneous requests meet in it."""
    with Service(redis_server.url, replicas=1) as service:
        yield service


def request(discount_id: str, user: str, *headers: str, chunked: bool = False) -> bytes:
    body = json.dumps({"user_id": user}).encode()
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    head = [
        f"POST /discount/{discount_id}/grant HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        length,
        *headers,
    ]
    sent = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n" if chunked else body
    return "\r\n".join(head).encode() + b"\r\n\r\n" + sent


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.ports[0]), PATIENCE)


def users(connection: socket.socket, count: int) -> list[str]:
    """Return the users of the next answers on a connection."""
    seen = b""
    while seen.count(b'"granted":true') < count:
        piece = connection.recv(65536)
        assert piece, seen
        seen += piece
    return [each.decode() for each in re.findall(rb'"user_id":"([^"]*)"', seen)]


def round_trips(service: Service) -> float:
    text = ask(service.urls[0], "GET", "/metrics").raw.decode()
    return float(re.findall(r"^discount_redis_round_trips_total (\S+)$", text, re.MULTILINE)[0])


def test_calls_at_once_share_exchanges_with_redis(alone: Service) -> None:
    discount_id = create(alone.urls[0], 1000)
    before = round_trips(alone)
    answers = drive(alone.urls, [grant_call(discount_id, f"user {n}") for n in range(1000)])
    assert {answer.status for answer in answers} == {201}
    assert len({answer.code for answer in answers}) == 1000
    assert round_trips(alone) - before < 1000


def test_a_request_in_pieces_delays_no_other_client(alone: Service) -> None:
    discount_id = create(alone.urls[0], 10)
    whole = request(discount_id, "slow")
    for cut in (5, len(whole) // 2, len(whole) - 1):
        with connect(alone) as slow, connect(alone) as quick:
            slow.sendall(whole[:cut])
            quick.sendall(request(discount_id, "quick"))
            assert users(quick, 1) == ["quick"]
            slow.sendall(whole[cut:])
            assert users(slow, 1) == ["slow"]


def test_requests_one_behind_the_other_are_answered_in_order(alone: Service) -> None:
    discount_id = create(alone.urls[0], 20)
    names = [f"user {number}" for number in range(12)]
    with connect(alone) as connection:
        connection.sendall(b"".join(request(discount_id, name) for name in names))
        assert users(connection, 12) == names
        connection.sendall(request(discount_id, "more"))
        assert users(connection, 1) == ["more"]


@pytest.mark.parametrize("header", ["Expect: 100-continue", "Connection: close", "X-Long: " + "x" * 7000])
def test_unusual_requests_are_answered_as_others(alone: Service, header: str) -> None:
    discount_id = create(alone.urls[0], 5)
    with connect(alone) as connection:
        connection.sendall(request(discount_id, "user", header))
        assert users(connection, 1) == ["user"]


def test_a_body_in_chunks_is_answered_as_others(alone: Service) -> None:
    discount_id = create(alone.urls[0], 5)
    with connect(alone) as connection:
        connection.sendall(request(discount_id, "user", chunked=True))
        assert users(connection, 1) == ["user"]


def test_clients_that_do_not_read_delay_no_others(alone: Service) -> None:
    discount_id = create(alone.urls[0], 5)
    deaf = [connect(alone) for _ in range(4)]
    for connection in deaf:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.settimeout(0.2)
        try:
            for _ in range(2000):
                connection.sendall(request(discount_id, "deaf") * 10)
        except TimeoutError:
            # Neither side reads any more: that is what was wanted.
            continue
    for number in range(3):
        reply = ask(alone.urls[0], "POST", f"/discount/{discount_id}/grant", {"user_id": f"hears {number}"})
        assert reply.status == 201
    for connection in deaf:
        connection.close()


def filled(service: Service, redis_url: str, count: int) -> str:
    """Create a discount whose codes are all made."""
    discount_id = create(service.urls[0], count)
    code_pools.refill(Store.at(redis_url, 20, 16), discount_id, count)
    return discount_id


def hot_worker(service: Service) -> psutil.Process:
    """Return the process that accepts connections."""
    several = map(psutil.Process, service.workers(0))
    return next(each for each in several if any(c.status == "LISTEN" for c in each.net_connections("inet")))


def grant_at_once(service: Service, discount_id: str, count: int) -> None:
    """Make grants on 32 connections, one after the other on each."""
    with ExitStack() as open_ones, selectors.DefaultSelector() as selector:
        numbers = iter(range(count))
        for number in islice(numbers, 32):
            connection = open_ones.enter_context(connect(service))
            connection.sendall(request(discount_id, f"user {number}"))
            selector.register(connection, selectors.EVENT_READ, connection)
        answered = 0
        while answered < count:
            for key, _ in selector.select(PATIENCE):
                assert b" 201 Created" in receive(key.data)
                answered += 1
                if (number := next(numbers, -1)) >= 0:
                    key.data.sendall(request(discount_id, f"user {number}"))


def test_a_grant_needs_few_switches_of_threads(alone: Service, redis_server: RedisServer) -> None:
    process, count = hot_worker(alone), 3000

    def switches() -> float:
        discount_id = filled(alone, redis_server.url, count)
        before = process.num_ctx_switches().voluntary
        grant_at_once(alone, discount_id, count)
        during: int = process.num_ctx_switches().voluntary - before
        return during / count

    # On a busy computer the clients may be the slow ones: then the worker waits for each of them.
    assert any(switches() <= 0.3 for _ in range(10))


def test_a_grant_needs_few_system_calls(alone: Service, redis_server: RedisServer, tmp_path: Path) -> None:
    strace, count, table = need("strace"), 3000, tmp_path / "table"
    discount_id = filled(alone, redis_server.url, count)
    with subprocess.Popen([strace, "-f", "-c", "-U", "calls", "-o", table, "-p", str(hot_worker(alone).pid)]) as tracer:
        try:
            wait_until(lambda: "TracerPid:\t0" not in status_of(hot_worker(alone).pid), "the worker is traced")
            grant_at_once(alone, discount_id, count)
        finally:
            tracer.send_signal(signal.SIGINT)
    # The last line has the sum.
    assert int(table.read_text().split()[-2]) / count <= 4


def status_of(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text(encoding="ascii")


def post(path: str, body: bytes, *headers: str) -> bytes:
    own = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(own).encode() + b"\r\n\r\n" + body


def answer(connection: socket.socket) -> bytes:
    """Return the next answer without its time."""
    seen = b""
    while not (head := seen.partition(b"\r\n\r\n"))[1]:
        seen += receive(connection)
    length = int(re.findall(rb"(?i)content-length: (\d+)", head[0])[0])
    while len(seen) < len(head[0]) + 4 + length:
        seen += receive(connection)
    assert len(seen) == len(head[0]) + 4 + length
    return re.sub(rb"\r\nDate: [^\r]*", b"", seen)


def receive(connection: socket.socket) -> bytes:
    piece = connection.recv(65536)
    assert piece, "the server closed the connection"
    return piece


def both_ways(service: Service, path: str, body: bytes, *headers: str) -> bytes:
    """Send a request past the parser and through it, check that the answers are equal, and return one."""
    with connect(service) as connection:
        connection.sendall(post(path, body, *headers))
        past = answer(connection)
    with connect(service) as connection:
        connection.sendall(post(path, body, *headers, THROUGH_PARSER))
        assert answer(connection) == past
    return past


JSON = "Content-Type: application/json"
MINE = "X-Request-Id: mine"


def test_answers_are_the_same_to_the_byte_past_the_parser_and_through_it(alone: Service) -> None:
    discount_id, sold_out = create(alone.urls[0], 9), create(alone.urls[0], 1)
    grant, order = f"/discount/{discount_id}/grant", {"id": "A-17", "amount": 1000, "currency": "EUR"}
    code = ask(alone.urls[0], "POST", grant, {"user_id": "user"}).json["code"]
    ask(alone.urls[0], "POST", f"/discount/{sold_out}/grant", {"user_id": "user"})
    use = {"discount_id": discount_id, "user_id": "user", "code": code, "order": order}
    assert ask(alone.urls[0], "POST", "/redemption", use, headers={"Idempotency-Key": "key"}).status == 201

    def redemption(**changes: object) -> bytes:
        return json.dumps(use | changes).encode()

    for status, path, body, headers in (
        (200, grant, b'{"user_id":"user"}', [JSON]),
        (200, grant, b'{"user_id":"user"}', [JSON, "Connection: close"]),
        (200, grant, b'{"user_id":"user"}', [JSON, "Connection: keep-alive", "X-Forwarded-For: 192.0.2.1"]),
        (200, grant, b'{"user_id":"user"}', [JSON + "; charset=utf-8", "Authorization: Bearer x"]),
        (404, "/discount/dsc-x/grant", b'{"user_id":"user"}', [JSON]),
        (409, f"/discount/{sold_out}/grant", b'{"user_id":"other"}', [JSON]),
        (400, grant, b"{", [JSON]),
        (400, grant, b"", [JSON]),
        (415, grant, b"{}", []),
        (415, grant, b"{}", ["Content-Type: text/plain"]),
        (422, grant, b"{}", [JSON]),
        (400, grant, '{"user_id":"\u00e9\x00"}'.encode(), [JSON]),
        (422, grant, b'{"user_id":"a","user_id":"b"}', [JSON]),
        (200, "/redemption", redemption(), [JSON]),
        (200, "/redemption", redemption(), [JSON, "Idempotency-Key: key"]),
        (422, "/redemption", redemption(), [JSON, "Idempotency-Key: "]),
        (422, "/redemption", redemption(hold_seconds=5), [JSON, "Idempotency-Key: key"]),
        (404, "/redemption", redemption(discount_id="dsc-x"), [JSON]),
        (422, "/redemption", redemption(order={}), [JSON]),
        (200, "/validation", redemption(), [JSON]),
        (200, "/validation", redemption(brand_id="IKEA"), [JSON]),
    ):
        assert both_ways(alone, path, body, *headers, MINE)[9:12] == b"%d" % status, (path, body, headers)


def test_a_new_grant_differs_only_in_code_and_time(alone: Service) -> None:
    discount_id = create(alone.urls[0], 2)
    found: list[bytes] = []
    for headers in ([], [THROUGH_PARSER]):
        with connect(alone) as connection:
            body = b'{"user_id":"user %d"}' % len(found)
            connection.sendall(post(f"/discount/{discount_id}/grant", body, JSON, *headers))
            found.append(answer(connection))
    varying = (rb'"code":"[^"]*"', rb'"granted_at":"[^"]*"', rb"user \d", rb"X-Request-Id: [0-9a-f]{32}\r")
    for pattern in varying:
        found = [re.sub(pattern, b"", each, count=1) for each in found]
    assert found[0] == found[1]
    assert found[0].startswith(b"HTTP/1.1 201 Created\r\n")


def test_the_fast_parser_applies_tokens_and_rates_like_the_other() -> None:
    rates = {"rate_key": "4/hour", "rate_address": "4/hour"}
    owner = {"Authorization": f"Bearer {SECRET}"}
    settings = rates | {"auth": "token", "admin_key": SECRET, "secret": "another-" + SECRET}
    with RedisServer() as own, Service(own.url, replicas=1, **settings) as service:
        wanted = {"brand_id": "Mine", "discount_code": "Spring", "total_count": 1}
        ask(service.urls[0], "POST", "/brand", {"id": "Mine"}, headers=owner)
        key = ask(service.urls[0], "POST", "/brand/Mine/keys", {"name": "till"}, headers=owner).json["key"]
        made = ask(service.urls[0], "POST", "/discount", wanted, headers={"Authorization": f"Bearer {key}"})
        path, body = f"/discount/{made.json['id']}/grant", b'{"user_id":"user"}'
        for token, statuses in (("nobody", [401] * 4 + [429] * 2), (key, [201, 200, 200, 200, 429, 429])):
            found = []
            for headers in ([], [THROUGH_PARSER]) * 3:
                with connect(service) as connection:
                    connection.sendall(post(path, body, JSON, f"Authorization: Bearer {token}", *headers))
                    found.append(answer(connection))
            assert [int(each[9:12]) for each in found] == statuses
            left = [int(each) for each in re.findall(rb"RateLimit-Remaining: (\d)", b"".join(found))]
            assert left == ([3, 2, 1, 0, 0, 0] if token == "nobody" else [3, 2, 1, 0])


def test_a_request_leaves_the_same_line_either_way(redis_server: RedisServer) -> None:
    with Service(redis_server.url, replicas=1, log_level="info") as service:
        both_ways(service, "/discount/dsc-x/grant", b'{"user_id":"user"}', JSON, MINE)
        past, through = wait_until(lambda: lines(service)[1:] and lines(service), "a line for each request")
    assert past == through
    assert past == {
        "request_id": "mine",
        "method": "POST",
        "route": "/discount/{discount_id}/grant",
        "status": 404,
        "event": "request",
        "level": "info",
    }


def lines(service: Service) -> list[dict[str, object]]:
    """Return the log lines of requests, without times."""
    whole = [json.loads(line) for line in service.log(0).splitlines(keepends=True) if line.endswith("}\n")]
    return [{name: each[name] for name in each if name not in ("ms", "time")} for each in whole if "route" in each]
