"""Routes of deliveries: list, show and resend webhook calls and e-mails."""

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

    @contract.declare("GET", "/delivery", tag="deliveries", scopes=("read",), answers={200: DeliveryPage})
    def list_deliveries(query: DeliveriesQuery) -> ViewResult:
        """List a brand's deliveries, newest first. With a filter, a page can be shorter than its limit."""
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
        "/delivery/{delivery_id}",
        tag="deliveries",
        scopes=("read",),
        answers={200: DeliveryOut},
        refusals=("not-found",),
    )
    def show_delivery(delivery_id: str) -> ViewResult:
        """Show a delivery and the last answer of its receiver."""
        return DeliveryOut.of(deliveries.show(store, delivery_id)), 200

    @contract.declare(
        "POST",
        "/delivery/{delivery_id}/resend",
        tag="deliveries",
        scopes=("manage",),
        answers={202: DeliveryOut},
        refusals=("not-found", "webhook-off", "no-longer-kept"),
    )
    def resend_delivery(delivery_id: str) -> ViewResult:
        """Deliver once more, starting now and with all attempts. The event keeps its id."""
        return DeliveryOut.of(deliveries.resend(store, delivery_id)), 202

    @contract.declare("POST", "/delivery/resend", tag="deliveries", scopes=("manage",), answers={202: ResendOut})
    def resend_deliveries(body: ResendIn) -> ViewResult:
        """Resend a brand's failed deliveries, page by page, newest first."""
        page = deliveries.resend_page(
            store,
            brand_in(body.brand_id, "/brand_id"),
            state=body.state,
            webhook_id=body.webhook_id,
            since=moment_in(body.since, "/since"),
            limit=body.limit,
            cursor=body.cursor,
        )
        return ResendOut(*page), 202
