"""A connection to Redis for a loop: it never waits, and all exchanges of a turn go out in one piece.

Exchanges overlap: the next ones go out before earlier ones are answered. If the connection is lost, those without
replies are sent once more on a new one, because every call may be sent twice.
"""

import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from hiredis import ProtocolError, Reader, pack_command
from redis.connection import ConnectionInterface
from redis.exceptions import NoScriptError, ResponseError

from discount.domain.errors import Unavailable
from discount.store.autopipeline import Outcome

#: The most bytes read at a time.
CHUNK = 256 * 1024
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Loop(Protocol):
    """What a connection needs of the loop that it belongs to."""

    def watch(self, descriptor: int, act: Callable[[int], None]) -> None:
        """Call a function with the events of a descriptor, once when it becomes readable, writable or ended."""

    def unwatch(self, descriptor: int) -> None:
        """Stop watching the descriptor."""

    def run_in_thread(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Run a function in another thread, and then pass its result, or its exception, to another in the loop."""


@dataclass(slots=True)
class _Exchange:
    packed: bytes
    count: int
    resume: Callable[[Outcome], None]
    until: float
    sent_again: bool = False


class LoopConnection:
    """One connection, opened when it is first needed.

    Args:
        connect: opens a connection; it may wait, and runs in a thread.
        timeout: seconds after which an exchange without replies fails.
        on_round_trip: called for each piece that is sent.
    """

    def __init__(
        self,
        loop: Loop,
        connect: Callable[[], ConnectionInterface],
        timeout: float,
        on_round_trip: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._connect = connect
        self._timeout = timeout
        self._on_round_trip = on_round_trip
        self._connecting = False
        # It closes its socket when it is deleted.
        self._connection: ConnectionInterface | None = None
        self._socket: socket.socket | None = None
        self._unsent: list[_Exchange] = []
        # Bytes that Redis has not taken yet.
        self._held = b""
        self._sent: deque[_Exchange] = deque()
        self._replies: list[Any] = []

    @property
    def is_waiting(self) -> bool:
        """Whether an exchange has no replies yet."""
        return bool(self._sent or self._unsent)

    def submit(self, commands: Sequence[Any], resume: Callable[[Outcome], None]) -> None:
        """Queue commands for the end of the turn; call `resume` once, with their replies or an exception."""
        packed = b"".join(map(pack_command, commands)) if len(commands) > 1 else pack_command(commands[0])
        self._unsent.append(_Exchange(packed, len(commands), resume, monotonic() + self._timeout))

    def flush(self) -> None:
        """Send what is queued."""
        if not self._unsent:
            return
        if self._socket is None:
            self._open()
            return
        self._sent.extend(self._unsent)
        self._held += b"".join([each.packed for each in self._unsent])
        self._unsent.clear()
        self._on_round_trip()
        self._send()

    def fail_late(self, now: float) -> None:
        """Fail exchanges whose time is over. Replies could still come, so the connection is given up."""
        if self._sent and self._sent[0].until <= now:
            self._lose()
        late = [each for each in self._unsent if each.until <= now]
        if late:
            self._unsent = [each for each in self._unsent if each.until > now]
            _fail(late, Unavailable("Redis did not answer in time."))

    def _send(self) -> None:
        assert self._socket is not None  # noqa: S101 - callers have looked
        try:
            sent = self._socket.send(self._held)
        except _NOT_NOW:
            return
        except OSError:
            self._lose()
            return
        self._held = self._held[sent:]

    def _receive(self, _events: int) -> None:
        if self._held:
            self._send()
        while self._socket is not None:
            try:
                piece = self._socket.recv(CHUNK)
            except _NOT_NOW:
                return
            except OSError:
                piece = b""
            if not piece:
                self._lose()
                return
            try:
                self._reader.feed(piece)
                self._hand_out()
            except (ProtocolError, UnicodeDecodeError):
                self._lose()
                return
            # TLS may have more, of which the kernel knows nothing.
            if len(piece) < CHUNK and not isinstance(self._socket, ssl.SSLSocket):
                return

    def _hand_out(self) -> None:
        """Pass replies on to those who wait for them."""
        read, sent = self._reader.gets, self._sent
        while sent:
            count = sent[0].count
            while len(self._replies) < count:
                reply = read()
                if reply is False:
                    return
                self._replies.append(reply)
            replies, self._replies = self._replies, []
            sent.popleft().resume(replies)

    def _open(self) -> None:
        if not self._connecting:
            self._connecting = True
            self._loop.run_in_thread(self._connect, self._opened)

    def _opened(self, connection: ConnectionInterface | Exception) -> None:
        self._connecting = False
        if isinstance(connection, Exception):
            waiting, self._unsent = self._unsent, []
            reason = connection if isinstance(connection, Unavailable) else Unavailable("Redis cannot be reached.")
            _fail(waiting, reason)
            return
        self._connection, self._socket = connection, connection._sock  # type: ignore[attr-defined]  # noqa: SLF001
        self._socket.setblocking(False)
        self._reader = Reader(encoding="utf-8", replyError=_error)
        self._loop.watch(self._socket.fileno(), self._receive)
        self.flush()

    def _lose(self) -> None:
        """Give the connection up; queue what was sent on it once more, unless its time is over or it was sent twice."""
        assert self._socket is not None and self._connection is not None  # noqa: S101 - it was open
        self._loop.unwatch(self._socket.fileno())
        self._connection.disconnect()  # type: ignore[no-untyped-call]
        self._connection = self._socket = None
        sent, self._sent, self._held, self._replies = self._sent, deque(), b"", []
        now = monotonic()
        late = [each for each in sent if each.until <= now]
        lost = [each for each in sent if each.until > now and each.sent_again]
        again = [each for each in sent if each.until > now and not each.sent_again]
        for each in again:
            each.sent_again = True
        self._unsent = again + self._unsent
        _fail(late, Unavailable("Redis did not answer in time."))
        _fail(lost, Unavailable("Redis cannot be reached."))


def _fail(exchanges: Sequence[_Exchange], reason: Unavailable) -> None:
    for each in exchanges:
        each.resume(reason)


def _error(text: str) -> ResponseError:
    # The whole text, whose first word says what it is.
    return NoScriptError(text) if text.startswith("NOSCRIPT") else ResponseError(text)
