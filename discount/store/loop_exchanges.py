"""Exchanges with the nodes for a loop: nothing waits.

What all calls send to a node in a turn goes out in one piece. The loop has one connection to each node. Exchanges
overlap: the next ones go out before earlier ones are answered, once they are as many. Fewer wait for those replies, as
the node would look at them no earlier, and each piece wakes two processes. What follows from each reply is decided by
the same rules as for a thread (`discount.store.exchanges`).

Commands that wait for replicas have a connection of their own. There the next piece goes out after the wait, with all
that has come meanwhile: one wait serves them all.
"""

import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Protocol

from hiredis import ProtocolError, Reader, pack_command
from msgspec import Struct
from redis import RedisError
from redis.connection import ConnectionInterface
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import TimeoutError as TimedOut

from discount.domain.errors import Unavailable
from discount.store.autopipeline import Replies
from discount.store.durability import is_safe
from discount.store.exchanges import Command, Exchange, Piece, node_of
from discount.store.installation import LayoutError
from discount.store.nodes import Nodes

#: The most bytes read at a time. Memory for more would be mapped anew each time.
CHUNK = 64 * 1024
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Loop(Protocol):
    """The part of a loop that its exchanges need. `now` is when the current turn began."""

    now: float

    def watch(self, descriptor: int, act: Callable[[int], None]) -> None:
        """Call a function with the events of a descriptor, each time it has become readable, writable or ended."""

    def unwatch(self, descriptor: int) -> None:
        """Stop watching the descriptor."""

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Call a function after so many seconds."""

    def run_in_thread(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Run a function in another thread, and then pass its result, or its exception, to another in the loop."""


@dataclass(slots=True)
class _Running:
    """An exchange that did not end with its first replies, and how many of its pieces are on their way."""

    exchange: Exchange
    resume: Callable[[Replies], None]
    until: float
    pieces: int = 0


class _Sent(Struct, eq=False):
    """Commands on a connection. The commands of a whole exchange have no piece: most exchanges never need one.

    `tail` is what is sent behind them, once for all commands that go out together.
    """

    commands: Sequence[Command]
    resume: Callable[[Replies], None]
    until: float
    piece: Piece | None = None
    running: _Running | None = None
    tail: tuple[Command, ...] = ()


