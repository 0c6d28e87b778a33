"""The page of the users who wait for a code of a discount."""

from discount.console import fields
from discount.console.frame import Frame, Problem
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import Refusal

ROWS = 50
DONE = ("added", "removed")


def add_routes(frame: Frame) -> None:
    """Serve the page."""

    @frame.page("/discounts/<discount_id>/waits")
    def list_waits(visit: Visit, discount_id: str) -> Result:
        return _show(visit, discount_id)

    @frame.page("/discounts/<discount_id>/waits", "POST")
    def change_waits(visit: Visit, discount_id: str) -> Result:
        form = visit.form
        try:
            if form.get("action") == "remove":
                visit.ask("end_wait", fields.nested(form, "user_id"), discount_id=discount_id)
            else:
                visit.ask("begin_wait", body=fields.nested(form, "user_id", "email"), discount_id=discount_id)
        except Refusal as refusal:
            return _show(visit, discount_id, Problem.of(refusal))
        done = "removed" if form.get("action") == "remove" else "added"
        return Redirect(visit.to(f"/discounts/{discount_id}/waits", done=done))


def _show(visit: Visit, discount_id: str, problem: Problem | None = None) -> Page:
    discount = visit.ask("show_discount", discount_id=discount_id)
    visit.look_at(discount.brand_id)
    page = visit.ask("list_waits", {"limit": str(ROWS)} | fields.nested(visit.query, "cursor"), discount_id=discount_id)
    done = visit.query.get("done", "")
    values = {
        "discount": discount,
        "zone": visit.zone(discount),
        "waits": page.waits,
        "next": page.next,
        "done": done if done in DONE else "",
        "form": visit.form if problem else {},
        "problem": problem,
    }
    return Page("waits.html", values, status=problem.status if problem else 200)
