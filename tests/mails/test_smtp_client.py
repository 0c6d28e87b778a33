"""The SMTP client against real servers: correct ones, and ones that refuse, hang, lie or disconnect."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from functools import cache
from typing import Any

import pytest

from discount.config import SettingsError
from discount.domain.model import Receipt
from discount.mails import Recipient
from discount.worker.smtp_client import KEPT, SmtpClient
from tests.mails.mail_parser import (
    example_mail,
    headers_of,
    read,
    text_of,
)
from tests.mails.servers import Evil, Mailbox, serving
from tests.support.certificates import Authority
from tests.support.patience import PATIENCE
from tests.support.ports import Port

# Some tests need a server that asks for a login without TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

ANN = "ann.smith@mail.example"
MASKED = "a…@mail.example"
LOGIN = "shop%40ikea:s3cret%2F%3A%40%20%25"
#: A short timeout in seconds, for tests in which it must end the conversation.
TIMEOUT = 0.5


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@cache
def usual() -> ssl.SSLContext:
    """Return a TLS context that trusts the computer's authorities; loading them is slow."""
    return ssl.create_default_context()


def send(
    url: str, message: EmailMessage | None = None, *, timeout: float = PATIENCE, authority: Authority | None = None
) -> Receipt:
    """Send an e-mail, and check that the receipt shows neither the password nor the address."""
    client = SmtpClient(url, timeout, authority.client_context() if authority else usual())
    receipt = client.send(message or example_mail(to=Recipient(ANN)))
    for text in (repr(client), str(client), repr(receipt)):
        assert "s3cret" not in text
        assert ANN not in text
    assert len(receipt.answer) <= KEPT
    assert receipt.answer.isprintable()
    assert (receipt.retry_after, receipt.gone) == (None, False)
    assert receipt.milliseconds >= 0
    return receipt


def outcome_of(receipt: Receipt) -> tuple[str, str, str]:
    return receipt.outcome, receipt.status, receipt.answer


@pytest.mark.parametrize("scheme", ["smtp+plain", "smtps", "smtp"])
def test_an_e_mail_arrives_whole(scheme: str, authority: Authority) -> None:
    box = Mailbox()
    certificate = authority.server_context("127.0.0.1")
    secured = {"smtps": {"tls": certificate}, "smtp": {"tls_context": certificate}, "smtp+plain": {}}[scheme]
    written = example_mail(to=Recipient(ANN, "Ann"))
    with serving(box, **secured) as port:
        receipt = send(f"{scheme}://127.0.0.1:{port}", written, authority=authority)
    assert outcome_of(receipt) == ("delivered", "250", "")
    assert box.envelopes == [("mail@shop.example", [ANN])]
    assert box.encrypted == [scheme != "smtp+plain"]
    assert box.mails == [bytes(written)]
    assert headers_of(box.mails[0])["to"] == f"Ann <{ANN}>"
    assert "XMAS-7F3K" in text_of(read(box.mails[0]))


def test_lines_that_begin_with_a_dot_arrive_as_they_are() -> None:
    box = Mailbox()
    written = example_mail(code=".\r\n.")
    with serving(box) as port:
        receipt = SmtpClient(f"smtp+plain://127.0.0.1:{port}", PATIENCE, usual()).send(written)
    assert receipt.outcome == "delivered"
    assert box.mails == [bytes(written)]


def test_threads_share_a_client_and_each_e_mail_gets_a_new_connection() -> None:
    box = Mailbox()
    with serving(box) as port:
        client = SmtpClient(f"smtp+plain://127.0.0.1:{port}", PATIENCE, usual())
        outcomes: list[str] = []

        def work() -> None:
            outcomes.extend(client.send(example_mail()).outcome for _ in range(3))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(PATIENCE)
    assert outcomes == ["delivered"] * 12
    assert len(box.mails) == 12


