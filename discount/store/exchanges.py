"""One exchange with the nodes: what is sent to which node, and what follows from each reply. It sends nothing itself.

    exchange = Exchange(nodes, commands, deadline)
    while pieces := exchange.pieces():
        ...send every piece, read the replies of each...
        exchange.answer(piece, replies)     # or exchange.fail(piece, error)
        ...wait for `exchange.pause` seconds...
    exchange.replies

So a thread that waits and a loop that does not wait follow the same rules.

| reply | what follows |
|---|---|
| MOVED | the partition has moved: from that command on, all of its commands are sent to the new node, in order |
| ASK | this command alone is sent to the node named, after ASKING; the map stays |
| TRYAGAIN | the command is sent again after a short pause, until the deadline |
| CLUSTERDOWN, LOADING, MASTERDOWN, READONLY, NOREPLICAS | the reply stays an error; the map is asked for |
| too few replicas confirm in time | the reply becomes `NotSafe`; the map is asked for, as this node may be cut off |
| the connection is lost | sent once more; then the map is asked for, and the new owner gets it if there is one |
| no reply in time | an error at once: the command may have run, and may take long again |
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import AskError, ClusterDownError, MovedError, ReadOnlyError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import TimeoutError as TimedOut

from discount.store import durability, keys
from discount.store.durability import NotSafe
from discount.store.nodes import Away, Nodes

Command = tuple[str | int, ...]
#: The most redirects that a command follows.
HOPS = 5
#: Seconds before a command is sent again whose partition is moving, or whose node was lost.
TRY_AGAIN, AFTER_LOSS = 0.005, 0.02

# The first word of each error with which Redis says that it cannot serve or write at the moment.
CANNOT_NOW = ("OOM", "MISCONF", "READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "BUSY", "CLUSTERDOWN", "TRYAGAIN")
_ASKS_FOR_MAP = ("READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN")
NOT_IN_TIME = "Redis did not answer in time."
NOT_REACHED = "Redis cannot be reached."


@dataclass(slots=True, eq=False)
class Piece:
    """Commands for one node, in order, and their places in the exchange. With `asking`, each follows an ASKING.

    `tail` is what durability adds to them; it is chosen when the piece is sent.
    """

    address: str
    places: list[int]
    commands: list[Command]
    asking: bool = False
    tail: tuple[Command, ...] = ()

    def to_send(self) -> list[Command]:
        """Return the commands as they are sent."""
        commands = [*self.commands, *self.tail] if self.tail else self.commands
        return [each for command in commands for each in (("ASKING",), command)] if self.asking else commands


class Exchange:
    """Commands on their way. `replies` holds a reply or an error for each of them at the end.

    Args:
        deadline: by `time.monotonic`; nothing is sent after it.
    """

    def __init__(self, nodes: Nodes, commands: Sequence[Command], deadline: float) -> None:
        self.replies: list[Any] = [None] * len(commands)
        #: Seconds to wait before the next pieces are asked for.
        self.pause = 0.0
        self._nodes = nodes
        self._commands = commands
        self._deadline = deadline
        self._partitions = _partitions(commands)
        self._waiting = set(range(len(commands)))
        self._asked: dict[int, str] = {}
        self._hops = 0
        self._lost: dict[str, int] = {}

    def pieces(self) -> list[Piece]:
        """Return what is to be sent next, at most one piece for each node; nothing at the end."""
        self.pause = 0.0
        found: dict[tuple[str, bool], Piece] = {}
        late = self._hops > HOPS or time.monotonic() > self._deadline
        asked = self._asked
        for place in sorted(self._waiting):
            address = asked.get(place) or self._owner(place)
            kind = (address, place in asked)
            piece = found.get(kind)
            if piece is None:
                if late:
                    self.replies[place] = self.replies[place] or Away(NOT_IN_TIME)
                    continue
                if self._nodes.fails_at_once(address) or self._lost.get(address, 0) > 1:
                    self.replies[place] = Away(NOT_REACHED)
                    continue
                piece = found[kind] = Piece(address, [], [], kind[1])
            piece.places.append(place)
            piece.commands.append(self._commands[place])
        self._waiting.clear()
        for piece in found.values():
            tail = self._nodes.tail(piece.commands)
            piece.tail = durability.of_asked(tail) if piece.asking else tail
        return list(found.values())

    def whole(self, address: str, tail: tuple[Command, ...]) -> Piece:
        """Return all commands as one piece that was sent to a node already, with that tail."""
        self._waiting.clear()
        return Piece(address, list(range(len(self._commands))), list(self._commands), tail=tail)

    def answer(self, piece: Piece, replies: Sequence[Any]) -> None:
        """Take the replies to a piece; errors are values."""
        if piece.asking:
            replies = replies[1::2]
        replies = durability.read(piece.commands, piece.tail, replies)
        moved: set[int | None] = set()
        redirected = False
        if piece.asking:
            for place in piece.places:
                del self._asked[place]
        for place, reply in zip(piece.places, replies, strict=True):
            self.replies[place] = reply
            if moved and self._partitions[place] in moved:
                self._waiting.add(place)
            elif isinstance(reply, RedisError):
                redirected |= self._follow(place, self._partitions[place], reply, piece.address, moved)
        self._hops += redirected

    def fail(self, piece: Piece, error: BaseException) -> None:
        """Note that a piece was not answered: the connection was lost or refused, or no reply came in time."""
        address = piece.address
        for place in piece.places:
            self._asked.pop(place, None)
        if not isinstance(error, (ConnectionLost, TimedOut, OSError)):
            self._nodes.look_soon()
            for place in piece.places:
                self.replies[place] = error
            return
        if not isinstance(error, ConnectionLost):
            self._nodes.lose(address)
            self.refuse(piece, NOT_IN_TIME)
            return
        self._lost[address] = self._lost.get(address, 0) + 1
        if self._lost[address] > 1:
            self._nodes.lose(address)
            if self._nodes.kind == "one":
                self.refuse(piece, NOT_REACHED)
                return
            self.pause = max(self.pause, AFTER_LOSS)
        self._waiting.update(piece.places)

    def refuse(self, piece: Piece, reason: str) -> None:
        """Give up a piece for a reason, which is a sentence for callers of the service."""
        for place in piece.places:
            self.replies[place] = Away(reason)

    def _follow(
        self, place: int, partition: int | None, reply: RedisError, address: str, moved: set[int | None]
    ) -> bool:
        """Do what an error asks for; return whether it is a redirect."""
        # A MovedError is an AskError, too.
        if type(reply) is AskError:
            self._asked[place] = self._nodes.address(reply.host, reply.port, address)
        elif isinstance(reply, MovedError):
            if partition is None:
                return False
            self._nodes.move(partition, reply.host, reply.port, address)
            moved.add(partition)
        elif isinstance(reply, TryAgainError):
            self.pause = TRY_AGAIN
            self._waiting.add(place)
            return False
        else:
            if isinstance(reply, (ClusterDownError, ReadOnlyError, NotSafe)) or str(reply).startswith(_ASKS_FOR_MAP):
                self._nodes.look_soon()
            return False
        self._waiting.add(place)
        return True

    def _owner(self, place: int) -> str:
        partition = self._partitions[place]
        return self._nodes.any() if partition is None else self._nodes.owners[partition]


def node_of(nodes: Nodes, commands: Sequence[Command]) -> str | None:
    """Return the node of all the commands; None if there are several, or it is away."""
    if nodes.only is not None:
        return nodes.only
    partition = keys.partition_of_command(commands[0])
    address = nodes.any() if partition is None else nodes.owners[partition]
    for command in commands[1:]:
        other = keys.partition_of_command(command)
        if other is not None and nodes.owners[other] != address:
            return None
    return None if nodes.fails_at_once(address) else address


def _partitions(commands: Sequence[Command]) -> list[int | None]:
    """Return the partition of each command; one without keys goes with the command before it, or else after it."""
    found = [keys.partition_of_command(command) for command in commands]
    last = next((each for each in found if each is not None), None)
    for place, each in enumerate(found):
        last = found[place] = last if each is None else each
    return found
