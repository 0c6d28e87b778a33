"""The events that name a user: found by the times of what the user did, so that no others need be read."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from discount.domain import events, ids
from discount.domain.events import Entry
from discount.services import deliveries, user_grants
from discount.services.pagination import read_all
from discount.store import keys
from discount.store.connection import Store
from discount.store.replies import pairs

#: Entries read in one round trip, where all have to be looked at.
ENTRIES = 1000
#: Moments looked up in one round trip, and entries read for each of them at first.
MOMENTS = 100
NEAR = 20
#: Milliseconds after a moment within which its entry stands: the script that took the time wrote it.
WITHIN = 10


def newest_places(store: Store) -> list[str]:
    """Where the newest event of each partition stands; the beginning, where there is none."""
    replies = store.commands(
        [("XREVRANGE", keys.events(each), "+", "-", "COUNT", 1) for each in range(store.partitions)]
    )
    return [reply[0][0] if reply else "0-0" for reply in replies]


def granted_at(store: Store, user_id: str, brand_id: str | None) -> dict[int, list[int]]:
    """When the user was given the codes that it holds, by partition."""
    found: dict[int, list[int]] = {}
    for each in read_all(partial(user_grants.list_of_user, store, user_id, brand_id=brand_id, limit=MOMENTS)):
        found.setdefault(ids.partition_of(each.discount_id), []).append(each.granted_at)
    return found


def delete(store: Store, partition: int, user_id: str, brand_id: str | None, granted: Sequence[int]) -> int:
    """Delete the events of what the user holds and has redeemed, of one brand or of all; how many those were.

    Where the clock of Redis went back, an entry stands elsewhere. If one is missing, all entries are looked at.
    """
    moments = dict.fromkeys(granted, True) | _redeemed_at(store, partition, user_id, brand_id)
    found = {
        each.place: each for each in _near(store, partition, sorted(moments)) if _concerns(each, user_id, brand_id)
    }
    seen = {int(each.fields["at"]) for each in found.values()}
    missing = [at for at, certain in moments.items() if certain and at not in seen]
    deleted = _delete(store, partition, user_id, list(found.values()))
    if missing and _kept(store, partition, max(missing)):
        deleted += delete_after(store, partition, user_id, brand_id, "0-0")
    return deleted


def delete_after(store: Store, partition: int, user_id: str, brand_id: str | None, place: str) -> int:
    """Delete the user's events that stand after a place, by a look at every entry there; how many those were."""
    deleted = 0
    while True:
        reply = store.command("XRANGE", keys.events(partition), f"({place}", "+", "COUNT", ENTRIES)
        entries = events.read_entries(partition, reply)
        concerned = [each for each in entries if _concerns(each, user_id, brand_id)]
        deleted += _delete(store, partition, user_id, concerned)
        if len(reply) < ENTRIES:
            return deleted
        place = reply[-1][0]


def _redeemed_at(store: Store, partition: int, user_id: str, brand_id: str | None) -> dict[int, bool]:
    """When the user redeemed, held, confirmed and rolled back; whether it is sure that an event was written then."""
    found: dict[int, bool] = {}
    names = ("brand", "user", "hold_until", "earlier_at", "confirmed_at", "rolled_back_at")
    listed = keys.user_redemptions(partition, user_id)
    first = 0
    while True:
        rows = list(pairs(store.command("ZRANGE", listed, first, first + MOMENTS - 1, "WITHSCORES")))
        replies = store.commands([("HMGET", keys.redemption(partition, each), *names) for each, _ in rows])
        for (_, score), (brand, by, hold_until, earlier, *later) in zip(rows, replies, strict=True):
            if brand_id in (None, brand):
                # An order whose hold was over may be another user's now.
                found[int(float(score))] = by == user_id and not hold_until
                found |= {int(at): False for at in (earlier or "").split()}
                found |= {int(at): by == user_id for at in later if at}
        if len(rows) < MOMENTS:
            return found
        first += MOMENTS


def _near(store: Store, partition: int, moments: Sequence[int]) -> Iterator[Entry]:
    """Entries that stand where the events of some moments stand."""
    stream = keys.events(partition)
    for first in range(0, len(moments), MOMENTS):
        starts: Mapping[int, str] = {at: str(at // 1000) for at in moments[first : first + MOMENTS]}
        count = NEAR
        while starts:
            replies = store.commands(
                [("XRANGE", stream, start, at // 1000 + WITHIN, "COUNT", count) for at, start in starts.items()]
            )
            full = {}
            for at, reply in zip(starts, replies, strict=True):
                yield from events.read_entries(partition, reply)
                if len(reply) == count and int(reply[-1][1][3]) <= at:
                    full[at] = "(" + reply[-1][0]
            starts, count = full, ENTRIES


def _kept(store: Store, partition: int, moment: int) -> bool:
    """Whether entries of that time are kept still."""
    oldest = store.command("XRANGE", keys.events(partition), "-", "+", "COUNT", 1)
    return bool(oldest) and int(oldest[0][0].partition("-")[0]) <= moment // 1000


def _concerns(entry: Entry, user_id: str, brand_id: str | None) -> bool:
    return entry.fields.get("user") == user_id and brand_id in (None, entry.fields["brand"])


def _delete(store: Store, partition: int, user_id: str, entries: Sequence[Entry]) -> int:
    """Delete entries, and the e-mails that they owed the user."""
    if entries:
        told = [deliveries.id_of(partition, each.event_id, "email", f"user:{user_id}") for each in entries]
        deliveries.remove(store, told)
        store.command("XDEL", keys.events(partition), *(each.place for each in entries))
    return len(entries)
