"""Makes the pictures of the console in `doc/console`: `python -m tests.console.screenshots`.

The brand and its figures are made up; the pages are those of the service.
"""

import random
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from sqlalchemy import delete, insert

from discount.domain.model import Receipt
from discount.ledger.rows import STEPS
from discount.ledger.tables import FIGURES
from discount.store import keys
from discount.worker.dispatcher import Schedule
from tests.console.browsing import Person
from tests.console.conftest import OPTIONS
from tests.console.site import Site
from tests.support.needs import need
from tests.support.redis_server import RedisServer
from tests.support.sqlite_ledger import SqliteLedger
from tests.worker.harness import DELIVERED, Calls, dispatch, plan

FOLDER = Path(__file__).parents[2] / "doc" / "console"
_AWAY = Receipt("retry", "503", "The shop is being updated.", 30)
_OFF = {"percent_off": 15, "maximum_discount": 5000, "currency": "EUR"}


def make() -> None:
    """Fill a service, and save pictures of its main pages."""
    with RedisServer(tcp=True) as redis, tempfile.TemporaryDirectory() as folder:
        ledger = SqliteLedger(Path(folder))
        site = Site(redis.url, ledger)
        try:
            key = site.brand("IKEA")
            christmas, code = fill(site, key)
            shoot(site, key, christmas, code)
        finally:
            site.stop()


def fill(site: Site, key: str) -> tuple[str, str]:
    """Make a brand's day; return its busiest discount, and a code that was used."""
    site.ask("PATCH", "/brand/IKEA", {"timezone": "Europe/Stockholm"}, key)
    soon = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    zone = {"timezone": "Europe/Stockholm"}
    site.discount(key, "Partner codes", total_count=None, codes={"kind": "imported"}, **zone)
    site.discount(
        key, "Welcome", total_count=None, amount_off=500, currency="EUR",
        codes={"kind": "personal", "template": "hej-{name}-{id}"}, **zone
    )  # fmt: skip
    closing = site.discount(key, "Autumn sale", total_count=400, percent_off=10, expires_at=soon, **zone)
    site.discount(key, "Family weekend", codes={"kind": "shared", "code": "FAMILJ2026"}, **zone)
    christmas = site.discount(key, "Christmas 2026", total_count=3000, **_OFF, **zone)
    for discount, count in ((closing, 310), (christmas, 2260)):
        users = [f"customer {number}" for number in range(count)]
        site.ask("POST", f"/discount/{discount}/grants", {"user_ids": users}, key)
    code = ""
    for number in range(40):
        code = site.grant(key, christmas, f"customer {number}")
        order = {"id": f"order-{1000 + number}", "amount": 4_000 + 731 * number, "currency": "EUR"}
        use = {"discount_id": christmas, "user_id": f"customer {number}", "code": code, "order": order}
        site.ask("POST", "/redemption", use, key)
    site.ask("POST", "/webhook", {"url": "https://shop.ikea.example/discounts"}, key)
    other = {"url": "https://crm.ikea.example/uses", "types": ["code.redeemed"]}
    failing = site.ask("POST", "/webhook", other, key)["id"]
    plan(site.store, "worker-1")
    later = Schedule(pauses=(1800.0,) * 9, timeout=10.0, off_after=1e9)
    dispatch(site.store, Calls(lambda each: _AWAY if each.target == failing else DELIVERED).prepare, later)
    site.ledger.read(site.store)
    _add_past(site, christmas, {"code.granted": 2_260, "code.redeemed": 40})
    _add_past(site, closing, {"code.granted": 310})
    return christmas, code


def _add_past(site: Site, discount: str, totals: dict[str, int]) -> None:
    """Spread what happened with a discount over the last two days, as if it had not come all at once."""
    chance = random.Random(7)
    now = int(datetime.now(UTC).timestamp() * 1_000_000)
    stored = keys.discount(keys.partition_of("IKEA", site.store.partitions), discount)
    site.store.command("HSET", stored, "created_at", f"{now - 3 * STEPS['day']:016d}")
    with site.ledger.writing() as connection:
        of_discount = (FIGURES.c.discount_id == discount) & FIGURES.c.type.in_(totals)
        connection.execute(delete(FIGURES).where(of_discount & FIGURES.c.step.in_(("minute", "hour"))))
        for step, count, share in (("minute", 60, 0.05), ("hour", 48, 1.0)):
            size = STEPS[step]
            for kind, total in totals.items():
                currency = "EUR" if kind == "code.redeemed" else ""
                weights = [(0.4 + 0.6 * place / count) * chance.uniform(0.3, 1) ** 2 for place in range(count)]
                whole = [round(total * share * sum(weights[:n]) / sum(weights)) for n in range(count + 1)]
                for place in range(count):
                    at = (now - (count - 1 - place) * size) // size * size
                    number = whole[place + 1] - whole[place]
                    amounts = {"amount": 18_200 * number, "discount_amount": 2_730 * number} if currency else {}
                    row = {"brand_id": "IKEA", "discount_id": discount, "step": step, "at": at, "type": kind}
                    row |= {"count": number, "currency": currency, "amount": 0, "discount_amount": 0} | amounts
                    connection.execute(insert(FIGURES), [row])


def shoot(site: Site, key: str, discount: str, code: str) -> None:
    """Save the pictures."""
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=need("chromium"), args=OPTIONS)
        wide = {"viewport": {"width": 1200, "height": 820}, "device_scale_factor": 1}
        person = Person(site, browser.new_context(**wide, color_scheme="light"))  # type: ignore[arg-type]
        page = person.sign_in(key)
        for name, path in [
            ("overview", "/console/"),
            ("discounts", "/console/discounts"),
            ("discount", f"/console/discounts/{discount}"),
            ("new", "/console/discounts/new"),
            ("deliveries", "/console/deliveries"),
        ]:
            person.go(path)
            page.screenshot(path=FOLDER / f"{name}.png", full_page=name != "deliveries")
        person.go("/console/discounts/new")
        _fill_rule(page)
        page.screenshot(path=FOLDER / "rule.png", full_page=True)
        person.go("/console/codes")
        page.locator("[name=code]").fill(code)
        page.get_by_role("button", name="Find", exact=True).click()
        page.locator("article").wait_for()
        page.screenshot(path=FOLDER / "code.png", full_page=True)
        dark = Person(
            site, browser.new_context(viewport={"width": 400, "height": 800}, color_scheme="dark", locale="de-DE")
        )
        dark.go("/console/sign-in")
        dark.page.locator("[name=key]").fill(key)
        dark.page.locator("main button").click()
        dark.page.wait_for_url("**/console/")
        dark.page.screenshot(path=FOLDER / "narrow-dark-german.png")
        browser.close()


def _fill_rule(page: Page) -> None:
    """Write a rule for some products into the form, and have it shown on an order."""
    page.locator("[name=discount_code]").fill("Chairs in the evening")
    page.locator("[name=total_count]").fill("5000")
    page.locator("[name=percent_off]").fill("20")
    page.locator("[id='f-applies_to'] summary").click()
    page.locator("[name='applies_to.skus']").fill("CHAIR-*")
    page.locator("[name='applies_to.categories']").fill("stools")
    page.locator("[name=cheapest_lines]").fill("1")
    page.locator("[id='f-opens'] summary").click()
    for name, value in (("from", "18:00"), ("to", "23:00")):
        page.locator(f"[name='opens.0.{name}']").fill(value)
    for day in ("mon", "tue", "wed"):
        page.locator(f"[name='opens.0.{day}']").check()
    page.get_by_role("button", name="Preview").click()
    page.locator("#done").wait_for()


if __name__ == "__main__":
    make()
