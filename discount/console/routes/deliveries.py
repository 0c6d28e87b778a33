"""Pages of deliveries and of the webhooks that receive them."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from discount.console import fields
from discount.console.frame import Frame, Problem
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import Invalid, Refusal
from discount.services.delivery_lanes import WaitingLane

ROWS = 100
#: The most failed deliveries that one click sends again, in pages of a thousand.
RESENT = 10
DONE = ("resent", "tested", "switched", "removed")


def add_routes(frame: Frame, list_lanes: Callable[[str], list[WaitingLane]]) -> None:
    """Serve the pages.

    Args:
        list_lanes: returns the lanes of a brand that wait.
    """

    def _show(visit: Visit, problem: Problem | None = None) -> Page:
        return _page(visit, list_lanes, problem)

    @frame.page("/deliveries")
    def list_deliveries(visit: Visit) -> Result:
        return _show(visit)

    @frame.page("/deliveries/resend", "POST")
    def resend(visit: Visit) -> Result:
        form = visit.form
        try:
            if "delivery_id" in form:
                visit.ask("resend_delivery", delivery_id=form["delivery_id"])
                return Redirect(visit.to("/deliveries", done="resent", count="1", state=form.get("state")))
            resent = _resend_all(visit)
        except Refusal as refusal:
            return _show(visit, Problem.of(refusal))
        return Redirect(visit.to("/deliveries", done="resent", count=str(resent)))

    @frame.page("/webhooks/new", "POST")
    def create_webhook(visit: Visit) -> Result:
        try:
            body = {"brand_id": visit.brand_id, **fields.nested(visit.form, "url")}
            made = visit.ask("create_webhook", body=body, idempotency_key=visit.form.get("key"))
        except Refusal as refusal:
            return _show(visit, Problem.of(refusal))
        return Page("secret.html", {"kind": "webhook", "secret": made.secret, "name": made.url, "back": "/deliveries"})

    @frame.page("/webhooks/<webhook_id>", "POST")
    def change_webhook(visit: Visit, webhook_id: str) -> Result:
        form = visit.form
        try:
            if form.get("action") == "test":
                visit.ask("test_webhook", body={"webhook_id": webhook_id})
                return Redirect(visit.to("/deliveries", done="tested"))
            if form.get("action") == "secret":
                made = visit.ask("rotate_secret", webhook_id=webhook_id)
                values = {"kind": "webhook", "secret": made.secret, "name": made.url, "back": "/deliveries"}
                return Page("secret.html", values)
            if form.get("action") == "remove":
                webhook = visit.ask("show_webhook", webhook_id=webhook_id)
                if form.get("typed") != webhook.url:
                    raise Invalid("typed", visit.language.gettext("is not the address of the webhook"))
                visit.ask("remove_webhook", webhook_id=webhook_id)
                return Redirect(visit.to("/deliveries", done="removed"))
            visit.ask("change_webhook", body=fields.nested(form, "on"), webhook_id=webhook_id)
        except Refusal as refusal:
            return _show(visit, Problem.of(refusal))
        return Redirect(visit.to("/deliveries", done="switched"))


def _page(visit: Visit, list_lanes: Callable[[str], list[WaitingLane]], problem: Problem | None) -> Page:
    asked = fields.nested(visit.query, "state", "kind", "webhook_id", "cursor")
    values: dict[str, Any] = {"asked": asked, "problem": problem, "webhooks": [], "deliveries": [], "next": None}
    values["lanes"] = []
    done = visit.query.get("done", "")
    values |= {"done": done if done in DONE else "", "count": _count(visit.query.get("count", ""))}
    if visit.brand_id is not None:
        page = visit.ask("list_deliveries", {"brand_id": visit.brand_id, "limit": str(ROWS), **asked})
        values |= {"deliveries": page.deliveries, "next": page.next}
        values["lanes"] = list_lanes(visit.brand_id)
        if visit.may("manage"):
            values["webhooks"] = visit.ask("list_webhooks", {"brand_id": visit.brand_id}).webhooks
    failed = Counter((each.webhook_id or "", each.kind, each.status) for each in values["deliveries"] if _failed(each))
    values["groups"] = [
        {"webhook_id": webhook_id, "kind": kind, "status": status, "count": count}
        for (webhook_id, kind, status), count in failed.most_common()
    ]
    values["urls"] = {each.id: each.url for each in values["webhooks"]}
    live = "deliveries-live.html" if problem is None else ""
    return Page("deliveries.html", values, live=live, status=problem.status if problem else 200)


def _failed(delivery: Any) -> bool:
    return delivery.state == "failed" or (delivery.state == "waiting" and bool(delivery.attempts))


def _resend_all(visit: Visit) -> int:
    """Resend failed deliveries, newest first, and return how many."""
    body: dict[str, Any] = {"brand_id": visit.brand_id, "limit": "1000", **fields.nested(visit.form, "webhook_id")}
    resent, cursor = 0, None
    for _ in range(RESENT):
        page = visit.ask("resend_deliveries", body=body | ({"cursor": cursor} if cursor else {}))
        resent += page.resent_count
        cursor = page.next
        if cursor is None:
            break
    return resent


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
