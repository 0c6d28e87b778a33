"""Routes of deliveries: what was sent to whom, how it went, once more."""

from typing import Annotated

from msgspec import Meta

from discount import deliveries, model
from discount.api.contract import Contract, Outcome
from discount.api.schemas import (
    ForBrand,
    Limit,
    ListQuery,
    Moment,
    Shape,
    WebhookId,
    brand_in,
    moment_in,
    moment_out,
)
from discount.model import Delivery, DeliveryKind, DeliveryState
from discount.store import Store


class DeliveryOut(Shape, kw_only=True):
    """A webhook call or an e-mail that was owed. `answer` is what the other side said last, cut off at 500 letters."""

    id: Annotated[str, Meta(examples=["dlv-0c3f9a1b2c4d5e6f708192a3b4"])]
    brand_id: str
    kind: DeliveryKind
    webhook_id: str | None
    user_id: Annotated[str | None, Meta(description="Whom the e-mail is for; null for the brand itself.")]
    type: Annotated[str, Meta(examples=["code.granted"])]
    event_id: Annotated[str | None, Meta(description="Null for a reminder, of which no event tells.")]
    discount_id: str | None
    state: DeliveryState
    attempts: int
    created_at: Moment
    due_at: Annotated[Moment | None, Meta(description="When it is tried next.")]
    last_at: Moment | None
    status: Annotated[str, Meta(description="A status of HTTP or SMTP, or a word where there was no answer.")]
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
    since: Annotated[Moment, Meta(description="Planned at that time or later.")] | None = None


class ResendIn(Shape):
    """Which deliveries to make once more: those that failed, unless told otherwise."""

    brand_id: ForBrand | None = None
    state: DeliveryState = "failed"
    webhook_id: WebhookId | None = None
    since: Moment | None = None
    limit: Limit = 100
    cursor: str | None = None


class ResendOut(Shape):
    """How many deliveries wait again, how many could not be sent again, and where to go on."""

    resent_count: int
    refused_count: int
    next: str | None


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of deliveries."""

    @contract.declare(
        "GET", "/delivery", tag="deliveries", scopes=("read",), query=DeliveriesQuery, answers={200: DeliveryPage}
    )
    def list_deliveries(query: DeliveriesQuery) -> Outcome:
        """List a brand's deliveries, newest first; with a filter a page can be shorter than its limit."""
        page = deliveries.list_page(
            store,
            brand_in(query.brand_id, "brand_id"),
            state=query.state,
            kind=query.kind,
            webhook_id=query.webhook_id,
            type=query.type,
            since=moment_in(query.since, "since"),
            limit=query.limit,
            cursor=query.cursor,
        )
        return DeliveryPage([DeliveryOut.of(each) for each in page.deliveries], page.next), 200

    @contract.declare(
        "GET",
        "/delivery/<delivery_id>",
        tag="deliveries",
        scopes=("read",),
        answers={200: DeliveryOut},
        refusals=("not-found",),
    )
    def show_delivery(delivery_id: str) -> Outcome:
        """Show a delivery, and what the other side said last."""
        return DeliveryOut.of(deliveries.show(store, delivery_id)), 200

    @contract.declare(
        "POST",
        "/delivery/<delivery_id>/resend",
        tag="deliveries",
        scopes=("manage",),
        answers={202: DeliveryOut},
        refusals=("not-found", "webhook-off", "no-longer-kept"),
    )
    def resend_delivery(delivery_id: str) -> Outcome:
        """Make a delivery once more, now and with all its tries; the event's id stays the same."""
        return DeliveryOut.of(deliveries.resend(store, delivery_id)), 202

    @contract.declare(
        "POST", "/delivery/resend", tag="deliveries", scopes=("manage",), body=ResendIn, answers={202: ResendOut}
    )
    def resend_deliveries(body: ResendIn) -> Outcome:
        """Make a brand's failed deliveries once more, page by page, newest first."""
        done = deliveries.resend_page(
            store,
            brand_in(body.brand_id, "/brand_id"),
            state=body.state,
            webhook_id=body.webhook_id,
            since=moment_in(body.since, "/since"),
            limit=body.limit,
            cursor=body.cursor,
        )
        return ResendOut(*done), 202
