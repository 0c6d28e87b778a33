"""Mail sink: a mail server that delivers nothing and keeps each e-mail as a file, for trying things out."""

import asyncio
import os
import re
import signal
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import Message
from email.parser import BytesHeaderParser
from itertools import count
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from discount.config import SettingsError

#: The most e-mails that are kept, and the most bytes of one e-mail.
KEPT = 1000
LARGEST = 1024 * 1024
_NAME = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9]+-[0-9]{6,}\.eml")


@dataclass(frozen=True, slots=True)
class Mail:
    """An e-mail in the sink."""

    path: str
    received_at: datetime
    to: str
    subject: str


def serve(directory: Path, *, host: str = "127.0.0.1", port: int = 1025, fd: int | None = None) -> None:
    """Accept e-mails from any sender to any recipient until a signal stops it.

    Args:
        fd: a socket that listens already, instead of host and port.

    Raises:
        SettingsError: the address or the directory cannot be used.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        listener = socket.socket(fileno=fd) if fd is not None else socket.create_server((host, port))
    except OSError as error:
        raise SettingsError(f"the sink cannot start: {error.strerror}") from None
    asyncio.run(_serve(directory, listener))


def list_mails(directory: Path) -> list[Mail]:
    """Return the e-mails in a directory, oldest first."""
    mails = (_read(path) for path in _paths(directory))
    return [each for each in mails if each is not None]


async def _serve(directory: Path, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ending.set)
    handler = _Handler(directory)
    server = await loop.create_server(
        lambda: SMTP(handler, data_size_limit=LARGEST, hostname="sink", enable_SMTPUTF8=True, loop=loop), sock=listener
    )
    await ending.wait()
    # Not `async with`: since Python 3.12 that waits for clients that stay connected.
    server.close()


class _Handler:
    """A writer of each e-mail to a file. No part of the e-mail gets into the file name, so it cannot lead elsewhere."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._number = count()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{next(self._number):06d}.eml"
        unfinished = self._directory / f".{name}"
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(envelope.original_content)
        unfinished.rename(self._directory / name)
        for path in _paths(self._directory)[:-KEPT]:
            path.unlink(missing_ok=True)
        return "250 Caught"


def _paths(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("*.eml") if _NAME.fullmatch(path.name))


def _read(path: Path) -> Mail | None:
    try:
        with path.open("rb") as file:
            headers = BytesHeaderParser(policy=policy.default).parse(file)
    except FileNotFoundError:
        # Deleted meanwhile to make space for a newer one.
        return None
    received_at = datetime.strptime(path.name.partition("-")[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return Mail(str(path), received_at, _shown(headers, "to"), _shown(headers, "subject"))


def _shown(headers: Message, name: str) -> str:
    try:
        text = str(headers[name] or "")
    except Exception:
        # Python's parser raises various errors for malformed headers; show those as received.
        text = next(str(value) for each, value in headers.raw_items() if each.lower() == name)
    return "".join(letter if letter.isprintable() else " " for letter in text)
