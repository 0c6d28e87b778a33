"""Ports of 127.0.0.1 that are a test's own, however many tests run side by side.

with Port() as port:
    port.number     # nobody listens on it, and nobody but a server that is told the number ever will
"""

import socket
import sys
from typing import Self


class Port:
    """A port kept from before its server starts until it is given back, through the server's ends and starts too."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        # A server with the same option, and all of ours have it, may listen where this one does not.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            # Elsewhere two may not be bound to one port; there it is free at this moment, and no more.
            self._socket.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.number}"

    def close(self) -> None:
        """Give it back. Twice is fine."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
