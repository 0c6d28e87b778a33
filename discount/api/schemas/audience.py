"""The shape of a discount's audience."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from discount.api.schemas.common import Shape
from discount.api.schemas.customers import Groups
from discount.api.schemas.user_lists import ListName
from discount.domain import audience
from discount.domain.errors import Invalid


class AudienceShape(Shape, omit_defaults=True):
    """The users who may use a discount: those in one of the groups or lists, with orders as the caller states them.

    Groups are claims of the user's token, those that the brand keeps (`PUT /user/{user_id}`), or those in `customer`.
    """

    groups: Groups = msgspec.field(default_factory=list)
    lists: Annotated[list[ListName], Meta(max_length=10)] = msgspec.field(default_factory=list)
    first_order: Annotated[bool, Meta(description="Only users without an earlier order.")] = False
    orders_at_least: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    spent_at_least: Annotated[int, Meta(ge=1, le=10**15, description="In minor units.")] | None = None
    at: Annotated[audience.Judged, Meta(description="When it is judged; both by default.")] | UnsetType = UNSET

    def read(self) -> audience.Audience:
        """Return the audience.

        Raises:
            Invalid: it has no condition, or two that exclude each other.
        """
        found = audience.Audience(
            tuple(self.groups),
            tuple(self.lists),
            self.first_order,
            self.orders_at_least,
            self.spent_at_least,
            "both" if self.at is UNSET else self.at,
        )
        if found == audience.Audience(at=found.at):
            raise Invalid("/audience", "has no condition; name groups, lists or orders")
        if found.first_order and found.orders_at_least:
            raise Invalid("/audience/orders_at_least", "cannot be combined with first_order")
        return found

    @classmethod
    def of(cls, found: audience.Audience) -> "AudienceShape":
        return cls(
            list(found.groups),
            list(found.lists),
            found.first_order,
            found.orders_at_least,
            found.spent_at_least,
            found.at,
        )
