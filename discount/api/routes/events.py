"""Routes of events: a brand's events in order, after any of them."""

from discount.api.contract import Contract, ViewResult
from discount.api.long_calls import Places
from discount.api.schemas.common import (
    brand_in,
)
from discount.api.schemas.events import EventPage, EventsQuery
from discount.domain import event_types
from discount.domain.errors import Invalid
from discount.domain.model import Caller
from discount.domain.reasons import choose, shown
from discount.services import outbox
from discount.store.connection import Store


def add_routes(contract: Contract, store: Store, waits: Places) -> None:
    """Declare the operations of events. Callers that wait for new events take one of `waits`."""

    @contract.declare(
        "GET",
        "/event",
        tag="events",
        scopes=("read",),
        answers={200: EventPage},
        refusals=("no-longer-kept",),
    )
    def list_events(query: EventsQuery, caller: Caller) -> ViewResult:
        """List a brand's events in order; wait for new ones, unless too many callers are waiting already."""
        brand_id = brand_in(query.brand_id, "brand_id")
        types = query.types.split(",") if query.types else []
        for each in types:
            if each not in event_types.TYPES:
                raise Invalid("types", f"has {shown(each)}, which is not an event type; {choose(event_types.TYPES)}")
        with waits.waiting(caller, query.wait) as seconds:
            page = outbox.list_page(store, brand_id, after=query.after, types=types, limit=query.limit, wait=seconds)
        return EventPage(page.items, page.next), 200  # type: ignore[arg-type]
