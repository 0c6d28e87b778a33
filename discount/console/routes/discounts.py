"""Pages of discounts: the list, one discount, a new one, and closing one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from discount.console import charts, discount_form, fields
from discount.console.frame import Frame, Problem
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import Invalid, NoLedger, NotFound, Refusal, Unavailable

#: The rows of one page.
ROWS = 50
#: What happened to a discount, as the address of the page says it.
DONE = ("created", "changed", "same", "paused", "resumed", "closed")
#: The columns by which one page of the list can be sorted.
SORTED: dict[str, Callable[[Any], Any]] = {
    "name": lambda each: each.discount_code.casefold(),
    "granted": lambda each: each.granted_count,
    "used": lambda each: each.redeemed_count,
    "ends": lambda each: (each.expires_at is None, each.expires_at or each.created_at),
}
_TIMES = ("starts_at", "expires_at")
#: The hours that the charts of a discount show.
HOURS = 48


def add_routes(frame: Frame) -> None:
    """Serve the pages."""

    @frame.page("/discounts")
    def list_discounts(visit: Visit) -> Result:
        asked = fields.nested(visit.query, "status", "name", "cursor")
        page = visit.ask("list_discounts", {"brand_id": visit.brand_id, "limit": str(ROWS), **asked})
        sort = visit.query.get("sort", "")
        column = SORTED.get(sort.removeprefix("-"))
        if column is not None:
            page.discounts.sort(key=column, reverse=sort.startswith("-"))
        values = {"discounts": page.discounts, "next": page.next, "missing": bool(page.missing), "asked": asked}
        return Page("discounts.html", values | {"sort": sort if column else ""}, live="discounts-live.html")

    @frame.page("/discounts/<discount_id>")
    def show_discount(visit: Visit, discount_id: str) -> Result:
        return _show(visit, discount_id)

    @frame.page("/discounts/<discount_id>/change", "POST")
    def change_discount(visit: Visit, discount_id: str) -> Result:
        form = visit.form
        body: dict[str, Any] = fields.nested(form, "paused", "total_count", "discount_code")
        try:
            for name in _TIMES:
                if name in form:
                    body[name] = fields.moment(form[name], form.get("timezone", "UTC"), name)
                elif f"{name}.never" in form:
                    body[name] = None
            visit.ask("change_discount", body=body, discount_id=discount_id)
        except Refusal as refusal:
            return _show(visit, discount_id, Problem.of(refusal))
        done = {"true": "paused", "false": "resumed"}.get(form.get("paused", ""), "changed")
        return Redirect(visit.to(f"/discounts/{discount_id}", done=done))

    @frame.page("/discounts/<discount_id>/close")
    def ask_to_close(visit: Visit, discount_id: str) -> Result:
        return _close(visit, discount_id)

    @frame.page("/discounts/<discount_id>/close", "POST")
    def close_discount(visit: Visit, discount_id: str) -> Result:
        discount = visit.ask("show_discount", discount_id=discount_id)
        form = visit.form
        try:
            if form.get("typed") != discount.discount_code.strip():
                raise Invalid("typed", visit.language.gettext("is not the name of the discount"))
            visit.ask("close_discount", fields.nested(form, "granted_codes"), discount_id=discount_id)
        except Refusal as refusal:
            return _close(visit, discount_id, Problem.of(refusal))
        return Redirect(visit.to(f"/discounts/{discount_id}", done="closed"))


def _show(visit: Visit, discount_id: str, problem: Problem | None = None) -> Page:
    discount = visit.ask("show_discount", discount_id=discount_id)
    visit.look_at(discount.brand_id)
    done = visit.query.get("done", "")
    values: dict[str, Any] = {
        "charts": [],
        "webhook": None,
        "forecast": None,
        "discount": discount,
        "texts": discount_form.of(discount),
        "zone": visit.zone(discount),
        "problem": problem,
        "done": done if done in DONE else "",
        "form": visit.form if problem else {},
        "ends": fields.plain_moment(discount.expires_at, discount.timezone),
    }
    if visit.may("read"):
        values |= _figures(visit, discount_id)
    if discount.webhook_id is not None and visit.may("manage"):
        values["webhook"] = visit.try_ask("show_webhook", NotFound, webhook_id=discount.webhook_id)
    return Page("discount.html", values, live="discount-live.html", status=problem.status if problem else 200)


def _figures(visit: Visit, discount_id: str) -> dict[str, Any]:
    """Return the grants and uses of the last two days by hour, and when the codes run out; nothing without a ledger."""
    since = datetime.now(UTC) - timedelta(hours=HOURS - 1)
    query = {"step": "hour", "from": since.isoformat()}
    found = visit.try_ask("show_figures_of_discount", NoLedger, Unavailable, query=query, discount_id=discount_id)
    if found is None:
        return {}
    granted = {each.at: each.granted for each in found.figures}
    redeemed = {each.at: each.redeemed for each in found.figures}
    refused = {each.at: sum(each.refused_grants.values()) for each in found.figures}
    text = visit.language.gettext
    drawn = [
        charts.draw(text("Grants by hour"), "hour", since, HOURS, granted),
        charts.draw(text("Uses by hour"), "hour", since, HOURS, redeemed),
        charts.draw(text("Refused grants by hour"), "hour", since, HOURS, refused),
    ]
    return {"charts": drawn[:1] + [each for each in drawn[1:] if each.total], "forecast": found.forecast}


def _close(visit: Visit, discount_id: str, problem: Problem | None = None) -> Page:
    discount = visit.ask("show_discount", discount_id=discount_id)
    visit.look_at(discount.brand_id)
    values = {"discount": discount, "problem": problem}
    return Page("close.html", values, status=problem.status if problem else 200)
