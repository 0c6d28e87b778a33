"""The HTTP client that calls receivers, against receivers of every kind."""

import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpcore
import pytest
import ssrfguard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from discount.domain.errors import Invalid
from discount.domain.model import Receipt
from discount.security.url_policy import check_url, policy
from discount.worker.webhook_client import KEPT, LONGEST_PAUSE, WebhookClient
from tests.support.certificates import Authority
from tests.support.patience import PATIENCE
from tests.worker.peer import Peer, answer, answering, reset, saying

# So short that a test can wait for it.
SHORT = 0.5
LOOPBACK = policy(loopback=True)
PUBLIC = policy(loopback=False)


# Read once: it is made of all the authorities of the world.
CONTEXT = httpcore.default_ssl_context()


def post(url: str, timeout: float = PATIENCE, context: Any = CONTEXT) -> Receipt:
    return WebhookClient(LOOPBACK, timeout, context).post(url, {"webhook-id": "evt-1"}, b'{"a":1}')


def receipt_of(raw: bytes) -> Receipt:
    """Return the receipt of a call that is answered with these bytes."""
    with Peer(saying(raw)) as peer:
        return post(peer.url)


# What an answer means.


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (299, "delivered"),
        (300, "retry"),
        (302, "retry"),
        (400, "retry"),
        (404, "retry"),
        (410, "failed"),
        (429, "retry"),
        (500, "retry"),
        (503, "retry"),
    ],
)
def test_the_status_decides_the_outcome(status: int, outcome: str) -> None:
    receipt = receipt_of(answer(status))
    assert (receipt.outcome, receipt.status, receipt.gone) == (outcome, str(status), status == 410)


def test_the_receiver_gets_the_given_request() -> None:
    with Peer(answering(answer())) as peer:
        assert post(peer.url + "?a=1#b").outcome == "delivered"
        headers, body = peer.requests[0]
    assert headers[""] == "POST /hook?a=1 HTTP/1.1"
    assert (headers["webhook-id"], headers["content-length"], body) == ("evt-1", "7", b'{"a":1}')
    assert headers["host"] == f"127.0.0.1:{peer.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with Peer(answering(answer())) as other, Peer(answering(answer(status, b"", f"Location: {other.url}"))) as peer:
        assert post(peer.url).outcome == "retry"
        assert (len(peer.requests), other.connections) == (1, 0)


def test_an_early_hint_is_not_taken_for_the_answer() -> None:
    assert receipt_of(b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" + answer(204)).status == "204"


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("86400", 86400.0),
        ("9999999999999", float(LONGEST_PAUSE)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2999 07:28:00 GMT", float(LONGEST_PAUSE)),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Wed, 31 Feb 2024 00:00:00 GMT", None),
        ("Wed, 21 Oct 99999999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +9999999999999", None),
        # No zone, or one that is not known, is taken for UTC.
        ("Wed, 21 Oct 2015 07:28:00", 0.0),
        ("Wed, 21 Oct 2999 07:28:00 -0000", float(LONGEST_PAUSE)),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(asked: str, pause: float | None) -> None:
    receipt = receipt_of(answer(503, b"", f"Retry-After: {asked}"))
    assert (receipt.outcome, receipt.status, receipt.retry_after) == ("retry", "503", pause)


def test_retry_after_as_a_date_is_counted_from_now() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=5000), usegmt=True)
    pause = receipt_of(answer(503, b"", f"Retry-After: {until}")).retry_after
    assert pause is not None
    assert 4000 < pause <= 5000


def test_retry_after_is_absent_without_the_header() -> None:
    assert receipt_of(answer(503)).retry_after is None


# What is kept of an answer.


def test_an_answer_is_cut_off_after_500_letters() -> None:
    assert KEPT == 500
    assert receipt_of(answer(500, b"x" * 501)).answer == "x" * 500


def test_control_characters_become_spaces() -> None:
    assert receipt_of(answer(500, "a\x1b[31mb\r\nc\x00\u202ed\x9be".encode())).answer == "a [31mb  c  d e"


def test_invalid_utf_8_is_shown_as_replacement_characters() -> None:
    assert receipt_of(answer(500, b"a\xffb")).answer == "a\ufffdb"


