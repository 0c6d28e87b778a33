"""Routes of deliveries: what was sent to whom, how it went, once more."""

from discount.api.contract import Contract, ViewResult
from discount.api.schemas.common import (
    brand_in,
    moment_in,
)
from discount.api.schemas.deliveries import DeliveriesQuery, DeliveryOut, DeliveryPage, ResendIn, ResendOut
from discount.services import deliveries
from discount.store.connection import Store


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of deliveries."""

    @contract.declare(
        "GET", "/delivery", tag="deliveries", scopes=("read",), query=DeliveriesQuery, answers={200: DeliveryPage}
    )
    def list_deliveries(query: DeliveriesQuery) -> ViewResult:
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
        return DeliveryPage([DeliveryOut.of(each) for each in page.items], page.next), 200

    @contract.declare(
        "GET",
        "/delivery/<delivery_id>",
        tag="deliveries",
        scopes=("read",),
        answers={200: DeliveryOut},
        refusals=("not-found",),
    )
    def show_delivery(delivery_id: str) -> ViewResult:
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
    def resend_delivery(delivery_id: str) -> ViewResult:
        """Make a delivery once more, now and with all its tries; the event's id stays the same."""
        return DeliveryOut.of(deliveries.resend(store, delivery_id)), 202

    @contract.declare(
        "POST", "/delivery/resend", tag="deliveries", scopes=("manage",), body=ResendIn, answers={202: ResendOut}
    )
    def resend_deliveries(body: ResendIn) -> ViewResult:
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
