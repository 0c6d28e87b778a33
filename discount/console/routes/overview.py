"""The overview: how a brand's discounts are doing now."""

from datetime import UTC, datetime, timedelta
from typing import Any

from discount.console import charts
from discount.console.frame import Frame
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import NoLedger, Unavailable

#: The most discounts that the overview looks at, newest first.
LOOKED_AT = 100
#: The minutes that the chart shows.
MINUTES = 60


def add_routes(frame: Frame) -> None:
    """Serve the page."""

    @frame.page("")
    def start(visit: Visit) -> Result:
        return Redirect(visit.to("/"))

    @frame.page("/")
    def overview(visit: Visit) -> Result:
        found = visit.ask("list_discounts", {"brand_id": visit.brand_id, "limit": str(LOOKED_AT)})
        values: dict[str, Any] = {
            "discounts": found.discounts,
            "more": found.next is not None,
            "missing": bool(found.missing),
            "granted": sum(each.granted_count for each in found.discounts),
            "redeemed": sum(each.redeemed_count for each in found.discounts),
            "remaining": sum(each.remaining_count or 0 for each in found.discounts if each.status == "active"),
            "sums": _sums(found.discounts),
            "soon": _ending(found.discounts),
            "grants": None,
            "failed": [],
            "off": [],
        }
        if visit.brand_id and visit.may("read"):
            values["grants"] = _grants(visit)
            page = visit.ask("list_deliveries", {"brand_id": visit.brand_id, "state": "failed", "limit": "20"})
            values["failed"] = page.deliveries
        return Page("overview.html", values, live="overview-live.html")


def _grants(visit: Visit) -> charts.Chart | None:
    """Return the grants of the last hour by minute; None without a ledger."""
    now = datetime.now(UTC)
    since = now - timedelta(minutes=MINUTES - 1)
    query = {"step": "minute", "from": since.isoformat()}
    assert visit.brand_id is not None  # noqa: S101 - the caller has looked
    figures = visit.try_ask("show_figures_of_brand", NoLedger, Unavailable, query=query, brand_id=visit.brand_id)
    if figures is None:
        return None
    counts = {each.at: each.granted for each in figures.figures}
    return charts.draw(visit.language.gettext("Grants by minute"), "minute", since, MINUTES, counts)


def _sums(discounts: list[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in discounts:
        for currency, sums in each.sums.items():
            found[currency] = found.get(currency, 0) + sums.discounts
    return found


def _ending(discounts: list[Any]) -> list[Any]:
    """Return the active discounts that end within three days."""
    soon = datetime.now(UTC) + timedelta(days=3)
    return [each for each in discounts if each.status == "active" and each.expires_at and each.expires_at < soon]
