"""Shapes of waiting lists."""

from typing import Annotated

from msgspec import Meta

from discount.api.schemas.common import Email, Moment, Shape, UserId
from discount.api.schemas.customers import CustomerIn, IdentityIn
from discount.domain import model
from discount.services.waiting_lists import Wait


class WaitIn(Shape):
    """The user who waits for a code. With `email`, a brand also sets the user's address."""

    user_id: UserId
    email: Email | None = None
    customer: CustomerIn | None = None
    identity: IdentityIn | None = None


class WaitQuery(Shape):
    user_id: UserId


class WaitOut(Shape):
    """A user's place on the waiting list of a discount; 1 is next."""

    discount_id: str
    user_id: str
    place: Annotated[int, Meta(examples=[1])]
    waits_since: Moment

    @classmethod
    def of(cls, wait: Wait) -> "WaitOut":
        return cls(wait.discount_id, wait.user_id, wait.place, model.to_time(wait.since))


class WaitPage(Shape):
    """The users who wait, the next one first, and the cursor of the next page."""

    waits: list[WaitOut]
    next: str | None
