"""The verb of users: forget what is kept about one."""

from collections.abc import Iterator
from dataclasses import dataclass

import shortuuid

from discount import contacts, deliveries, discounts, events, grants
from discount.errors import NotGranted, Unavailable
from discount.events import Entry
from discount.model import Discount
from discount.store import Store, keys

#: Entries of the outbox looked at in one round trip.
ENTRIES = 1000
#: How often a partition is gone through again because the user was busy meanwhile.
TRIES = 10


@dataclass(slots=True)
class Forgotten:
    """How many grants, redemptions and events were a user's."""

    grants: int = 0
    redemptions: int = 0
    events: int = 0


def forget(store: Store, user_id: str, *, brand_id: str | None = None) -> Forgotten:
    """Make nobody's what is kept of a user, of one brand or of all: grants, uses and redemptions go to a made-up name.

    Codes that have the user's name in them lose it; events that name the user are deleted, so are reasons of
    rollbacks, e-mails to the user and the address that they went to. Counts, sums and codes otherwise stay. Costs a
    look at every event that is kept. What a call that was cut off has left is done by the next one.

    Raises:
        Unavailable: the user kept using codes meanwhile.
    """
    done = Forgotten()
    for partition in keys.partitions_of(brand_id, store.partitions):
        for _ in range(TRIES):
            if _forget_in(store, partition, user_id, brand_id, done):
                break
        else:
            raise Unavailable("The user goes on using codes; try again.")
        if brand_id is not None:
            # Those at other brands end by themselves, and are not this brand's to end.
            store.command("DEL", keys.guesses(partition, brand_id, "user", user_id))
        done.events += _delete_events(store, partition, user_id, brand_id)
    contacts.forget(store, user_id, brand_id=brand_id)
    return done


def _forget_in(store: Store, partition: int, user_id: str, brand_id: str | None, done: Forgotten) -> bool:
    """Go through a partition once; whether nothing came between."""
    listed = keys.user_redemptions(partition, user_id)
    numbers, ids = store.commands(
        [("HGET", keys.users(partition, user_id), user_id), ("ZRANGE", listed, 0, -1)],
    )
    held = store.command("HMGET", keys.numbers(partition), *numbers.split()) if numbers else []
    replies = store.commands([("HMGET", keys.redemption(partition, each), "discount", "user") for each in ids])
    of_discounts: dict[str, list[str]] = {each: [] for each in held}
    moved: list[str] = []
    for redemption_id, (discount_id, by) in zip(ids, replies, strict=True):
        # An order whose hold was over may be another user's now.
        (of_discounts.setdefault(discount_id, []) if by == user_id else moved).append(redemption_id)
    in_all = len(ids)
    for discount_id, redemptions in of_discounts.items():
        discount = discounts.show(store, discount_id)[0]
        if brand_id not in (None, discount.brand_id):
            continue
        _forget_reminder(store, discount, user_id)
        parsed = discounts.locate(store, discount_id)
        nobody = f"forgotten-{shortuuid.uuid()}"
        old, new = (keys.grant_bucket(each, parsed.buckets) for each in (user_id, nobody))
        word, *rest = store.run(
            "forget",
            [
                keys.grants(partition, discount_id, old),
                keys.grants(partition, discount_id, new),
                keys.buckets(partition, discount_id),
                keys.uses(partition, discount_id, old),
                keys.uses(partition, discount_id, new),
                keys.users(partition, user_id),
                listed,
                *(keys.redemption(partition, each) for each in redemptions),
            ],
            [user_id, nobody, new, discount.number, in_all, "1" if discount.codes.kind == "personal" else ""],
        )
        if word == "changed":
            return False
        in_all -= len(redemptions)
        done.grants += int(rest[0])
        done.redemptions += len(redemptions)
    if moved:
        store.command("ZREM", listed, *moved)
    return True


def _forget_reminder(store: Store, discount: Discount, user_id: str) -> None:
    """Forget what was to be told, or was told, of the end of a user's code."""
    store.command("ZREM", keys.expiring(discount.partition), f"{discount.id} {user_id}")
    try:
        held = grants.held_grant(store, discount.id, user_id)
    except NotGranted:
        return
    deliveries.remove(store, [deliveries.reminder_id(discount, held)])


def _delete_events(store: Store, partition: int, user_id: str, brand_id: str | None) -> int:
    deleted = 0
    for entries in _events_of(store, partition, user_id, brand_id):
        told = [deliveries.id_of(partition, each.event_id, "email", f"user:{user_id}") for each in entries]
        deliveries.remove(store, told)
        store.command("XDEL", keys.events(partition), *(each.place for each in entries))
        deleted += len(entries)
    return deleted


def _events_of(store: Store, partition: int, user_id: str, brand_id: str | None) -> Iterator[list[Entry]]:
    """Entries that name the user, some at a time."""
    start = "-"
    while True:
        reply = store.command("XRANGE", keys.events(partition), start, "+", "COUNT", ENTRIES)
        entries = events.read_entries(partition, reply)
        found = [
            each for each in entries if each.fields.get("user") == user_id and brand_id in (None, each.fields["brand"])
        ]
        if found:
            yield found
        if len(reply) < ENTRIES:
            return
        start = "(" + reply[-1][0]
