"""The setting DURABILITY: how each piece of an exchange ends. This module does no input or output.

    tail = durability.tail(kind, commands)      # sent behind the commands, on the same connection; often empty
    replies = read(commands, tail, replies)     # the replies to the commands alone

| mode | tail | its reply means |
|---|---|---|
| `fast` | none | |
| `replicated` | `SET {pp}:mark 1`, `WAIT n t` | n replicas have all that this node wrote before |
| `synced` | `SET {pp}:mark 1`, `WAIT n t`, `WAITAOF 1 n t` | n replicas and this node have it on disk |

A WAIT covers everything that the node wrote before it, from any connection. But it looks at the last write of its own
connection, and passes at once after a script that only read. So the mark, a write, comes before it: a call that is
repeated on another connection waits, too. One tail is enough for all commands that share an exchange with a node.

A node to which a partition is moving gets a mark of another name, which expires at once. The partition's own mark
moves with its keys, and could not move to a node that has it already.

A replica tells what is on its disk when it is asked, before it has synced what came along with the question. Its next
word would come a second later. So `synced` asks twice, and the WAIT before WAITAOF is the first question.

If too few replicas confirm in time, the commands that need it get `NotSafe` instead of their replies. What they wrote
stays; the same call gets the same answer once the replicas have it. The tail is kept with the piece that was sent, so
a change of the setting cannot leave a reply on a connection.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from redis import RedisError
from redis.exceptions import AskError, TryAgainError

from discount.store import keys
from discount.store.scripts import PROBE, SCRIPTS

Mode = Literal["fast", "replicated", "synced"]
MODES: tuple[Mode, ...] = get_args(Mode)
Command = tuple[str | int, ...]

NOT_SAFE = "What was asked for is not yet safe: too few replicas of this node have confirmed it in time."

# Keys that hold a code, or a fact about one that callers see.
_SHOWN = re.compile(r"\{..\}:(discount:[^:]+:(grants:|codes$)|users:|redemptions:|events$)")
_READS = frozenset(
    (
        *("GET", "MGET", "EXISTS", "STRLEN", "TTL", "TYPE", "BITCOUNT", "BITPOS", "GETBIT"),
        *("HEXISTS", "HGET", "HGETALL", "HLEN", "HMGET", "HSCAN", "LINDEX", "LLEN", "LPOS", "LRANGE"),
        *("SCARD", "SISMEMBER", "SMEMBERS", "SSCAN", "XRANGE", "XREVRANGE"),
        *("ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYSCORE", "ZSCAN", "ZSCORE"),
    )
)
# Scripts that show nothing, as EVALSHA and EVAL name them: one that only counts a request, and the probe. A count that
# waits would fail, and limit no caller.
_SHOW_NOTHING = SCRIPTS["count"].forms() | {PROBE}
# Commands that show nothing to a caller and change nothing that is answered. A worker waits once a turn instead.
_NEVER = frozenset(
    (
        *("PING", "TIME", "INFO", "ROLE", "XINFO", "XLEN", "XPENDING"),
        *("XREADGROUP", "XAUTOCLAIM", "XACK", "XGROUP", "XTRIM"),
    )
)


class NotSafe(RedisError):
    """An error: data may be lost with one machine. The same command may be sent again."""


@dataclass(frozen=True, slots=True)
class Durability:
    """The time for which an answer waits, and the number of replicas.

    Args:
        chosen: the mode; without one it is `replicated` where there is a failover, and `fast` elsewhere.
        replicas: how many replicas have to confirm.
        milliseconds: the most that one exchange waits for them.
    """

    chosen: Mode | None = None
    replicas: int = 1
    milliseconds: int = 500

    def mode(self, kind: str) -> Mode:
        """Return the mode for one Redis, for a primary that Sentinels name, or for a Cluster.

        A server that has not yet said what it is may be a node of a Cluster.
        """
        return self.chosen or ("fast" if kind == "one" else "replicated")

    def tail(self, kind: str, commands: Sequence[Command]) -> tuple[Command, ...]:
        """Return what is sent behind commands for one node: nothing if none of them has to wait."""
        mode = self.mode(kind)
        if mode == "fast":
            return ()
        for command in commands:
            if has_to_wait(command):
                return self._wait(mode, keys.partition_of_command(command) or 0)
        return ()

    def _wait(self, mode: Mode, partition: int) -> tuple[Command, ...]:
        mark = ("SET", keys.mark(partition), 1)
        if mode == "synced":
            half = self.milliseconds // 2
            return (mark, ("WAIT", self.replicas, half), ("WAITAOF", 1, self.replicas, half))
        return (mark, ("WAIT", self.replicas, self.milliseconds))


def of_asked(tail: Sequence[Command]) -> tuple[Command, ...]:
    """Return a tail as a node gets it to which the partition is still moving."""
    if not tail:
        return ()
    partition = keys.partition_of_command(tail[0]) or 0
    return ("SET", keys.mark_of_asked(partition), 1, "PX", 1), *tail[1:]


def has_to_wait(command: Command) -> bool:
    """Return whether the reply to a command may be used only once it is safe.

    That is so for scripts but two, for writes, and for reads that show a code. Even a script that refuses has read the
    writes of others.
    """
    name = command[0]
    if name in ("EVALSHA", "EVAL"):
        return command[1] not in _SHOW_NOTHING
    if name in _NEVER:
        return False
    if name == "XREAD":
        return any(_SHOWN.match(str(part)) for part in command[1:])
    return name not in _READS or _SHOWN.match(str(command[1])) is not None


def read(commands: Sequence[Command], tail: Sequence[Command], replies: Sequence[Any]) -> list[Any]:
    """Return the replies to commands out of all replies to a piece. Errors are values.

    Those that had to wait, and were not made safe, are replaced by `NotSafe`. A mark that another node has by now says
    nothing about this one: then they are to be sent again, and the reply is a TryAgainError.
    """
    if not tail:
        return list(replies)
    own, of_tail = list(replies[: len(commands)]), replies[len(commands) :]
    if is_safe(tail, of_tail):
        return own
    # A MovedError is an AskError, too.
    moving = isinstance(of_tail[0], AskError | TryAgainError)
    error: RedisError = TryAgainError("TRYAGAIN the mark is moving") if moving else NotSafe(NOT_SAFE)
    for place, command in enumerate(commands):
        if not isinstance(own[place], RedisError) and has_to_wait(command):
            own[place] = error
    return own


def is_safe(tail: Sequence[Command], replies: Sequence[Any]) -> bool:
    """Return whether the replies to a tail say what was asked for."""
    command, mark, reply = tail[-1], replies[0], replies[-1]
    if mark != "OK" or isinstance(reply, RedisError):
        return False
    if command[0] == "WAIT":
        return int(reply) >= int(command[1])
    return all(int(given) >= int(asked) for given, asked in zip(reply, command[1:3], strict=True))
