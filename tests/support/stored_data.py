"""All data in Redis, to compare before and after a call that must change nothing."""

from typing import Any


def dump(redis: Any) -> dict[str, bytes]:
    """Return the data of each key. Marks are left out: they mean nothing, and reads of codes write them, too."""
    names = [name for name in redis.keys("*") if not name.endswith(("}:mark", "}:mark:asked"))]
    return {name: redis.dump(name) for name in names}
