"""Lists by time over several sorted sets: the newest first, page by page."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from discount.store.connection import Store
from discount.store.replies import pairs


def newest_rows(
    store: Store, zsets: Sequence[str], before: tuple[int, str] | None, count: int, *, since: int = 0
) -> list[tuple[int, str]]:
    """Times and ids of the newest entries before a place and not before a time, merged over the sets."""
    # The page's last moment is asked for again: there may be more of the same microsecond, in this set or another.
    top = str(before[0]) if before else "+inf"
    asked = count + 1
    while True:
        replies = store.commands(
            [("ZREVRANGEBYSCORE", zset, top, since or "-inf", "WITHSCORES", "LIMIT", 0, asked) for zset in zsets]
        )
        sets = [[(int(float(score)), each) for each, score in pairs(reply)] for reply in replies]
        left = [[row for row in rows if before is None or row < before] for rows in sets]
        # What the page before had is no row of this one; a set that had many of them may have more to give.
        if all(len(rows) < asked or len(own) >= count for rows, own in zip(sets, left, strict=True)):
            return sorted((row for own in left for row in own), reverse=True)[:count]
        asked *= 2


class Page(Protocol):
    """What all pages have: where the next one begins."""

    @property
    def next(self) -> str | None: ...


P = TypeVar("P", bound=Page)
T = TypeVar("T")


def read_on(list_some: Callable[..., P], rows: Callable[[P], Iterable[T]]) -> Iterator[T]:
    """What stands on all pages, in constant memory. Reads the first page at once, and so raises what that raises.

    Args:
        list_some: gives a page, the one at `cursor` if that is given.
        rows: what stands on a page.
    """
    page = list_some()

    def read() -> Iterator[T]:
        following = page
        while True:
            yield from rows(following)
            if following.next is None:
                return
            following = list_some(cursor=following.next)

    return read()
