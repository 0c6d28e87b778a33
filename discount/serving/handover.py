"""Handover: client connections pass from one process to another, with what has been received of the next request.

Workers of both kinds share two pairs of Unix sockets, made before the first of them starts. One pair carries
connections to the pool workers, the other carries idle ones back. A message waits in its pair until a worker takes it,
so the death of a worker loses only what that worker had taken.
"""

import socket
from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import Any

import msgspec

#: The longest message in bytes: what is received of a request, and a little about its connection.
LONGEST = 160 * 1024


@dataclass(frozen=True, slots=True)
class Handed:
    """A connection in a message.

    Args:
        until: when the connection times out, by the monotonic clock that all processes of a machine share.
        fresh: no request on the connection has been answered yet.
    """

    client: Any
    server: Any
    received: bytes = b""
    until: float = 0.0
    fresh: bool = True


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Handed).decode


class Channel:
    """One direction: every process may send and take."""

    def __init__(self) -> None:
        self._inlet, self.outlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._inlet, self.outlet):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * LONGEST)

    def close(self) -> None:
        """Close both ends in this process."""
        self._inlet.close()
        self.outlet.close()

    def send(self, connection: socket.socket, handed: Handed) -> bool:
        """Pass a connection on and close it here; return False, and keep it, if the channel is full.

        Raises:
            OSError: the connection cannot be passed on.
        """
        try:
            socket.send_fds(self._inlet, [_encode(handed)], [connection.fileno()])
        except BlockingIOError:
            return False
        connection.close()
        return True

    def take(self) -> tuple[socket.socket, Handed] | None:
        """Return the next connection that was passed on; None if there is none, or another process was quicker."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self.outlet, LONGEST, 1)
        except BlockingIOError:
            return None
        if not descriptors:
            # This process has too many open files; the kernel has closed the connection.
            return None
        connection = socket.socket(fileno=descriptors[0])
        connection.set_inheritable(False)
        handed = _decode(message)
        return connection, Handed(_address(handed.client), _address(handed.server), *_rest(handed))


def _address(address: Any) -> Any:
    return tuple(address) if isinstance(address, list) else address


def _rest(handed: Handed) -> tuple[bytes, float, bool]:
    return handed.received, handed.until, handed.fresh


class Outbox:
    """Connections of one process on their way into a channel that may be full."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._waiting: deque[tuple[socket.socket, Handed, float]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, connection: socket.socket, handed: Handed, seconds: float) -> None:
        """Pass a connection on, now or within so many seconds; otherwise close it."""
        self._waiting.append((connection, handed, monotonic() + seconds))
        self.flush()

    def flush(self) -> None:
        """Pass on as many as the channel takes."""
        while self._waiting:
            connection, handed, until = self._waiting[0]
            try:
                if not self._channel.send(connection, handed) and monotonic() < until:
                    return
            except OSError:
                pass
            connection.close()
            self._waiting.popleft()
