"""Pages of a new discount: the form, a copy of another one, and a preview."""

import secrets
from typing import Any

from discount.console import fields, previews
from discount.console.frame import Frame, Problem
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import Invalid, Refusal

_TEXTS = (
    *("brand_id", "discount_code", "total_count", "percent_off", "currency", "timezone", "valid_for"),
    *("codes.kind", "codes.pattern", "codes.alphabet", "codes.prefix", "codes.template", "codes.code"),
    *("limits.total", "limits.per_user", "limits.per_user_per_day", "limits.per_user_per_week", "webhook_url"),
)
_MONEY = ("amount_off", "minimum_amount", "maximum_discount")
_TIMES = ("starts_at", "expires_at")


def add_routes(frame: Frame) -> None:
    """Serve the pages."""

    @frame.page("/discounts/new")
    def new_discount(visit: Visit) -> Result:
        zone = frame.zone_of(visit.brand_id)
        form = {"brand_id": visit.brand_id or "", "codes.kind": "unique", "timezone": zone, "limits.per_user": "1"}
        if "copy" in visit.query:
            copied = visit.ask("show_discount", discount_id=visit.query["copy"])
            visit.look_at(copied.brand_id)
            form |= _copy(visit, copied)
        return _form(form)

    @frame.page("/discounts/new", "POST")
    def create_discount(visit: Visit) -> Result:
        form = visit.form
        try:
            if "preview" in form:
                return _form(form, preview=previews.preview(_body(visit), visit.brand_id or "", visit.language.tag))
            made = visit.ask("create_discount", body=_body(visit), idempotency_key=form.get("key"))
        except Refusal as refusal:
            return _form(form, Problem.of(refusal))
        return Redirect(visit.to(f"/discounts/{made.id}", done="created"))


def _copy(visit: Visit, discount: Any) -> dict[str, str]:
    """Return the form of a new discount like another one. Times and the code of all users are left out."""
    name = visit.language.gettext("%(name)s (copy)") % {"name": discount.discount_code}
    form = {"brand_id": discount.brand_id, "discount_code": name, "timezone": discount.timezone}
    codes = discount.codes
    form |= {"codes.kind": codes.kind, "codes.pattern": codes.pattern, "codes.template": codes.template}
    for field in ("total_count", "valid_for", "currency"):
        form[field] = str(getattr(discount, field) or "")
    if discount.percent_off is not None:
        form["percent_off"] = f"{discount.percent_off:g}"
    for field in _MONEY:
        if getattr(discount, field) is not None:
            form[field] = fields.plain_money(getattr(discount, field), discount.currency)
    for field in ("total", "per_user", "per_user_per_day", "per_user_per_week"):
        most = getattr(discount.limits, field)
        form[f"limits.{field}"] = "" if most is None else str(most)
    return form


def _form(form: dict[str, str], problem: Problem | None = None, preview: previews.Preview | None = None) -> Page:
    values = {"form": form, "problem": problem, "preview": preview, "key": form.get("key") or secrets.token_urlsafe(18)}
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
