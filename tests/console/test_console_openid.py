"""Signing in by OpenID Connect, at a provider in a process of its own."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.console.browsing import Person
from tests.console.forms import Form
from tests.console.site import Site
from tests.support.patience import PATIENCE
from tests.support.ports import Port
from tests.support.service import ask, wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The address of a running provider."""
    port = Port()
    command = [sys.executable, "-m", "tests.console.provider", str(port.number)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port.number}"

    def answers() -> bool:
        try:
            return ask(url, "GET", "/.well-known/openid-configuration").status == 200
        except OSError:
            assert process.poll() is None
            return False

    try:
        wait_until(answers, "the provider answers")
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)
        port.close()


@pytest.fixture
def firm(running: Site, redis: object, provider: str) -> Iterator[Site]:
    """A service whose people sign in at the provider."""
    site = Site(
        running.settings.redis_url,
        running.ledger,
        oidc_issuer=provider,
        oidc_client_id="console",
        oidc_client_secret="a secret of the client",
    )
    yield site
    site.stop()


def come_back(person: Person, who: str) -> None:
    """Sign in at the provider as somebody."""
    page = person.go("/console/discounts")
    page.get_by_role("button", name="Sign in with your account").click()
    page.get_by_role("button", name=who, exact=True).click()


def test_a_person_of_a_firm_signs_in_with_the_rights_of_the_role(firm: Site, visitor: Callable[..., Person]) -> None:
    key = firm.brand("IKEA")
    discount = firm.discount(key)
    person = visitor(firm)
    come_back(person, "ann")
    page = person.page
    expect(page.get_by_role("heading", level=1)).to_have_text("Discounts")
    expect(page.get_by_role("link", name="Spring")).to_be_visible()
    person.go(f"/console/discounts/{discount}").get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("The discount is paused.")).to_be_visible()
    firm.ledger.read(firm.store)
    assert firm.ask("GET", "/change", key=key)["changes"][0]["by"] == "person:ann@ikea.example"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    come_back(person, "bob")
    page.get_by_role("link", name="Spring").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Spring")
    assert page.get_by_role("button", name="Resume").count() == 0


def test_the_admin_of_a_firm_sees_the_brands_and_who_has_no_role_sees_nothing(
    firm: Site, visitor: Callable[..., Person]
) -> None:
    firm.brand("IKEA")
    person = visitor(firm)
    come_back(person, "eve")
    expect(person.page.get_by_role("link", name="System")).to_be_visible()
    for who in ("nobody", "mallory"):
        person = visitor(firm)
        come_back(person, who)
        expect(person.page.get_by_text("Your account has no role here.")).to_be_visible()
        assert person.go("/console/").url.startswith(f"{firm.url}/console/sign-in")


def test_an_answer_that_nobody_asked_for_opens_no_session(firm: Site) -> None:
    for query in ("", "?code=x&state=y", "?error=access_denied&state=y"):
        form = Form(firm)
        assert form.get(f"/console/openid/back{query}").status_code == 401
        form.get("/console/openid")
        assert form.get(f"/console/openid/back{query}").status_code == 401
        assert form.get("/console/").status_code == 303


def test_while_the_provider_is_away_keys_still_sign_in(running: Site, redis: object) -> None:
    port = Port()
    site = Site(
        running.settings.redis_url,
        running.ledger,
        oidc_issuer=f"http://127.0.0.1:{port.number}",
        oidc_client_id="console",
        oidc_client_secret="a secret of the client",
    )
    try:
        key = site.brand("IKEA")
        form = Form(site)
        assert form.get("/console/openid").status_code == 503
        form.sign_in(key)
        assert form.get("/console/").status_code == 200
    finally:
        site.stop()
        port.close()
