"""Admissions: a user is judged before a grant or a wait, whose script claims the identity."""

from collections.abc import Sequence

from discount.domain.audience import Customer
from discount.domain.errors import Refusal
from discount.domain.identity import Identity
from discount.domain.ids import DiscountId
from discount.domain.model import Definition
from discount.services import audiences, discounts, identities
from discount.store.connection import Store

#: What a script takes of a user who was judged: a text, and keys for the identity. It asks for both if it needs them.
Admission = tuple[str, Sequence[str]]


def admit(
    store: Store, parsed: DiscountId, user_id: str, customer: Customer | None, identity: Identity | None
) -> Admission:
    """Judge a user whom the discount is for, and return what the script takes then.

    Raises:
        NotInAudience
    """
    definition = discounts.get_definition(store, parsed.text)
    reasons = judge(store, definition, [user_id], customer)[0]
    if reasons:
        raise reasons[0]
    return identities.claim_of(parsed, definition, user_id, identity)


def foresee(parsed: DiscountId, definition: Definition, user_id: str, identity: Identity | None) -> Admission | None:
    """Return what the script would ask for, if it asks for an identity alone."""
    if definition.per_identity is None or _judges(definition):
        return None
    return identities.claim_of(parsed, definition, user_id, identity)


def judge(
    store: Store, definition: Definition, user_ids: Sequence[str], customer: Customer | None = None
) -> list[list[Refusal]]:
    """Return for each user why the discount's audience leaves it out."""
    of = definition.audience
    if of is None or not _judges(definition):
        return [[] for _ in user_ids]
    return audiences.judge(store, definition.brand_id, [(each, of) for each in user_ids], customer)


def _judges(definition: Definition) -> bool:
    return definition.audience is not None and definition.audience.at != "checkout"
