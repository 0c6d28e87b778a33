"""Ports of 127.0.0.1 that no other test gets, however many run side by side.

with Port() as port:
    port.number     # nothing listens on it until a test gives the number to a server
"""

import socket
import sys
from typing import Self


class Port:
    """A reserved port. It stays reserved while its server ends and starts again, until `close`."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        # A server with the same option may still listen here, and all of ours set it.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            # Other systems allow no second bind, so there the port is merely free at this moment.
            self._socket.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.number}"

    def close(self) -> None:
        """Free the port. May be called twice."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
