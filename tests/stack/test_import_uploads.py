"""Large files of codes through nginx into real replicas: streamed, in little memory, and sent again after a cut."""

import http.client
import json
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any

import psutil
import pytest

from tests.stack.proxy import Proxy
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.service import Reply, Service, ask, wait_until

LINES = 200_000
PIECE = 64 * 1024
#: How much the importing replica may grow, in bytes.
GROWTH = 30 * 1024 * 1024


@pytest.fixture
def discount_id(proxy: Proxy) -> str:
    """A discount for a brand's own codes, without any yet."""
    body = {"brand_id": "IKEA", "discount_code": "Own codes", "codes": {"kind": "imported"}}
    return str(ask(proxy.url, "POST", "/discount", body).json["id"])


def codes(count: int) -> list[str]:
    return [f"AB-{number:08}-{number * 7919 % 1000:03}" for number in range(count)]


def pieces(body: bytes) -> Iterator[bytes]:
    for first in range(0, len(body), PIECE):
        yield body[first : first + PIECE]


def upload(
    base: str, discount_id: str, body: Iterable[bytes], media_type: str = "text/plain", length: int | None = None
) -> Reply:
    """Send an import piece by piece; chunked without a length."""
    headers = {"Content-Type": media_type} | ({} if length is None else {"Content-Length": str(length)})
    connection = http.client.HTTPConnection(base.removeprefix("http://"), timeout=PATIENCE)
    with closing(connection):
        connection.request("POST", f"/discount/{discount_id}/codes", body, headers, encode_chunked=length is None)
        return Reply(connection.getresponse())


def imported(base: str, discount_id: str) -> int:
    return int(ask(base, "GET", f"/discount/{discount_id}").json["total_count"])


def exported(base: str, discount_id: str) -> list[str]:
    """Return the codes of a discount, in order."""
    reply = ask(base, "GET", f"/discount/{discount_id}/codes?format=ndjson")
    assert reply.status == 200
    return [json.loads(line)["code"] for line in reply.raw.splitlines()]


def counts(reply: Reply) -> tuple[int, int, int]:
    assert reply.status == 200, reply.raw
    return reply.json["added_count"], reply.json["repeated_count"], reply.json["bad_count"]