class LoopExchanges:
    """The exchanges with the nodes that have the partitions of commands.

    Args:
        connect: opens a connection to a node and compares its layout; it may wait, and runs in a thread.
        timeout: the most seconds that an exchange takes.
        on_round_trip: called for each piece that is sent to a node.
        on_lost: called when a node has ended a connection.
    """

    def __init__(
        self,
        loop: Loop,
        nodes: Nodes,
        connect: Callable[[str], ConnectionInterface],
        timeout: float,
        on_round_trip: Callable[[], None],
        *,
        on_lost: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._nodes = nodes
        self._connect = connect
        self._timeout = timeout
        self._on_round_trip = on_round_trip
        self.on_lost = on_lost
        # By address, and whether what is sent waits for replicas.
        self._links: dict[tuple[str, bool], _Link] = {}
        # Exchanges that pause.
        self._pausing = 0

    @property
    def is_waiting(self) -> bool:
        """Return whether an exchange has no replies yet."""
        return self._pausing > 0 or any(link.is_waiting for link in self._links.values())

    def submit(self, commands: Sequence[Command], resume: Callable[[Replies], None]) -> None:
        """Queue commands for the end of the turn; call `resume` once with their replies. Errors are values."""
        until = self._loop.now + self._timeout
        address = self._nodes.only or node_of(self._nodes, commands)
        if address is None:
            self._next(_Running(Exchange(self._nodes, commands, until), resume, until))
        else:
            tail = self._nodes.tail(commands)
            link = self._links.get((address, bool(tail))) or self._link(address, tail)
            link.queue(_Sent(commands, resume, until, None, None, tail))

    def flush(self) -> None:
        """Send what is queued, one piece to each node."""
        for link in self._links.values():
            link.flush()

    def fail_late(self, now: float) -> None:
        """Give up exchanges whose time is over."""
        for link in list(self._links.values()):
            link.fail_late(now)

    def answer(self, address: str, sent: _Sent, replies: Replies) -> None:
        """Take replies with an error among them, or to a part of an exchange."""
        running, piece = self._parts(address, sent)
        running.exchange.answer(piece, replies)
        self._settle(running)

    def confirm(self, address: str, sent: _Sent, replies: Replies, tail_replies: Replies) -> None:
        """Take the replies to a whole exchange, and to what waited for replicas behind it."""
        if is_safe(sent.tail, tail_replies) and not any(isinstance(each, RedisError) for each in replies):
            sent.resume(replies)
        else:
            self.answer(address, sent, [*replies, *tail_replies])

    def fail(self, address: str, sent: _Sent, error: BaseException) -> None:
        """Note why there are no replies."""
        running, piece = self._parts(address, sent)
        if isinstance(error, (LayoutError, Unavailable)):
            running.exchange.refuse(piece, str(error))
        else:
            running.exchange.fail(piece, error)
        self._settle(running)

    def _parts(self, address: str, sent: _Sent) -> tuple[_Running, Piece]:
        if sent.running is not None and sent.piece is not None:
            return sent.running, sent.piece
        exchange = Exchange(self._nodes, sent.commands, sent.until)
        return _Running(exchange, sent.resume, sent.until, pieces=1), exchange.whole(address, sent.tail)

    def _settle(self, running: _Running) -> None:
        running.pieces -= 1
        if running.pieces:
            return
        if running.exchange.pause:
            self._pausing += 1
            self._loop.after(running.exchange.pause, partial(self._after_pause, running))
        else:
            self._next(running)

    def _after_pause(self, running: _Running) -> None:
        self._pausing -= 1
        self._next(running)

    def _next(self, running: _Running) -> None:
        pieces = running.exchange.pieces()
        running.pieces = len(pieces)
        if not pieces:
            running.resume(running.exchange.replies)
        for piece in pieces:
            sent = _Sent(piece.to_send(), running.resume, running.until, piece, running)
            self._link(piece.address, piece.tail).queue(sent)

    def _link(self, address: str, tail: Sequence[Command]) -> "_Link":
        link = self._links.get((address, bool(tail)))
        if link is None:
            for gone in [each for each in self._links if each[0] not in self._nodes.owners]:
                if not self._links[gone].is_waiting:
                    self._links.pop(gone).close()
            link = self._links[address, bool(tail)] = _Link(
                self, self._loop, address, self._connect, self._on_round_trip
            )
        return link


class _Link:
    """The connection to one node, opened when it is first needed."""

    def __init__(
        self,
        owner: LoopExchanges,
        loop: Loop,
        address: str,
        connect: Callable[[str], ConnectionInterface],
        on_round_trip: Callable[[], None],
    ) -> None:
        self._owner = owner
        self._loop = loop
        self._address = address
        self._connect = connect
        self._on_round_trip = on_round_trip
        self._is_connecting = False
        # It closes its socket when it is deleted.
        self._connection: ConnectionInterface | None = None
        self._socket: socket.socket | None = None
        self._reader = Reader()
        self._unsent: list[_Sent] = []
        self._sent: deque[_Sent] = deque()
        # Bytes that the node has not taken yet, and replies of an exchange that has not got all of them.
        self._held = b""
        self._replies: Replies = []
        self._had_error = False
        # Whether a wait for replicas is on its way, and what is answered, but not yet confirmed by them.
        self._awaits_tail = False
        self._unconfirmed: list[tuple[_Sent, Replies]] = []

    @property
    def is_waiting(self) -> bool:
        return bool(self._sent or self._unsent or self._unconfirmed)

    def queue(self, sent: _Sent) -> None:
        self._unsent.append(sent)

    def flush(self) -> None:
        """Send what is queued; open the connection first."""
        if not self._unsent:
            return
        if self._socket is None:
            if not self._is_connecting:
                self._is_connecting = True
                self._loop.run_in_thread(partial(self._connect, self._address), self._opened)
            return
        if self._awaits_tail or len(self._unsent) < len(self._sent):
            # The node would not look at it before. Meanwhile more comes, which then shares the next piece.
            return
        queued, self._unsent = self._unsent, []
        tails = [each for each in queued if each.tail]
        if tails:
            # A wait covers all that is sent before it.
            last = tails[-1]
            for each in tails:
                # The mode may have changed since they were queued.
                each.tail = last.tail
            queued.append(_Sent(last.tail, self._confirm, min(each.until for each in tails)))
            self._awaits_tail = True
        self._sent.extend(queued)
        self._held += b"".join([pack_command(command) for each in queued for command in each.commands])  # type: ignore[arg-type]
        self._on_round_trip()
        self._send()

    def _confirm(self, tail_replies: Replies) -> None:
        """Pass on what waited for replicas, with their replies."""
        confirmed, self._unconfirmed = self._unconfirmed, []
        self._awaits_tail = False
        for sent, replies in confirmed:
            self._owner.confirm(self._address, sent, replies, tail_replies)

    def fail_late(self, now: float) -> None:
        """Fail what has waited too long. Its replies could still come, so the connection is given up."""
        if self._sent and self._sent[0].until <= now:
            self.close()
        elif self._unsent and self._unsent[0].until <= now:
            queued, self._unsent = self._unsent, []
            self._fail(queued, now)

    def close(self) -> None:
        """Close the connection; what was sent on it fails."""
        if self._socket is None or self._connection is None:
            return
        self._loop.unwatch(self._socket.fileno())
        self._connection.disconnect()  # type: ignore[no-untyped-call]
        self._connection = self._socket = None
        sent = [each for each, _ in self._unconfirmed] + [each for each in self._sent if each.resume != self._confirm]
        self._sent, self._held, self._replies, self._unconfirmed = deque(), b"", [], []
        self._had_error = self._awaits_tail = False
        self._fail(sent, monotonic())

    def _fail(self, several: Sequence[_Sent] | deque[_Sent], now: float) -> None:
        for each in several:
            error = TimedOut() if each.until <= now else ConnectionLost()
            self._owner.fail(self._address, each, error)

    def _opened(self, connection: ConnectionInterface | BaseException) -> None:
        self._is_connecting = False
        if isinstance(connection, BaseException):
            queued, self._unsent = self._unsent, []
            for each in queued:
                self._owner.fail(self._address, each, connection)
            return
        self._connection, self._socket = connection, connection._sock  # type: ignore[attr-defined]
        self._socket.setblocking(False)
        self._reader = Reader(encoding="utf-8", replyError=connection._parser.parse_error)  # type: ignore[attr-defined]
        self._loop.watch(self._socket.fileno(), self._act)
        self.flush()

    def _send(self) -> None:
        if self._socket is None:
            return
        try:
            sent = self._socket.send(self._held)
        except _NOT_NOW:
            return
        except OSError:
            self.close()
            return
        self._held = self._held[sent:]

    def _act(self, _events: int) -> None:
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
                self.close()
                self._owner.on_lost()
                return
            try:
                self._reader.feed(piece)
                self._hand_out()
            except (ProtocolError, UnicodeDecodeError, ConnectionLost):
                self.close()
                return
            # TLS may have more, of which the kernel knows nothing.
            if len(piece) < CHUNK and not isinstance(self._socket, ssl.SSLSocket):
                return

    def _hand_out(self) -> None:
        """Pass replies on to those who wait for them.

        Raises:
            ConnectionLost: the node says that it serves no connection now.
        """
        read, sent = self._reader.gets, self._sent
        while sent:
            first = sent[0]
            replies = self._replies
            while len(replies) < len(first.commands):
                reply = read()
                if reply is False:
                    return
                if isinstance(reply, RedisError):
                    self._had_error = True
                    if isinstance(reply, ConnectionLost):
                        raise reply
                replies.append(reply)
            self._replies = []
            sent.popleft()
            had_error, self._had_error = self._had_error, False
            if first.tail:
                self._unconfirmed.append((first, replies))
            elif (first.running is None and not had_error) or first.resume == self._confirm:
                first.resume(replies)
            else:
                self._owner.answer(self._address, first, replies)
