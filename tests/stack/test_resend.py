"""Requests whose replica does not answer: nginx sends some to another replica, and refuses the others."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack.proxy import Proxy
from tests.support.ports import Port
from tests.support.replica_stub import ReplicaStub
from tests.support.service import Reply, ask


@pytest.fixture
def nobody() -> Iterator[list[str]]:
    """Two addresses on which nothing listens, kept for this test."""
    with Port() as one, Port() as two:
        yield [one.address, two.address]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/discount"),
        ("POST", "/discount"),
        ("PATCH", "/discount/a"),
        ("DELETE", "/discount/a"),
        ("POST", "/discount/a/grant"),
        ("POST", "/discount/a/codes"),
    ],
)
def test_an_unsent_request_goes_to_the_replica_that_is_alive(
    nobody: list[str], tmp_path: Path, method: str, path: str
) -> None:
    body: dict[str, Any] | None = {} if method in ("POST", "PATCH") else None
    with ReplicaStub() as stub, Proxy([*nobody, stub.address], tmp_path) as proxy:
        # Six in turn begin at each address.
        replies = [ask(proxy.url, method, path, body) for _ in range(6)]

    assert [(reply.status, reply.headers["X-Served-By"]) for reply in replies] == [(200, stub.address)] * 6
    assert len(stub.requests) == 6


def test_log_has_the_method_as_it_was_sent(nobody: list[str], tmp_path: Path) -> None:
    with Proxy(nobody, tmp_path) as proxy:
        assert ask(proxy.url, "DELETE", "/discount/a?token=secret").status == 503
    entry = json.loads(proxy.log())
    assert (entry["method"], entry["path"], entry["status"]) == ("DELETE", "/discount/a", 503)


@pytest.mark.parametrize(
    ("line", "header", "status"),
    [
        (b"TRACE / HTTP/1.1", b"", 405),
        (b"AB / HTTP/1.1", b"", 405),
        (b"GET / HTTP/9.9", b"", 400),
        (b"POST /discount HTTP/1.1", b"Transfer-Encoding: gzip\r\n", 400),
        (b"GET /a%00b HTTP/1.1", b"", 400),
        (b"@@@@", b"", 400),
    ],
)
def test_refusal_of_the_proxy_is_a_problem(proxy: Proxy, line: bytes, header: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as connection:
        connection.sendall(line + b"\r\nHost: localhost\r\n" + header + b"\r\n")
        response = http.client.HTTPResponse(connection)
        response.begin()
        reply = Reply(response)

    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/problem+json")
    assert (reply.json["status"], reply.slug) == (status, "bad-request" if status == 400 else "method-not-allowed")


def test_body_larger_than_its_buffer_arrives_whole(tmp_path: Path) -> None:
    with ReplicaStub() as stub, Proxy([stub.address], tmp_path) as proxy:
        assert ask(proxy.url, "POST", "/discount/a/codes", b"x" * 1_000_000).status == 200


def test_an_address_arrives_as_it_was_written(tmp_path: Path) -> None:
    with ReplicaStub() as stub, Proxy([stub.address], tmp_path) as proxy:
        ask(proxy.url, "POST", "/brand/a%2Fb%20c/grant?x=%2F", {})

    assert "/brand/a%2Fb%20c/grant?x=%2F" in str(stub.requests[0])
