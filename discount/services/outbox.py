"""The service of the outbox: list a brand's events in order, read entries, trim what every consumer has read."""

import time
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any

from discount.domain import events
from discount.domain.errors import Invalid, NoLongerKept, NotYetDurable
from discount.domain.event_types import Envelope
from discount.domain.events import Entry
from discount.services import event_index
from discount.services.pagination import Page
from discount.store import keys
from discount.store.connection import Store

#: The consumer group that turns events into deliveries.
GROUP = "deliveries"
#: Entries read in one round trip.
ENTRIES = 500
#: Entries examined for one page.
LOOKED_AT = 2_000
#: Entries removed at a time after their user was forgotten.
CUT = 1_000


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
    found, last, examined = _indexed(store, brand_id, start, types, limit)
    if len(found) == limit or examined >= LOOKED_AT:
        return _page(store, partition, found, last)
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


def has_readers(store: Store, partition: int) -> bool:
    """Return whether a consumer group reads the outbox."""
    stream = keys.events(partition)
    return bool(store.command("EXISTS", stream) and store.command("XINFO", "GROUPS", stream))


def delete(store: Store, partition: int, entry_ids: Sequence[str]) -> None:
    """Remove entries at once."""
    for first in range(0, len(entry_ids), CUT):
        store.command("XDEL", keys.events(partition), *entry_ids[first : first + CUT])


def cut(store: Store, partition: int, entry_ids: Sequence[str], after: str) -> None:
    """Hide entries at once, and let them be removed when every consumer group has finished the entry `after`."""
    score = _score(*events.parts(after))
    for first in range(0, len(entry_ids), CUT):
        rows = [part for each in entry_ids[first : first + CUT] for part in (score, each)]
        store.command("ZADD", keys.forgotten(partition), *rows)


def cut_read(store: Store, partition: int) -> int:
    """Remove hidden entries, CUT at most, whose readers have all gone on; return how many."""
    name = keys.forgotten(partition)
    if not store.command("EXISTS", name):
        return 0
    bound = min(_finished(store, keys.events(partition)), default=None)
    last = "+inf" if bound is None else f"({_score(*bound)}"
    entry_ids = store.command("ZRANGEBYSCORE", name, "-inf", last, "LIMIT", 0, CUT)
    if entry_ids:
        store.commands([("XDEL", keys.events(partition), *entry_ids), ("ZREM", name, *entry_ids)])
    return len(entry_ids)


def hidden(store: Store, partition: int, entries: Sequence[Entry]) -> set[str]:
    """Return the ids of those entries that name a forgotten user."""
    if not entries:
        return set()
    scores = store.command("ZMSCORE", keys.forgotten(partition), *(each.entry_id for each in entries))
    return {each.entry_id for each, score in zip(entries, scores, strict=True) if score is not None}


def trim(store: Store, partition: int, keep_seconds: int) -> int:
    """Remove entries older than `keep_seconds` that every consumer group has finished; return how many."""
    stream = keys.events(partition)
    seconds, _ = store.command("TIME")
    milliseconds, number = min([((int(seconds) - keep_seconds) * 1000, 0), *_finished(store, stream)])
    oldest = store.command("XRANGE", stream, "-", f"({milliseconds}-{number}", "COUNT", 1) if milliseconds > 0 else []
    if not oldest:
        return 0
    # Store the last removed id first: a reader that continues after an older event must be refused.
    last = store.command("XREVRANGE", stream, f"({milliseconds}-{number}", "-", "COUNT", 1)[0][0]
    _, trimmed = store.commands(
        [("SET", keys.trimmed(partition), last), ("XTRIM", stream, "MINID", f"{milliseconds}-{number}")]
    )
    return int(trimmed)


