"""The only way to Redis: commands, pipelines and scripts over one connection a thread.

One connection a thread, packed by hand-over to the client's C packer, costs half of what the client's pooled commands
cost. Every script may be run twice with the same arguments and every bare command
reads or may be repeated, so a call whose answer was lost is sent again once.
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
from redis.exceptions import (
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import TimeoutError as TimedOut
from redis.retry import Retry

from discount.domain.errors import Unavailable, refusal_in
from discount.store import (
    autopipeline,
    guards,
    installation,
    keys,
)
from discount.store.guards import Guard
from discount.store.quotas import Quotas
from discount.store.scripts import SCRIPTS, Script

SCHEMA = "1"
Command = tuple[str | int, ...]

# What Redis answers when it cannot serve or cannot write, by the first word of its error.
_CANNOT_NOW = ("OOM", "MISCONF", "READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "BUSY", "CLUSTERDOWN", "TRYAGAIN")


class LayoutError(Exception):
    """The data in Redis was laid out for other settings; the message is one line for the operator."""


class Store:
    """Redis, as the verbs see it.

    Args:
        connect: makes a connection that answers in text (RESP 2).
        partitions: how many partitions the data has.
        on_round_trip: called once for each exchange with Redis.
        patience: for how long, in seconds, a command may block.
        secret: the setting, which must be the one that this data is used with; None for a process that needs none.
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
        #: For how long, in seconds, a command may block in Redis.
        self.patience = patience
        self._connect = connect
        self._on_round_trip = on_round_trip
        self._secret = secret
        self._local = threading.local()
        self._shebang: bool | None = None
        self._prepared = False
        #: What verbs remember of a discount's definition that can never change, by id.
        self.definitions: dict[str, Any] = {}
        #: Held while a block of codes is made: one thread of the process makes it, the others wait for it.
        self.refill_lock = threading.Lock()
        #: Runs work that no answer waits for; its thread starts with the first task.
        self.background = ThreadPoolExecutor(1, "background")
        #: How much any brand may have.
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
        """A store at a Redis URL; nothing is connected yet. `timeout` in seconds bounds each wait for Redis."""
        pool = ConnectionPool.from_url(
            url,
            decode_responses=True,
            protocol=2,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )
        return cls(pool.make_connection, partitions, on_round_trip, timeout / 2, secret)

    def command(self, *words: str | int) -> Any:
        """The reply to one command that may be sent twice."""
        return self.commands([words])[0]

    def now(self) -> int:
        """The time on the Redis server, by which all is judged, in microseconds since 1970 UTC."""
        return moment_of(self.command("TIME"))

    def commands(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands that may be sent twice, in one round trip; in none, if there are none."""
        replies = self._exchange(commands) if commands else []
        for reply in replies:
            if isinstance(reply, RedisError):
                raise _refused_by_redis(reply)
        return replies

    def run(
        self, name: str, names: Sequence[str], arguments: Sequence[str | int], guard: Guard | None = None
    ) -> list[str]:
        """Run one script in one round trip: its answer, the word first. `guard` is only for scripts that have one.

        Raises:
            Refusal: the one whose word the script answered, with what else the script answered as its fact.
        """
        answer = self.run_many(name, [(names, arguments)], guard)[0]
        if answer[0] in SCRIPTS[name].refusals:
            raise refusal_in(answer)
        return answer

    def run_many(
        self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[str | int]]], guard: Guard | None = None
    ) -> list[list[str]]:
        """Run one script for many, in one round trip: the answers, refusals among them as words."""
        script = SCRIPTS[name]
        digest = self._digest(script)
        if script.guarded:
            commands: list[Command] = []
            for names, arguments in calls:
                more_names, more_arguments = guards.words(guard, names[0])
                count = len(names) + len(more_names)
                commands.append(("EVALSHA", digest, count, *more_names, *names, *more_arguments, *arguments))
        else:
            commands = [("EVALSHA", digest, len(names), *names, *arguments) for names, arguments in calls]
        answers = self._exchange(commands)
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            # With its text, which Redis keeps: loaded first, it could be gone again by the time it is called.
            text = script.shebang_source if self._shebang else script.source
            again = self._exchange([("EVAL", text, *commands[i][2:]) for i in unknown])
            for i, answer in zip(unknown, again, strict=True):
                answers[i] = answer
        for answer in answers:
            if isinstance(answer, RedisError):
                raise _refused_by_redis(answer)
            if answer[0] not in script.answers and answer[0] not in script.refusals:
                raise RuntimeError(f"{name}.lua answered {answer[0]!r}, which its header does not name")
        if guard is not None:
            guard.read(answers)
        return answers

    def prepare(self) -> None:
        """Write down what this data is laid out for at the first start; compare it at every other.

        Asked for before the first exchange of a process, and again after Redis was lost: another may have come back.

        Raises:
            LayoutError: the data there is laid out for other settings.
            Unavailable
        """
        self._prepared = True
        wanted = {"partitions": str(self.partitions), "schema": SCHEMA}
        if self._secret is not None:
            wanted["secret"] = installation.mark_of(self._secret)
        try:
            self.commands([("HSETNX", keys.INSTALLATION, field, value) for field, value in wanted.items()])
            found = dict(zip(wanted, self.command("HMGET", keys.INSTALLATION, *wanted), strict=True))
        except Unavailable:
            self._prepared = False
            raise
        mark = found.pop("secret", None)
        refusals = [
            f"this Redis holds data with {field} {there}, the setting says {wanted[field]}"
            for field, there in found.items()
            if there != wanted[field]
        ]
        if self._secret is not None and mark is not None:
            refusals += filter(None, [installation.refusal(self._secret, mark)])
        if refusals:
            self._prepared = False
            raise LayoutError(refusals[0])

    def _digest(self, script: Script) -> str:
        if self._shebang is None:
            # `#!lua` is known from Redis 7 and Valkey on: with it a full or read-only server refuses a script whole.
            probe = self._exchange([("EVAL", "#!lua\nreturn 1", 0)])[0]
            if isinstance(probe, RedisError) and str(probe).startswith(_CANNOT_NOW):
                raise _refused_by_redis(probe)
            self._shebang = not isinstance(probe, RedisError)
        return _DIGESTS[script.name][self._shebang]

    def _connection(self) -> ConnectionInterface:
        connection: ConnectionInterface | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        return autopipeline.exchange(self._exchange_now, commands)

    def _exchange_now(self, commands: Sequence[Command]) -> list[Any]:
        if not self._prepared:
            try:
                self.prepare()
            except LayoutError as error:
                # Redis was away when this process started, or another one came back.
                raise Unavailable(f"This process is not set up for this data: {error}.") from error
        connection = self._connection()
        self._on_round_trip()
        try:
            return _send_and_read(connection, commands)
        except ConnectionLost:
            # Redis closed an idle connection or came back: everything sent through here may be sent twice.
            self._prepared = False
        except (TimedOut, OSError) as error:
            raise Unavailable("Redis did not answer in time.") from error
        try:
            return _send_and_read(connection, commands)
        except (ConnectionLost, TimedOut, OSError) as error:
            raise Unavailable("Redis cannot be reached.") from error


def moment_of(reply: Sequence[str]) -> int:
    """The answer to TIME in microseconds since 1970 UTC."""
    return int(reply[0]) * 1_000_000 + int(reply[1])


def answers(url: str) -> bool:
    """Whether a Redis answers there and has its data loaded."""
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
        # Anything that ends an exchange half way leaves replies behind, which the next one would take for its own.
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


_DIGESTS = {name: script.digests for name, script in SCRIPTS.items()}