def test_a_server_without_starttls_gets_nothing_in_clear(authority: Authority) -> None:
    box = Mailbox()
    with serving(box, authenticator=box.authenticate, auth_require_tls=False) as port:
        receipt = send(f"smtp://{LOGIN}@127.0.0.1:{port}", authority=authority)
    assert (receipt.outcome, receipt.status) == ("retry", "no-answer")
    assert receipt.answer == "STARTTLS extension not supported by server."
    assert (box.mails, box.logins, box.envelopes) == ([], [], [])


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
def test_a_certificate_for_another_host_is_refused(scheme: str, authority: Authority) -> None:
    box = Mailbox()
    certificate = authority.server_context("elsewhere.example")
    secured = {"tls": certificate} if scheme == "smtps" else {"tls_context": certificate}
    with serving(box, authenticator=box.authenticate, auth_require_tls=False, **secured) as port:
        receipt = send(f"{scheme}://{LOGIN}@127.0.0.1:{port}", authority=authority)
    assert (receipt.outcome, receipt.status) == ("retry", "no-answer")
    assert "certificate" in receipt.answer
    assert "127.0.0.1" in receipt.answer
    assert (box.mails, box.logins) == ([], [])


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
def test_a_certificate_of_an_unknown_authority_is_refused(scheme: str, authority: Authority) -> None:
    box = Mailbox()
    certificate = authority.server_context("127.0.0.1")
    secured = {"tls": certificate} if scheme == "smtps" else {"tls_context": certificate}
    with serving(box, **secured) as port:
        receipt = send(f"{scheme}://127.0.0.1:{port}")
    assert (receipt.outcome, receipt.status) == ("retry", "no-answer")
    assert "certificate verify failed" in receipt.answer
    assert box.mails == []


@pytest.mark.parametrize("scheme", ["smtp+plain", "smtps", "smtp"])
def test_a_percent_encoded_login_reaches_the_server(scheme: str, authority: Authority) -> None:
    box = Mailbox()
    certificate = authority.server_context("127.0.0.1")
    settings: dict[str, Any] = {"authenticator": box.authenticate, "auth_required": True, "auth_require_tls": False}
    if scheme != "smtp+plain":
        settings["tls" if scheme == "smtps" else "tls_context"] = certificate
    with serving(box, **settings) as port:
        receipt = send(f"{scheme}://{LOGIN}@127.0.0.1:{port}", authority=authority)
    assert outcome_of(receipt) == ("delivered", "250", "")
    assert box.logins == [("shop@ikea", "s3cret/:@ %")]
    assert len(box.mails) == 1


def test_a_refused_login_is_retried_later() -> None:
    box = Mailbox(auth="no")
    with serving(box, authenticator=box.authenticate, auth_required=True, auth_require_tls=False) as port:
        receipt = send(f"smtp+plain://shop:s3cret@127.0.0.1:{port}")
    assert (receipt.outcome, receipt.status) == ("retry", "535")
    assert "Authentication" in receipt.answer
    assert box.mails == []


def test_a_server_that_takes_no_login_gets_no_e_mail() -> None:
    box = Mailbox()
    with serving(box) as port:
        receipt = send(f"smtp+plain://shop:s3cret@127.0.0.1:{port}")
    assert (receipt.outcome, receipt.status) == ("retry", "no-answer")
    assert box.mails == []


@pytest.mark.parametrize("command", ["mail", "rcpt", "data"])
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [("450 4.2.0 Later", "retry"), ("421 4.3.2 Closing", "retry"), ("550 5.1.1 No such user", "failed")],
)
def test_a_permanent_refusal_fails_and_any_other_is_retried(command: str, answer: str, outcome: str) -> None:
    box = Mailbox(**{command: answer})
    with serving(box) as port:
        receipt = send(f"smtp+plain://127.0.0.1:{port}")
    status, _, words = answer.partition(" ")
    assert outcome_of(receipt) == (outcome, status, words)
    assert box.mails == []


@pytest.mark.parametrize("greeting", [b"554 No\r\n", b"421 Busy\r\n"])
def test_a_refusing_greeting_is_not_a_verdict_on_the_e_mail(greeting: bytes) -> None:
    with Evil(lambda server, connection: server.talk(connection, [greeting])) as evil:
        receipt = send(f"smtp+plain://127.0.0.1:{evil.port}")
    status, words = greeting.decode().strip().split(" ")
    assert outcome_of(receipt) == ("retry", status, words)


def test_a_server_that_refuses_hello_is_retried() -> None:
    with Evil(lambda server, connection: server.talk(connection, [b"220 Hi\r\n"] + [b"502 What\r\n"] * 9)) as evil:
        receipt = send(f"smtp+plain://127.0.0.1:{evil.port}")
    assert outcome_of(receipt) == ("retry", "502", "What")
    assert b"MAIL" not in evil.heard


UNTIL_DATA = [b"220 Hi\r\n", b"250 OK\r\n", b"250 OK\r\n", b"250 OK\r\n"]


def _hang_after(lines: list[bytes]) -> Callable[[Evil, socket.socket], None]:
    def act(server: Evil, connection: socket.socket) -> None:
        server.talk(connection, lines)
        server.ended.wait(PATIENCE)

    return act


