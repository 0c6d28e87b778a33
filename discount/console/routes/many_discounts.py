"""The page on which many discounts are paused, resumed or closed at once, after a look at them."""

from dataclasses import dataclass
from typing import Any

from discount.console.frame import Frame, Problem
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import Invalid, NotFound, Refusal

#: The most discounts of one click: those of a page of the list.
MOST = 50
#: What can be done to many discounts at once.
ACTIONS = ("pause", "resume", "close")


@dataclass(slots=True)
class Row:
    """A discount of many, and why it was refused what was done to them."""

    id: str
    discount: Any
    problem: Problem | None = None


def add_routes(frame: Frame) -> None:
    """Serve the page."""

    @frame.page("/discounts/bulk", "POST")
    def change_many(visit: Visit) -> Result:
        chosen = list(dict.fromkeys(visit.request.form.getlist("chosen")))[:MOST]
        action = visit.form.get("action", "")
        if action not in ACTIONS or not chosen:
            return Redirect(visit.to("/discounts"))
        found = [(each, visit.try_ask("show_discount", NotFound, discount_id=each)) for each in chosen]
        rows = [Row(each, discount) for each, discount in found if discount is not None]
        values: dict[str, Any] = {"rows": rows, "action": action, "problem": None, "is_done": False}
        if "sure" not in visit.form:
            return Page("bulk.html", values)
        if action == "close" and visit.form.get("typed") != str(len(rows)):
            reason = visit.language.gettext("is not the number of discounts")
            return Page("bulk.html", values | {"problem": Problem.of(Invalid("typed", reason))}, status=422)
        for row in rows:
            row.problem = _act(visit, action, row.id)
        return Page("bulk.html", values | {"is_done": True})


def _act(visit: Visit, action: str, discount_id: str) -> Problem | None:
    """Do to one discount what was chosen for many, and return why it was refused, if it was."""
    try:
        if action == "close":
            visit.ask("close_discount", discount_id=discount_id)
        else:
            body = {"paused": "true" if action == "pause" else "false"}
            visit.ask("change_discount", body=body, discount_id=discount_id)
    except Refusal as refusal:
        return Problem.of(refusal)
    return None
