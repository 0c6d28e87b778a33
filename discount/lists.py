"""Lists by time over several sorted sets: the newest first, page by page."""

from collections.abc import Iterator, Sequence

from discount.store import Store


def newest(
    store: Store, zsets: Sequence[str], before: tuple[int, str] | None, count: int, *, since: int = 0
) -> list[tuple[int, str]]:
    """Times and ids of the newest entries before a place and not before a time, merged over the sets."""
    # The page's last moment is asked for again: another set may have an entry of the same microsecond.
    top = str(before[0]) if before else "+inf"
    replies = store.commands(
        [("ZREVRANGEBYSCORE", zset, top, since or "-inf", "WITHSCORES", "LIMIT", 0, count + 1) for zset in zsets]
    )
    rows = [(int(float(score)), each) for reply in replies for each, score in pairs(reply)]
    rows.sort(reverse=True)
    return [row for row in rows if before is None or row < before][:count]


def pairs(reply: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What Redis gives as one flat list, two by two."""
    return zip(reply[::2], reply[1::2], strict=True)