def _drip(server: Evil, connection: socket.socket) -> None:
    # No single wait of the other side is ever over.
    while not server.ended.wait(TIMEOUT / 10):
        connection.sendall(b"2")


def _drip_lines(server: Evil, connection: socket.socket) -> None:
    while not server.ended.wait(TIMEOUT / 10):
        connection.sendall(b"220-Hello\r\n")


def _drip_handshake(server: Evil, connection: socket.socket) -> None:
    # The beginning of a record that never ends.
    connection.sendall(b"\x16\x03\x03\x40\x00")
    while not server.ended.wait(TIMEOUT / 10):
        connection.sendall(b"\x00")


def _cut_off(server: Evil, connection: socket.socket) -> None:
    # What is there of an answer would be a refusal for good.
    server.talk(connection, UNTIL_DATA[:3])
    connection.sendall(b"550")
    server.ended.wait(PATIENCE)


HANGS: dict[str, tuple[str, Callable[[Evil, socket.socket], None]]] = {
    "greeting": ("smtp+plain", _hang_after([])),
    "hello": ("smtp+plain", _hang_after(UNTIL_DATA[:1])),
    "sender": ("smtp+plain", _hang_after(UNTIL_DATA[:2])),
    "recipient": ("smtp+plain", _hang_after(UNTIL_DATA[:3])),
    "data": ("smtp+plain", _hang_after(UNTIL_DATA)),
    "the end of data": ("smtp+plain", _hang_after([*UNTIL_DATA, b"354 Go\r\n"])),
    "half an answer": ("smtp+plain", _cut_off),
    "a byte now and then": ("smtp+plain", _drip),
    "a line now and then": ("smtp+plain", _drip_lines),
    "starttls": ("smtp", _hang_after([b"220 Hi\r\n", b"250-Hi\r\n250 STARTTLS\r\n", b"220 Go\r\n"])),
    "handshake": ("smtps", _hang_after([])),
    "a byte of a handshake now and then": ("smtps", _drip_handshake),
}


def test_a_server_that_hangs_is_left_when_the_time_for_all_of_it_is_over() -> None:
    def left(how: str) -> tuple[str, tuple[str, str, str], bool]:
        scheme, act = HANGS[how]
        with Evil(act) as evil:
            started = time.monotonic()
            receipt = send(f"{scheme}://127.0.0.1:{evil.port}", timeout=TIMEOUT)
            in_time = TIMEOUT * 0.9 <= time.monotonic() - started < PATIENCE / 2
        assert receipt.milliseconds >= TIMEOUT * 900
        return how, outcome_of(receipt), in_time

    with ThreadPoolExecutor(len(HANGS)) as pool:
        found = list(pool.map(left, HANGS))
    assert found == [(how, ("retry", "timeout", "The e-mail was not accepted within 0.5 s."), True) for how in HANGS]