def waiting(store: Store, partition: int, group: str = GROUP) -> tuple[int, int | None]:
    """Return how many events a consumer group has not finished, and the time of the oldest.

    The time is in milliseconds since 1970 UTC.
    """
    stream = keys.events(partition)
    groups = [fields(each) for each in store.command("XINFO", "GROUPS", stream)]
    info = next((each for each in groups if each["name"] == group), None)
    if info is None:
        return 0, None
    pending = store.command("XPENDING", stream, group)
    try:
        unread = store.command("XRANGE", stream, f"({info['last-delivered-id']}", "+", "COUNT", 1)
    except NotYetDurable:
        # What a worker has read, and may not tell yet, is pending.
        unread = []
    oldest = [events.parts(pending[1])[0]] if pending[0] else []
    oldest += [events.parts(row[0])[0] for row in unread]
    # Once entries were deleted, Redis may not know how many are unread; then count one if there is any.
    lag = info["lag"] if info.get("lag") is not None else len(unread)
    return int(pending[0]) + int(lag), min(oldest, default=None)


def fields(row: Any) -> dict[str, Any]:
    """Return the fields of a row of XINFO, of a group or a consumer."""
    return row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True))


def _indexed(
    store: Store, brand_id: str, last: str, types: Collection[str], limit: int
) -> tuple[list[Entry], str, int]:
    """Return entries of a brand that its index leads to, the entry up to which it was read, and what that cost."""
    partition = keys.partition_of(brand_id, store.partitions)
    found: list[Entry] = []
    examined = 0
    while examined < LOOKED_AT:
        stretches, known = event_index.stretches_after(store, partition, brand_id, last)
        if known == last:
            break
        while stretches and examined < LOOKED_AT:
            batch = list(event_index.next_batch(stretches))
            stretches = stretches[len(batch) :]
            for rows in store.commands([_range(partition, each, last) for each in batch]):
                # Blocks may overlap after entries were cut.
                wanted = (row for row in rows if _is_after(row[0], last) and events.is_of(row, brand_id, types))
                found += events.read_entries(partition, islice(wanted, limit - len(found)))
                if len(found) == limit:
                    return found, found[-1].entry_id, examined
                last = max((last, *(row[0] for row in rows[-1:])), key=lambda each: events.parts(each or "0"))
            examined += sum(each.cost for each in batch)
        if stretches:
            break
        last = known
    return found, last, examined


def _range(partition: int, stretch: event_index.Stretch, last: str) -> tuple[str | int, ...]:
    first = f"({last}" if _is_after(last, stretch.first) else stretch.first
    return "XRANGE", keys.events(partition), first, stretch.last, "COUNT", ENTRIES


def _is_after(entry_id: str, other: str) -> bool:
    return bool(entry_id) and (not other or events.parts(entry_id) > events.parts(other))


def _finished(store: Store, stream: str) -> list[tuple[int, int]]:
    """Return for each consumer group the first entry that it has not finished, as milliseconds and number."""
    bounds = []
    for group in store.command("XINFO", "GROUPS", stream):
        info = fields(group)
        pending = store.command("XPENDING", stream, info["name"])
        if pending[0]:
            bounds.append(events.parts(pending[1]))
        else:
            milliseconds, number = events.parts(info["last-delivered-id"])
            bounds.append((milliseconds, number + 1))
    return bounds


def _score(milliseconds: int, number: int) -> int:
    """Return an entry's id as a score, which keeps sixteen digits. Redis adds no thousand entries in a millisecond."""
    return milliseconds * 1000 + min(number, 999)


def _start(store: Store, partition: int, after: str | None) -> str:
    """Return the id of the entry after which to read; '' for the beginning."""
    if after is None:
        return ""
    parsed = events.parse_event_id(after)
    if parsed is None or parsed[0] != partition:
        raise Invalid("after", "is not an event of this brand")
    trimmed = store.command("GET", keys.trimmed(partition))
    if trimmed and events.parts(parsed[1]) < events.parts(trimmed):
        raise NoLongerKept("Events after that one are no longer kept; ask without `after`.")
    return parsed[1]


def _page(store: Store, partition: int, found: list[Entry], last: str) -> Page[Envelope]:
    left_out = hidden(store, partition, found)
    shown = [each for each in found if each.entry_id not in left_out]
    by_number = discount_ids(store, partition, shown)
    envelopes = [events.envelope(entry, by_number) for entry in shown]
    if envelopes and last == shown[-1].entry_id:
        return Page(envelopes, envelopes[-1].id)
    return Page(envelopes, Entry(partition, last, {}).event_id if last else None)
