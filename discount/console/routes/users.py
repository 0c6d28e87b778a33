"""Pages of users: what a user holds and used, and forgetting a user."""

from discount.console import fields
from discount.console.frame import Frame, Problem
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import Forbidden, Invalid, NotFound, Refusal

ROWS = 100


def add_routes(frame: Frame) -> None:
    """Serve the pages."""

    @frame.page("/users")
    def ask_for_user(visit: Visit) -> Result:
        if "user_id" in visit.query:
            return _show(visit, visit.query["user_id"])
        return Page("users.html", {"user_id": "", "forgotten": "forgotten" in visit.query})

    @frame.page("/users/forget", "POST")
    def forget_user(visit: Visit) -> Result:
        user_id = visit.form.get("user_id", "")
        try:
            if visit.form.get("typed") != user_id:
                raise Invalid("typed", visit.language.gettext("is not the name of the user"))
            visit.ask("forget_user", user_id=user_id)
        except Refusal as refusal:
            return _show(visit, user_id, Problem.of(refusal))
        return Redirect(visit.to("/users", forgotten="1"))


def _show(visit: Visit, user_id: str, problem: Problem | None = None) -> Page:
    query = {"brand_id": visit.brand_id, "limit": str(ROWS)}
    grants = visit.ask("list_grants_of_user", query | fields.nested(visit.query, "cursor"), user_id=user_id)
    uses = visit.ask("list_redemptions_of_user", query, user_id=user_id)
    contact = visit.try_ask("show_contact", NotFound, Forbidden, query={"brand_id": visit.brand_id}, user_id=user_id)
    values = {
        "user_id": user_id,
        "forgotten": False,
        "grants": grants.grants,
        "next": grants.next,
        "redemptions": uses.redemptions,
        "contact": contact,
        "problem": problem,
    }
    return Page("user.html", values, status=problem.status if problem else 200)
