"""Everything that a person can do at the console, in a real browser with JavaScript switched off."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from discount.domain.model import Receipt
from tests.console.browsing import Person
from tests.console.site import ADMIN, Brand, Site
from tests.worker.harness import Calls, dispatch, plan

REFUSED = Receipt("failed", "410", "gone away", 3)


def press(page: Page, name: str) -> None:
    """Press a button, and wait for the page that it leads to."""
    go_by(page, page.get_by_role("button", name=name, exact=True).first)


def go_by(page: Page, link: Locator) -> None:
    with page.expect_navigation(wait_until="domcontentloaded"):
        # A click would wait for two pictures of the page first.
        link.press("Enter")


def unfold(page: Page, name: str) -> None:
    page.locator("summary", has_text=name).press("Enter")


def done(page: Page, text: str) -> None:
    expect(page.locator("#done")).to_contain_text(text)


def change_settings(person: Person, brand: Brand) -> None:
    """Save the settings of the brand; a refusal keeps what was typed."""
    page = person.go("/console/settings")
    page.get_by_role("textbox", name="Name").fill("Own name")
    page.get_by_label("Time zone").fill("Atlantis")
    press(page, "Save")
    expect(page.locator("#problems")).to_be_visible()
    expect(page.get_by_role("textbox", name="Name")).to_have_value("Own name")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    press(page, "Save")
    done(page, "The change was made.")
    shown = person.site.ask("GET", f"/brand/{brand.id}", key=brand.key)
    assert (shown["name"], shown["timezone"]) == ("Own name", "Europe/Berlin")


def create_and_change(person: Person, key: str) -> None:
    """Preview, create, pause, resume, edit, extend and close a discount; each refusal keeps what was typed."""
    page, ask = person.go("/console/discounts/new"), person.site.ask
    page.get_by_role("textbox", name="Name").fill("Own rule")
    page.get_by_label("Codes in all").fill("1")
    page.get_by_label("Amount off", exact=True).fill("12.345")
    page.get_by_label("Currency", exact=True).first.fill("EUR")
    unfold(page, "Only some products")
    page.get_by_label("Only these products").fill("CHAIR-*\nTABLE-1")
    unfold(page, "Opening hours")
    page.locator("[id='f-opens.0.from']").fill("09:00")
    page.locator("[id='f-opens.0.to']").fill("18:00")
    page.locator("[id='f-opens.0.sat']").check()
    press(page, "Create")
    expect(page.locator("#problems")).to_contain_text("more decimals than EUR")
    expect(page.get_by_label("Amount off", exact=True)).to_have_attribute("aria-invalid", "true")
    assert all(each["discount_code"] != "Own rule" for each in ask("GET", "/discount", key=key)["discounts"])
    expect(page.get_by_role("textbox", name="Name")).to_have_value("Own rule")
    page.get_by_label("Amount off", exact=True).fill("12.34")
    press(page, "Preview")
    expect(page.locator("#done")).to_contain_text("CHAIR-1")
    expect(page.locator("#done")).to_contain_text("another product")
    press(page, "Create")
    done(page, "The discount was created.")
    path = page.url.removeprefix(person.site.url).partition("?")[0]
    made_id = path.rpartition("/")[2]
    made = ask("GET", f"/discount/{made_id}", key=key)
    assert made["applies_to"] == {"skus": ["CHAIR-*", "TABLE-1"]}
    assert made["opens"] == [{"from": "09:00", "to": "18:00", "days": ["sat"]}]
    press(page, "Pause")
    done(page, "The discount is paused.")
    press(page, "Resume")
    done(page, "The discount is active again.")
    page.get_by_label("Ends").fill("2030-12-24T18:00")
    press(page, "Change the end")
    done(page, "The change was made.")
    press(page, "Edit")
    expect(page.get_by_label("Ends")).to_have_value("2030-12-24T18:00")
    press(page, "Save")
    done(page, "Nothing was changed.")
    press(page, "Edit")
    page.get_by_label("Uses in all").fill("5")
    unfold(page, "Budgets")
    page.locator("[id='f-limits.amount.0.currency']").fill("EUR")
    page.locator("[id='f-limits.amount.0.most']").fill("100")
    press(page, "Save")
    done(page, "The change was made.")
    made = ask("GET", f"/discount/{made_id}", key=key)
    assert (made["limits"]["total"], made["limits"]["amount"]) == (5, {"EUR": 10_000})
    wait_for_a_code(page, ask, key, path)
    go_by(page, page.get_by_role("link", name="Figures"))
    page.get_by_label("Codes in all").fill("20")
    press(page, "Change the total")
    assert ask("GET", f"/discount/{made_id}", key=key)["total_count"] == 20
    press(page, "Close…")
    page.get_by_label("Name of the discount").fill("Own rules")
    press(page, "Close the discount")
    expect(page.locator("#problems")).to_contain_text("is not the name of the discount")
    assert ask("GET", f"/discount/{made_id}", key=key)["status"] == "active"
    page.get_by_label("Name of the discount").fill("Own rule")
    press(page, "Close the discount")
    done(page, "The discount is closed.")
    assert ask("GET", f"/discount/{made_id}", key=key)["status"] == "closed"


def wait_for_a_code(page: Page, ask: Callable[..., Any], key: str, path: str) -> None:
    """Put users on the waiting list of a discount without codes, and take one off."""
    api = path.removeprefix("/console/").replace("discounts", "discount")
    ask("POST", f"/{api}/grant", {"user_id": "User 1"}, key)
    go_by(page, page.get_by_role("link", name="Waiting list"))
    for user in ("Ann", "Bo"):
        page.get_by_role("textbox", name="User").fill(user)
        press(page, "Put on the list")
        done(page, "The user waits for a code.")
    go_by(page, page.get_by_role("row", name="Ann").get_by_role("button"))
    done(page, "The user waits no more.")
    assert [each["user_id"] for each in ask("GET", f"/{api}/waits", key=key)["waits"]] == ["Bo"]


def change_many(person: Person, brand: Brand) -> None:
    page = person.go("/console/discounts")
    chosen = [brand.discounts["unique"], brand.discounts["personal"]]
    for action, after in (("Pause", "paused"), ("Resume", "active")):
        for each in chosen:
            page.locator(f"[name=chosen][value={each}]").check()
        press(page, action)
        expect(page.get_by_role("heading", level=1)).to_have_text(f"{action} 2 discounts")
        press(page, f"{action} them")
        done(page, "Done.")
        assert {person.site.ask("GET", f"/discount/{each}", key=brand.key)["status"] for each in chosen} == {after}
        press(page, "Back to the list")
    page.locator(f"[name=chosen][value={chosen[1]}]").check()
    press(page, "Close…")
    page.get_by_label("Number of discounts").fill("1")
    press(page, "Close them")
    done(page, "Done.")
    assert person.site.ask("GET", f"/discount/{chosen[1]}", key=brand.key)["status"] == "closed"


def import_and_export(person: Person, brand: Brand, file: Path) -> None:
    page = person.go(f"/console/discounts/{brand.discounts['imported']}/codes")
    file.write_text("one\ntwo\none\n")
    page.get_by_label("File").set_input_files(file)
    press(page, "Import")
    done(page, "2 codes were added.")
    for path, expected in (("codes", "two"), ("holders", ""), ("uses", "order-1")):
        kind = "imported" if path == "codes" else "unique"
        page = person.go(f"/console/discounts/{brand.discounts[kind]}/{path}")
        with page.expect_download() as begun:
            page.get_by_role("button", name="Save all as CSV").click()
        assert expected in Path(begun.value.path()).read_text()


def find(page: Page, code: str) -> None:
    go_by(page, page.get_by_role("link", name="Find a code"))
    page.get_by_label("Code", exact=False).first.fill(code)
    press(page, "Find")


def act_on_a_code(person: Person, brand: Brand) -> None:
    """Send again, roll back, take back and pass on, and hand out anew."""
    page, site = person.page, person.site
    discount = f"/discount/{brand.discounts['unique']}"
    find(page, brand.code)
    expect(page.locator("article")).to_contain_text("held by the user")
    press(page, "Send again")
    done(page, "It will be sent again now.")
    press(page, "Roll back")
    done(page, "The use was rolled back.")
    assert site.ask("GET", f"/redemption/{brand.redemption}", key=brand.key)["state"] == "rolled-back"
    unfold(page, "Take the code back…")
    page.get_by_label("The next user gets it:").check()
    page.get_by_label("Next user", exact=True).fill("User 9")
    page.get_by_label("This user may get another code.").check()
    page.get_by_label("Type User 1 to take it back.").fill("User 1")
    press(page, "Take it back")
    done(page, "The code was taken back.")
    assert site.ask("GET", f"{discount}/grant?user_id=User 9", key=brand.key)["code"] == brand.code
    # The user may be handed out another one.
    assert site.grant(brand.key, brand.discounts["unique"]) != brand.code


def deliver(person: Person, brand: Brand) -> None:
    page, site = person.page, person.site

    def states() -> list[str]:
        found = site.ask("GET", "/delivery", key=brand.key)["deliveries"]
        return sorted(each["state"] for each in found)

    dispatch(site.store, Calls(lambda _: REFUSED).prepare)
    failed = states().count("failed")
    assert failed > 2
    go_by(page, page.get_by_role("link", name="Deliveries"))
    page.get_by_label("State").select_option("failed")
    press(page, "Show")
    press(page, "Resend")
    done(page, "1 delivery is sent again.")
    assert states().count("waiting") == 1
    press(page, "Resend all that failed")
    done(page, f"{failed - 1} deliveries are sent again.")
    press(page, "Test")
    done(page, "A test is on its way.")
    press(page, "Switch off")
    press(page, "Switch on")
    done(page, "The change was made.")
    press(page, "New secret")
    expect(page.locator("code.secret")).to_contain_text("whsec_")
    press(page, "I have kept it")
    unfold(page, "Remove the webhook…")
    page.get_by_label("Type https://shop.example/hook to remove it.").fill("https://shop.example/hook")
    press(page, "Remove the webhook")
    done(page, "The webhook was removed.")
    page.get_by_label("Address").fill("https://shop.example/new")
    press(page, "Create")
    expect(page.locator("code.secret")).to_contain_text("whsec_")
    assert [each["url"] for each in site.ask("GET", "/webhook", key=brand.key)["webhooks"]] == [
        "https://shop.example/new"
    ]


def forget(person: Person, brand: Brand) -> None:
    page = person.page
    go_by(page, page.get_by_role("link", name="Users"))
    page.get_by_label("User").first.fill("User 9")
    go_by(page, page.locator("main form button").first)
    page.get_by_label("Name of the user").fill("User 9")
    press(page, "Forget the user")
    expect(page.get_by_role("status")).to_contain_text("forgotten")
    assert person.site.ask("GET", "/user/User 9/grants", key=brand.key)["grants"] == []


def make_and_revoke_a_key(person: Person) -> None:
    page, site = person.go("/console/brands"), person.site
    page.get_by_label("Id").fill("Möbel & Co")
    press(page, "Create")
    done(page, "The brand was created.")
    page.get_by_label("Name", exact=False).first.fill("shop")
    press(page, "Create")
    key = page.locator("code.secret").inner_text()
    assert site.ask("GET", "/discount", key=key)["discounts"] == []
    press(page, "I have kept it")
    unfold(page, "Revoke the key…")
    page.get_by_label("Type shop to revoke it.").fill("shop")
    press(page, "Revoke the key")
    done(page, "The key is revoked.")
    site.ask("GET", "/discount", key=key, status=401)
    page.get_by_label("Type Möbel & Co to close the brand.").fill("Möbel & Co")
    press(page, "Close the brand")
    assert site.ask("GET", "/brand/M%C3%B6bel%20%26%20Co", key=ADMIN)["closed_at"]


def sign_out(person: Person) -> None:
    press(person.page, "Deutsch")
    press(person.page, "Abmelden")
    expect(person.page.get_by_role("heading", level=1)).to_have_text("Anmelden")
    assert person.go("/console/discounts").url.startswith(f"{person.site.url}/console/sign-in")


def test_without_scripts_a_person_does_everything(site: Site, visitor: Callable[..., Person], tmp_path: Path) -> None:
    brand = site.fill()
    plan(site.store)
    site.ledger.read(site.store)
    person = visitor(site, java_script_enabled=False)
    person.sign_in(brand.key)
    create_and_change(person, brand.key)
    change_many(person, brand)
    import_and_export(person, brand, tmp_path / "codes.txt")
    act_on_a_code(person, brand)
    deliver(person, brand)
    forget(person, brand)
    change_settings(person, brand)
    sign_out(person)
    press(person.page, "English")
    person.sign_in(ADMIN)
    make_and_revoke_a_key(person)
    person.check()
