"""Who may do what at the console, and what a forged request gets."""

import re

import pytest

from discount.console import sessions
from discount.console.sessions import Session
from discount.security.signing import Signer
from tests.console.forms import Form
from tests.console.site import ADMIN, SECRET, Site


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"},
    ],
)
def test_a_form_from_another_site_is_refused_and_changes_nothing(
    site: Site, redis: object, headers: dict[str, str]
) -> None:
    key = site.brand("IKEA")
    discount = site.discount(key)
    form = Form(site).sign_in(key)
    for path, fields in [
        (f"/console/discounts/{discount}/change", {"paused": "true"}),
        (f"/console/discounts/{discount}/close", {"typed": "Spring"}),
        ("/console/discounts/new", {"discount_code": "x", "total_count": "1", "codes.kind": "unique"}),
    ]:
        answer = form.post(path, fields, headers)
        assert answer.status_code == 403, path
    shown = site.ask("GET", f"/discount/{discount}", key=key)
    assert shown["status"] == "active"
    assert len(site.ask("GET", "/discount", key=key)["discounts"]) == 1


@pytest.mark.parametrize("token", ["", "0" * 32, "é"])
def test_a_form_without_its_token_is_refused_and_changes_nothing(site: Site, token: str) -> None:
    key = site.brand("IKEA")
    discount = site.discount(key)
    form = Form(site).sign_in(key)
    other = Form(site).sign_in(key)
    for forged in (token, other.token):
        form.token = forged
        assert form.post(f"/console/discounts/{discount}/change", {"paused": "true"}).status_code == 403
    assert site.ask("GET", f"/discount/{discount}", key=key)["status"] == "active"


def test_nobody_sees_a_page_without_signing_in(site: Site) -> None:
    paths = [
        rule.rule.replace("<discount_id>", "dsc-x")
        for rule in site.app.url_map.iter_rules()
        if rule.rule.startswith("/console") and "GET" in (rule.methods or ()) and "static" not in rule.rule
    ]
    assert len(paths) > 5
    for path in paths:
        answer = site.app.test_client().get(path)
        if path != "/console/sign-in":
            assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (303, "/console/sign-in"), path


def test_a_wrong_key_a_users_token_and_another_services_cookie_open_no_session(site: Site) -> None:
    form = Form(site)
    form.get("/console/sign-in")
    for key in ("", "dsk_nothing", "x" * 5000, ADMIN[:-1]):
        answer = form.post("/console/session", {"key": key})
        assert answer.status_code == 401
    for cookie in ("", "x.y", "eyJub25jZSI6IngiLCJrZXkiOiJhZG1pbiJ9.AAAA"):
        client = site.app.test_client()
        client.set_cookie("console", cookie)
        assert client.get("/console/").status_code == 303


@pytest.mark.parametrize(
    ("began", "seen", "is_over"),
    [
        (0, 0, False),
        (sessions.IDLE + 60, sessions.IDLE + 60, True),
        (sessions.LONGEST + 60, 0, True),
        (sessions.LONGEST - 60, sessions.IDLE - 60, False),
    ],
)
def test_a_session_ends_after_hours_without_a_click_and_after_a_day(
    site: Site, began: int, seen: int, is_over: bool
) -> None:
    form = Form(site).sign_in(ADMIN)
    made = sessions.Sessions(lambda: b"", None)  # type: ignore[arg-type]
    cookie = form.http.get_cookie("console")
    assert cookie is not None
    signed = _sessions(site)
    session = signed.read(cookie.value)
    assert isinstance(session, Session)
    assert made.read(cookie.value) is None
    old = Session(session.nonce, session.key, "", session.scopes, None, session.began - began, session.seen - seen)
    form.http.set_cookie("console", signed.write(old))
    assert form.get("/console/").status_code == (303 if is_over else 200)


def _sessions(site: Site) -> sessions.Sessions:
    return sessions.Sessions(Signer(site.store, SECRET).session_key, None)  # type: ignore[arg-type]


