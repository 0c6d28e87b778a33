"""The map from partitions to nodes: one Redis, a primary that Sentinels name, or the nodes of a Cluster.

A node is named by its address. Only the `look` asks for the map, in one thread of a process, with pauses that grow;
all other threads use the map as it is. A node that does not answer is `away` until it answers that thread. If there
are other nodes, commands for it fail at once meanwhile, so that it costs the others nothing.
"""

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import Any

from hiredis import pack_command
from redis import RedisError
from redis.connection import ConnectionInterface
from redis.crc import key_slot
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError
from structlog import get_logger

from discount.store.durability import Command, Durability
from discount.store.redis_url import Kind, Target, split

#: Seconds between two looks: they grow from the first to the second while there is a reason to look.
PAUSES = (0.1, 1.0)
_GROWTH = 1.6
# Seconds without a reason to look after which the thread ends, if there is one server.
_IDLE_SECONDS = 10.0
# Not the generator of `random`: another thread may have seeded that one, and rely on its numbers.
_random = SystemRandom()
#: Seconds between looks at several servers. An idle process learns of a failover, too, and so its next call
#: need not fail first.
REFRESH_SECONDS = 2.0


class Away(RedisError):
    """A node could not serve a command. The message is a sentence for callers of the service."""


class Nodes:
    """The nodes of the data, and which of them has each partition.

    Args:
        target: what REDIS_URL names.
        partitions: the number of partitions.
    """

    def __init__(self, target: Target, partitions: int) -> None:
        self.kind: Kind = target.kind
        self.dial = target.dial
        #: The address of the node of each partition; empty while no node has it.
        self.owners: list[str] = ["" if target.kind == "sentinel" else target.seeds[0]] * partitions
        #: The node that has all partitions; None if there are several, or none is known.
        self.only: str | None = self.owners[0] or None
        #: The nodes that did not answer, and since when.
        self.away: dict[str, float] = {}
        #: How each piece of an exchange ends.
        self.durability = Durability("fast")
        self._report: Callable[[list[int]], None] = lambda _: None
        #: Counts the changes of the map.
        self.version = 0
        #: Whether the map was found; until then, the first seed stands for all nodes of a Cluster.
        self.is_known = target.kind == "one"
        self.target = target
        self.slots = [key_slot(f"{partition:02x}".encode()) for partition in range(partitions)]
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._looker: threading.Thread | None = None
        self._looked_at = -PAUSES[1]

    def report_to(self, report: Callable[[list[int]], None]) -> None:
        """Call a function with the partitions that cannot be reached, now and whenever these may have changed."""
        self._report = report
        report(self.unreachable())

    def addresses(self) -> list[str]:
        """Return the nodes that have partitions, the one of partition 0 first."""
        return [each for each in dict.fromkeys(self.owners) if each]

    def partitions_of(self, address: str) -> list[int]:
        """Return the partitions of a node."""
        return [partition for partition, owner in enumerate(self.owners) if owner == address]

    def unreachable(self) -> list[int]:
        """Return the partitions whose node is away, or that no node has."""
        return [partition for partition, owner in enumerate(self.owners) if not owner or owner in self.away]

    def alternatives(self, partition: int) -> list[int]:
        """Return a partition, and for each other node its next partition; those of nodes that are away come last."""
        ring = [*range(partition, len(self.owners)), *range(partition)]
        of_node = {self.owners[each]: each for each in reversed(ring)}
        found = sorted(of_node.values(), key=lambda each: (each - partition) % len(ring))
        return sorted(found, key=lambda each: self.fails_at_once(self.owners[each]))

    def tail(self, commands: Sequence[Command]) -> tuple[Command, ...]:
        """Return what is sent behind commands for one node, so that their replies are safe."""
        chosen = self.durability.chosen
        if chosen == "fast" or (chosen is None and self.kind == "one"):
            # Most services: said here, as each call of the busiest operations asks.
            return ()
        return self.durability.tail(self.kind, commands)

    def fails_at_once(self, address: str) -> bool:
        """Return whether a command for this node fails without being sent."""
        return not address or (self.only is None and address in self.away)

    def any(self) -> str:
        """Return a node that is not away, for a command without keys."""
        if self.only is not None:
            return self.only
        present = [each for each in self.addresses() if each not in self.away]
        return _random.choice(present) if present else ""

    # What an exchange found.

    def move(self, partition: int, host: str, port: int, seen_from: str) -> None:
        """Note that a node named another one as the owner of a partition (MOVED)."""
        if self.kind in ("one", "any"):
            self.kind = "cluster"
        owners = list(self.owners)
        owners[partition] = self.address(host, port, seen_from)
        self._set(owners)
        self.look_soon()

    def lose(self, address: str) -> None:
        """Note that a node does not answer."""
        if address not in self.away:
            self.away[address] = time.monotonic()
            self._report(self.unreachable())
        self.look_soon()

    def look_soon(self) -> None:
        """Have the map asked for again, unless there is one server only."""
        self._wanted.set()
        self._start_looking()

    def keep_looking(self) -> None:
        """Have the map of several servers asked for from now on, as long as this process uses it."""
        if self._looker is None and self.kind in ("sentinel", "cluster"):
            self._start_looking()

    def _start_looking(self) -> None:
        with self._lock:
            if self._looker is None:
                # Only a weak reference: the thread ends with the last user of the map.
                self._looker = threading.Thread(
                    target=_look_until_well, args=(weakref.ref(self),), name="nodes", daemon=True
                )
                self._looker.start()

    @staticmethod
    def address(host: str | None, port: int, seen_from: str) -> str:
        """Return the address of a node. One that announces no host has the host of the node that named it."""
        return f"{split(seen_from)[0] if host in (None, '', '?') else host}:{port}"

    # The look.

    def look(self) -> bool:
        """Ask for the map once. Return whether a server answered that knows it."""
        self._looked_at = time.monotonic()
        if self.kind == "one":
            return True
        owners = self._ask_sentinels() if self.kind == "sentinel" else self._ask_cluster()
        if owners is not None:
            self.is_known = True
            self._set(owners)
        return owners is not None

    def look_first(self) -> None:
        """Ask for the map if it is not known, unless this was tried just now."""
        if not self.is_known and time.monotonic() - self._looked_at > PAUSES[1] and not self.look():
            self.look_soon()

    def _set(self, owners: list[str]) -> None:
        if owners == self.owners:
            return
        self.owners = owners
        self.only = owners[0] if owners[0] and owners.count(owners[0]) == len(owners) else None
        self.version += 1
        for gone in self.away.keys() - set(owners):
            self.away.pop(gone, None)
        self._report(self.unreachable())

    def _seconds_when_well(self) -> float:
        return REFRESH_SECONDS if self.kind in ("sentinel", "cluster") else _IDLE_SECONDS

    def _has_ended(self) -> bool:
        """Return whether the thread that looks has no more to do, and note its end."""
        with self._lock:
            if self._wanted.is_set() or self.kind in ("sentinel", "cluster"):
                return False
            self._looker = None
            return True

    def _look_after(self, pause: float) -> float:
        """Look, so many seconds after the last look at the earliest; return the pause before the next one."""
        self._wanted.clear()
        since = time.monotonic() - self._looked_at
        if since < pause:
            time.sleep((pause - since) * _random.uniform(0.8, 1.2))
        before = self.version
        is_found = self.look()
        for address in list(self.away):
            if self.answers(address):
                self.away.pop(address, None)
                self._report(self.unreachable())
        if is_found and not self.away:
            return PAUSES[0]
        self._wanted.set()
        return PAUSES[0] if self.version != before else min(pause * _GROWTH, PAUSES[1])

    def _ask_cluster(self) -> list[str] | None:
        known = [each for each in self.addresses() if each not in self.away]
        _random.shuffle(known)
        fallback = None
        for address in dict.fromkeys((*known, *self.target.seeds, *self.away)):
            replies = self.ask(address, ("CLUSTER", "SLOTS"), ("CLUSTER", "INFO"))
            if replies is None:
                continue
            rows, info = replies
            if isinstance(rows, ResponseError):
                # One server: it has no Cluster, or allows no look at it.
                if self.kind == "any" and not isinstance(rows, ConnectionLost):
                    self.kind = "one"
                    return self.owners
                continue
            self.kind = "cluster"
            owners = self._read_slots(rows, address)
            if isinstance(info, ResponseError) or "cluster_state:ok" in info:
                return owners
            # This node is cut off from the others, or none of them has enough: another may know more.
            fallback = fallback or owners
        return fallback

    def _read_slots(self, rows: Sequence[Any], seen_from: str) -> list[str]:
        owners = [""] * len(self.slots)
        for first, last, (host, port, *_), *_ in rows:
            for partition, slot in enumerate(self.slots):
                if first <= slot <= last:
                    owners[partition] = self.address(host, port, seen_from)
        return owners

    def _ask_sentinels(self) -> list[str] | None:
        """Return the primary that most Sentinels name, in the newest epoch that any of them knows."""
        found: dict[tuple[int, str], int] = {}
        for sentinel in _random.sample(self.target.seeds, len(self.target.seeds)):
            replies = self.ask(sentinel, ("SENTINEL", "MASTER", self.target.name))
            if replies is None or isinstance(replies[0], ResponseError):
                continue
            row = dict(zip(replies[0][::2], replies[0][1::2], strict=True))
            named = int(row["config-epoch"]), self.address(row["ip"], int(row["port"]), sentinel)
            found[named] = found.get(named, 0) + 1
            if found[named] * 2 > len(self.target.seeds):
                break
        return [max(found)[1]] * len(self.owners) if found else None

    def check_role(self, connection: ConnectionInterface) -> None:
        """Check that the server of a new connection is what the map says.

        Raises:
            Away: the Sentinels' primary has become a replica.
        """
        if self.kind != "sentinel":
            return
        role = talk(connection, [("ROLE",)])[0][0]
        if isinstance(role, ResponseError) or role[0] != "master":
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise Away("Redis is changing its primary.")

    def answers(self, address: str) -> bool:
        """Return whether a node answers and has loaded its data."""
        replies = self.ask(address, ("PING",))
        return replies is not None and not isinstance(replies[0], RedisError)

    def ask(self, address: str, *commands: tuple[str, ...]) -> list[Any] | None:
        """Return the replies of one server, with errors as values; None if it does not answer."""
        connection = self.target.ask(address)
        try:
            return talk(connection, commands)[0]
        except (RedisError, OSError):
            return None
        finally:
            connection.disconnect()  # type: ignore[no-untyped-call]