class Memory:
    """The largest growth of resident memory of any replica's worker."""

    def __init__(self, service: Service) -> None:
        workers = {pid for replica in range(len(service.urls)) for pid in service.workers(replica)}
        self._before = {psutil.Process(pid): psutil.Process(pid).memory_info().rss for pid in workers}
        self.growth = 0

    def look(self) -> None:
        grown = [process.memory_info().rss - before for process, before in self._before.items()]
        self.growth = max(self.growth, *grown)

    def watched(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces, and look at the memory before each."""
        for piece in body:
            self.look()
            yield piece
        self.look()


TEXT = "\n".join(codes(LINES)).encode()
FILES: dict[str, Callable[[], bytes]] = {
    "text/plain": lambda: TEXT,
    "text/csv": lambda: b"number,code\r\n" + b"".join(b"1,%s\r\n" % line for line in TEXT.splitlines()),
    "application/json": lambda: json.dumps({"codes": codes(LINES)}).encode(),
}


@pytest.mark.parametrize("media_type", list(FILES))
def test_two_hundred_thousand_codes_come_in_with_little_memory(
    proxy: Proxy, service: Service, discount_id: str, media_type: str
) -> None:
    body = FILES[media_type]()
    memory = Memory(service)

    reply = upload(proxy.url, discount_id, memory.watched(pieces(body)), media_type, len(body))

    assert counts(reply) == (LINES, 0, 0)
    assert reply.headers["X-Served-By"] in service.addresses
    assert memory.growth < GROWTH
    assert imported(proxy.url, discount_id) == LINES


def test_all_codes_go_out_with_little_memory(proxy: Proxy, service: Service, discount_id: str) -> None:
    upload(proxy.url, discount_id, pieces(TEXT), length=len(TEXT))
    memory = Memory(service)

    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=PATIENCE)
    with closing(connection):
        connection.request("GET", f"/discount/{discount_id}/codes")
        response = connection.getresponse()
        given = b"".join(memory.watched(iter(lambda: response.read(PIECE), b"")))

    assert given.count(b"\r\n") == LINES + 1
    assert [line.partition(b",")[0] for line in given.splitlines()[1:]] == TEXT.splitlines()
    assert memory.growth < GROWTH


def begin(proxy: Proxy, discount_id: str, how: str, sent: bytes) -> socket.socket:
    """Send the head and a part of an import, and return the open connection."""
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)
    head = (
        f"POST /discount/{discount_id}/codes HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n{how}\r\n\r\n"
    )
    connection.sendall(head.encode() + sent)
    return connection


def of_length(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


def test_codes_can_be_granted_before_the_whole_file_has_arrived(proxy: Proxy, discount_id: str) -> None:
    body = "\n".join(codes(20_000)).encode()
    half = len(body) // 2

    with begin(proxy, discount_id, of_length(body), body[:half]) as connection:
        some = wait_until(lambda: imported(proxy.url, discount_id), "the first codes")
        assert some < 20_000
        connection.sendall(body[half:])
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert counts(Reply(response)) == (20_000, 0, 0)


def ended(service: Service) -> float:
    """Return how many imports all replicas have ended, with success or not."""
    total = 0.0
    for url in service.urls:
        for line in ask(url, "GET", "/metrics").raw.decode().splitlines():
            if line.startswith("discount_request_seconds_count{") and '/codes"' in line and '"POST"' in line:
                total += float(line.rpartition(" ")[2])
    return total


@pytest.mark.parametrize(
    ("chunked", "back"),
    [(True, 3), (False, 3), (False, 0)],
    ids=["in chunks, within a code", "of a length, within a code", "of a length, after a line"],
)
def test_a_file_cut_off_halfway_can_be_sent_again_without_duplicates(
    proxy: Proxy, service: Service, discount_id: str, chunked: bool, back: int
) -> None:
    wanted = codes(30_000)
    body = "\n".join(wanted).encode()
    half = body.index(b"\n", len(body) // 2) + 1 - back
    how = "Transfer-Encoding: chunked" if chunked else of_length(body)
    sent = b"%x\r\n" % len(body) + body[:half] if chunked else body[:half]
    before, logged = ended(service), [service.log(replica) for replica in range(3)]

    with begin(proxy, discount_id, how, sent):
        wait_until(lambda: imported(proxy.url, discount_id), "the first codes")
    wait_until(lambda: ended(service) == before + 1, "the replica has given up")
    there = exported(proxy.url, discount_id)
    assert 0 < len(there) < len(wanted)
    assert there == wanted[: len(there)]

    reply = upload(proxy.url, discount_id, pieces(body), length=len(body))
    assert counts(reply) == (len(wanted) - len(there), len(there), 0)
    assert exported(proxy.url, discount_id) == wanted
    assert [service.log(replica) for replica in range(3)] == logged, "nothing broke"


def test_a_file_of_unknown_length_comes_in_chunks(proxy: Proxy, discount_id: str) -> None:
    wanted = codes(50_000)
    body = "\n".join(wanted).encode()
    assert counts(upload(proxy.url, discount_id, pieces(body))) == (50_000, 0, 0)
    assert exported(proxy.url, discount_id) == wanted


def test_codes_cut_into_chunks_anywhere_are_the_same_codes(proxy: Proxy, discount_id: str) -> None:
    wanted = [*codes(200), "本-1", "Ü-2"]
    body = "\r\n".join(wanted).encode()
    for size in (1, 7):
        small = (body[first : first + size] for first in range(0, len(body), size))
        assert sum(counts(upload(proxy.url, discount_id, small))) == len(wanted)
    assert exported(proxy.url, discount_id) == wanted


def test_the_same_file_sent_twice_at_once_is_there_once(proxy: Proxy, discount_id: str) -> None:
    wanted = codes(20_000)
    body = "\n".join(wanted).encode()
    half = len(body) // 2
    with (
        begin(proxy, discount_id, of_length(body), body[:half]) as one,
        begin(proxy, discount_id, of_length(body), body[:half]) as other,
    ):
        replies = []
        for connection in (one, other):
            connection.sendall(body[half:])
        for connection in (one, other):
            response = http.client.HTTPResponse(connection)
            response.begin()
            replies.append(Reply(response))
    assert sum(counts(reply)[0] for reply in replies) == sum(counts(reply)[1] for reply in replies) == 20_000
    assert sorted(exported(proxy.url, discount_id)) == wanted


@pytest.mark.parametrize("more", ["", "Expect: 100-continue\r\n"])
def test_a_file_of_300_megabytes_is_refused_before_it_is_sent(proxy: Proxy, discount_id: str, more: str) -> None:
    with begin(proxy, discount_id, f"{more}Content-Length: {300 * 1024 * 1024}", b"") as connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        reply = Reply(response)
    assert (reply.status, reply.slug) == (413, "too-large")
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert "X-Served-By" not in reply.headers
    assert imported(proxy.url, discount_id) == 0


def test_a_refusal_is_seen_by_a_client_that_is_still_sending(
    proxy: Proxy, redis_server: RedisServer, discount_id: str
) -> None:
    discount: Any = ask(proxy.url, "POST", "/discount", {"brand_id": "A", "discount_code": "A", "total_count": 1}).json
    refused = upload(proxy.url, discount["id"], pieces(TEXT), length=len(TEXT))
    assert (refused.status, refused.slug) == (409, "wrong-kind")
    broken = upload(proxy.url, discount_id, pieces(b"code\rA1\n" + TEXT), "text/csv", 8 + len(TEXT))
    assert (broken.status, broken.slug) == (400, "malformed")
    with redis_server.client() as redis:
        assert redis.keys(f"*{discount_id}:codes") == []
