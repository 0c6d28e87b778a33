"""Routes of events: what has happened, in order, from any event on."""

from discount.api.contract import Contract, ViewResult
from discount.api.schemas.common import (
    brand_in,
)
from discount.api.schemas.events import EventPage, EventsQuery
from discount.domain import events
from discount.domain.errors import Invalid
from discount.domain.model import Caller
from discount.domain.reasons import choose, shown
from discount.services import outbox
from discount.store.connection import Store


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of events."""

    @contract.declare(
        "GET",
        "/event",
        tag="events",
        scopes=("read",),
        caller=True,
        query=EventsQuery,
        answers={200: EventPage},
        refusals=("no-longer-kept",),
    )
    def list_events(query: EventsQuery, caller: Caller) -> ViewResult:
        """Replay a brand's events in order, and wait for new ones; where many wait already, it answers at once."""
        brand_id = brand_in(query.brand_id, "brand_id")
        types = query.types.split(",") if query.types else []
        for each in types:
            if each not in events.TYPES:
                raise Invalid("types", f"has {shown(each)}, which is no type of event; {choose(events.TYPES)}")
        may_wait = query.wait > 0 and contract.waits.take(caller)
        try:
            page = outbox.list_page(
                store,
                brand_id,
                after=query.after,
                types=types,
                limit=query.limit,
                wait=query.wait if may_wait else 0,
            )
        finally:
            if may_wait:
                contract.waits.free(caller)
        return EventPage(page.items, page.next), 200  # type: ignore[arg-type]