def test_the_cookie_holds_no_secret_and_has_its_flags(site: Site) -> None:
    key = site.brand("IKEA")
    form = Form(site)
    form.get("/console/sign-in")
    answer = form.post("/console/session", {"key": key})
    cookie = answer.headers["Set-Cookie"]
    assert re.search(r"^console=\S+; HttpOnly; Path=/; SameSite=Lax$", cookie), cookie
    session = _sessions(site).read(cookie.partition("=")[2].partition(";")[0])
    assert session is not None
    assert session.key == key.split("_")[1]
    assert key.split("_")[2] not in repr(session)


def test_over_tls_the_cookie_is_of_this_host_alone(redis: object, running: Site) -> None:
    site = Site(running.settings.redis_url, running.ledger, public_url="https://discounts.example")
    try:
        answer = site.app.test_client().get("/console/sign-in")
        assert re.search(r"^__Host-console=\S+; Secure; HttpOnly; Path=/; SameSite=Lax$", answer.headers["Set-Cookie"])
    finally:
        site.stop()


def test_a_key_to_read_sees_and_changes_nothing(site: Site) -> None:
    key = site.brand("IKEA")
    discount = site.discount(key)
    form = Form(site).sign_in(site.key("IKEA", "read"))
    page = form.get(f"/console/discounts/{discount}").text
    assert "Spring" in page
    assert "Pause" not in page.partition("<footer")[0]
    for path, fields in [
        (f"/console/discounts/{discount}/change", {"paused": "true"}),
        (f"/console/discounts/{discount}/close", {"typed": "Spring"}),
        ("/console/discounts/new", {"discount_code": "x", "total_count": "1", "codes.kind": "unique"}),
    ]:
        assert form.post(path, fields).status_code == 403, path
    assert site.ask("GET", f"/discount/{discount}", key=key)["status"] == "active"


def test_a_change_stands_in_the_history_with_the_key_of_who_made_it(site: Site) -> None:
    key = site.brand("IKEA")
    discount = site.discount(key)
    form = Form(site).sign_in(key)
    assert form.post(f"/console/discounts/{discount}/change", {"paused": "true"}).status_code == 303
    site.ledger.read(site.store)
    newest = site.ask("GET", "/change", key=key)["changes"][0]
    assert (newest["by"], newest["after"]) == (f"key:{key.split('_')[1]}", {"paused": True})


def test_the_open_service_asks_nobody_to_sign_in_but_checks_forms(open_site: Site) -> None:
    form = Form(open_site)
    assert form.get("/console/").status_code == 200
    fields = {"brand_id": "IKEA", "discount_code": "Open", "total_count": "5", "codes.kind": "unique"}
    assert form.post("/console/discounts/new", fields).status_code == 303
    assert "Open" in form.get("/console/discounts").text
    assert form.post("/console/discounts/new", fields, {"Origin": "https://evil.example"}).status_code == 403
    form.token = "wrong"
    assert form.post("/console/discounts/new", fields).status_code == 403
    assert form.http.get("/console/", headers={"Host": "evil.example"}).status_code == 403


def test_without_the_console_there_is_no_page(redis: object, running: Site) -> None:
    site = Site(running.settings.redis_url, running.ledger, console="off")
    try:
        client = site.app.test_client()
        for path in ("/console", "/console/", "/console/sign-in", "/console/static/console.css"):
            assert client.get(path).status_code == 404
        assert client.get("/", headers={"Accept": "text/html"}).headers["Location"] == "/apidocs"
    finally:
        site.stop()


def test_after_signing_in_nobody_is_led_away_from_the_console(site: Site) -> None:
    key = site.brand("IKEA")
    for wanted in ("https://evil.example", "//evil.example", "/console/\\evil", "/apidocs", "/console/\nx"):
        form = Form(site)
        form.get("/console/sign-in")
        answer = form.post("/console/session", {"key": key, "next": wanted})
        assert answer.headers["Location"] == "/console/", wanted
