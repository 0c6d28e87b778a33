"""Pages of the admin: brands and their API keys, and the state of the whole installation."""

import time
from collections.abc import Callable
from typing import Any

from discount.console import fields
from discount.console.frame import Frame, Problem
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import Forbidden, Invalid, Refusal

SCOPES = ("manage", "grant", "redeem", "read")
DONE = ("created", "changed", "revoked")


def add_routes(
    frame: Frame, describe: Callable[[], Any], are_workers_away: Callable[[float], bool], away: float
) -> None:
    """Serve the pages.

    Args:
        describe: returns the state of the installation.
        are_workers_away: returns whether no worker was seen for so many seconds; it may raise Unavailable.
        away: those seconds. A process remembers for half of them whether one was seen.
    """

    @frame.page("/brands")
    def list_brands(visit: Visit) -> Result:
        return _list(visit)

    @frame.page("/brands", "POST")
    def create_brand(visit: Visit) -> Result:
        try:
            made = visit.ask("create_brand", body=fields.nested(visit.form, "id", "name", "email"))
        except Refusal as refusal:
            return _list(visit, Problem.of(refusal))
        visit.look_at(made.id)
        return Redirect(visit.to("/brands/keys", done="created"))

    @frame.page("/brands/keys")
    def show_keys(visit: Visit) -> Result:
        return _keys(visit)

    @frame.page("/brands/keys", "POST")
    def create_key(visit: Visit) -> Result:
        form = visit.form
        chosen = [each for each in visit.request.form.getlist("scopes") if each in SCOPES]
        try:
            body: dict[str, Any] = fields.nested(form, "name") | {"scopes": chosen}
            if "expires_at" in form:
                body["expires_at"] = fields.moment(form["expires_at"], "UTC", "expires_at")
            made = visit.ask("create_key", body=body, brand_id=visit.need_brand())
        except Refusal as refusal:
            return _keys(visit, Problem.of(refusal))
        return Page("secret.html", {"kind": "key", "secret": made.key, "name": made.name, "back": "/brands/keys"})

    @frame.page("/brands/keys/revoke", "POST")
    def revoke_key(visit: Visit) -> Result:
        form = visit.form
        try:
            found = visit.ask("list_keys", brand_id=visit.need_brand()).keys
            key = next((each for each in found if each.id == form.get("key_id")), None)
            if key is not None and form.get("typed") != key.name:
                raise Invalid("typed", visit.language.gettext("is not the name of the key"))
            visit.ask("revoke_key", brand_id=visit.need_brand(), key_id=form.get("key_id", ""))
        except Refusal as refusal:
            return _keys(visit, Problem.of(refusal))
        return Redirect(visit.to("/brands/keys", done="revoked"))

    @frame.page("/brands/close", "POST")
    def close_brand(visit: Visit) -> Result:
        try:
            if visit.form.get("typed") != visit.need_brand():
                raise Invalid("typed", visit.language.gettext("is not the id of the brand"))
            visit.ask("close_brand", brand_id=visit.need_brand())
        except Refusal as refusal:
            return _keys(visit, Problem.of(refusal))
        return Redirect("/console/brands")

    @frame.page("/system")
    def show_system(visit: Visit) -> Result:
        if not visit.may("admin"):
            raise Forbidden(scope="admin")
        return Page("system.html", {"system": describe()}, live="system-live.html")

    seen: dict[str, Any] = {"until": 0.0, "away": False}

    def tell_of_workers(visit: Visit) -> str | None:
        now = time.monotonic()
        if now > seen["until"]:
            try:
                seen["away"] = are_workers_away(away)
            except Refusal:
                seen["away"] = False
            seen["until"] = now + away / 2
        if not seen["away"]:
            return None
        return visit.language.gettext("No worker is running. Webhooks, e-mails and figures wait until one does.")

    frame.add_notice(tell_of_workers)


def _list(visit: Visit, problem: Problem | None = None) -> Page:
    page = visit.ask("list_brands", {"limit": "100"} | fields.nested(visit.query, "cursor"))
    values = {"brands": page.brands, "next": page.next, "form": visit.form if problem else {}, "problem": problem}
    return Page("brands.html", values, status=problem.status if problem else 200)


def _keys(visit: Visit, problem: Problem | None = None) -> Page:
    brand_id = visit.need_brand()
    done = visit.query.get("done", "")
    values = {
        "brand": visit.ask("show_brand", brand_id=brand_id),
        "keys": visit.ask("list_keys", brand_id=brand_id).keys,
        "scopes": SCOPES,
        "done": done if done in DONE else "",
        "form": visit.form if problem else {},
        "problem": problem,
    }
    return Page("keys.html", values, status=problem.status if problem else 200)
