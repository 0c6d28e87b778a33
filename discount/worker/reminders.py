"""Users are told before a code that they have not used ends: what ends when, and whom to tell then."""

from collections.abc import Iterable, Sequence
from itertools import islice

from discount.domain.errors import NotFound, NotGranted
from discount.domain.model import Discount, Grant
from discount.services import (
    brands,
    contacts,
    deliveries,
    discounts,
    grants,
)
from discount.services.deliveries import PlannedDelivery
from discount.store import keys
from discount.store.connection import Store

#: Seconds within which a worker that took a discount is done with it, or gone.
LEASE = 600
#: Grants looked at in one go.
SLICE = 500
#: Ends looked at in one turn.
ENDS = 20
_SECOND = 1_000_000


class Reminders:
    """Plans e-mails on ends to come.

    Args:
        days: how long before the end.
    """

    def __init__(self, store: Store, days: float) -> None:
        self._store = store
        self._ahead = int(days * 86400 * _SECOND)

    def note(self, partition: int, member: str, ends_at: int) -> None:
        """Remember an end: of a discount, or of a single grant (`<discount> <user>`)."""
        self._store.command("ZADD", keys.expiring(partition), ends_at - self._ahead, member)

    def turn(self, now: int) -> int:
        """Plan what is due; how many ends that were."""
        replies = self._store.commands(
            [
                ("ZRANGEBYSCORE", keys.expiring(partition), "-inf", now, "LIMIT", 0, ENDS)
                for partition in range(self._store.partitions)
            ]
        )
        return sum(
            self._take(partition, member, now) for partition, members in enumerate(replies) for member in members
        )

    def _take(self, partition: int, member: str, now: int) -> int:
        name = keys.expiring(partition)
        answer = self._store.run("lease_reminder", [name], [member, LEASE * _SECOND])
        if answer.status == "not-due":
            return 0
        discount_id, _, user_id = member.partition(" ")
        try:
            discount, _ = discounts.show(self._store, discount_id)
            if not discount.closed:
                held = (
                    [grants.held_grant(self._store, discount_id, user_id)]
                    if user_id
                    else grants.list_all(self._store, discount_id)
                )
                self._plan(partition, discount, held, now)
        except (NotFound, NotGranted):
            # The user was forgotten.
            pass
        # By its time: an end that was moved meanwhile has another, and stays.
        self._store.command("ZREMRANGEBYSCORE", name, answer["until"], answer["until"])
        return 1

    def _plan(self, partition: int, discount: Discount, held: Iterable[Grant], now: int) -> None:
        brand = brands.read(self._store, [discount.brand_id])[discount.brand_id]
        if brand is not None and "code-expiring" in brand.mails_off:
            return
        remaining = iter(held)
        while some := list(islice(remaining, SLICE)):
            due = [each for each in some if self._is_due(discount, each, now)]
            reached = contacts.find(self._store, [(discount.brand_id, each.user_id) for each in due])
            told = [each for each in due if reached[discount.brand_id, each.user_id]]
            owed = [_owe(discount, each, now) for each in unused(self._store, discount, told)]
            deliveries.plan(self._store, partition, now, [("", [each]) for each in owed])

    def _is_due(self, discount: Discount, held: Grant, now: int) -> bool:
        # The end may have been moved since it was noted.
        ends_at = discount.good_until(held.granted_at)
        return ends_at is not None and ends_at - self._ahead <= now < ends_at


def unused(store: Store, discount: Discount, held: Sequence[Grant]) -> list[Grant]:
    """Those of the grants whose code has not been redeemed."""
    buckets = discounts.parse_id(store, discount.id).buckets
    names = [keys.uses(discount.partition, discount.id, keys.grant_bucket(each.user_id, buckets)) for each in held]
    uses = store.commands([("HGET", name, each.user_id) for name, each in zip(names, held, strict=True)])
    return [each for each, used in zip(held, uses, strict=True) if not used or used.startswith("0 ")]


def _owe(discount: Discount, held: Grant, now: int) -> PlannedDelivery:
    return PlannedDelivery(
        id=deliveries.reminder_id(discount, held),
        brand_id=discount.brand_id,
        kind="email",
        target=f"user:{held.user_id}",
        type="code.expiring",
        event_id="",
        discount_id=discount.id,
        place="",
        due_at=now,
    )
