"""The connection to Redis: all commands, pipelines and scripts go through `Store`.

One connection per thread and node and hiredis packing take half the CPU of redis-py's pooled commands. Every script may
run twice with the same arguments, and every bare command may be repeated. So a call is sent once more if its reply is
lost.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from redis import RedisError
from redis.connection import ConnectionInterface
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)

from discount.domain.errors import NotFound, NotYetDurable, Restoring, Unavailable
from discount.domain.model import Definition
from discount.domain.past import Past
from discount.store import autopipeline, keys, nodes
from discount.store.answers import Answer
from discount.store.durability import Durability, Mode, NotSafe
from discount.store.exchanges import CANNOT_NOW, NOT_REACHED, Command, Exchange, Piece, node_of
from discount.store.guards import Guard
from discount.store.installation import Layout, LayoutError
from discount.store.loop_exchanges import Loop, LoopExchanges
from discount.store.nodes import Away, Nodes
from discount.store.quotas import Quotas
from discount.store.redis_url import Target, read_url
from discount.store.scripts import PROBE, SCRIPTS, Script
from discount.store.starts import Starts
from discount.store.tallies import Tallies

# Errors whose first word redis-py takes off. MasterDownError is a ClusterDownError, and MovedError an AskError.
_PASSING = (Away, NotSafe, OutOfMemoryError, ReadOnlyError, ClusterDownError, TryAgainError, AskError)


class Store:
    """Redis, as the services use it.

    Args:
        target: the servers, and how to connect to them.
        partitions: the number of partitions of the data.
        on_round_trip: called once for each exchange with a node.
        timeout: the most seconds that an exchange takes.
        secret: the setting SECRET, which must be the one of this data; None for a process that needs no secret.
    """

    def __init__(
        self,
        target: Target,
        partitions: int,
        on_round_trip: Callable[[], None] = lambda: None,
        timeout: float = 1.0,
        secret: str | None = None,
    ) -> None:
        self.partitions = partitions
        self.nodes = Nodes(target, partitions)
        self.layout = Layout(partitions, secret)
        #: The most seconds that a command may block in Redis.
        self.patience = timeout / 2
        self._timeout = timeout
        self._on_round_trip = on_round_trip
        self._local = threading.local()
        self._shebang: bool | None = None
        # The nodes whose layout was compared since a connection to them was lost.
        self._compared: set[str] = set()
        #: Definitions of discounts, by id, cached by the services: they never change.
        self.definitions: dict[str, Definition] = {}
        #: What answers for redemptions that left Redis; None without a ledger.
        self.past: Past | None = None
        #: Which starts of Redis have all that the ledger has; None without a ledger.
        self.starts: Starts | None = None
        #: Discounts that were sold out when a grant of this process was last refused.
        self.sold_out: set[str] = set()
        #: Held while a block of codes is made: one thread of the process makes it, the others wait for it.
        self.refill_lock = threading.Lock()
        #: Runs work that no answer waits for; its thread starts with the first task.
        self.background = ThreadPoolExecutor(1, "background")
        #: The quotas of every brand that has none of its own.
        self.quotas = Quotas()
        #: What this process has counted and not yet written.
        self.tallies = Tallies()

    @classmethod
    def at(
        cls,
        url: str,
        timeout: float,
        partitions: int,
        on_round_trip: Callable[[], None] = lambda: None,
        secret: str | None = None,
        *,
        password: str = "",
    ) -> "Store":
        """Return a store for a Redis URL, without connecting. Each wait for Redis ends after `timeout` seconds.

        Raises:
            ValueError: says what is wrong with the URL.
        """
        return cls(read_url(url, timeout, password), partitions, on_round_trip, timeout, secret)

    def set_durability(self, mode: Mode | None, replicas: int) -> None:
        """Decide what later exchanges wait for; without a mode it depends on the kind of servers."""
        self.nodes.durability = Durability(mode, replicas, int(self.patience * 900))

    def watch_starts(self, find_whole: Callable[[Iterable[int]], set[int]]) -> None:
        """Refuse changes after a start of Redis until it was compared with the ledger.

        Args:
            find_whole: returns those of some partitions of which Redis has all that the ledger has.
        """
        self.starts = Starts(self.nodes, self.partitions, self.each, find_whole)

    def exchanges_of(self, loop: Loop) -> LoopExchanges:
        """Return what sends the commands of a loop's calls."""
        return LoopExchanges(loop, self.nodes, self._open, self._timeout, self._on_round_trip, on_lost=self._look_soon)

    def _look_soon(self) -> None:
        if self.starts is not None:
            self.starts.look_soon()

    def _open(self, address: str) -> ConnectionInterface:
        """Compare a node's layout, and open another connection to it, as long as it takes.

        Raises:
            LayoutError, Unavailable, RedisError, OSError
        """
        self._compare_layout(address)
        connection = self.nodes.dial(address)
        connection.connect()  # type: ignore[no-untyped-call]
        if self.starts is not None:
            self.starts.meet(address, connection)
            if self.starts.restoring.intersection(self.nodes.partitions_of(address)):
                # A loop sends changes, which are refused.
                connection.disconnect()  # type: ignore[no-untyped-call]
                raise Restoring
        return connection

    def command(self, *command: str | int) -> Any:
        """Return the reply to one command that may be sent twice."""
        return self.commands([command])[0]

    def now(self) -> int:
        """Return the time on the Redis server, in microseconds since 1970 UTC. All decisions use this clock."""
        return moment_of(self.command("TIME"))

    def commands(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to commands that may be sent twice, in one round trip; none for no commands."""
        replies = self._exchange(commands)
        for reply in replies:
            if isinstance(reply, RedisError):
                raise _refused_by_redis(reply)
        return replies

    def each(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to commands of several partitions; an `Unavailable` for each that has no reply."""
        replies = self._exchange(commands)
        for place, reply in enumerate(replies):
            if isinstance(reply, RedisError):
                replies[place] = _refused_by_redis(reply)
                if not isinstance(replies[place], Unavailable):
                    raise replies[place]
        return replies

    def run(
        self, name: str, names: Sequence[str], arguments: Sequence[str | int], guard: Guard | None = None
    ) -> Answer:
        """Run one script in one round trip. `guard` is only for scripts that have one.

        Raises:
            Refusal: the script refused; the fields of its answer are the facts.
        """
        answer = self.run_many(name, ((names, arguments),), guard)[0]
        refusal = answer.refusal()
        if refusal is not None:
            if isinstance(refusal, NotFound):
                self._look_soon()
            raise refusal
        return answer

    def run_many(
        self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[str | int]]], guard: Guard | None = None
    ) -> list[Answer]:
        """Run one script several times in one round trip; refusals are returned, not raised."""
        script, guarded = self._script(name), None
        if script.notes_changes:
            calls = [([keys.uncopied(keys.partition_in(names[0])), *names], given) for names, given in calls]
        if guard is not None and script.behind_guard is not None and guard.checks:
            script, guarded = script.behind_guard, guard
        if self.starts is not None and self.starts.restoring and calls:
            self.starts.check(SCRIPTS[name], calls[0][0])
        if self._shebang is None:
            partition = guard.partition if guard is not None else 0
            self._probe(keys.partition_in(calls[0][0][0]) if calls and calls[0][0] else partition)
        digest = script.digests[bool(self._shebang)]
        commands: list[Command] = []
        for names, arguments in calls:
            if guarded is None:
                commands.append(("EVALSHA", digest, len(names), *names, *arguments))
            else:
                guard_names, guard_arguments = guarded.keys_and_args(names)
                count = len(names) + len(guard_names)
                commands.append(("EVALSHA", digest, count, *guard_names, *names, *guard_arguments, *arguments))
        replies = self._exchange(commands)
        for reply in replies:
            if isinstance(reply, RedisError):
                self._run_unknown(script, commands, replies)
                break
        if guarded is not None:
            guarded.take_rate(replies)
        return [script.read(reply) for reply in replies]

    def _script(self, name: str) -> Script:
        return SCRIPTS[name]

    def safe_partitions(self, partitions: Iterable[int]) -> set[int]:
        """Wait, and return the partitions of which all that was read so far is as safe as DURABILITY asks."""
        wanted = list(partitions)
        if not wanted or self.nodes.durability.mode(self.nodes.kind) == "fast":
            return set(wanted)
        # Each mark is a write, so each node's share of them ends in a wait.
        replies = self.each([("SET", keys.mark(partition), 1) for partition in wanted])
        return {partition for partition, reply in zip(wanted, replies, strict=True) if reply == "OK"}

    def prepare(self) -> None:
        """Find the nodes. Store the layout of the data at the first start, and compare it at every later one.

        The nodes that cannot be reached are compared before they are used.

        Raises:
            LayoutError: the data is laid out for other settings.
            Unavailable: no node can be reached.
        """
        self._compared.clear()
        if not self.nodes.look():
            self.nodes.look_soon()
            raise Unavailable(NOT_REACHED)
        # The node of partition 0 comes first: at the first start, it has to be asked before the others.
        for address in self.nodes.addresses():
            try:
                self._compare_layout(address)
            except (RedisError, OSError, Unavailable):
                self.nodes.lose(address)
        if not self._compared:
            raise Unavailable(NOT_REACHED)
        if self.starts is not None:
            self.starts.look()

    def _probe(self, partition: int) -> None:
        """Find out which form of the scripts the server runs."""
        # Redis 7 and Valkey know `#!lua`: with it, a full or read-only server refuses a script before it starts.
        # The probe names a key because some services refuse a script without keys.
        probe = self._exchange([("EVAL", PROBE, 1, keys.installation(partition))])[0]
        if isinstance(probe, RedisError) and _is_passing(probe):
            raise _refused_by_redis(probe)
        self._shebang = not isinstance(probe, RedisError)

    def _run_unknown(self, script: Script, commands: Sequence[Command], replies: list[Any]) -> None:
        """Run again what the server did not know; raise any other error among the replies."""
        unknown = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            # EVAL runs and caches the script. After a SCRIPT LOAD it could be gone again before the call.
            text = script.shebang_source if self._shebang else script.source
            again = self._exchange([("EVAL", text, *commands[i][2:]) for i in unknown])
            for i, reply in zip(unknown, again, strict=True):
                replies[i] = reply
        for reply in replies:
            if isinstance(reply, RedisError):
                raise _refused_by_redis(reply)

    def _connection(self, address: str) -> ConnectionInterface:
        try:
            connection: ConnectionInterface = self._local.connections[address]
        except (AttributeError, KeyError):
            connection = self._connect(address)
        if self.starts is not None and connection._sock is None:  # type: ignore[attr-defined]
            self.starts.meet(address, connection)
        return connection

    def _connection_for(self, address: str, commands: Sequence[Command]) -> ConnectionInterface:
        """Return the connection for some commands.

        Raises:
            Restoring: one of them is a change, and the server may have lost something.
            RedisError, OSError
        """
        connection = self._connection(address)
        if self.starts is not None and self.starts.restoring:
            self.starts.refuse(commands)
        return connection

    def _connect(self, address: str) -> ConnectionInterface:
        connections: dict[str, ConnectionInterface] = self._local.__dict__.setdefault("connections", {})
        # Nodes that have left are not asked again.
        for gone in connections.keys() - set(self.nodes.owners):
            connections.pop(gone).disconnect()  # type: ignore[no-untyped-call]
        self.nodes.keep_looking()
        connection = connections[address] = self.nodes.dial(address)
        return connection

    def seconds_in_redis(self) -> float:
        """Return how long this thread has waited for Redis so far."""
        seconds: float = self._local.__dict__.get("seconds", 0.0)
        return seconds

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        return autopipeline.send(self._exchange_timed, commands) if commands else []

    def _exchange_timed(self, commands: Sequence[Command]) -> list[Any]:
        began = time.perf_counter()
        try:
            return self._exchange_now(commands)
        finally:
            self._local.seconds = self.seconds_in_redis() + time.perf_counter() - began

    def _exchange_now(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies; what a node refused, or what could not be sent to it, is an error among them."""
        address = self.nodes.only or node_of(self.nodes, commands)
        deadline = time.monotonic() + self._timeout
        if address is None or address not in self._compared:
            self.nodes.look_first()
            return self._finish(Exchange(self.nodes, commands, deadline))
        self._on_round_trip()
        try:
            tail = self.nodes.tail(commands)
            connection = self._connection_for(address, commands)
            replies, has_errors = nodes.talk(connection, [*commands, *tail] if tail else commands)
            if not has_errors and not tail:
                return replies
        except Unavailable as error:
            exchange = Exchange(self.nodes, commands, deadline)
            exchange.refuse(exchange.whole(address, ()), str(error))
        except (RedisError, OSError) as error:
            exchange = Exchange(self.nodes, commands, deadline)
            self._fail(exchange, exchange.whole(address, ()), error)
        else:
            exchange = Exchange(self.nodes, commands, deadline)
            exchange.answer(exchange.whole(address, tail), replies)
        return self._finish(exchange)

    def _finish(self, exchange: Exchange) -> list[Any]:
        while pieces := exchange.pieces():
            # All are sent before any reply is awaited: the nodes work at the same time.
            for piece, connection in [(piece, self._send(exchange, piece)) for piece in pieces]:
                if connection is not None:
                    self._receive(exchange, piece, connection)
            if exchange.pause:
                time.sleep(exchange.pause)
        return exchange.replies

    def _send(self, exchange: Exchange, piece: Piece) -> ConnectionInterface | None:
        try:
            if piece.address not in self._compared:
                self._compare_layout(piece.address)
            connection = self._connection_for(piece.address, piece.commands)
            self._on_round_trip()
            nodes.send(connection, piece.to_send())
        except (LayoutError, Unavailable) as error:
            exchange.refuse(piece, str(error))
        except (RedisError, OSError) as error:
            self._fail(exchange, piece, error)
        else:
            return connection
        return None

    def _receive(self, exchange: Exchange, piece: Piece, connection: ConnectionInterface) -> None:
        try:
            replies, _ = nodes.receive(connection, len(piece.to_send()))
        except BaseException as error:
            # Replies that are left on the connection would be read by the next exchange as its own.
            connection.disconnect()  # type: ignore[no-untyped-call]
            if not isinstance(error, (RedisError, OSError)):
                raise
            self._fail(exchange, piece, error)
        else:
            exchange.answer(piece, replies)

    def _fail(self, exchange: Exchange, piece: Piece, error: BaseException) -> None:
        # Another server may answer at this address next time.
        self._compared.discard(piece.address)
        exchange.fail(piece, error)

    def _compare_layout(self, address: str) -> None:
        """Compare the layout of a node's partitions, and store it where it is missing.

        Raises:
            LayoutError, Unavailable, RedisError, OSError
        """
        first = self.nodes.owners[0]
        if self.layout.found is None and address != first and not self.nodes.fails_at_once(first):
            self._compare_layout(first)
        connection = self._connection(address)
        partitions = self.nodes.partitions_of(address)
        while True:
            replies, has_errors = nodes.talk(connection, self.layout.questions(partitions))
            if has_errors:
                self._take_moves(address, partitions, replies)
            missing = self.layout.compare(partitions, replies)
            if not missing:
                break
            for reply in nodes.talk(connection, missing)[0]:
                if isinstance(reply, RedisError):
                    raise reply
        self.nodes.check_role(connection)
        self._compared.add(address)

    def _take_moves(self, address: str, partitions: Sequence[int], replies: Sequence[Any]) -> None:
        for partition, reply in zip(partitions, replies, strict=True):
            if isinstance(reply, MovedError):
                self.nodes.move(partition, reply.host, reply.port, address)
            elif isinstance(reply, RedisError):
                raise reply


def moment_of(reply: Sequence[str]) -> int:
    """Return the reply to TIME as microseconds since 1970 UTC."""
    return int(reply[0]) * 1_000_000 + int(reply[1])


def answers(url: str, password: str = "") -> bool:
    """Return whether a Redis answers at a URL and has loaded its data."""
    found = Nodes(read_url(url, 1, password), 1)
    return found.look() and found.answers(found.owners[0])


def _is_passing(error: RedisError) -> bool:
    """Return whether Redis may serve or write later what it refuses now."""
    return isinstance(error, _PASSING) or str(error).startswith(CANNOT_NOW)


def _refused_by_redis(error: RedisError) -> Exception:
    if isinstance(error, Away):
        return Unavailable(str(error))
    if isinstance(error, NotSafe):
        return NotYetDurable(str(error))
    return Unavailable("Redis cannot serve or store this now.") if _is_passing(error) else error
