"""Find a code of a brand: its discount, who was granted it, what happened since, and the deliveries about it."""

from dataclasses import dataclass

from discount.domain.errors import NotFound
from discount.domain.model import Delivery, Discount
from discount.ledger.history import History, Holder
from discount.services import code_owners, deliveries, discounts
from discount.store.connection import Store


@dataclass(frozen=True, slots=True)
class FoundHolder:
    """A user who was granted the code, with the discount, None if Redis has lost it, and what was sent."""

    holder: Holder
    discount: Discount | None
    deliveries: list[Delivery]


@dataclass(frozen=True, slots=True)
class FoundCode:
    """A code that was found.

    Attributes:
        holders: those who were granted it, newest first.
        unheld: discounts that have the code while nobody holds it, as far as the ledger has read.
        now: the time by which the status of discounts is judged.
    """

    holders: list[FoundHolder]
    unheld: list[Discount]
    now: int


def find(store: Store, history: History, brand_id: str, code: str) -> FoundCode:
    """Return what is known about a code of a brand, in any spelling.

    Raises:
        NotFound: no user was granted that code, and no discount of the brand has it.
        NoLedger, Unavailable
    """
    holders = history.find_code(brand_id, code, store.now())
    live, now = discounts.read(store, sorted({each.discount_id for each in holders}))
    by_id = {each.id: each for each in live}
    sent = deliveries.of_events(
        store,
        brand_id,
        [(each.user_id, by_id.get(each.discount_id), [event.id for event in each.events]) for each in holders],
    )
    found = [
        FoundHolder(each, by_id.get(each.discount_id), of_holder) for each, of_holder in zip(holders, sent, strict=True)
    ]
    is_held = any(each.state == "granted" for each in holders)
    unheld = [] if is_held else code_owners.discounts_with(store, brand_id, code)
    if not found and not unheld:
        raise NotFound("The brand has no such code, as far as the ledger has read.")
    return FoundCode(found, unheld, now)
