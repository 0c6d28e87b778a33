"""Pages of discounts: the list, one discount, a new one, and closing one."""

import secrets
from typing import Any

from discount.console import fields
from discount.console.frame import Frame, Problem
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import Invalid, Refusal

#: The rows of one page.
ROWS = 50
#: What happened to a discount, as the address of the page says it.
DONE = ("created", "changed", "paused", "resumed", "closed")
_TEXTS = (
    *("brand_id", "discount_code", "total_count", "percent_off", "currency", "timezone", "valid_for"),
    *("codes.kind", "codes.pattern", "codes.alphabet", "codes.prefix", "codes.template", "codes.code"),
    *("limits.total", "limits.per_user", "limits.per_user_per_day", "limits.per_user_per_week", "webhook_url"),
)
_MONEY = ("amount_off", "minimum_amount", "maximum_discount")
_TIMES = ("starts_at", "expires_at")


def add_routes(frame: Frame) -> None:
    """Serve the pages."""

    @frame.page("/discounts")
    def list_discounts(visit: Visit) -> Result:
        asked: dict[str, str] = {name: visit.query[name] for name in ("status", "cursor") if name in visit.query}
        page = visit.ask("list_discounts", {"brand_id": visit.brand_id, "limit": str(ROWS), **asked})
        values = {"discounts": page.discounts, "next": page.next, "missing": bool(page.missing), "asked": asked}
        return Page("discounts.html", values, live="discounts-live.html")

    @frame.page("/discounts/new")
    def new_discount(visit: Visit) -> Result:
        form = {"brand_id": visit.brand_id or "", "codes.kind": "unique", "timezone": "UTC", "limits.per_user": "1"}
        return _form(form | visit.query)

    @frame.page("/discounts/new", "POST")
    def create_discount(visit: Visit) -> Result:
        form = visit.form
        try:
            made = visit.ask("create_discount", body=_body(visit), idempotency_key=form.get("key"))
        except Refusal as refusal:
            return _form(form, Problem.of(refusal))
        return Redirect(visit.to(f"/discounts/{made.id}", done="created"))

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
    done = visit.query.get("done", "")
    values = {
        "discount": discount,
        "zone": discount.timezone,
        "problem": problem,
        "done": done if done in DONE else "",
        "form": visit.form if problem else {},
        "ends": fields.plain_moment(discount.expires_at, discount.timezone),
    }
    return Page("discount.html", values, live="discount-live.html", status=problem.status if problem else 200)


def _close(visit: Visit, discount_id: str, problem: Problem | None = None) -> Page:
    values = {"discount": visit.ask("show_discount", discount_id=discount_id), "problem": problem}
    return Page("close.html", values, status=problem.status if problem else 200)


def _form(form: dict[str, str], problem: Problem | None = None) -> Page:
    values = {"form": form, "problem": problem, "key": form.get("key") or secrets.token_urlsafe(18)}
    return Page("new.html", values, status=problem.status if problem else 200)


def _body(visit: Visit) -> dict[str, Any]:
    """Return the form as the body of a new discount.

    Raises:
        Invalid
    """
    form = visit.form
    body = fields.nested(form, *_TEXTS)
    if visit.caller.brand_id is not None:
        body.pop("brand_id", None)
    zone = form.get("timezone", "UTC")
    for name in _TIMES:
        if name in form:
            body[name] = fields.moment(form[name], zone, name)
    for name in _MONEY:
        if name in form:
            if "currency" not in form:
                raise Invalid("currency", "is missing")
            body[name] = fields.money(form[name], form["currency"], name)
    if "percent_off" in body:
        body["percent_off"] = body["percent_off"].replace(",", ".")
    if not any(name in body for name in _MONEY):
        body.pop("currency", None)
    return body
