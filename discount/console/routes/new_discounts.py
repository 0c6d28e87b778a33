"""Pages of a new discount: the form, a copy of another one, and a preview."""

import secrets
from typing import Any

from discount.console import discount_form, previews
from discount.console.frame import Frame, Problem
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import Refusal

#: What a copy does not take over, besides the webhook: the name, times, and the code of all users.
_OWN = ("discount_code", "codes.code", "starts_at", "expires_at", "release.at", "release.per_minute")


def add_routes(frame: Frame) -> None:
    """Serve the pages."""

    @frame.page("/discounts/new")
    def new_discount(visit: Visit) -> Result:
        zone = visit.zone()
        form = {"brand_id": visit.brand_id or "", "codes.kind": "unique", "timezone": zone, "limits.per_user": "1"}
        if "copy" in visit.query:
            copied = visit.ask("show_discount", discount_id=visit.query["copy"])
            visit.look_at(copied.brand_id)
            name = visit.language.gettext("%(name)s (copy)") % {"name": copied.discount_code}
            form = discount_form.of(copied) | dict.fromkeys(_OWN, "") | {"discount_code": name}
        return _form(form)

    @frame.page("/discounts/new", "POST")
    def create_discount(visit: Visit) -> Result:
        form = discount_form.read(visit.request.form)
        try:
            if "preview" in form:
                shown = previews.preview(_body(visit, form), visit.brand_id or "", visit.language.tag)
                return _form(form, preview=shown)
            made = visit.ask("create_discount", body=_body(visit, form), idempotency_key=form.get("key"))
        except Refusal as refusal:
            return _form(form, Problem.of(refusal))
        return Redirect(visit.to(f"/discounts/{made.id}", done="created"))


def _body(visit: Visit, form: dict[str, str]) -> dict[str, Any]:
    body = discount_form.body(form)
    if visit.caller.brand_id is not None:
        body.pop("brand_id", None)
    return body


def _form(form: dict[str, str], problem: Problem | None = None, preview: previews.Preview | None = None) -> Page:
    key = form.get("key") or secrets.token_urlsafe(18)
    values = {"form": form, "rows": discount_form.rows_of(form), "problem": problem, "preview": preview, "key": key}
    return Page("new.html", values, status=problem.status if problem else 200)
