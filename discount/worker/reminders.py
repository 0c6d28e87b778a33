"""Reminders: e-mails to users whose unused code is about to expire."""

from collections.abc import Iterable, Sequence
from itertools import islice

from discount.domain.errors import NotFound, NotGranted
from discount.domain.model import Discount, Grant
from discount.services import (
    brands,
    contacts,
    deliveries,
    discounts,
    grant_lists,
    grant_records,
)
from discount.services.deliveries import PlannedDelivery
from discount.services.partitions import ask_each
from discount.store import keys
from discount.store.connection import Store

#: Seconds for which a worker leases an end. After that the worker counts as gone.
LEASE = 600
#: The most grants that are looked at together.
SLICE = 500
#: The most ends of one partition that a turn looks at.
ENDS = 20
_SECOND = 1_000_000


class Reminders:
    """The ends of discounts and codes, and the reminders that are planned when they are due.

    Args:
        days: how many days before the end a reminder is due.
    """

    def __init__(self, store: Store, days: float) -> None:
        self._store = store
        self._ahead = int(days * 86400 * _SECOND)

    def note(self, partition: int, member: str, ends_at: int) -> None:
        """Note the end of a discount (its id) or of a single grant (`<discount id> <user id>`)."""
        self._store.command("ZADD", keys.expiring(partition), ends_at - self._ahead, member)

    def turn(self, now: int) -> int:
        """Plan the reminders that are due; return how many ends were handled."""
        replies, _ = ask_each(
            self._store, lambda partition: ("ZRANGEBYSCORE", keys.expiring(partition), "-inf", now, "LIMIT", 0, ENDS)
        )
        return sum(self._handle(partition, member, now) for partition, members in replies.items() for member in members)

    def _handle(self, partition: int, member: str, now: int) -> int:
        """Lease an end and plan its reminders; return 1, or 0 if another worker has it."""
        name = keys.expiring(partition)
        answer = self._store.run("lease_reminder", [name], [member, LEASE * _SECOND])
        if answer.status == "not-due":
            return 0
        discount_id, _, user_id = member.partition(" ")
        try:
            discount, _ = discounts.show(self._store, discount_id)
            if not discount.closed:
                held = (
                    [grant_records.held_grant(self._store, discount_id, user_id)]
                    if user_id
                    else grant_lists.list_all(self._store, discount_id)
                )
                self._plan(partition, discount, held, now)
        except (NotFound, NotGranted):
            # The user was forgotten meanwhile.
            pass
        # Remove by score, not by name: an end that was moved meanwhile has another score, and must stay.
        self._store.command("ZREMRANGEBYSCORE", name, answer["until"], answer["until"])
        return 1

    def _plan(self, partition: int, discount: Discount, held: Iterable[Grant], now: int) -> None:
        brand = brands.read(self._store, [discount.brand_id])[discount.brand_id]
        if brand is not None and "code-expiring" in brand.mails_off:
            return
        remaining = iter(held)
        while together := list(islice(remaining, SLICE)):
            due = [each for each in together if self._is_due(discount, each, now)]
            reachable = contacts.find(self._store, [(discount.brand_id, each.user_id) for each in due])
            due = [each for each in due if reachable[discount.brand_id, each.user_id]]
            planned = [_planned(discount, each, now) for each in unused(self._store, discount, due)]
            deliveries.plan(self._store, partition, now, [("", [each]) for each in planned])

    def _is_due(self, discount: Discount, held: Grant, now: int) -> bool:
        # The end may have moved since it was noted.
        ends_at = discount.good_until(held.granted_at)
        return ends_at is not None and ends_at - self._ahead <= now < ends_at


def unused(store: Store, discount: Discount, held: Sequence[Grant]) -> list[Grant]:
    """Return the grants whose user has no counted use of the discount."""
    buckets = discounts.parse_id(store, discount.id).buckets
    names = [keys.uses(discount.partition, discount.id, keys.grant_bucket(each.user_id, buckets)) for each in held]
    uses = store.commands([("HGET", name, each.user_id) for name, each in zip(names, held, strict=True)])
    return [each for each, used in zip(held, uses, strict=True) if not used or used.startswith("0 ")]


def _planned(discount: Discount, held: Grant, now: int) -> PlannedDelivery:
    return PlannedDelivery(
        id=deliveries.reminder_id(discount, held),
        brand_id=discount.brand_id,
        kind="email",
        target=f"user:{held.user_id}",
        type="code.expiring",
        event_id="",
        discount_id=discount.id,
        entry_id="",
        due_at=now,
    )
