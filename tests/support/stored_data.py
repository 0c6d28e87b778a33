"""All data in Redis, to compare before and after a call that must change nothing, and to find it again."""

from collections.abc import Iterable
from typing import Any, NamedTuple


class Kept(NamedTuple):
    """The data of a key, and the milliseconds until it expires."""

    data: bytes
    expires_in: int


def dump(redis: Any) -> dict[str, bytes]:
    """Return the data of each key. Marks are left out: they mean nothing, and reads of codes write them, too."""
    return dump_keys(redis, (name for name in redis.keys("*") if not name.endswith(("}:mark", "}:mark:asked"))))


def dump_keys(redis: Any, names: Iterable[str]) -> dict[str, bytes]:
    """Return the data of some keys."""
    names = list(names)
    with redis.pipeline(transaction=False) as asked:
        for name in names:
            asked.dump(name)
        return dict(zip(names, asked.execute(), strict=True))


def keep(redis: Any) -> dict[str, Kept]:
    """Return all data, to restore them into an empty Redis."""
    found = dump_keys(redis, redis.keys("*"))
    return {name: Kept(data, max(0, redis.pttl(name))) for name, data in found.items()}


def restore(redis: Any, kept: dict[str, Kept]) -> None:
    """Replace all data by those that were kept."""
    redis.flushall()
    with redis.pipeline(transaction=False) as told:
        for name, each in kept.items():
            told.restore(name, each.expires_in, each.data)
        told.execute()
