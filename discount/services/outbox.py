"""The verbs of the outbox: read a brand's events in order, from any place on, and cut off what all have read."""

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

#: The group of consumers that turn events into deliveries.
GROUP = "deliveries"
#: Entries read in one round trip, and looked at for one page.
ENTRIES = 500
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
    """A brand's events in the order in which they happened, those after one that is named, of some types or of all.

    Looks at so many entries of the partition at most; a page can be shorter than asked for, and have a next one.

    Args:
        after: an event's id, or `next` of the page before; without one, from the oldest that is kept.
        wait: seconds to wait for the first event, if there is none yet.

    Raises:
        Invalid: `after` is no event of the brand's.
        NoLongerKept: events after that one have been cut off since.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    stream, place = keys.events(partition), _start(store, partition, after)
    until = time.monotonic() + wait
    found: list[Entry] = []
    looked_at, last = 0, place
    while True:
        reply = store.command("XRANGE", stream, f"({last}" if last else "-", "+", "COUNT", ENTRIES)
        wanted = (row for row in reply if events.is_of(row, brand_id, types))
        found += events.read_entries(partition, islice(wanted, limit - len(found)))
        if len(found) == limit:
            return _page(store, partition, found, found[-1].place)
        last = reply[-1][0] if reply else last
        looked_at += len(reply)
        if len(reply) == ENTRIES and looked_at < LOOKED_AT:
            continue
        left = until - time.monotonic()
        if found or len(reply) == ENTRIES or left <= 0:
            return _page(store, partition, found, last)
        # Redis says when there is something new, within what a connection waits for an answer.
        store.command("XREAD", "BLOCK", max(1, int(min(left, store.patience) * 1000)), "STREAMS", stream, last or "0")


def discount_ids(store: Store, partition: int, entries: Sequence[Entry]) -> dict[str, str]:
    """Ids of the discounts that entries speak of, by short number."""
    numbers = events.numbers_in(entries)
    if not numbers:
        return {}
    found = store.command("HMGET", keys.numbers(partition), *numbers)
    return {number: discount_id for number, discount_id in zip(numbers, found, strict=True) if discount_id}


def read_entry(store: Store, partition: int, place: str) -> Entry | None:
    """An entry, if it is kept still."""
    found = read_entries(store, partition, [place])
    return found[0] if found else None


def read_entries(store: Store, partition: int, places: Sequence[str]) -> list[Entry]:
    """Those of the entries at these places that are kept still."""
    replies = store.commands([("XRANGE", keys.events(partition), each, each) for each in places])
    return events.read_entries(partition, [row for reply in replies for row in reply])


def trim(store: Store, partition: int, keep_seconds: int) -> int:
    """Cut off entries that are older than that and that every group of consumers is done with; how many."""
    stream = keys.events(partition)
    (seconds, _), groups = store.commands([("TIME",), ("XINFO", "GROUPS", stream)])
    bounds = [((int(seconds) - keep_seconds) * 1000, 0)]
    for group in groups:
        told = fields(group)
        pending = store.command("XPENDING", stream, told["name"])
        if pending[0]:
            bounds.append(_parts(pending[1]))
        else:
            milliseconds, number = _parts(told["last-delivered-id"])
            bounds.append((milliseconds, number + 1))
    milliseconds, number = min(bounds)
    oldest = store.command("XRANGE", stream, "-", f"({milliseconds}-{number}", "COUNT", 1) if milliseconds > 0 else []
    if not oldest:
        return 0
    # Before it is gone: who asks for what follows an event must be told if some of that is gone.
    last = store.command("XREVRANGE", stream, f"({milliseconds}-{number}", "-", "COUNT", 1)[0][0]
    _, trimmed = store.commands(
        [("SET", keys.trimmed(partition), last), ("XTRIM", stream, "MINID", f"{milliseconds}-{number}")]
    )
    return int(trimmed)


def waiting(store: Store, partition: int) -> tuple[int, int | None]:
    """Events that no delivery is planned for yet, and since when the oldest waits, in milliseconds since 1970."""
    stream = keys.events(partition)
    groups = [fields(each) for each in store.command("XINFO", "GROUPS", stream)]
    ours = next((each for each in groups if each["name"] == GROUP), None)
    if ours is None:
        return 0, None
    pending, unread = store.commands(
        [("XPENDING", stream, GROUP), ("XRANGE", stream, f"({ours['last-delivered-id']}", "+", "COUNT", 1)]
    )
    oldest = [_parts(pending[1])[0]] if pending[0] else []
    oldest += [_parts(row[0])[0] for row in unread]
    # Redis does not know how many are unread once some were deleted; then it is one at least.
    lag = ours["lag"] if ours.get("lag") is not None else len(unread)
    return int(pending[0]) + int(lag), min(oldest, default=None)


def fields(row: Any) -> dict[str, Any]:
    """What Redis tells of a group or a consumer."""
    return row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True))


def _start(store: Store, partition: int, after: str | None) -> str:
    """The place after which to read; '' for the beginning."""
    if after is None:
        return ""
    named = events.place_of(after)
    if named is None or named[0] != partition:
        raise Invalid("after", "is no event of this brand")
    trimmed = store.command("GET", keys.trimmed(partition))
    if trimmed and _parts(named[1]) < _parts(trimmed):
        raise NoLongerKept("Events after that one are no longer kept; ask without `after`.")
    return named[1]


def _page(store: Store, partition: int, found: list[Entry], last: str) -> Page[Envelope]:
    by_number = discount_ids(store, partition, found)
    told = [events.envelope(entry, by_number) for entry in found]
    if told and last == found[-1].place:
        return Page(told, told[-1].id)
    return Page(told, Entry(partition, last, {}).event_id if last else None)


def _parts(place: str) -> tuple[int, int]:
    milliseconds, _, number = place.partition("-")
    return int(milliseconds), int(number or 0)
