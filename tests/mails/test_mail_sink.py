"""The mail sink, which writes e-mails to files, and the command that lists them."""

import json
import re
import signal
import smtplib
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from discount.cli import main
from discount.config import SettingsError
from discount.local import mail_sink
from discount.mails import Recipient
from discount.worker.smtp_client import SmtpClient
from tests.mails.mail_parser import example_mail
from tests.support.patience import PATIENCE
from tests.support.ports import Port
from tests.support.service import wait_until

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"\d{8}T\d{6}-\d+-\d{6}\.eml")


@contextmanager
def started(command: Sequence[str], *, fd: int | None = None) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that ends with the test."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[] if fd is None else [fd],
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE)


@pytest.fixture(scope="module")
def caught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The directory and the port of `discount sink`."""
    folder = tmp_path_factory.mktemp("sink") / "made" / "by it"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        with started(["-m", "discount", "sink", str(folder), "--fd", str(fd)], fd=fd):
            # Who connects waits until it is there to greet.
            smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE).quit()
            yield folder, port


@pytest.fixture
def folder(caught: tuple[Path, int]) -> Path:
    """The directory, empty."""
    for path in caught[0].iterdir():
        path.unlink()
    return caught[0]


@pytest.fixture
def port(caught: tuple[Path, int]) -> int:
    return caught[1]


@pytest.fixture
def own_port() -> Iterator[Port]:
    with Port() as kept:
        yield kept


def send(port: int, message: EmailMessage | None = None) -> EmailMessage:
    message = message or example_mail()
    assert SmtpClient(f"smtp+plain://127.0.0.1:{port}", PATIENCE).send(message).outcome == "delivered"
    return message


def listed(folder: Path) -> list[dict[str, Any]]:
    """Return the output of `discount mails --json`."""
    done = CliRunner().invoke(main, ["mails", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)["mails"]
    return found


def test_e_mails_appear_as_files_for_their_owner_alone(folder: Path, port: int) -> None:
    sent = [bytes(send(port, example_mail(to=Recipient(f"ann{number}@mail.example")))) for number in range(3)]
    found = sorted(folder.iterdir())
    assert [path.read_bytes() for path in found] == sent
    assert [bool(NAME.fullmatch(path.name)) for path in found] == [True] * 3
    assert [stat.S_IMODE(path.stat().st_mode) for path in found] == [0o600] * 3


def test_webhooks_are_listed_oldest_first(folder: Path, port: int) -> None:
    send(port, example_mail(to=Recipient("ann@mail.example", "Ann Müller", "de")))
    send(port, example_mail("sold-out", to=Recipient("shop@ikea.example")))
    found = listed(folder)
    assert [(each["to"], each["subject"]) for each in found] == [
        ("Ann Müller <ann@mail.example>", "Ihr Code von IKEA: Christmas 2026"),
        ("shop@ikea.example", "Sold out: Christmas 2026"),
    ]
    assert [each["path"] for each in found] == [str(path) for path in sorted(folder.iterdir())]
    assert [each.keys() for each in found] == [{"path", "received_at", "to", "subject"}] * 2
    shown = CliRunner().invoke(main, ["mails", str(folder)], env={"COLUMNS": "400"})
    assert shown.exit_code == 0
    assert "Sold out: Christmas 2026" in shown.stdout


def test_a_mail_file_name_contains_nothing_from_the_e_mail(folder: Path, port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
        client.sendmail(
            "../../eve@evil.example", ["../../../etc/passwd@evil.example"], b"Subject: ../../x\r\n\r\nHi\r\n"
        )
    assert [bool(NAME.fullmatch(path.name)) for path in folder.iterdir()] == [True]


def test_concurrent_e_mails_all_arrive_and_none_is_read_half_written(folder: Path, port: int) -> None:
    message = example_mail(code="X" * 60_000)
    whole, seen = len(bytes(message)), set()
    threads = [threading.Thread(target=lambda: [send(port, message) for _ in range(3)]) for _ in range(4)]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        seen |= {path.stat().st_size for path in folder.glob("*.eml") if not path.name.startswith(".")}
    for each in threads:
        each.join(PATIENCE)
    seen |= {path.stat().st_size for path in folder.iterdir()}
    assert seen == {whole}
    assert len(listed(folder)) == 12


def test_one_that_is_too_large_is_refused(folder: Path, port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
        client.helo()
        client.mail("a@b.example")
        client.rcpt("c@d.example")
        fits = b"X: y\r\n\r\n" + (b"x" * 98 + b"\r\n") * 10_000
        assert client.data(fits)[0] == 250
        client.mail("a@b.example")
        client.rcpt("c@d.example")
        assert client.data(fits + fits)[0] == 552
    assert [path.stat().st_size for path in folder.iterdir()] == [len(fits)]


def test_foreign_files_are_neither_listed_nor_removed(folder: Path, port: int) -> None:
    others = ["notes.txt", "1.eml", "20261101.eml", ".20261101T080000-1-000000.eml", "20261101T080000-1-000000.eml.bak"]
    for name in others:
        (folder / name).write_text("Subject: mine\r\n\r\n")
    send(port)
    assert [each["subject"] for each in listed(folder)] == ["Your code from IKEA: Christmas 2026"]
    assert {path.name for path in folder.iterdir()} > set(others)


EVIL = {
    "no headers": b"\r\nHi\r\n",
    "nothing": b"",
    "bytes": b"Subject: \xff\xfe\x00\x1b[2J\xc3\xa4\r\nTo: \xff <\x07@\x1b>\r\n\r\n",
    "controls": b"Subject: =?utf-8?q?=1B=5B2J=07=0D=0Aeve?=\r\nTo: =?utf-8?q?=1B?= <a@b>\r\n\r\n",
    "no address": b"To: <\r\nSubject: x\r\n\r\n",
    "a broken address": b'To: "a\r\nSubject: x\r\n\r\n',
    "an empty group": b"To: :;,<>,@,(\r\nSubject: x\r\n\r\n",
    "a broken domain": b"To: a@[, b@(\r\nSubject: x\r\n\r\n",
    "a broken word": b"To: =?utf-8?x?=?= <=?a?b?c?=@=?>\r\nSubject: =?nosuch?b?!!!!?= =?utf-8?b?a?=\r\n\r\n",
    "twice": b"To: a@b\r\nTo: c@d\r\nSubject: x\r\nSubject: y\r\n\r\n",
    "a colon": b": x\r\n:\r\n\r\n",
}


@pytest.mark.parametrize("evil", EVIL)
def test_the_list_shows_any_e_mail_without_control_characters(folder: Path, port: int, evil: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
        client.sendmail("a@b.example", ["c@d.example"], EVIL[evil])
    (found,) = listed(folder)
    assert found["to"].isprintable()
    assert found["subject"].isprintable()
    assert CliRunner().invoke(main, ["mails", str(folder)]).exit_code == 0


def test_an_e_mail_removed_during_the_listing_is_left_out(
    folder: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(port, example_mail("sold-out"))
    send(port)
    paths = sorted(folder.iterdir())
    open_file = Path.open

    def gone(path: Path, *more: Any, **named: Any) -> Any:
        paths[0].unlink(missing_ok=True)
        return open_file(path, *more, **named)

    monkeypatch.setattr(Path, "open", gone)
    assert [each.path for each in mail_sink.list_mails(folder)] == [str(paths[1])]


def test_only_the_newest_are_kept(tmp_path: Path, own_port: Port) -> None:
    port = own_port.number
    setup = "import pathlib, discount.local.mail_sink as s; s.KEPT = 3; "
    code = f"{setup}s.serve(pathlib.Path({str(tmp_path)!r}), port={port})"
    with started(["-c", code]) as process:
        wait_until(lambda: _listens(port) or process.poll() is not None, "the sink listens")
        for number in range(7):
            send(port, example_mail(to=Recipient(f"ann{number}@mail.example")))
        assert [each.to for each in mail_sink.list_mails(tmp_path)] == [
            f"ann{number}@mail.example" for number in (4, 5, 6)
        ]
        assert len(list(tmp_path.iterdir())) == 3
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (0, b"")


def test_a_signal_ends_it_though_a_client_is_connected(tmp_path: Path, own_port: Port) -> None:
    port = own_port.number
    with started(["-m", "discount", "sink", str(tmp_path), "--port", str(port)]) as process:
        wait_until(lambda: _listens(port) or process.poll() is not None, "the sink listens")
        send(port)
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE):
            process.terminate()
            output, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (0, b"")
    assert len(mail_sink.list_mails(tmp_path)) == 1


def test_a_taken_port_and_a_bad_directory_are_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingsError, match="Address already in use"):
        mail_sink.serve(tmp_path, port=taken.getsockname()[1])
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="the sink cannot start"):
        mail_sink.serve(tmp_path / "file", port=0)


def test_a_missing_directory_has_no_e_mails(tmp_path: Path) -> None:
    assert listed(tmp_path / "none") == []


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except OSError:
        return False
    return True
