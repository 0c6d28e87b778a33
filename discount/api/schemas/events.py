"""Shapes of events."""

from typing import Annotated

from msgspec import Meta

from discount.api.schemas.common import (
    ForBrand,
    Limit,
    Shape,
)
from discount.domain import event_types

Event = (
    event_types.DiscountCreated
    | event_types.DiscountChanged
    | event_types.DiscountClosed
    | event_types.DiscountSoldOut
    | event_types.DiscountLimitReached
    | event_types.CodesImported
    | event_types.CodeGranted
    | event_types.CodeRevoked
    | event_types.CodeRedeemed
    | event_types.RedemptionRolledBack
    | event_types.RedemptionHeld
    | event_types.RedemptionConfirmed
    | event_types.RedemptionReleased
    | event_types.UserForgotten
    | event_types.WebhookDisabled
    | event_types.WebhookTest
)


class EventPage(Shape):
    """A brand's events; `next` is the value of `after` for the next ones."""

    events: list[Event]
    next: str | None


class EventsQuery(Shape):
    brand_id: ForBrand | None = None
    after: (
        Annotated[str, Meta(min_length=1, max_length=100, description="An event's id, or `next` of the page before.")]
        | None
    ) = None
    types: (
        Annotated[
            str,
            Meta(
                max_length=300,
                description="Types separated by commas; all if left out.",
                examples=["code.granted"],
            ),
        ]
        | None
    ) = None
    limit: Limit = 100
    wait: Annotated[int, Meta(ge=0, le=25, description="Seconds to wait for the first event.")] = 0
