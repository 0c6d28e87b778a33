"""The page of changes: who changed what."""

from typing import Any

from discount.console import fields
from discount.console.frame import Frame
from discount.console.visits import Page, Result, Visit
from discount.domain.errors import NoLedger

ROWS = 50


def add_routes(frame: Frame) -> None:
    """Serve the pages."""

    @frame.page("/changes")
    def list_changes(visit: Visit) -> Result:
        return Page("changes.html", changes_of(visit) | {"discount": None})

    @frame.page("/discounts/<discount_id>/changes")
    def list_changes_of_discount(visit: Visit, discount_id: str) -> Result:
        discount = visit.ask("show_discount", discount_id=discount_id)
        visit.look_at(discount.brand_id)
        values = {"discount": discount, "zone": visit.zone(discount)}
        return Page("changes.html", changes_of(visit, discount_id) | values)


def changes_of(visit: Visit, discount_id: str | None = None) -> dict[str, Any]:
    """Return the changes of a brand or of a discount, newest first; none without a ledger."""
    empty: dict[str, Any] = {"changes": [], "next": None, "ledger": True}
    if visit.brand_id is None:
        return empty
    query = {"brand_id": visit.brand_id, "discount_id": discount_id, "limit": str(ROWS)}
    page = visit.try_ask("list_changes", NoLedger, query=query | fields.nested(visit.query, "after"))
    return empty | ({"ledger": False} if page is None else {"changes": page.changes, "next": page.next})