@pytest.mark.parametrize("head", ["Content-Length: 67108864", "Transfer-Encoding: chunked"])
def test_no_more_is_read_than_is_examined(head: str) -> None:
    piece = b"y" * 65536
    sent: list[int] = []

    def treat(peer: Peer, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        peer.read(connection)
        connection.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        for _ in range(1024):
            connection.sendall(b"10000\r\n" + piece + b"\r\n" if "chunked" in head else piece)
            sent.append(len(piece))

    with Peer(treat) as peer:
        receipt = post(peer.url)
    assert (receipt.outcome, receipt.answer) == ("delivered", "y" * 500)
    assert len(sent) < 1024


def test_endless_headers_count_as_no_answer() -> None:
    def treat(peer: Peer, connection: socket.socket) -> None:
        peer.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(100_000):
            connection.sendall(f"X-{number}: {'z' * 1000}\r\n".encode())

    with Peer(treat) as peer:
        assert post(peer.url).status == "no-answer"


# What is no answer.


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage\r\n\r\n",
        b"\x00\xff\xfe\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
    ],
)
def test_a_reply_that_is_not_http_is_retried_as_no_answer(raw: bytes) -> None:
    receipt = receipt_of(raw)
    assert (receipt.outcome, receipt.status) == ("retry", "no-answer")
    assert receipt.answer


def test_a_reset_connection_counts_as_no_answer() -> None:
    def treat(peer: Peer, connection: socket.socket) -> None:
        peer.read(connection)
        reset(connection)

    with Peer(treat) as peer:
        receipt = post(peer.url)
    assert (receipt.outcome, receipt.status) == ("retry", "no-answer")


def test_a_closed_port_counts_as_no_answer() -> None:
    with Peer(answering(answer())) as peer:
        url = peer.url
    receipt = post(url)
    assert (receipt.outcome, receipt.status) == ("retry", "no-answer")


def test_an_unknown_host_name_counts_as_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    receipt = post("https://nowhere.example/")
    assert (receipt.outcome, receipt.status) == ("retry", "no-answer")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=st.binary(max_size=60), begun=st.booleans())
@example(raw=b"Retry-After: Wed, 21 Oct 2015 07:28:00\r\nContent-Length: 0\r\n\r\n", begun=True)
def test_every_reply_leads_to_a_receipt(raw: bytes, begun: bool) -> None:
    receipt = receipt_of((b"HTTP/1.1 500 No\r\n" if begun else b"") + raw)
    assert receipt.outcome == "retry" or b" 2" in raw or b" 410" in raw
    assert receipt.answer.isprintable() or receipt.answer == ""


# Time.


def _hang(peer: Peer, connection: socket.socket) -> None:
    peer.read(connection)
    peer.ended.wait(PATIENCE)


def _drip(raw: bytes) -> Callable[[Peer, socket.socket], None]:
    def treat(peer: Peer, connection: socket.socket) -> None:
        if raw[:1] == b"H":
            peer.read(connection)
        for place in range(len(raw)):
            connection.sendall(raw[place : place + 1])
            if peer.ended.wait(0.05):
                return

    return treat


@pytest.mark.parametrize(
    "treat",
    [
        _hang,
        _drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000),
        _drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000),
        _drip(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
    ],
    ids=["hangs", "drips headers", "drips a body", "drips hints"],
)
def test_a_call_times_out_even_with_a_slow_answer(treat: Any) -> None:
    started = time.monotonic()
    with Peer(treat) as peer:
        receipt = post(peer.url, SHORT)
        taken = time.monotonic() - started
    assert (receipt.outcome, receipt.status) == ("retry", "timeout")
    assert receipt.answer == "No complete response within 0.5 s."
    assert receipt.milliseconds >= 500
    # A byte in time would have let it go on for the 50 seconds that the whole takes.
    assert taken < 15


@pytest.mark.parametrize("raw", [b"", b"\x16\x03\x03\x40\x00" + b"\x00" * 1000], ids=["hangs", "drips"])
def test_a_call_ends_with_its_time_in_the_middle_of_tls(raw: bytes) -> None:
    def treat(peer: Peer, connection: socket.socket) -> None:
        _drip(raw)(peer, connection)
        peer.ended.wait(PATIENCE)

    started = time.monotonic()
    with Peer(treat) as peer:
        receipt = post(peer.url.replace("http:", "https:"), SHORT)
        taken = time.monotonic() - started
    assert (receipt.outcome, receipt.status) == ("retry", "timeout")
    assert taken < 15


# Connections.


def test_a_connection_is_used_again() -> None:
    with Peer(answering(answer())) as peer:
        sender = WebhookClient(LOOPBACK, PATIENCE, CONTEXT)
        assert [sender.post(peer.url, {}, b"{}").status for _ in range(3)] == ["200"] * 3
        assert (peer.connections, len(peer.requests)) == (1, 3)


def test_a_connection_closed_in_the_meantime_is_replaced() -> None:
    with Peer(saying(answer())) as peer:
        sender = WebhookClient(LOOPBACK, PATIENCE, CONTEXT)
        for _ in range(3):
            assert sender.post(peer.url, {}, b"{}").status == "200"
            assert peer.closes()
        assert peer.connections == 3