def test_a_slow_look_up_leaves_no_time_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def slow(host: Any, *more: Any, **named: Any) -> Any:
        if host == "mail.invalid":
            time.sleep(TIMEOUT * 1.5)
            host = "127.0.0.1"
        return look_up(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with Evil(_drip_lines) as evil:
        started = time.monotonic()
        receipt = send(f"smtp+plain://mail.invalid:{evil.port}", timeout=TIMEOUT)
        assert time.monotonic() - started < PATIENCE / 2
    assert (receipt.outcome, receipt.status) == ("retry", "timeout")


@pytest.mark.parametrize("lines", [[], UNTIL_DATA[:1], UNTIL_DATA, [*UNTIL_DATA, b"354 Go\r\n"]], ids=len)
def test_a_server_that_disconnects_is_retried(lines: list[bytes]) -> None:
    with Evil(lambda server, connection: server.talk(connection, lines)) as evil:
        receipt = send(f"smtp+plain://127.0.0.1:{evil.port}")
    assert (receipt.outcome, receipt.status) == ("retry", "no-answer")
    assert receipt.answer != ""


def test_a_server_that_disconnects_during_the_e_mail_is_retried() -> None:
    def act(server: Evil, connection: socket.socket) -> None:
        server.talk(connection, UNTIL_DATA)
        connection.sendall(b"354 Go\r\n")
        connection.recv(10)

    with Evil(act) as evil:
        receipt = send(f"smtp+plain://127.0.0.1:{evil.port}")
    assert (receipt.outcome, receipt.status) == ("retry", "no-answer")


def test_an_error_after_acceptance_does_not_change_the_outcome() -> None:
    lines = [*UNTIL_DATA, b"354 Go\r\n"]

    def act(server: Evil, connection: socket.socket) -> None:
        server.talk(connection, lines)
        while not server.heard.endswith(b"\r\n.\r\n"):
            server.heard += connection.recv(65536)
        connection.sendall(b"250 Taken\r\n")

    with Evil(act) as evil:
        assert outcome_of(send(f"smtp+plain://127.0.0.1:{evil.port}")) == ("delivered", "250", "")


def test_an_unreachable_mail_server_is_retried() -> None:
    with Port() as port:
        receipt = send(f"smtp+plain://{port.address}")
    assert (receipt.outcome, receipt.status) == ("retry", "no-answer")
    assert "refused" in receipt.answer


def test_an_unknown_host_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    receipt = send("smtp+plain://mail.invalid:25")
    assert outcome_of(receipt) == ("retry", "no-answer", f"[Errno {socket.EAI_NONAME}] Name or service not known")


@pytest.mark.parametrize(
    "junk", [b"hello\r\n", b"\r\n", b"HTTP/1.1 400 Bad\r\n\r\n", b"2", b"\xff\xfe\x00\r\n", b"A" * 9999]
)
def test_a_server_that_does_not_speak_smtp_is_retried(junk: bytes) -> None:
    with Evil(lambda _, connection: connection.sendall(junk)) as evil:
        receipt = send(f"smtp+plain://127.0.0.1:{evil.port}")
    assert receipt.outcome == "retry"


def test_answers_are_cleaned_and_cut_and_tell_no_address() -> None:
    said = (
        f"550-5.1.1 <{ANN}> unknown\r\n550-\x1b[31mred\x07\0\xc3\xa4\xff\r\n550 ".encode("latin-1")
        + b"x" * 400
        + b"\r\n"
    )
    with Evil(lambda server, connection: server.talk(connection, [*UNTIL_DATA[:3], said, b"221 Bye\r\n"])) as evil:
        receipt = send(f"smtp+plain://127.0.0.1:{evil.port}")
    assert (receipt.outcome, receipt.status) == ("failed", "550")
    assert len(receipt.answer) == KEPT == 200
    assert receipt.answer.startswith(f"5.1.1 <{MASKED}> unknown  [31mred  ä\ufffd xxx")


@pytest.mark.parametrize("said", [ANN.upper(), "Ann.Smith@mail.example", f"{ANN}{ANN}"])
def test_an_address_is_masked_in_any_spelling(said: str) -> None:
    box = Mailbox(rcpt=f"550 {said} unknown")
    with serving(box) as port:
        receipt = send(f"smtp+plain://127.0.0.1:{port}")
    assert "smith" not in receipt.answer.lower()


def test_no_part_of_an_address_that_was_cut_is_left() -> None:
    box = Mailbox(rcpt=f"550 {'x' * 190}{ANN}")
    with serving(box) as port:
        receipt = send(f"smtp+plain://127.0.0.1:{port}")
    assert receipt.answer == ("x" * 190 + MASKED)[:KEPT]


@pytest.mark.parametrize(
    "url",
    [
        "", "mail.example", "//s3cret@mail.example", "http://shop:s3cret@mail.example", "smtp://", "smtp://:s3cret@",
        "smtp:shop:s3cret@mail.example", "smtps://shop:s3cret@mail.example:port", "smtps://shop:s3cret@mail.example:99999",
        "smtps://shop:s3cret@mail.example/x", "smtps://shop:s3cret@mail.example?s3cret", "smtps://shop:s3cret@[::1",
        "smtps://shop:s3cret@mail.example:-1", "smtps://shop:s3/cret@mail.example",
        "smtps://shop:s3cret%C3%A4@mail.example",
    ],
)  # fmt: skip
def test_a_malformed_url_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        SmtpClient(url, 1.0, usual())
    error = refused.value
    assert str(error).startswith("SMTP_URL: ")
    assert "s3cret" not in str(error)
    assert "cret" not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("smtps://shop:s3cret@mail.example", "SmtpClient(smtps://mail.example:465)"),
        ("smtp://shop:s3cret@mail.example/", "SmtpClient(smtp://mail.example:587)"),
        ("smtp+plain://mail.example", "SmtpClient(smtp+plain://mail.example:25)"),
        ("smtp+plain://shop:s3cret@mail.example:2525", "SmtpClient(smtp+plain://mail.example:2525)"),
    ],
)
def test_the_port_goes_with_the_scheme_and_the_password_is_not_shown(url: str, shown: str) -> None:
    assert repr(SmtpClient(url, 1.0, usual())) == shown
