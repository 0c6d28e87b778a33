"""Shapes of deliveries."""

from typing import Annotated

from msgspec import Meta

from discount.api.schemas.common import (
    ForBrand,
    Limit,
    ListQuery,
    Moment,
    Shape,
    moment_out,
)
from discount.api.schemas.webhooks import WebhookId
from discount.domain import model
from discount.domain.model import Delivery, DeliveryKind, DeliveryState


class DeliveryOut(Shape, kw_only=True):
    """A webhook call or an e-mail. `answer` is the receiver's last answer, cut at 500 characters."""

    id: Annotated[str, Meta(examples=["dlv-0c3f9a1b2c4d5e6f708192a3b4"])]
    brand_id: str
    kind: DeliveryKind
    webhook_id: str | None
    user_id: Annotated[str | None, Meta(description="The user who gets the e-mail; null for the brand itself.")]
    type: Annotated[str, Meta(examples=["code.granted"])]
    event_id: Annotated[str | None, Meta(description="Null for a reminder, which has no event.")]
    discount_id: str | None
    state: DeliveryState
    attempts: int
    created_at: Moment
    due_at: Annotated[Moment | None, Meta(description="The time of the next attempt.")]
    last_at: Moment | None
    status: Annotated[str, Meta(description="The HTTP or SMTP status, or a word if there was no answer.")]
    answer: str
    milliseconds: int | None

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryOut":
        to_user = delivery.kind == "email" and delivery.target.startswith("user:")
        return cls(
            id=delivery.id,
            brand_id=delivery.brand_id,
            kind=delivery.kind,
            webhook_id=delivery.target if delivery.kind == "webhook" else None,
            user_id=delivery.target.removeprefix("user:") if to_user else None,
            type=delivery.type,
            event_id=delivery.event_id or None,
            discount_id=delivery.discount_id or None,
            state=delivery.state,
            attempts=delivery.attempts,
            created_at=model.to_time(delivery.created_at),
            due_at=moment_out(delivery.due_at) if delivery.state == "waiting" else None,
            last_at=moment_out(delivery.last_at),
            status=delivery.status,
            answer=delivery.answer,
            milliseconds=delivery.milliseconds,
        )


class DeliveryPage(Shape):
    """Deliveries, newest first, and the cursor of the next page."""

    deliveries: list[DeliveryOut]
    next: str | None


class DeliveriesQuery(ListQuery):
    brand_id: ForBrand | None = None
    state: DeliveryState | None = None
    kind: DeliveryKind | None = None
    webhook_id: WebhookId | None = None
    type: Annotated[str, Meta(max_length=64)] | None = None
    since: Annotated[Moment, Meta(description="Only deliveries planned at that time or later.")] | None = None


class ResendIn(Shape):
    """A choice of deliveries to send once more: without `state`, those that failed."""

    brand_id: ForBrand | None = None
    state: DeliveryState = "failed"
    webhook_id: WebhookId | None = None
    since: Moment | None = None
    limit: Limit = 100
    cursor: str | None = None


class ResendOut(Shape):
    """Counts of the deliveries that wait again and of the refused ones, and the cursor of the next page."""

    resent_count: int
    refused_count: int
    next: str | None