def test_failed_calls_do_not_block_the_next_call() -> None:
    with Peer(_hang) as slow, Peer(answering(answer(200, b"mine"))) as peer:
        sender = WebhookClient(LOOPBACK, 0.05, CONTEXT)
        # More than the connections that a thread may have.
        assert [sender.post(slow.url, {}, b"{}").status for _ in range(12)] == ["timeout"] * 12
        sender._timeout = PATIENCE
        assert sender.post(peer.url, {}, b"{}").answer == "mine"


def test_an_answer_that_was_left_unread_is_not_taken_for_the_next() -> None:
    with Peer(answering(answer(200, b"first" * 20_000), answer(200, b"second"))) as peer:
        sender = WebhookClient(LOOPBACK, PATIENCE, CONTEXT)
        assert sender.post(peer.url, {}, b"{}").answer == "first" * 100
        assert sender.post(peer.url, {}, b"{}").answer == "second"
        assert peer.connections == 2


def test_threads_do_not_share_connections() -> None:
    with Peer(answering(answer())) as peer:
        sender = WebhookClient(LOOPBACK, PATIENCE, CONTEXT)
        receipts: list[Receipt] = []
        threads = [threading.Thread(target=lambda: receipts.append(sender.post(peer.url, {}, b"{}"))) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(PATIENCE)
        assert [each.status for each in receipts] == ["200"] * 8
        assert peer.connections == 8


# TLS.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def _named(peer: Peer) -> str:
    return peer.url.replace("127.0.0.1", "localhost")


def test_a_certificate_of_a_known_authority_is_accepted(authority: Authority) -> None:
    with Peer(answering(answer()), authority.server_context("127.0.0.1")) as peer:
        assert post(peer.url, context=authority.client_context()).status == "200"


def test_a_call_to_an_address_sends_and_verifies_the_host_name(authority: Authority) -> None:
    with Peer(answering(answer()), authority.server_context("localhost")) as peer:
        assert post(_named(peer), context=authority.client_context()).status == "200"
        assert post(peer.url, context=authority.client_context()).status == "no-answer"
        assert len(peer.requests) == 1


def test_a_certificate_for_another_name_is_refused(authority: Authority) -> None:
    with Peer(answering(answer()), authority.server_context("other.example")) as peer:
        receipt = post(_named(peer), context=authority.client_context())
        assert peer.requests == []
    assert (receipt.outcome, receipt.status) == ("retry", "no-answer")
    assert "localhost" in receipt.answer


@pytest.mark.parametrize("self_signed", [True, False])
def test_an_unknown_certificate_authority_is_refused(authority: Authority, tmp_path: Path, self_signed: bool) -> None:
    with Peer(answering(answer()), Authority(tmp_path).server_context("127.0.0.1", self_signed=self_signed)) as peer:
        assert post(peer.url, context=authority.client_context()).status == "no-answer"
        assert WebhookClient(LOOPBACK, PATIENCE).post(peer.url, {}, b"{}").status == "no-answer"
        assert peer.requests == []


# Where it does not go.

PRIVATE = [
    "https://127.0.0.1/",
    "https://127.255.255.254/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[64:ff9b::a00:1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[::ffff:0:8.8.8.8]/",
    "https://[2002:a00:1::]/",
    "https://[fe80::1]/",
    "https://[fd00:ec2::254]/",
]
ENCODED = [
    "https://2130706433/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.0.1./",
    "https://%31%32%37.0.0.1/",
    "https://[fe80::1%25lo]/",
]
OTHERWISE = [
    "https://user@8.8.8.8/",
    "https://user:word@8.8.8.8/",
    "https://@8.8.8.8/",
    "https://8.8.8.8\\@127.0.0.1/",
    "https://127.0.0.1\\@8.8.8.8/",
    "http://8.8.8.8/",
    "ftp://8.8.8.8/",
    "file:///etc/passwd",
    "gopher://8.8.8.8/",
    "https://8.8.8.8:22/",
    "https://8.8.8.8:6379/",
    "https://8.8.8.8:8000/",
    "https://8.8.8.8:0/",
    "https://8.8.8.8:99999/",
    "https://8.8.8.8:x/",
    "https:///hook",
    "https://",
    "8.8.8.8",
    "",
]


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the addresses that the client would have connected to; no connection succeeds."""
    found: list[str] = []

    def connect(addresses: Any, **_: Any) -> socket.socket:
        found.extend(str(each.ip) for each in addresses)
        raise ConnectionRefusedError("Nobody is there.")

    monkeypatch.setattr(ssrfguard, "connect", connect)
    return found


@pytest.mark.parametrize("url", PRIVATE + ENCODED + OTHERWISE)
def test_a_non_public_address_is_refused_when_saved_and_when_called(url: str, reached: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        check_url(PUBLIC, url, "/url")
    assert refused.value.facts["errors"][0]["pointer"] == "/url"
    receipt = WebhookClient(PUBLIC, PATIENCE, CONTEXT).post(url, {}, b"{}")
    assert (receipt.outcome, receipt.status, reached) == ("retry", "blocked", [])


@pytest.mark.parametrize("url", ["https://8.8.8.8/", "https://8.8.8.8:8443/a?b", "https://[2606:4700::1111]/"])
def test_a_public_address_is_called(url: str, reached: list[str]) -> None:
    check_url(PUBLIC, url, "/url")
    assert WebhookClient(PUBLIC, PATIENCE, CONTEXT).post(url, {}, b"{}").status == "no-answer"
    assert len(reached) == 1


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/", "https://169.254.169.254/", "http://[fd00::1]/", "ftp://127.0.0.1/"]
)
def test_where_loopback_is_allowed_other_private_addresses_are_not(url: str, reached: list[str]) -> None:
    with pytest.raises(Invalid):
        check_url(LOOPBACK, url, "/url")
    receipt = WebhookClient(LOOPBACK, PATIENCE, CONTEXT).post(url, {}, b"{}")
    assert (receipt.status, reached) == ("blocked", [])


class Names:
    """A name service whose answers a test sets, one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[list[str]] = []
        self.asked = 0
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, port: int, *_: Any, **__: Any) -> Any:
        self.asked += 1
        found = self.answers.pop(0)
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in found
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1", "0.0.0.0"]
)
@pytest.mark.parametrize("url", ["https://shop.example/", "https://0x7f000001/", "https://SHOP.example.:8443/"])
def test_a_name_that_leads_to_a_private_address_is_not_called(
    url: str, address: str, names: Names, reached: list[str]
) -> None:
    check_url(PUBLIC, url, "/url")
    assert names.asked == 0
    names.answers = [[address]]
    receipt = WebhookClient(PUBLIC, PATIENCE, CONTEXT).post(url, {}, b"{}")
    assert (receipt.outcome, receipt.status, reached) == ("retry", "blocked", [])


