"""The entries of one user, found by the times of the user's grants and redemptions, without reading all entries."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from discount.domain import events, ids
from discount.domain.events import Entry
from discount.services import deliveries, discounts, redemption_records, revocations, user_grants
from discount.services.pagination import read_all
from discount.store import keys
from discount.store.connection import Store

#: Entries read in one round trip where every entry is examined.
ENTRIES = 1000
#: Moments looked up in one round trip.
MOMENTS = 100
#: Entries read at first for each moment.
NEAR = 20
#: Milliseconds after a moment within which its entry was written: by the script that read the clock.
WITHIN = 10


def newest_entries(store: Store) -> list[str]:
    """Return the id of the newest entry of each partition; `0-0` where there is none."""
    replies = store.commands(
        [("XREVRANGE", keys.events(each), "+", "-", "COUNT", 1) for each in range(store.partitions)]
    )
    return [reply[0][0] if reply else "0-0" for reply in replies]


def granted_at(store: Store, user_id: str, brand_id: str | None) -> dict[int, list[int]]:
    """Return when the user was granted codes or lost them, by partition, in microseconds since 1970 UTC."""
    found: dict[int, list[int]] = {}
    for each in read_all(partial(user_grants.list_of_user, store, user_id, brand_id=brand_id, limit=MOMENTS)):
        found.setdefault(ids.partition_of(each.discount_id), []).append(each.granted_at)
    for partition in keys.partitions_of(brand_id, store.partitions):
        for lost in revocations.list_of_user(store, partition, user_id, brand_id):
            found.setdefault(partition, []).extend((lost.granted_at, lost.revoked_at))
    return found


def find(store: Store, partition: int, user_id: str, brand_id: str | None, granted: Sequence[int]) -> set[str]:
    """Return the ids of the entries of a user's grants and redemptions, of one brand or of all.

    E-mails to the user that they led to are removed.

    If the clock of Redis was set back, an entry is not where its time says. If one is missing, all are examined.
    """
    loose = _loose_from(store, partition, user_id)
    if loose is not None:
        return find_after(store, partition, user_id, brand_id, f"{loose // 1000 - 1}-0") | _find_near(
            store, partition, user_id, brand_id, granted
        )
    return _find_near(store, partition, user_id, brand_id, granted)


def _find_near(store: Store, partition: int, user_id: str, brand_id: str | None, granted: Sequence[int]) -> set[str]:
    """Return the entries that were written at the times of the user's grants and redemptions."""
    moments = dict.fromkeys(granted, True) | _redeemed_at(store, partition, user_id, brand_id)
    found = {
        each.entry_id: each for each in _near(store, partition, sorted(moments)) if _concerns(each, user_id, brand_id)
    }
    seen = {int(each.fields["at"]) for each in found.values()}
    missing = [at for at, certain in moments.items() if certain and at not in seen]
    _remove_mails(store, partition, user_id, list(found.values()))
    if missing and _kept(store, partition, max(missing)):
        return found.keys() | find_after(store, partition, user_id, brand_id, "0-0")
    return set(found)


def find_after(store: Store, partition: int, user_id: str, brand_id: str | None, entry_id: str) -> set[str]:
    """Return the ids of the user's entries after an entry by examining every later one; see `find`."""
    found = set[str]()
    while True:
        reply = store.command("XRANGE", keys.events(partition), f"({entry_id}", "+", "COUNT", ENTRIES)
        entries = events.read_entries(partition, reply)
        concerned = [each for each in entries if _concerns(each, user_id, brand_id)]
        _remove_mails(store, partition, user_id, concerned)
        found |= {each.entry_id for each in concerned}
        if len(reply) < ENTRIES:
            return found
        entry_id = reply[-1][0]


def _loose_from(store: Store, partition: int, user_id: str) -> int | None:
    """Return the time from which events of the user's discounts may name the user at other moments; None for never.

    These are waits that are over, and codes that were moved in.
    """
    text = store.command("HGET", keys.users(partition, user_id), user_id)
    numbers = user_grants.numbers_in(store, partition, user_id, text)
    found = store.command("HMGET", keys.numbers(partition), *numbers) if numbers else []
    found += user_grants.discounts_with_traces(store, partition, user_id)
    times = store.commands([("HGET", keys.discount(partition, each), "loose_from") for each in found])
    return min((int(each) for each in times if each), default=None)


def _redeemed_at(store: Store, partition: int, user_id: str, brand_id: str | None) -> dict[int, bool]:
    """Return when the user redeemed, held, confirmed or rolled back, and whether an event was surely written then."""
    found: dict[int, bool] = {}
    few = store.command("HGET", keys.users(partition, user_id), redemption_records.few_field(user_id))
    listed = redemption_records.few_of(partition, few)
    first = 0
    while True:
        for each in redemption_records.read(store, listed).records.values():
            if brand_id is None or discounts.get_definition(store, each.discount_id).brand_id == brand_id:
                # Once its hold has ended, another user may redeem the order.
                found[each.at] = each.user_id == user_id and "h" not in each.words
                found |= {int(at): False for at in each.words.get("e", "").split(",") if at}
                later = (each.moment("c"), each.moment("b"))
                found |= {at: each.user_id == user_id for at in later if at is not None}
        listed = redemption_records.further_of_user(store, partition, user_id, first, MOMENTS)
        if not listed:
            return found
        first += MOMENTS


def _near(store: Store, partition: int, moments: Sequence[int]) -> Iterator[Entry]:
    """Yield the entries that were written near some moments."""
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
    """Return whether entries of that time are still kept."""
    oldest = store.command("XRANGE", keys.events(partition), "-", "+", "COUNT", 1)
    return bool(oldest) and int(oldest[0][0].partition("-")[0]) <= moment // 1000


def _concerns(entry: Entry, user_id: str, brand_id: str | None) -> bool:
    """Return whether an entry names the user. Those that say that the user was forgotten stay as long as others."""
    of_user = user_id in (entry.fields.get("user"), entry.fields.get("next"))
    return of_user and entry.fields["type"] != "user.forgotten" and brand_id in (None, entry.fields["brand"])


def _remove_mails(store: Store, partition: int, user_id: str, entries: Sequence[Entry]) -> None:
    """Remove the e-mails to the user that entries led to."""
    if entries:
        ids_of_mails = [deliveries.id_of(partition, each.event_id, "email", f"user:{user_id}") for each in entries]
        deliveries.remove(store, ids_of_mails)
