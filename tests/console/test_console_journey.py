"""A day's work at the console, in a real browser."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Page, expect

from discount.config import Settings
from tests.chaos.worker_processes import WorkerProcesses
from tests.console.browsing import Person
from tests.console.forms import Form
from tests.console.site import ADMIN, SECRET, Site
from tests.support.service import wait_until


def press_until(page: Page, name: str, key: str = "Tab", most: int = 60) -> None:
    """Press a key until the element with that name has the focus."""
    for _ in range(most):
        page.keyboard.press(key)
        label = page.evaluate(
            "(() => { const e = document.activeElement;"
            " return (e.labels?.[0]?.innerText || e.ariaLabel || e.innerText || '').trim() })()"
        )
        if label.startswith(name):
            return
    raise AssertionError(f"{name} cannot be reached by {key}")


def test_by_keyboard_alone_a_person_creates_and_pauses_a_discount_and_takes_a_code_back(
    site: Site, person: Person
) -> None:
    key = site.brand("IKEA")
    page = person.go("/console/")
    assert page.url.startswith(f"{site.url}/console/sign-in")
    press_until(page, "Key")
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    press_until(page, "Discounts")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Discounts")
    press_until(page, "New discount")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("New discount")
    press_until(page, "Name")
    page.keyboard.type("Christmas 2026")
    press_until(page, "Codes in all")
    page.keyboard.type("250")
    press_until(page, "Per cent off")
    page.keyboard.type("12,5")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Christmas 2026")
    expect(page.get_by_text("The discount was created.")).to_be_focused()
    press_until(page, "Pause")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The discount is paused.")).to_be_focused()
    (made,) = site.ask("GET", "/discount", key=key)["discounts"]
    assert (made["status"], made["total_count"], made["percent_off"], made["brand_id"]) == ("paused", 250, 12.5, "IKEA")
    site.ask("PATCH", f"/discount/{made['id']}", {"paused": False}, key)
    code = site.grant(key, made["id"])
    site.ledger.read(site.store)
    press_until(page, "Find a code")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Find a code")
    press_until(page, "Code")
    page.keyboard.type(code.lower())
    page.keyboard.press("Enter")
    expect(page.get_by_text("held by the user")).to_be_visible()
    press_until(page, "Take the code back")
    page.keyboard.press("Enter")
    press_until(page, "Type User 1")
    page.keyboard.type("User 1")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The code was taken back.")).to_be_focused()
    site.ask("GET", f"/discount/{made['id']}/grant?user_id=User 1", key=key, status=404)
    person.check()


def test_the_next_click_after_a_key_was_revoked_leads_to_the_page_to_sign_in(site: Site, person: Person) -> None:
    key = site.brand("IKEA")
    page = person.sign_in(key)
    page.get_by_role("link", name="Discounts").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Discounts")
    (stored,) = site.ask("GET", "/brand/IKEA/keys", key=ADMIN)["keys"]
    site.ask("DELETE", f"/brand/IKEA/keys/{stored['id']}")
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#problems")).to_contain_text("is not a valid key")


def test_a_live_part_shows_a_grant_and_costs_no_rendering_while_nothing_changes(site: Site, person: Person) -> None:
    key = site.brand("IKEA")
    discount = site.discount(key)
    person.sign_in(key).clock.install()
    page = person.go(f"/console/discounts/{discount}")
    figure = page.locator("[data-figure=granted]")
    expect(figure).to_have_text("0")
    site.grant(key, discount)
    page.clock.run_for(5_000)
    expect(figure).to_have_text("1")
    with page.expect_response(lambda answer: "live=1" in answer.url) as awaited:
        page.clock.run_for(5_000)
    assert awaited.value.status == 304
    person.check()


@pytest.fixture
def impatient(running: Site, redis: object) -> Iterator[Site]:
    """The service, which takes a worker for gone after a second."""
    site = Site(running.settings.redis_url, running.ledger, worker_away=1)
    yield site
    site.stop()


# The fixture of the service comes first: the visitor has to leave before it stops.
def test_a_worker_that_ends_is_told_of_on_a_page_that_is_open(impatient: Site, visitor: Callable[..., Person]) -> None:
    key = impatient.brand("IKEA")
    impatient.discount(key)
    with WorkerProcesses(impatient.settings.redis_url, workers=1, secret=SECRET) as processes:
        person, other = visitor(impatient), Form(impatient).sign_in(key)
        page = person.sign_in(key)
        page.clock.install()
        banner = page.get_by_text("No worker is running.")

        def sees_none() -> bool:
            person.go("/console/")
            return not banner.count()

        wait_until(sees_none, "the worker was seen")
        processes.kill(0)
        wait_until(lambda: "No worker is running." in other.get("/console/").text, "a new page says so")
        # The open page asks again every five seconds of its clock.
        page.clock.run_for(5_000)
        expect(banner).to_be_visible()


def test_the_longest_time_until_a_page_says_so_is_less_than_a_minute() -> None:
    schema = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"]["worker_away"]
    # A process remembers for half of it what it has seen, and the page asks every five seconds.
    assert schema["default"] <= schema["maximum"]
    assert schema["maximum"] * 1.5 + 5 < 60


def test_during_a_thousand_grants_the_tile_is_at_most_ten_seconds_and_one_per_cent_behind(
    site: Site, person: Person
) -> None:
    key = site.brand("IKEA")
    discount = site.discount(key, total_count=2000)
    person.sign_in(key).clock.install()
    page = person.go("/console/")
    figure = page.locator("[data-figure=granted]")
    for thousand in range(10):
        users = [f"User {100 * thousand + number}" for number in range(100)]
        site.ask("POST", f"/discount/{discount}/grants", {"user_ids": users}, key)
        granted = 100 * (thousand + 1)
        # By the page's clock. It asks once in that time; a second question would break off the first one.
        page.clock.run_for(5_000)
        expect(figure).to_have_text(f"{granted:,}")
    person.check()


def test_a_long_file_is_imported_in_pieces_with_its_progress_and_its_bad_lines(
    site: Site, person: Person, tmp_path: Path
) -> None:
    key = site.brand("IKEA")
    discount = site.discount(key, "Own", total_count=None, codes={"kind": "imported"})
    lines = [f"code-{number}" for number in range(4500)]
    lines[4200] = "x" * 200
    lines[4300] = "code-1"
    file = tmp_path / "codes.txt"
    file.write_text("\n".join(lines))
    person.sign_in(key)
    page = person.go(f"/console/discounts/{discount}/codes")
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#import-said")).to_be_focused()
    expect(page.locator("#import-said")).to_have_text("4498 added, 1 known already, 1 bad lines")
    expect(page.locator("#import-lines").get_by_role("row")).to_contain_text(["Line", "4,201"])
    assert site.ask("GET", f"/discount/{discount}", key=key)["total_count"] == 4498
    person.check()


def test_a_paused_page_and_a_hidden_one_ask_for_nothing(site: Site, person: Person) -> None:
    key = site.brand("IKEA")
    person.sign_in(key)
    page = person.page
    page.clock.install()
    page.reload()
    page.get_by_role("button", name="Pause updates").click()
    person.requests.clear()
    page.clock.run_for(15_000)
    assert person.requests == []
    with page.expect_request(lambda asked: "live=1" in asked.url):
        page.get_by_role("button", name="Pause updates").click()
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true})")
    person.requests.clear()
    page.clock.run_for(15_000)
    assert person.requests == []
