"""Hot calls that are answered together: each as if it were alone, whatever its client does."""

import json
import re
import socket
from collections.abc import Iterator

import pytest

from tests.support.load import drive, grant_call
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, create

PATIENCE = 30.0


@pytest.fixture(scope="module")
def alone(redis_server: RedisServer) -> Iterator[Service]:
    """One replica of one process, so that all that comes at once comes to it."""
    with Service(redis_server.url, replicas=1) as service:
        yield service


def request(discount_id: str, user: str, *headers: str, chunked: bool = False) -> bytes:
    body = json.dumps({"user_id": user}).encode()
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    head = [
        f"POST /discount/{discount_id}/grant HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        length,
        *headers,
    ]
    sent = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n" if chunked else body
    return "\r\n".join(head).encode() + b"\r\n\r\n" + sent


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.ports[0]), PATIENCE)


def users(connection: socket.socket, count: int) -> list[str]:
    """The users of so many answers that come on a connection."""
    seen = b""
    while seen.count(b'"granted":true') < count:
        piece = connection.recv(65536)
        assert piece, seen
        seen += piece
    return [each.decode() for each in re.findall(rb'"user_id":"([^"]*)"', seen)]


def round_trips(service: Service) -> float:
    told = ask(service.urls[0], "GET", "/metrics").raw.decode()
    return float(re.findall(r"^discount_redis_round_trips_total (\S+)$", told, re.MULTILINE)[0])


def test_calls_at_once_share_exchanges_with_redis(alone: Service) -> None:
    discount_id = create(alone.urls[0], 1000)
    before = round_trips(alone)
    answers = drive(alone.urls, [grant_call(discount_id, f"user {n}") for n in range(1000)])
    assert {answer.status for answer in answers} == {201}
    assert len({answer.code for answer in answers}) == 1000
    assert round_trips(alone) - before < 1000


def test_a_request_that_comes_in_pieces_holds_up_nobody(alone: Service) -> None:
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


def test_clients_that_do_not_read_hold_up_nobody(alone: Service) -> None:
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
