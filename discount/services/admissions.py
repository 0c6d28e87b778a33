"""Admissions: a user is judged, and claims an identity, before a grant or a wait."""

from collections.abc import Sequence

from discount.domain.audience import Customer
from discount.domain.errors import Refusal
from discount.domain.identity import Identity
from discount.domain.ids import DiscountId
from discount.domain.model import Definition
from discount.services import audiences, discounts, identities
from discount.store.connection import Store


def admit(
    store: Store, parsed: DiscountId, user_id: str, customer: Customer | None, identity: Identity | None
) -> list[str]:
    """Judge a user whom the discount is for, and claim the identity; return what is claimed now.

    Raises:
        NotInAudience, AlreadyGrantedElsewhere, IdentityMissing
    """
    definition = discounts.get_definition(store, parsed.text)
    reasons = judge(store, definition, [user_id], customer)[0]
    if reasons:
        raise reasons[0]
    return identities.claim(store, parsed, definition, user_id, identity)


def judge(
    store: Store, definition: Definition, user_ids: Sequence[str], customer: Customer | None = None
) -> list[list[Refusal]]:
    """Return for each user why the discount's audience leaves it out."""
    if definition.audience is None or definition.audience.at == "checkout":
        return [[] for _ in user_ids]
    return audiences.judge_many(store, definition.brand_id, user_ids, definition.audience, customer)
