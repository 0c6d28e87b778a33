"""The service's mail sink as a process, and the e-mails that it took.

with Sink(folder) as sink:
    sink.url        # for SMTP_URL
    sink.mails()
"""

import email
import email.policy
import re
import socket
import subprocess
import sys
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.processes import end
from tests.support.service import ROOT


@dataclass(frozen=True)
class Mail:
    """An e-mail that the sink took."""

    to: str
    message_id: str
    text: str

    def names(self, code: str) -> bool:
        """Return whether its text has a code in it as a whole word."""
        return re.search(rf"(?<![\w-]){re.escape(code)}(?![\w-])", self.text) is not None


class Sink:
    """Starts and ends the process; the module's docstring shows how to use it."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", port)) as listener:
            self.url = f"smtp+plain://127.0.0.1:{listener.getsockname()[1]}"
            command = [sys.executable, "-m", "discount", "sink", "--fd", str(listener.fileno()), str(folder)]
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[listener.fileno()])
        # Tests that are interrupted do not reach stop().
        self._finalizer = weakref.finalize(self, end, self._process)

    def mails(self) -> list[Mail]:
        """Return the e-mails taken so far."""
        return [_read(path) for path in sorted(self._folder.glob("[0-9]*.eml"))]

    def stop(self) -> None:
        """End it; its folder stays. May be called twice."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _read(path: Path) -> Mail:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = message.get_body(("plain",))
    assert body is not None
    return Mail(message["To"].addresses[0].addr_spec, message["Message-ID"], body.get_content())
