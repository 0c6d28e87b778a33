"""The page of a brand's settings: its name and address, its time zone, and the e-mails that are sent."""

from typing import Any, get_args

from discount.api.schemas.brands import SwitchedOff
from discount.console import fields
from discount.console.frame import Frame, Problem
from discount.console.visits import Page, Redirect, Result, Visit
from discount.domain.errors import Invalid, Refusal

_TEXTS = ("name", "email", "timezone")
_OF_DIGEST = ("email", "language", "hour")


def add_routes(frame: Frame) -> None:
    """Serve the page."""

    @frame.page("/settings")
    def show_settings(visit: Visit) -> Result:
        return _show(visit)

    @frame.page("/settings", "POST")
    def change_settings(visit: Visit) -> Result:
        form = dict(visit.form)
        try:
            was = fields.unpack(form.pop("was", ""))
            body = _changes(form, was)
            if body:
                visit.ask("change_brand", body=body, brand_id=visit.need_brand())
        except Refusal as refusal:
            return _show(visit, Problem.of(refusal))
        return Redirect(visit.to("/settings", done="1"))


def _changes(form: dict[str, str], was: dict[str, str]) -> dict[str, Any]:
    """Return what differs from the texts that the form showed."""
    changed = {name for name in form.keys() | was.keys() if form.get(name, "") != was.get(name, "")}
    body: dict[str, Any] = {name: form.get(name) for name in _TEXTS if name in changed}
    if "name" in body and body["name"] is None:
        raise Invalid("name", "is missing")
    if any(name == "digest" or name.startswith("digest.") for name in changed):
        given = {name: form[f"digest.{name}"] for name in _OF_DIGEST if f"digest.{name}" in form}
        body["digest"] = given if "digest" in form else None
    if any(name.startswith("off.") for name in changed):
        body["mails_off"] = [each for each in get_args(SwitchedOff) if f"off.{each}" in form]
    return body


def _show(visit: Visit, problem: Problem | None = None) -> Page:
    if visit.brand_id is None:
        return Page("settings.html", {"brand": None, "done": False})
    brand = visit.ask("show_brand", brand_id=visit.need_brand())
    visit.look_at(brand.id)
    texts = {"name": brand.name, "email": brand.email or "", "timezone": brand.timezone or ""}
    if brand.digest is not None:
        texts |= {"digest": "1", "digest.email": brand.digest.email or ""}
        texts |= {"digest.language": brand.digest.language, "digest.hour": str(brand.digest.hour)}
    texts |= {f"off.{each}": "1" for each in brand.mails_off}
    values = {
        "brand": brand,
        "form": visit.form if problem else texts,
        "was": visit.form.get("was", "{}") if problem else fields.pack(texts),
        "done": "done" in visit.query,
        "problem": problem,
    }
    return Page("settings.html", values, status=problem.status if problem else 200)
