"""The service of the outbox: list a brand's events in order, read entries, trim what every consumer has read."""

import time
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any

from discount.domain import events
from discount.domain.errors import Invalid, NoLongerKept
from discount.domain.events import Entry, Envelope
from discount.services.pagination import Page
from discount.store import keys
from discount.store.connection import Store

#: The consumer group that turns events into deliveries.
GROUP = "deliveries"
#: Entries read in one round trip.
ENTRIES = 500
#: Entries examined for one page.
LOOKED_AT = 2_000


def list_page(
    store: Store,
    brand_id: str,
    *,
    after: str | None = None,
    types: Collection[str] = (),
    limit: int = 100,
    wait: float = 0,
) -> Page[Envelope]:
    """Return a page of a brand's events in the order in which they happened.

    At most `LOOKED_AT` entries of the partition are examined, so a page with a next one can be shorter than `limit`.

    Args:
        after: an event's id, or `next` of the page before; None begins with the oldest event that is kept.
        types: the types to list; none for all.
        wait: seconds to wait if there is no event yet.

    Raises:
        Invalid: `after` is not an event of this brand.
        NoLongerKept: events after that one were trimmed.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    stream, start = keys.events(partition), _start(store, partition, after)
    until = time.monotonic() + wait
    found: list[Entry] = []
    examined, last = 0, start
    while True:
        reply = store.command("XRANGE", stream, f"({last}" if last else "-", "+", "COUNT", ENTRIES)
        wanted = (row for row in reply if events.is_of(row, brand_id, types))
        found += events.read_entries(partition, islice(wanted, limit - len(found)))
        if len(found) == limit:
            return _page(store, partition, found, found[-1].entry_id)
        last = reply[-1][0] if reply else last
        examined += len(reply)
        if len(reply) == ENTRIES and examined < LOOKED_AT:
            continue
        left = until - time.monotonic()
        if found or len(reply) == ENTRIES or left <= 0:
            return _page(store, partition, found, last)
        # Block until there is a new entry, but for less time than a connection waits for a reply.
        store.command("XREAD", "BLOCK", max(1, int(min(left, store.patience) * 1000)), "STREAMS", stream, last or "0")


def discount_ids(store: Store, partition: int, entries: Sequence[Entry]) -> dict[str, str]:
    """Return the ids of the discounts that entries refer to, by short number."""
    numbers = events.numbers_in(entries)
    if not numbers:
        return {}
    found = store.command("HMGET", keys.numbers(partition), *numbers)
    return {number: discount_id for number, discount_id in zip(numbers, found, strict=True) if discount_id}


def read_entry(store: Store, partition: int, entry_id: str) -> Entry | None:
    """Return an entry by its id; None if it is no longer kept."""
    found = read_entries(store, partition, [entry_id])
    return found[0] if found else None


def read_entries(store: Store, partition: int, entry_ids: Sequence[str]) -> list[Entry]:
    """Return those of the entries that are still kept."""
    replies = store.commands([("XRANGE", keys.events(partition), each, each) for each in entry_ids])
    return events.read_entries(partition, [row for reply in replies for row in reply])


def trim(store: Store, partition: int, keep_seconds: int) -> int:
    """Remove entries older than `keep_seconds` that every consumer group has finished; return how many."""
    stream = keys.events(partition)
    (seconds, _), groups = store.commands([("TIME",), ("XINFO", "GROUPS", stream)])
    bounds = [((int(seconds) - keep_seconds) * 1000, 0)]
    for group in groups:
        info = fields(group)
        pending = store.command("XPENDING", stream, info["name"])
        if pending[0]:
            bounds.append(_parts(pending[1]))
        else:
            milliseconds, number = _parts(info["last-delivered-id"])
            bounds.append((milliseconds, number + 1))
    milliseconds, number = min(bounds)
    oldest = store.command("XRANGE", stream, "-", f"({milliseconds}-{number}", "COUNT", 1) if milliseconds > 0 else []
    if not oldest:
        return 0
    # Store the last removed id first: a reader that continues after an older event must be refused.
    last = store.command("XREVRANGE", stream, f"({milliseconds}-{number}", "-", "COUNT", 1)[0][0]
    _, trimmed = store.commands(
        [("SET", keys.trimmed(partition), last), ("XTRIM", stream, "MINID", f"{milliseconds}-{number}")]
    )
    return int(trimmed)


def waiting(store: Store, partition: int) -> tuple[int, int | None]:
    """Return how many events await planning, and the time of the oldest in milliseconds since 1970 UTC."""
    stream = keys.events(partition)
    groups = [fields(each) for each in store.command("XINFO", "GROUPS", stream)]
    group = next((each for each in groups if each["name"] == GROUP), None)
    if group is None:
        return 0, None
    pending, unread = store.commands(
        [("XPENDING", stream, GROUP), ("XRANGE", stream, f"({group['last-delivered-id']}", "+", "COUNT", 1)]
    )
    oldest = [_parts(pending[1])[0]] if pending[0] else []
    oldest += [_parts(row[0])[0] for row in unread]
    # Once entries were deleted, Redis may not know how many are unread; then count one if there is any.
    lag = group["lag"] if group.get("lag") is not None else len(unread)
    return int(pending[0]) + int(lag), min(oldest, default=None)


def fields(row: Any) -> dict[str, Any]:
    """Return the fields of a row of XINFO, of a group or a consumer."""
    return row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True))


def _start(store: Store, partition: int, after: str | None) -> str:
    """Return the id of the entry after which to read; '' for the beginning."""
    if after is None:
        return ""
    parsed = events.place_of(after)
    if parsed is None or parsed[0] != partition:
        raise Invalid("after", "is not an event of this brand")
    trimmed = store.command("GET", keys.trimmed(partition))
    if trimmed and _parts(parsed[1]) < _parts(trimmed):
        raise NoLongerKept("Events after that one are no longer kept; ask without `after`.")
    return parsed[1]


def _page(store: Store, partition: int, found: list[Entry], last: str) -> Page[Envelope]:
    by_number = discount_ids(store, partition, found)
    envelopes = [events.envelope(entry, by_number) for entry in found]
    if envelopes and last == found[-1].entry_id:
        return Page(envelopes, envelopes[-1].id)
    return Page(envelopes, Entry(partition, last, {}).event_id if last else None)


def _parts(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)
