"""Mail servers for tests, correct and faulty, each on a free port of 127.0.0.1."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.patience import PATIENCE

#: Seconds: longer than any wait of the SMTP client.
_AGES = 20.0


class Mailbox:
    """The e-mails that a mail server took. `answers` are its refusals, by command."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.mails: list[bytes] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.logins: list[tuple[str, str]] = []
        self.encrypted: list[bool] = []

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.logins.append((given.login.decode(), given.password.decode()))
        return AuthResult(success=self.answers.get("auth") is None, handled=False)

    async def handle_MAIL(self, _s: SMTP, _session: Session, envelope: Envelope, address: str, options: Any) -> str:
        envelope.mail_from = address
        return self.answers.get("mail", "250 OK")

    async def handle_RCPT(self, _s: SMTP, _session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if "rcpt" in self.answers:
            return self.answers["rcpt"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        if "data" in self.answers:
            return self.answers["data"]
        assert envelope.original_content is not None
        self.mails.append(envelope.original_content)
        self.envelopes.append((envelope.mail_from or "", list(envelope.rcpt_tos)))
        assert server.transport is not None
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 Taken"


@contextmanager
def serving(box: Mailbox, *, tls: ssl.SSLContext | None = None, **settings: Any) -> Iterator[int]:
    """Run a mail server, and yield its port. `tls` encrypts from the start, `tls_context` after STARTTLS."""
    loop = asyncio.new_event_loop()
    # The test's own thread may have a loop already: that of a browser, which a process keeps to its end.
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> asyncio.Server:
        return await loop.create_server(
            lambda: SMTP(box, loop=loop, hostname="tests", **settings), "127.0.0.1", 0, ssl=tls
        )

    async def stop() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


class Evil:
    """A faulty server: it calls `act` for each connection, until the `with` ends.

    Args:
        act: handles a connection; it may wait on `ended`.
    """

    def __init__(self, act: Callable[["Evil", socket.socket], None]) -> None:
        self._act = act
        self.ended = threading.Event()
        self.heard = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def talk(self, connection: socket.socket, lines: Sequence[bytes]) -> None:
        """Send each line and read one after it, until the other side closes."""
        for line in lines:
            connection.sendall(line)
            heard = b""
            while not heard.endswith(b"\r\n"):
                piece = connection.recv(65536)
                if not piece:
                    return
                heard += piece
            self.heard += heard

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        # Wakes the thread that waits for a connection.
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
        self._thread.join(PATIENCE)
        self._listener.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if self.ended.is_set():
                    return
                connection.settimeout(_AGES)
                with suppress(OSError):
                    self._act(self, connection)
