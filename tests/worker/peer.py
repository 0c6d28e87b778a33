"""The receiver of a webhook: a server on 127.0.0.1 that handles each connection as a test says."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.patience import PATIENCE

Treat = Callable[["Peer", socket.socket], None]


class Peer:
    """Listens until the end of its `with`; then all its connections are closed.

    Args:
        treat: called with each connection in a thread; a lost connection is no error.
        context: TLS settings, if the server is to use TLS.
    """

    def __init__(self, treat: Treat, context: ssl.SSLContext | None = None) -> None:
        self._treat = treat
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}/hook"
        #: Set at the end; a call that waits in `treat` waits for this, too.
        self.ended = threading.Event()
        self.connections = 0
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self._closed = threading.Semaphore(0)
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def closes(self) -> bool:
        """Wait until one more connection is closed by this side."""
        return self._closed.acquire(timeout=PATIENCE)

    def read(self, connection: socket.socket) -> bool:
        """Read one request, and record its headers and body; False if none comes."""
        raw = b""
        while b"\r\n\r\n" not in raw:
            piece = connection.recv(65536)
            if not piece:
                return False
            raw += piece
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
        self.requests.append((headers | {"": first}, body))
        return True

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._context is None:
                self._treat(self, connection)
            else:
                with self._context.wrap_socket(connection, server_side=True) as wrapped:
                    self._treat(self, wrapped)
        self._closed.release()


def answer(status: int = 200, body: bytes = b"", *lines: str) -> bytes:
    """Return an HTTP/1.1 answer that keeps the connection open."""
    head = [f"HTTP/1.1 {status} So", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def answering(*given: bytes) -> Treat:
    """Return a handler that gives these answers in order, and repeats the last."""

    def treat(peer: Peer, connection: socket.socket) -> None:
        while peer.read(connection):
            connection.sendall(given[min(len(peer.requests), len(given)) - 1])

    return treat


def saying(raw: bytes) -> Treat:
    """Return a handler that answers a request with these bytes, and closes."""

    def treat(peer: Peer, connection: socket.socket) -> None:
        peer.read(connection)
        connection.sendall(raw)

    return treat


def reset(connection: socket.socket) -> None:
    """Close a connection with RST, as a crash does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
