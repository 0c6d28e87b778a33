"""Routes of events: what has happened, in order, from any event on."""

from typing import Annotated

from msgspec import Meta

from discount import events, outbox
from discount.api.contract import Contract, Outcome
from discount.api.schemas import ForBrand, Limit, Shape, brand_in
from discount.errors import Invalid
from discount.model import Caller
from discount.reasons import choose, shown
from discount.store import Store

Event = (
    events.DiscountCreated
    | events.DiscountChanged
    | events.DiscountClosed
    | events.DiscountSoldOut
    | events.DiscountLimitReached
    | events.CodeGranted
    | events.CodeRedeemed
    | events.RedemptionRolledBack
    | events.WebhookDisabled
    | events.WebhookTest
)


class EventPage(Shape):
    """A brand's events, and what to ask for the next ones with (`after`)."""

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
                max_length=300, description="Some types, parted by commas; all if left out.", examples=["code.granted"]
            ),
        ]
        | None
    ) = None
    limit: Limit = 100
    wait: Annotated[int, Meta(ge=0, le=25, description="Seconds to wait for the first event.")] = 0


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
    def list_events(query: EventsQuery, caller: Caller) -> Outcome:
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
        return EventPage(page.events, page.next), 200  # type: ignore[arg-type]
