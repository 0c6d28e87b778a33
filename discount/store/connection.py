"""The connection to Redis: all commands, pipelines and scripts go through `Store`.

One connection per thread and hiredis packing take half the CPU of redis-py's pooled commands. Every script may run
twice with the same arguments, and every bare command may be repeated. So a call is sent once more if its reply is lost.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hiredis import pack_command
from redis import ConnectionPool, Redis, RedisError
from redis.backoff import NoBackoff
from redis.connection import ConnectionInterface
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as TimedOut
from redis.retry import Retry

from discount.domain.errors import Unavailable
from discount.domain.model import Definition
from discount.store import autopipeline, installation, keys
from discount.store.answers import Answer
from discount.store.guards import Guard
from discount.store.quotas import Quotas
from discount.store.scripts import SCRIPTS, Script

SCHEMA = "1"
Command = tuple[str | int, ...]

# The first word of each error with which Redis says that it cannot serve or write at the moment.
_CANNOT_NOW = ("OOM", "MISCONF", "READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "BUSY", "CLUSTERDOWN", "TRYAGAIN")


class LayoutError(Exception):
    """The data in Redis was laid out for other settings. The message is one line for the operator."""


class Store:
    """Redis, as the services use it.

    Args:
        connect: makes a connection that decodes replies to text (RESP 2).
        partitions: the number of partitions of the data.
        on_round_trip: called once for each exchange with Redis.
        patience: the most seconds that a command may block.
        secret: the setting SECRET, which must be the one of this data; None for a process that needs no secret.
    """

    def __init__(
        self,
        connect: Callable[[], ConnectionInterface],
        partitions: int,
        on_round_trip: Callable[[], None] = lambda: None,
        patience: float = 0.5,
        secret: str | None = None,
    ) -> None:
        self.partitions = partitions
        #: The most seconds that a command may block in Redis.
        self.patience = patience
        self._connect = connect
        self._on_round_trip = on_round_trip
        self._secret = secret
        self._local = threading.local()
        self._shebang: bool | None = None
        self._prepared = False
        #: Definitions of discounts, by id, cached by the services: they never change.
        self.definitions: dict[str, Definition] = {}
        #: Held while a block of codes is made: one thread of the process makes it, the others wait for it.
        self.refill_lock = threading.Lock()
        #: Runs work that no answer waits for; its thread starts with the first task.
        self.background = ThreadPoolExecutor(1, "background")
        #: The quotas of every brand that has none of its own.
        self.quotas = Quotas()

    @classmethod
    def at(
        cls,
        url: str,
        timeout: float,
        partitions: int,
        on_round_trip: Callable[[], None] = lambda: None,
        secret: str | None = None,
    ) -> "Store":
        """Return a store for a Redis URL, without connecting. Each wait for Redis ends after `timeout` seconds."""
        pool = ConnectionPool.from_url(
            url,
            decode_responses=True,
            protocol=2,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
        return cls(pool.make_connection, partitions, on_round_trip, timeout / 2, secret)

    def command(self, *command: str | int) -> Any:
        """Return the reply to one command that may be sent twice."""
        return self.commands([command])[0]

    def now(self) -> int:
        """Return the time on the Redis server, in microseconds since 1970 UTC. All decisions use this clock."""
        return moment_of(self.command("TIME"))

    def commands(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies to commands that may be sent twice, in one round trip; none for no commands."""
        replies = self._exchange(commands) if commands else []
        for reply in replies:
            if isinstance(reply, RedisError):
                raise _refused_by_redis(reply)
        return replies

    def run(
        self, name: str, names: Sequence[str], arguments: Sequence[str | int], guard: Guard | None = None
    ) -> Answer:
        """Run one script in one round trip. `guard` is only for scripts that have one.

        Raises:
            Refusal: the script refused; the fields of its answer are the facts.
        """
        answer = self.run_many(name, [(names, arguments)], guard)[0]
        refusal = answer.refusal()
        if refusal is not None:
            raise refusal
        return answer

    def run_many(
        self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[str | int]]], guard: Guard | None = None
    ) -> list[Answer]:
        """Run one script several times in one round trip; refusals are returned, not raised."""
        script, guarded = SCRIPTS[name], None
        if guard is not None and script.behind_guard is not None and guard.checks:
            script, guarded = script.behind_guard, guard
        digest = self._digest(script)
        if guarded is not None:
            commands: list[Command] = []
            for names, arguments in calls:
                guard_names, guard_arguments = guarded.keys_and_args(names[0])
                count = len(names) + len(guard_names)
                commands.append(("EVALSHA", digest, count, *guard_names, *names, *guard_arguments, *arguments))
        else:
            commands = [("EVALSHA", digest, len(names), *names, *arguments) for names, arguments in calls]
        replies = self._exchange(commands)
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
        if guarded is not None:
            guarded.take_rate(replies)
        return [script.read(reply) for reply in replies]

    def prepare(self) -> None:
        """Store the layout of the data at the first start, and compare it at every later one.

        Called before a process's first exchange, and after a lost connection: another Redis may answer then.

        Raises:
            LayoutError: the data is laid out for other settings.
            Unavailable
        """
        self._prepared = True
        wanted = {"partitions": str(self.partitions), "schema": SCHEMA}
        if self._secret is not None:
            wanted["secret"] = installation.mark_of(self._secret)
        try:
            self.commands([("HSETNX", keys.INSTALLATION, field, value) for field, value in wanted.items()])
            stored = dict(zip(wanted, self.command("HMGET", keys.INSTALLATION, *wanted), strict=True))
        except Unavailable:
            self._prepared = False
            raise
        mark = stored.pop("secret", None)
        problems = [
            f"this Redis holds data with {field} {value}, the setting says {wanted[field]}"
            for field, value in stored.items()
            if value != wanted[field]
        ]
        if self._secret is not None and mark is not None:
            problems += filter(None, [installation.problem(self._secret, mark)])
        if problems:
            self._prepared = False
            raise LayoutError(problems[0])

    def _digest(self, script: Script) -> str:
        if self._shebang is None:
            # Redis 7 and Valkey know `#!lua`: with it, a full or read-only server refuses a script before it starts.
            probe = self._exchange([("EVAL", "#!lua\nreturn 1", 0)])[0]
            if isinstance(probe, RedisError) and str(probe).startswith(_CANNOT_NOW):
                raise _refused_by_redis(probe)
            self._shebang = not isinstance(probe, RedisError)
        return script.digests[self._shebang]

    def _connection(self) -> ConnectionInterface:
        connection: ConnectionInterface | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        return autopipeline.send(self._exchange_now, commands)

    def _exchange_now(self, commands: Sequence[Command]) -> list[Any]:
        if not self._prepared:
            try:
                self.prepare()
            except LayoutError as error:
                # Redis was away when this process started, or another Redis has its address now.
                raise Unavailable(f"This process is not set up for this data: {error}.") from error
        connection = self._connection()
        self._on_round_trip()
        try:
            return _send_and_read(connection, commands)
        except ConnectionLost:
            # Redis closed an idle connection, or restarted: send once more, as every call may be sent twice.
            self._prepared = False
        except (TimedOut, OSError) as error:
            raise Unavailable("Redis did not answer in time.") from error
        try:
            return _send_and_read(connection, commands)
        except (ConnectionLost, TimedOut, OSError) as error:
            raise Unavailable("Redis cannot be reached.") from error


def moment_of(reply: Sequence[str]) -> int:
    """Return the reply to TIME as microseconds since 1970 UTC."""
    return int(reply[0]) * 1_000_000 + int(reply[1])


def answers(url: str) -> bool:
    """Return whether a Redis answers at a URL and has loaded its data."""
    with Redis.from_url(url, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping())
        except RedisError:
            return False


def _send_and_read(connection: ConnectionInterface, commands: Sequence[Command]) -> list[Any]:
    try:
        packed = b"".join(map(pack_command, commands))  # type: ignore[arg-type]
        connection.send_packed_command([packed], check_health=False)  # type: ignore[no-untyped-call]
        return [_read(connection) for _ in commands]
    except BaseException:
        # An exchange that ends early leaves replies on the connection, which the next exchange would read as its own.
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise


def _read(connection: ConnectionInterface) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _refused_by_redis(error: RedisError) -> Exception:
    if isinstance(error, (OutOfMemoryError, ReadOnlyError)) or str(error).startswith(_CANNOT_NOW):
        return Unavailable("Redis cannot serve or store this now.")
    return error
