"""The page on which the settings of a discount are changed."""

from discount.console import discount_form, fields
from discount.console.frame import Frame, Problem
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import Refusal


def add_routes(frame: Frame) -> None:
    """Serve the page."""

    @frame.page("/discounts/<discount_id>/edit")
    def edit_discount(visit: Visit, discount_id: str) -> Result:
        discount = visit.ask("show_discount", discount_id=discount_id)
        form = discount_form.changeable(discount_form.of(discount))
        return _form(visit, discount_id, form, form)

    @frame.page("/discounts/<discount_id>/edit", "POST")
    def save_discount(visit: Visit, discount_id: str) -> Result:
        form, was = discount_form.read(visit.request.form), {}
        try:
            was = fields.unpack(form.pop("was", ""))
            zone = visit.ask("show_discount", discount_id=discount_id).timezone
            body = discount_form.changes(form, was, zone)
            if body:
                visit.ask("change_discount", body=body, discount_id=discount_id)
        except Refusal as refusal:
            return _form(visit, discount_id, form, was, Problem.of(refusal))
        return Redirect(visit.to(f"/discounts/{discount_id}", done="changed" if body else "same"))


def _form(
    visit: Visit, discount_id: str, form: dict[str, str], was: dict[str, str], problem: Problem | None = None
) -> Page:
    """Return the page. `was` are the texts that the form showed first: only what differs from them is changed."""
    discount = visit.ask("show_discount", discount_id=discount_id)
    visit.look_at(discount.brand_id)
    values = {
        "discount": discount,
        "zone": visit.zone(discount),
        "form": form,
        "was": fields.pack(was),
        "rows": discount_form.rows_of(form),
        "problem": problem,
    }
    return Page("edit.html", values, status=problem.status if problem else 200)
