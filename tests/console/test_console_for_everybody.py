"""The console for everybody: without violations that axe finds, in all languages, colours and widths."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.console.browsing import Person
from tests.console.site import ADMIN, Brand, Site
from tests.console.test_console_pages import OF_ADMIN, PAGES

#: Of each kind of text a page has one that was cut or overlaps if this is wider than the window.
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize(
    ("scheme", "language", "width"),
    [("light", "de-DE", 1280), ("dark", "en-XA", 320)],
    ids=["light, German and wide", "dark, pseudo-locale and narrow"],
)
def test_axe_finds_nothing_wrong_with_any_page(
    site: Site, visitor: Callable[..., Person], scheme: str, language: str, width: int
) -> None:
    brand = site.fill()
    wrong: dict[str, list[Any]] = {}
    for key, pages in ((brand.key, PAGES), (ADMIN, OF_ADMIN)):
        person = visitor(
            site,
            color_scheme=scheme,
            locale=language,
            viewport={"width": width, "height": 800},
            reduced_motion="reduce",
        )
        violations: dict[str, list[Any]] = {}
        person.go("/console/sign-in")
        if key == brand.key:
            violations["/console/sign-in"] = person.violations()
        _sign_in(person, key)
        for path in pages:
            page = person.go(path.format(brand.discounts["unique"]))
            violations[path] = person.violations()
            if page.evaluate(WIDER) > 0:
                violations[path].append(("scrolls sideways", [path]))
        if key == brand.key:
            violations["found code"] = _find(person, brand)
        wrong |= {path: found for path, found in violations.items() if found}
        person.check()
    assert wrong == {}


def _sign_in(person: Person, key: str) -> None:
    person.page.locator("[name=key]").fill(key)
    person.page.locator("main button").click()
    person.page.wait_for_url("**/console/")


def _find(person: Person, brand: Brand) -> list[object]:
    page = person.go("/console/codes")
    page.locator("[name=code]").fill(brand.code)
    page.locator("main form button").first.click()
    expect(page.locator("article")).to_be_visible()
    return person.violations()


def test_german_has_its_words_its_numbers_its_money_and_its_times(site: Site, visitor: Callable[..., Person]) -> None:
    key = site.brand("IKEA")
    discount = site.discount(
        key,
        "Frühling",
        total_count=12345,
        amount_off=123456,
        currency="EUR",
        timezone="Europe/Berlin",
        expires_at="2030-07-01T10:00:00Z",
    )
    person = visitor(site, locale="de-DE")
    person.go("/console/sign-in")
    _sign_in(person, key)
    page = person.go(f"/console/discounts/{discount}")
    assert page.locator("html").get_attribute("lang") == "de"
    text = page.locator("body").inner_text()
    for expected in ("12.345", "1.234,56\u00a0EUR", "01.07.2030, 12:00", "Europe/Berlin", "Pausieren", "aktiv"):
        assert expected in text, expected
    page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    assert "12,345" in page.locator("body").inner_text()
