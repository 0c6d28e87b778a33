"""A connection to Redis that loses replies: the request arrives and is done, its reply never comes.

with LossyLine("127.0.0.1", 6379) as line:
    store = Store.at(f"redis://127.0.0.1:{line.port}/0", ...)
    line.lose(2)        # the next two scripts run, and their connections end before the reply
"""

import select
import socket
import threading
from typing import Self


class LossyLine:
    """Forwards connections to a server; a context manager."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._guard = threading.Lock()
        self._to_lose = 0
        self.lost = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def lose(self, count: int) -> None:
        """Lose the replies of `count` more scripts, of any client."""
        with self._guard:
            self._to_lose += count

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # This wakes a thread that waits in accept(); close() does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            # A long request arrives in several parts, and nothing answers the first of them.
            request = b""
            try:
                while True:
                    ready, _, _ = select.select([client, server], [], [])
                    if client in ready:
                        part = client.recv(1 << 20)
                        if not part:
                            return
                        request += part
                        server.sendall(part)
                    if server in ready:
                        reply = server.recv(1 << 20)
                        if not reply or self._is_lost(request, reply):
                            return
                        request = b""
                        client.sendall(reply)
            except OSError:
                return

    def _is_lost(self, request: bytes, reply: bytes) -> bool:
        """Decide what becomes of the first part of a reply."""
        with self._guard:
            # Only replies of scripts that ran: they are lists.
            lost = self._to_lose > 0 and b"EVAL" in request and reply.startswith(b"*")
            self._to_lose -= lost
            self.lost += lost
        return lost
