"""Shapes of facts about a customer: for audiences, and for signs of the same person."""

from typing import Annotated

import msgspec
from msgspec import Meta

from discount.api.schemas.common import Email, Shape
from discount.domain import model
from discount.domain.audience import Customer
from discount.domain.errors import Forbidden
from discount.domain.reasons import with_rule

Group = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=with_rule(
            r"^[A-Za-z0-9._:-]+$(?!\n)", "[^A-Za-z0-9._:-]", "the letters A-Z and a-z, digits and . _ : - are allowed"
        ),
        examples=["vip"],
    ),
]


#: Groups of a user, or of an audience.
Groups = Annotated[list[Group], Meta(max_length=50)]


class CustomerIn(Shape):
    """Facts about the user, for the audience of a discount. A user's token cannot state them."""

    orders: Annotated[int, Meta(ge=0, le=10**9, description="The user's orders before this one.")] | None = None
    spent: Annotated[int, Meta(ge=0, le=10**15, description="What they came to, in minor units.")] | None = None
    groups: Groups = msgspec.field(default_factory=list)


_Trait = Annotated[str, Meta(min_length=1, max_length=500, description="Case, blanks and punctuation do not matter.")]


class IdentityIn(Shape):
    """Signs that two users are one person. Only keyed digests of them are kept, and only with `per_identity`."""

    email: Email | None = None
    device: _Trait | None = None
    address: _Trait | None = None
    card: _Trait | None = None


def customer_in(given: CustomerIn | None, caller: model.Caller) -> Customer | None:
    """Return what is known of a customer: what the caller states, or the groups of a user's own token.

    Raises:
        Forbidden: a user's token states it.
    """
    if caller.user_id is not None:
        if given is not None:
            raise Forbidden("Only a brand may send `customer`; a user's token has its own `groups`.")
        return Customer(groups=caller.groups) if caller.groups else None
    return None if given is None else Customer(given.orders, given.spent, tuple(given.groups))