def talk(connection: ConnectionInterface, commands: Sequence[Sequence[Any]]) -> tuple[list[Any], bool]:
    """Send commands and return the replies, and whether there are errors among them, which are values.

    Raises:
        ConnectionLost, TimeoutError, OSError: the connection is closed then.
    """
    try:
        send(connection, commands)
        return receive(connection, len(commands))
    except BaseException:
        # An exchange that ends early leaves replies on the connection, which the next exchange would read as its own.
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise


def send(connection: ConnectionInterface, commands: Sequence[Sequence[Any]]) -> None:
    """Send commands; a connection that is not open yet is opened."""
    packed = b"".join(map(pack_command, commands))  # type: ignore[arg-type]
    connection.send_packed_command([packed], check_health=False)  # type: ignore[no-untyped-call]


def receive(connection: ConnectionInterface, count: int) -> tuple[list[Any], bool]:
    """Return so many replies, and whether there are errors among them."""
    replies: list[Any] = []
    has_errors = False
    for _ in range(count):
        try:
            replies.append(connection.read_response())
        except ResponseError as error:
            replies.append(error)
            has_errors = True
    return replies, has_errors


def _look_until_well(reference: "weakref.ref[Nodes]") -> None:
    """Look while a look is wanted or a node is away, and at several servers now and then; end after some idle time."""
    pause = PAUSES[0]
    while (nodes := reference()) is not None:
        wanted, seconds = nodes._wanted, nodes._seconds_when_well()
        nodes = None
        is_wanted = wanted.wait(seconds)
        nodes = reference()
        if nodes is None or (not is_wanted and nodes._has_ended()):
            return
        try:
            pause = nodes._look_after(pause)
        except Exception as error:
            # Without this thread, the process would learn of no failover any more.
            get_logger().error("the look at the nodes failed", exc_info=error)
            nodes.look_soon()
            pause = PAUSES[1]
        nodes = None
