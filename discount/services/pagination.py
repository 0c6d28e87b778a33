"""Pages of lists, and the scan that fills a page from sorted sets in which the score is a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from discount.domain.cursors import bad_cursor, make_cursor, read_cursor
from discount.domain.errors import Unavailable
from discount.services.partitions import ask_each
from discount.store.connection import Store
from discount.store.exchanges import Command
from discount.store.keys import partition_in
from discount.store.replies import pairs

T = TypeVar("T")
P = TypeVar("P", bound="Page[Any]")
#: A member of a sorted set: its time in microseconds since 1970 UTC, and its id.
Row = tuple[int, str]
#: Reads several lists: from the latest moment that is wanted, or None, at most that many rows of each, newest first.
#: Returns the rows of each list, and the partitions that could not be asked.
ReadSets = Callable[[int | None, int], tuple[Sequence[Sequence[Row]], Sequence[int]]]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list, and the cursor of the page after it; None on the last page.

    `missing` are the partitions that could not be asked: their items are left out.
    """

    items: list[T]
    next: str | None
    missing: tuple[int, ...] = ()


def read_row_cursor(cursor: str, is_id: Callable[[str], object]) -> Row:
    """Return the row at which the page before ended.

    Args:
        is_id: accepts an id of the kind that the list holds.

    Raises:
        Invalid: this service did not make the cursor for such a list.
    """
    score, row_id = read_cursor(cursor)
    if not is_id(row_id):
        raise bad_cursor()
    return score, row_id


def list_newest(
    read_sets: ReadSets,
    read: Callable[[list[Row]], Mapping[Row, T | None]],
    *,
    is_id: Callable[[str], object],
    limit: int,
    cursor: str | None,
    keep: Callable[[T], bool] = lambda _: True,
    batch: int = 0,
    most_rows: int = 0,
    until: int | None = None,
) -> Page[T]:
    """Return a page of what several lists have, newest first. A page can be shorter than `limit`.

    Args:
        read: returns the items that exist, by row.
        keep: the filter.
        batch: rows read in one round trip; `limit` by default.
        most_rows: rows examined before the page ends early; `limit` by default.
        until: the time before which to begin, in microseconds since 1970 UTC, unless a cursor is given.

    Raises:
        Invalid: the cursor was not made for this list.
        Unavailable: none of the lists could be read.
    """
    batch = batch or limit
    # Every id sorts after the empty string, so rows of the moment `until` itself are left out.
    before = read_row_cursor(cursor, is_id) if cursor else None if until is None else (until, "")
    found: list[T] = []
    examined = 0
    missing: set[int] = set()
    while True:
        rows, away = newest_rows(read_sets, before, batch + 1)
        missing.update(away)
        more = len(rows) > batch
        rows = rows[:batch]
        items = read(rows)
        for row in rows:
            before = row
            item = items.get(row)
            if item is not None and keep(item):
                found.append(item)
                if len(found) == limit:
                    more = more or row != rows[-1]
                    return Page(found, make_cursor(*row) if more else None, tuple(sorted(missing)))
        examined += len(rows)
        if not more or examined >= (most_rows or limit):
            return Page(found, make_cursor(*before) if more and before else None, tuple(sorted(missing)))


def by_id(read: Callable[[list[str]], Mapping[str, T | None]]) -> Callable[[list[Row]], Mapping[Row, T | None]]:
    """Return what reads items by row, from what reads them by id."""

    def read_rows(rows: list[Row]) -> Mapping[Row, T | None]:
        items = read([row_id for _, row_id in rows])
        return {row: items.get(row[1]) for row in rows}

    return read_rows


def zsets_of(store: Store, zsets: Sequence[str], *, since: int | None = None) -> ReadSets:
    """Return what reads sorted sets of different partitions, in which the score is a time."""
    by_partition = {partition_in(zset): zset for zset in zsets}

    def read_sets(until: int | None, most: int) -> tuple[list[list[Row]], list[int]]:
        def ask(partition: int) -> Command:
            return newest_in_set(by_partition[partition], since or 0, until, most)

        replies, missing = ask_each(store, ask, by_partition)
        return [[(int(float(score)), each) for each, score in pairs(reply)] for reply in replies.values()], missing

    return read_sets


def newest_rows(read_sets: ReadSets, before: Row | None, count: int) -> tuple[list[Row], list[int]]:
    """Return the newest rows before a row, merged over several lists; a row that two of them have is there once.

    Also return the partitions that could not be asked.
    """
    # Rows of the same microsecond may be left, in this list or another: the read begins at that moment again.
    wanted = count + 1
    while True:
        sets, missing = read_sets(before[0] if before else None, wanted)
        left = [[row for row in rows if before is None or row < before] for rows in sets]
        # Rows that the page before listed are dropped; a list that lost many of them may hold more.
        if all(len(rows) < wanted or len(own) >= count for rows, own in zip(sets, left, strict=True)):
            return sorted({row for own in left for row in own}, reverse=True)[:count], list(missing)
        wanted *= 2


def newest_in_set(zset: str, since: int, until: int | None, most: int) -> Command:
    """Return the command that reads a sorted set from the latest moment on, newest first."""
    return (
        *("ZREVRANGEBYSCORE", zset, "+inf" if until is None else until, since or "-inf"),
        *("WITHSCORES", "LIMIT", 0, most),
    )


def oldest_rows(store: Store, zset: str, after: Row | None, limit: int) -> tuple[list[Row], str | None]:
    """Return rows of a sorted set, oldest first, and the cursor of the next page. No two rows have the same time."""
    since = f"({after[0]}" if after else "-inf"
    reply = store.command("ZRANGEBYSCORE", zset, since, "+inf", "WITHSCORES", "LIMIT", 0, limit + 1)
    rows = [(int(float(score)), row_id) for row_id, score in pairs(reply)]
    return rows[:limit], make_cursor(*rows[limit - 1]) if len(rows) > limit else None


def read_pages(list_page: Callable[..., P]) -> Iterator[P]:
    """Yield the pages of a list. The first one is read at once, so its errors are raised here.

    Args:
        list_page: returns the first page, or the page at `cursor`.

    Raises:
        Unavailable: something is missing, which a reader of the whole list would not notice.
    """
    first = _whole(list_page())

    def read() -> Iterator[P]:
        page = first
        yield page
        while page.next is not None:
            page = _whole(list_page(cursor=page.next))
            yield page

    return read()


def _whole(page: P) -> P:
    if page.missing:
        raise Unavailable("A part of this list cannot be reached.")
    return page


def read_all(list_page: Callable[..., Page[T]]) -> Iterator[T]:
    """Yield the items of all pages, in constant memory; like `read_pages`, it reads the first page at once."""
    return (item for page in read_pages(list_page) for item in page.items)