def test_a_name_that_leads_to_public_and_private_addresses_is_not_called(names: Names, reached: list[str]) -> None:
    names.answers = [["8.8.8.8", "10.0.0.1"]]
    assert WebhookClient(PUBLIC, PATIENCE, CONTEXT).post("https://shop.example/", {}, b"{}").status == "blocked"
    assert reached == []


def test_each_call_resolves_the_name_once_and_uses_the_checked_address(names: Names, reached: list[str]) -> None:
    names.answers = [["8.8.8.8"], ["127.0.0.1"]]
    sender = WebhookClient(PUBLIC, PATIENCE, CONTEXT)
    assert sender.post("https://shop.example/", {}, b"{}").status == "no-answer"
    assert (names.asked, reached) == (1, ["8.8.8.8"])
    assert sender.post("https://shop.example/", {}, b"{}").status == "blocked"
    assert (names.asked, reached) == (2, ["8.8.8.8"])


def test_a_name_may_resolve_to_loopback_only_where_loopback_is_allowed(names: Names) -> None:
    with Peer(answering(answer())) as peer:
        names.answers = [["127.0.0.1"], ["10.0.0.1"]]
        url = peer.url.replace("127.0.0.1", "shop.example")
        assert post(url).status == "200"
        assert post(url).status == "blocked"
        assert (names.asked, len(peer.requests), peer.requests[0][0]["host"]) == (2, 1, f"shop.example:{peer.port}")


@settings(max_examples=200, deadline=None)
@given(rest=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40))
def test_an_allowed_address_reads_the_same_when_it_is_called(rest: str) -> None:
    url = f"https://{rest}"
    try:
        check_url(PUBLIC, url, "/url")
    except Invalid:
        return
    seen: list[str] = []

    def look_up(host: str, *_: Any, **__: Any) -> Any:
        seen.append(host)
        raise socket.gaierror("unknown")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        receipt = WebhookClient(PUBLIC, PATIENCE, CONTEXT).post(url, {}, b"{}")
    assert (receipt.status, seen) == ("no-answer", [PUBLIC.check_url(url).host])


def test_refusals_come_from_the_guard_and_not_from_a_failing_call() -> None:
    with pytest.raises(ssrfguard.BlockedAddressError):
        ssrfguard.resolve(LOOPBACK.check_url("http://127.0.0.1:1/"), policy=PUBLIC)
