"""The verb of users: forget what is kept about one."""

from dataclasses import dataclass, field

import shortuuid

from discount.domain.errors import NotGranted, Unavailable
from discount.domain.model import Discount
from discount.services import (
    contacts,
    deliveries,
    discounts,
    grants,
    user_events,
    user_grants,
)
from discount.store import keys
from discount.store.connection import Store

#: Redemptions that one script makes nobody's.
RECORDS = 500
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
    rollbacks, e-mails to the user and the address that they went to. Counts, sums and codes otherwise stay. What a call
    that was cut off has left is done by the next one.

    Raises:
        Unavailable: the user kept using codes meanwhile.
    """
    task = _Task(store, user_id, brand_id)
    newest = user_events.newest_places(store)
    granted = user_events.granted_at(store, user_id, brand_id)
    for partition in keys.partitions_of(brand_id, store.partitions):
        # First of all: once the grants are nobody's, nothing leads to their events.
        task.done.events += user_events.delete(store, partition, user_id, brand_id, granted.get(partition, ()))
        for _ in range(TRIES):
            if _forget_in(store, partition, user_id, task):
                break
        else:
            raise Unavailable("The user goes on using codes; try again.")
        if brand_id is not None:
            # Those at other brands end by themselves, and are not this brand's to end.
            store.command("DEL", keys.guesses(partition, brand_id, "user", user_id))
        # What happened meanwhile.
        task.done.events += user_events.delete_after(store, partition, user_id, brand_id, newest[partition])
    contacts.forget(store, user_id, brand_id=brand_id)
    return task.done


@dataclass(slots=True)
class _Task:
    """Forgetting one user: who is told apart from others in each discount by what made-up name, and what is done."""

    store: Store
    user_id: str
    brand_id: str | None
    done: Forgotten = field(default_factory=Forgotten)
    names: dict[str, tuple[Discount, str]] = field(default_factory=dict)

    def forget(self, partition: int, discount_id: str, redemptions: list[str], page: int = -1) -> bool:
        """Make nobody's what the user has of a discount, and these redemptions; False if it is another brand's.

        Args:
            page: in which page of the user's numbers the discount's stands; -1 for none.
        """
        if discount_id not in self.names:
            discount = discounts.show(self.store, discount_id)[0]
            self.names[discount_id] = discount, f"forgotten-{shortuuid.uuid()}"
        discount, nobody = self.names[discount_id]
        if self.brand_id not in (None, discount.brand_id):
            return False
        _forget_reminder(self.store, discount, self.user_id)
        buckets = discounts.parse_id(self.store, discount_id).buckets
        old, new = (keys.grant_bucket(each, buckets) for each in (self.user_id, nobody))
        answer = self.store.run(
            "forget",
            [
                keys.grants(partition, discount_id, old),
                keys.grants(partition, discount_id, new),
                keys.buckets(partition, discount_id),
                keys.uses(partition, discount_id, old),
                keys.uses(partition, discount_id, new),
                keys.users(partition, self.user_id),
                keys.user_redemptions(partition, self.user_id),
                *(keys.redemption(partition, each) for each in redemptions),
            ],
            [
                *(self.user_id, nobody, new, discount.brand_id, discount.number),
                *("" if page < 0 else page, "1" if discount.codes.kind == "personal" else ""),
            ],
        )
        self.done.grants += int(answer["grants"])
        self.done.redemptions += len(redemptions)
        return True


def _forget_in(store: Store, partition: int, user_id: str, task: _Task) -> bool:
    """Go through a partition once, some redemptions at a time; whether nothing was there.

    Each slice is whole, and what is left of the others is found again by the next call.
    """
    found = False
    listed = keys.user_redemptions(partition, user_id)
    passed = 0
    while ids := store.command("ZRANGE", listed, passed, passed + RECORDS - 1):
        replies = store.commands([("HMGET", keys.redemption(partition, each), "discount", "user") for each in ids])
        # An order whose hold was over may be another user's now.
        moved = [each for each, (_, by) in zip(ids, replies, strict=True) if by != user_id]
        if moved:
            store.command("ZREM", listed, *moved)
        of_discounts: dict[str, list[str]] = {}
        for redemption_id, (discount_id, by) in zip(ids, replies, strict=True):
            if by == user_id:
                of_discounts.setdefault(discount_id, []).append(redemption_id)
        for discount_id, redemptions in of_discounts.items():
            if task.forget(partition, discount_id, redemptions):
                found = True
            else:
                passed += len(redemptions)
    text = store.command("HGET", keys.users(partition, user_id), user_id)
    for page, numbers in enumerate(user_grants.pages_in(store, partition, user_id, text), -1):
        held = store.command("HMGET", keys.numbers(partition), *numbers) if numbers else []
        for discount_id in held:
            found = task.forget(partition, discount_id, [], page) or found
    return not found


def _forget_reminder(store: Store, discount: Discount, user_id: str) -> None:
    """Forget what was to be told, or was told, of the end of a user's code."""
    store.command("ZREM", keys.expiring(discount.partition), f"{discount.id} {user_id}")
    try:
        held = grants.held_grant(store, discount.id, user_id)
    except NotGranted:
        return
    deliveries.remove(store, [deliveries.reminder_id(discount, held)])
