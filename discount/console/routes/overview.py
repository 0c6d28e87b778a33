"""The overview: how a brand's discounts are doing now."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from discount.console import charts
from discount.console.frame import Frame
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import NoLedger, Unavailable

#: The most discounts that the overview looks at, newest first.
LOOKED_AT = 100
#: Failed deliveries that are counted; with more there is a plus.
FAILED = 20
#: How long before codes run out, or a discount ends, the page says so.
SOON = timedelta(days=3)
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
            "soon": _ending(found.discounts),
            "zone": visit.zone(),
            "chart": None,
            "hour": None,
            "off_today": {},
            "forecasts": [],
            "failed": [],
            "webhooks": [],
        }
        if visit.brand_id and visit.may("read"):
            values |= _figures(visit, visit.brand_id, values["zone"])
            page = visit.ask("list_deliveries", {"brand_id": visit.brand_id, "state": "failed", "limit": str(FAILED)})
            values["failed"] = page.deliveries
            if visit.may("manage"):
                webhooks = visit.ask("list_webhooks", {"brand_id": visit.brand_id}).webhooks
                values["webhooks"] = [each for each in webhooks if not each.on or each.failing_since]
        return Page("overview.html", values, live="overview-live.html")


def _figures(visit: Visit, brand_id: str, zone: str) -> dict[str, Any]:
    """Return the grants of the last hour by minute, what was refused in it, what came off today, and the forecasts."""
    now = datetime.now(UTC)
    since = now - timedelta(minutes=MINUTES - 1)
    query = {"step": "minute", "from": since.isoformat()}
    hour = visit.try_ask("show_figures_of_brand", NoLedger, Unavailable, query=query, brand_id=brand_id)
    if hour is None:
        return {}
    counts = {each.at: each.granted for each in hour.figures}
    midnight = now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    query = {"step": "hour", "from": midnight.isoformat()}
    today = visit.try_ask("show_figures_of_brand", NoLedger, Unavailable, query=query, brand_id=brand_id)
    return {
        "chart": charts.draw(visit.language.gettext("Grants by minute"), "minute", since, MINUTES, counts),
        "hour": hour.total,
        "off_today": {} if today is None else today.total.discount_amounts,
        "forecasts": [
            each for each in hour.forecasts if each.runs_out_at is not None and each.runs_out_at < now + SOON
        ],
    }


def _ending(discounts: list[Any]) -> list[Any]:
    """Return the active discounts that end soon."""
    soon = datetime.now(UTC) + SOON
    return [each for each in discounts if each.status == "active" and each.expires_at and each.expires_at < soon]
