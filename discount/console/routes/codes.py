"""Pages of codes: find one and act on it; a discount's codes, holders and uses."""

from io import BufferedReader
from typing import Any, cast

from discount.api.inputs import Upload
from discount.console import fields
from discount.console.frame import Frame, Problem
from discount.console.visits import Page, Result, Visit
from discount.domain.errors import Invalid, NoLedger, NotFound, Refusal

ROWS = 50
#: The largest file to import, in bytes.
LARGEST_IMPORT = 8 * 1024 * 1024
_MEDIA_TYPES = {"csv": "text/csv", "txt": "text/plain", "json": "application/json"}


def add_routes(frame: Frame) -> None:
    """Serve the pages."""

    @frame.page("/codes")
    def ask_for_code(visit: Visit) -> Result:
        return Page("codes.html", _found(visit, {}) | {"done": ""})

    # Codes are not written into addresses, which browsers and proxies keep.
    @frame.page("/codes", "POST")
    def find_code(visit: Visit) -> Result:
        problem, done = None, ""
        try:
            done = _act(visit)
            values = _found(visit, visit.form)
        except Refusal as refusal:
            problem = Problem.of(refusal)
            values = _found_again(visit)
        values |= {"problem": problem, "done": done}
        return Page("codes.html", values, status=problem.status if problem else 200)

    @frame.page("/discounts/<discount_id>/holders")
    def list_holders(visit: Visit, discount_id: str) -> Result:
        page = visit.ask("list_grants", _page(visit), discount_id=discount_id)
        return _of_discount(visit, discount_id, "holders.html", {"grants": page.grants, "next": page.next})

    @frame.page("/discounts/<discount_id>/holders.csv")
    def save_holders(visit: Visit, discount_id: str) -> Result:
        return cast("Result", visit.ask("list_grants", {"format": "csv"}, discount_id=discount_id))

    @frame.page("/discounts/<discount_id>/uses")
    def list_uses(visit: Visit, discount_id: str) -> Result:
        page = visit.ask("list_redemptions", _page(visit), discount_id=discount_id)
        return _of_discount(visit, discount_id, "uses.html", {"redemptions": page.redemptions, "next": page.next})

    @frame.page("/discounts/<discount_id>/uses.csv")
    def save_uses(visit: Visit, discount_id: str) -> Result:
        return cast("Result", visit.ask("list_redemptions", {"format": "csv"}, discount_id=discount_id))

    @frame.page("/discounts/<discount_id>/codes")
    def show_codes(visit: Visit, discount_id: str) -> Result:
        return _of_discount(visit, discount_id, "import.html", {"report": None, "before": 0})

    @frame.page("/discounts/<discount_id>/codes", "POST", largest=LARGEST_IMPORT)
    def import_codes(visit: Visit, discount_id: str) -> Result:
        report, problem = None, None
        try:
            query = fields.nested(visit.form, "column")
            report = visit.ask("import_codes", query, upload=_upload(visit), discount_id=discount_id)
        except Refusal as refusal:
            problem = Problem.of(refusal)
        # A script sends a long file in pieces, and says how many lines came before.
        before = visit.form.get("before", "0")
        values = {"report": report, "problem": problem, "before": int(before) if before.isdecimal() else 0}
        return _of_discount(visit, discount_id, "import.html", values, problem.status if problem else 200)

    @frame.page("/discounts/<discount_id>/codes.csv")
    def save_codes(visit: Visit, discount_id: str) -> Result:
        return cast("Result", visit.ask("export_codes", {"format": "csv"}, discount_id=discount_id))


def _page(visit: Visit) -> dict[str, str]:
    return {"limit": str(ROWS)} | fields.nested(visit.query, "cursor")


def _of_discount(visit: Visit, discount_id: str, template: str, values: dict[str, Any], status: int = 200) -> Page:
    """Return a page about a discount; its name and its zone are read first."""
    discount = visit.ask("show_discount", discount_id=discount_id)
    visit.look_at(discount.brand_id)
    return Page(template, values | {"discount": discount, "zone": visit.zone(discount)}, status=status)


def _upload(visit: Visit) -> Upload:
    """Return the codes of the form: a file, or text with one on each line.

    Raises:
        Invalid
    """
    file = visit.request.files.get("file")
    if file is not None and file.filename:
        media_type = _MEDIA_TYPES.get(file.filename.rpartition(".")[2].lower(), "text/plain")
        return Upload(media_type, BufferedReader(cast("Any", file.stream)), "utf-8")
    raise Invalid("file", visit.language.gettext("is missing"))


def _act(visit: Visit) -> str:
    """Do what a button asks for, and return its name; an empty text for a search.

    Raises:
        Refusal
    """
    form = visit.form
    action = form.get("action", "")
    if action == "roll-back":
        body = fields.nested(form, "reason")
        visit.ask("roll_back_redemption", body=body, redemption_id=form.get("redemption_id", ""))
    elif action == "take-back":
        if form.get("typed") != form.get("user_id"):
            raise Invalid("typed", visit.language.gettext("is not the name of the user"))
        body = fields.nested(form, "user_id", "reason", "back", "next_user_id", "reissue")
        visit.ask("revoke_code", body=body | {"code": form.get("held", "")}, discount_id=form.get("discount_id", ""))
    elif action == "send-again":
        visit.ask("resend_delivery", delivery_id=form.get("delivery_id", ""))
    return action


def _found_again(visit: Visit) -> dict[str, Any]:
    """Return what the page shows after a refusal."""
    try:
        return _found(visit, visit.form)
    except Refusal:
        return _found(visit, {})


def _found(visit: Visit, form: dict[str, str]) -> dict[str, Any]:
    """Return the holders of the code of a form, and the discounts that have it if nobody holds it.

    Raises:
        NotFound, Unavailable
    """
    values: dict[str, Any] = {"form": form, "holders": [], "unheld": [], "zones": {}, "ledger": True}
    if "code" not in form:
        return values
    brand_id = visit.caller.brand_id or form.get("brand_id")
    if brand_id:
        visit.look_at(brand_id)
    found = visit.try_ask("find_code", NoLedger, body={"brand_id": brand_id, "code": form["code"]})
    if found is None:
        return values | {"ledger": False}
    for discount_id in {each.discount_id for each in found.holders}:
        discount = visit.try_ask("show_discount", NotFound, discount_id=discount_id)
        values["zones"][discount_id] = "UTC" if discount is None else visit.zone(discount)
    return values | {"holders": found.holders, "unheld": found.unheld}
