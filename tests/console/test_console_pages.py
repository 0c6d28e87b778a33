"""What the pages show and do, in a browser without a screen."""

import html
import io
import json
import re
from datetime import datetime
from typing import Any

import pytest

from discount.domain.model import to_time
from discount.ledger import results
from discount.ledger.differences import Difference, Result
from discount.services import delivery_lanes, workers
from discount.worker.dispatcher import Schedule
from discount.worker.planner import Planner
from tests.console.forms import Form
from tests.console.site import ADMIN, Brand, Site
from tests.support.patience import PATIENCE
from tests.worker.harness import RETRY, Calls, dispatch, plan

#: Pages of a brand, as a person with its key sees them. `{}` is a discount.
PAGES = [
    "/console/",
    "/console/discounts",
    "/console/discounts?status=active&name=SPR&sort=-granted",
    "/console/discounts/new",
    "/console/discounts/new?copy={}",
    "/console/discounts/{}",
    "/console/discounts/{}/holders",
    "/console/discounts/{}/uses",
    "/console/discounts/{}/codes",
    "/console/discounts/{}/changes",
    "/console/discounts/{}/close",
    "/console/discounts/{}/edit",
    "/console/discounts/{}/waits",
    "/console/codes",
    "/console/users",
    "/console/users?user_id=User+1",
    "/console/deliveries",
    "/console/changes",
    "/console/settings",
]
OF_ADMIN = ["/console/brands", "/console/brands/keys?brand_id=IKEA", "/console/system"]


def text_of(page: str) -> str:
    """Return what a page says, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_every_page_of_a_brand_and_of_the_admin_is_shown(site: Site) -> None:
    brand = site.fill()
    form = Form(site).sign_in(brand.key)
    for path in PAGES:
        for discount in brand.discounts.values():
            answer = form.get(path.format(discount))
            assert answer.status_code == 200, (path, text_of(answer.text))
            assert len(re.findall("<h1", answer.text)) == 1
            if "{}" not in path:
                break
    form = Form(site).sign_in(ADMIN)
    for path in OF_ADMIN:
        answer = form.get(path)
        assert answer.status_code == 200, (path, text_of(answer.text))


def test_every_page_is_shown_while_the_service_is_open(open_site: Site) -> None:
    brand = open_site.fill()
    form = Form(open_site)
    for path in [*PAGES, *OF_ADMIN]:
        for more in ("", "brand_id=IKEA"):
            joined = path.format(brand.discounts["unique"]) + ("&" if "?" in path else "?") + more
            answer = form.get(joined.rstrip("?&"))
            assert answer.status_code == 200, (joined, text_of(answer.text))


def test_no_page_fails_without_a_ledger(redis: object, running: Site) -> None:
    site = Site(running.settings.redis_url, running.ledger, ledger_url="")
    try:
        brand_key = site.brand("IKEA")
        discount = site.discount(brand_key)
        form = Form(site).sign_in(brand_key)
        for path in PAGES:
            assert form.get(path.format(discount)).status_code == 200, path
        page = text_of(form.post("/console/codes", {"code": "X"}).text)
        assert "keeps no history" in page
    finally:
        site.stop()


def test_a_code_is_found_with_its_holder_its_uses_and_its_history(site: Site) -> None:
    brand = site.fill()
    form = Form(site).sign_in(brand.key)
    page = text_of(form.post("/console/codes", {"code": brand.code.lower().replace("-", " ")}).text)
    for expected in (
        brand.code,
        "Spring",
        "User 1",
        "held by the user",
        "1 time",
        "order-1",
        "code granted",
        "code used",
    ):
        assert expected in page, expected
    assert form.post("/console/codes", {"code": "NOBODY"}).status_code == 404


def test_a_use_is_rolled_back_and_a_code_taken_back_where_they_are_found(site: Site) -> None:
    brand = site.fill()
    form = Form(site).sign_in(brand.key)
    asked = {"code": brand.code, "action": "roll-back", "redemption_id": brand.redemption}
    assert "The use was rolled back" in form.post("/console/codes", asked).text
    assert site.ask("GET", f"/redemption/{brand.redemption}", key=brand.key)["state"] == "rolled-back"
    taken = {
        "code": brand.code,
        "action": "take-back",
        "user_id": "User 1",
        "discount_id": brand.discounts["unique"],
        "held": brand.code,
        "back": "next",
        "next_user_id": "User 9",
        "reason": "lost",
    }
    answer = form.post("/console/codes", taken | {"typed": "User"})
    assert answer.status_code == 422
    assert "is not the name of the user" in answer.text
    answer = form.post("/console/codes", taken | {"typed": "User 1"})
    assert "The code was taken back" in answer.text
    query = f"/discount/{brand.discounts['unique']}/grant?user_id=User 9"
    assert site.ask("GET", query, key=brand.key)["code"] == brand.code
    site.ledger.read(site.store)
    assert "code taken back" in text_of(form.post("/console/codes", {"code": brand.code}).text)


def test_a_user_is_shown_and_forgotten_once_the_name_is_typed(site: Site) -> None:
    brand = site.fill()
    form = Form(site).sign_in(brand.key)
    page = text_of(form.get("/console/users?user_id=User+1").text)
    for expected in (brand.code, "ann@example.com", "order-1"):
        assert expected in page, expected
    assert form.post("/console/users/forget", {"user_id": "User 1", "typed": "user 1"}).status_code == 422
    assert site.ask("GET", "/user/User 1/grants", key=brand.key)["grants"]
    assert form.post("/console/users/forget", {"user_id": "User 1", "typed": "User 1"}).status_code == 303
    assert site.ask("GET", "/user/User 1/grants", key=brand.key)["grants"] == []


def test_an_import_reports_what_was_added_known_and_bad(site: Site) -> None:
    brand = site.fill()
    form = Form(site).sign_in(brand.key)
    path = f"/console/discounts/{brand.discounts['imported']}/codes"
    form.get(path)
    content = b"one\ntwo\none\n" + b"x" * 200 + b"\n"
    answer = form.post(path, {"file": (io.BytesIO(content), "codes.txt")})
    page = text_of(answer.text)
    for expected in ("2 codes were added", "1 code was known already", "1 line is no code"):
        assert expected in page, expected
    assert re.search(r'class="n">4</th>', answer.text)
    saved = form.get(path + ".csv")
    assert saved.headers["Content-Disposition"].startswith("attachment")
    assert {"one", "two"} < set(re.findall(r"\w+", saved.text))
    assert form.post(path, {}).status_code == 422


def test_many_discounts_are_paused_after_a_look_and_closed_after_their_number_is_typed(site: Site) -> None:
    brand = site.fill()
    form = Form(site).sign_in(brand.key)
    chosen = [brand.discounts["unique"], brand.discounts["personal"]]
    page = form.post("/console/discounts/bulk", {"chosen": chosen, "action": "pause"}).text
    assert "Pause 2 discounts" in page
    assert site.ask("GET", f"/discount/{chosen[0]}", key=brand.key)["status"] == "active"
    form.post("/console/discounts/bulk", {"chosen": chosen, "action": "pause", "sure": "1"})
    assert {site.ask("GET", f"/discount/{each}", key=brand.key)["status"] for each in chosen} == {"paused"}
    closing = {"chosen": chosen, "action": "close", "sure": "1"}
    assert form.post("/console/discounts/bulk", closing | {"typed": "3"}).status_code == 422
    assert site.ask("GET", f"/discount/{chosen[0]}", key=brand.key)["status"] == "paused"
    done = text_of(form.post("/console/discounts/bulk", closing | {"typed": "2"}).text)
    assert done.count("✓ closed") == 2
    # The second time, closing changes nothing and resuming is refused, each with its result.
    again = text_of(form.post("/console/discounts/bulk", {"chosen": chosen, "action": "resume", "sure": "1"}).text)
    assert again.count("The discount is closed.") == 2


def test_a_preview_shows_codes_the_rule_and_the_e_mail_and_makes_nothing(site: Site) -> None:
    key = site.brand("IKEA")
    form = Form(site).sign_in(key)
    fields = {
        "discount_code": "Spring",
        "codes.kind": "unique",
        "codes.prefix": "IKEA-",
        "total_count": "10",
        "percent_off": "12.5",
        "preview": "1",
    }
    answer = form.post("/console/discounts/new", fields)
    assert answer.status_code == 200
    page = text_of(answer.text)
    assert len(set(re.findall(r"\bIKEA-\w{4}-\w{4}-\w{4}", page))) >= 5
    assert "Of an order of 100.00, 12.50 comes off: 87.50 is left to pay." in page
    assert "12.5%" in page
    assert site.ask("GET", "/discount", key=key)["discounts"] == []
    personal = {"discount_code": "P", "codes.kind": "personal", "codes.template": "{user}-{id}", "preview": "1"}
    assert "zoe-" in form.post("/console/discounts/new", personal).text
    assert form.post("/console/discounts/new", fields | {"percent_off": "101"}).status_code == 422


def test_deliveries_are_tested_resent_and_shown_by_receiver(site: Site) -> None:
    brand = site.fill()
    form = Form(site).sign_in(brand.key)
    page = text_of(form.get("/console/deliveries").text)
    assert "https://shop.example/hook" in page
    (webhook,) = site.ask("GET", "/webhook", key=brand.key)["webhooks"]
    path = f"/console/webhooks/{webhook['id']}"
    assert form.post(path, {"action": "test"}).status_code == 303
    assert form.post(path, {"on": "false"}).status_code == 303
    assert site.ask("GET", f"/webhook/{webhook['id']}", key=brand.key)["on"] is False
    assert "whsec_" in form.post(path, {"action": "secret"}).text
    assert form.post(path, {"action": "remove", "typed": "x"}).status_code == 422
    assert form.post(path, {"action": "remove", "typed": webhook["url"]}).status_code == 303
    assert site.ask("GET", "/webhook", key=brand.key)["webhooks"] == []
    made = form.post("/console/webhooks/new", {"url": "https://shop.example/other"})
    assert "whsec_" in made.text
    assert form.post("/console/webhooks/new", {"url": "ftp://x"}).status_code == 422
    assert form.post("/console/deliveries/resend", {}).headers["Location"].startswith("/console/deliveries?done=resent")


def test_a_discount_shows_its_own_webhook_and_its_settings(site: Site) -> None:
    key = site.brand("IKEA")
    discount = site.discount(
        key,
        webhook_url="https://shop.example/own",
        amount_off=500,
        currency="EUR",
        applies_to={"skus": ["CHAIR-*", "<b>1"]},
        combines=["order-percent"],
        opens=[{"from": "09:00", "to": "18:00", "days": ["sat"]}],
        limits={"windows": [{"period": "PT24H", "per_user": 2}], "amount": {"EUR": 100_000}},
        audience={"groups": ["vip"], "at": "checkout"},
    )
    form = Form(site).sign_in(key)
    page = text_of(form.get(f"/console/discounts/{discount}").text)
    for expected in (
        *("https://shop.example/own", "CHAIR-*, <b>1", "per cent off orders", "09:00 – 18:00 Sat"),
        *("2 within PT24H", "1000.00 EUR", "vip", "Judged at the checkout"),
    ):
        assert expected in page, expected


def test_lanes_that_wait_are_shown_with_their_receiver_its_answer_how_many_and_since_when(site: Site) -> None:
    brand = site.fill()
    site.fill("Other brand")
    plan(site.store)
    waiting = site.ask("GET", "/delivery?state=waiting", key=brand.key)["deliveries"]
    (webhook,) = site.ask("GET", "/webhook", key=brand.key)["webhooks"]
    lanes = delivery_lanes.list_waiting(site.store, brand.id)
    assert sum(each.count for each in lanes) == len(waiting) > 2
    assert {(each.webhook_id, each.attempts, each.status) for each in lanes if each.webhook_id} == {
        (webhook["id"], 0, "")
    }
    assert {to_time(min(each.since for each in lanes))} == {
        min(datetime.fromisoformat(each["created_at"]) for each in waiting)
    }
    in_an_hour = Schedule(pauses=(3600.0,) * 9, timeout=PATIENCE, off_after=1e9)
    dispatch(site.store, Calls(lambda _: RETRY).prepare, in_an_hour)
    lanes = delivery_lanes.list_waiting(site.store, brand.id)
    assert {(each.attempts, each.status) for each in lanes} == {(1, "500")}
    assert delivery_lanes.list_waiting(site.store, "Nobody") == []
    page = text_of(Form(site).sign_in(brand.key).get("/console/deliveries").text)
    assert re.search(r"https://shop.example/hook 500 \d 1 ", page.partition("Lanes that wait")[2]), page


def test_the_admin_makes_a_brand_and_a_key_which_is_shown_once_and_revokes_it(site: Site) -> None:
    form = Form(site).sign_in(ADMIN)
    made = form.post("/console/brands", {"id": "Möbel & Co", "name": "Möbel"})
    assert made.status_code == 303
    assert form.get(made.headers["Location"]).status_code == 200
    path = "/console/brands/keys?brand_id=M%C3%B6bel+%26+Co"
    answer = form.post(path, {"name": "shop", "scopes": ["read"]})
    key = re.search(r"dsk_\w+", answer.text)
    assert key is not None
    assert site.ask("GET", "/discount", key=key[0]) == {"discounts": [], "next": None}
    assert key[0] not in form.get(path).text
    revoke = "/console/brands/keys/revoke?brand_id=M%C3%B6bel+%26+Co"
    fields = {"key_id": key[0].split("_")[1], "typed": "other"}
    assert form.post(revoke, fields).status_code == 422
    assert form.post(revoke, fields | {"typed": "shop"}).status_code == 303
    site.ask("GET", "/discount", key=key[0], status=401)
    close = "/console/brands/close?brand_id=M%C3%B6bel+%26+Co"
    assert form.post(close, {"typed": "Möbel"}).status_code == 422
    assert form.post(close, {"typed": "Möbel & Co"}).status_code == 303


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "\" onmouseover=\"alert(1)' x='",
        "{{ 7 * 7 }} %(name)s {% raw %}",
        "\u202eevil\u202c \u2066x\u2069",
        "🎉" * 50,
        "W" * 200,
        "a\u200bb",
    ],
)
def test_any_name_is_shown_as_text_on_every_page(site: Site, name: str) -> None:
    key = site.brand("IKEA")
    discount = site.discount(key, name)
    site.grant(key, discount, "User <b>1")
    site.ledger.read(site.store)
    form = Form(site).sign_in(key)
    for path in [*PAGES, "/console/users?user_id=User+%3Cb%3E1"]:
        page = form.get(path.format(discount)).text
        assert "<script>alert" not in page
        assert ' onmouseover="alert' not in page
        assert "<b>1" not in page
        if path in ("/console/", "/console/discounts", "/console/discounts/{}"):
            assert name in html.unescape(page), path


def test_a_brand_sees_nothing_of_another_on_any_page(site: Site) -> None:
    other = site.fill("Other brand")
    key = site.brand("IKEA")
    form = Form(site).sign_in(key)
    (webhook,) = site.ask("GET", "/webhook", key=other.key)["webhooks"]
    before = site.ask("GET", "/discount", key=other.key)
    of_other = "?user_id=User+1&brand_id=Other+brand"
    copied = f"?copy={other.discounts['unique']}"
    foreign = {"discount_id": list(other.discounts.values()), "webhook_id": [webhook["id"]], "name": []}
    for rule in site.app.url_map.iter_rules():
        if not rule.rule.startswith("/console") or "static" in rule.rule:
            continue
        paths = [rule.rule]
        for argument in rule.arguments:
            paths = [each.replace(f"<{argument}>", value) for each in paths for value in foreign[argument]]
        for path in paths:
            for query in ("", of_other, copied):
                if rule.methods and "GET" in rule.methods:
                    _shows_nothing(form.get(path + query).text, other)
            if rule.methods and "POST" in rule.methods and not path.endswith(("sign-out", "session", "language")):
                form.get("/console/")
                fields = {
                    "brand_id": other.id,
                    "code": other.code,
                    "action": "pause",
                    "sure": "1",
                    "chosen": list(other.discounts.values()),
                    "discount_id": other.discounts["unique"],
                    "user_id": "User 1",
                    "typed": "Spring",
                    "paused": "true",
                    "on": "false",
                    "redemption_id": other.redemption,
                }
                _shows_nothing(form.post(path, fields).text, other)
                for action in ("roll-back", "take-back", "close", "remove", "test"):
                    _shows_nothing(form.post(path, fields | {"action": action, "typed": "User 1"}).text, other)
    assert site.ask("GET", "/discount", key=other.key) == before
    assert site.ask("GET", "/webhook", key=other.key)["webhooks"] == [webhook]
    assert site.ask("GET", f"/redemption/{other.redemption}", key=other.key)["state"] == "redeemed"


def _shows_nothing(page: str, brand: Brand) -> None:
    for secret in ("Spring", "AHMED2022BILLO", "shop.example", "ann@example.com", "order-1"):
        assert secret not in page.replace('value="Spring"', ""), secret


def test_every_page_says_that_no_worker_runs_until_one_does(site: Site) -> None:
    key = site.brand("IKEA")
    discount = site.discount(key)
    path = f"/console/discounts/{discount}"
    assert workers.are_away(site.store, 20)
    again = Site(site.settings.redis_url, site.ledger)
    try:
        form = Form(again).sign_in(key)
        for address in (path, f"{path}?live=1", "/console/codes"):
            assert "No worker is running." in form.get(address).text, address
    finally:
        again.stop()
    # A worker asks for events.
    planner = Planner(site.store, "a worker", None)
    planner.open()
    planner.turn()
    assert not workers.are_away(site.store, 20)
    (seen,) = workers.list_seen(site.store)
    assert seen.name == "a worker"
    again = Site(site.settings.redis_url, site.ledger)
    try:
        form = Form(again).sign_in(key)
        assert "No worker is running." not in form.get(path).text
        system = text_of(Form(again).sign_in(ADMIN).get("/console/system").text)
        assert "Workers seen 1" in system
    finally:
        again.stop()


def test_times_are_in_the_zone_of_the_brand_and_otherwise_in_that_of_the_discount(site: Site) -> None:
    key = site.brand("IKEA")
    discount = site.discount(key, timezone="Europe/Berlin", expires_at="2030-07-01T22:30:00Z")
    form = Form(site).sign_in(key)
    paths = ["/console/discounts/{}", "/console/discounts/{}/holders", "/console/discounts"]
    for path in paths:
        assert "Europe/Berlin" in text_of(form.get(path.format(discount)).text), path
    assert "Times are in the time zone UTC." in text_of(form.get("/console/").text)
    form.get("/console/settings")
    assert form.post("/console/settings", {"timezone": "Mars/Phobos", "was": "{}"}).status_code == 422
    assert form.post("/console/settings", {"timezone": "Asia/Tokyo", "was": "{}"}).status_code == 303
    for path in [*paths, "/console/"]:
        page = text_of(form.get(path.format(discount)).text)
        assert "Times are in the time zone Asia/Tokyo." in page, path
        if "discounts" in path and "holders" not in path:
            assert "2 Jul 2030, 07:30" in page, path
    # What is typed is in the zone of the discount, whose days count for its limits.
    assert "Time zone: Europe/Berlin." in text_of(form.get(f"/console/discounts/{discount}/edit").text)


def test_the_settings_of_a_brand_are_changed_where_they_differ(site: Site) -> None:
    key = site.brand("IKEA")
    form = Form(site).sign_in(key)

    def save(**more: str) -> dict[str, Any]:
        page = form.get("/console/settings").text
        was = html.unescape(re.search(r'name="was" value="([^"]*)"', page)[1])  # type: ignore[index]
        answer = form.post("/console/settings", json.loads(was) | {"was": was} | more)
        assert answer.status_code == 303, text_of(answer.text)
        found: dict[str, Any] = site.ask("GET", "/brand/IKEA", key=key)
        return {name: found[name] for name in ("name", "email", "timezone", "digest", "mails_off")}

    given = {"name": "Ikea", "email": "shop@ikea.example", "timezone": "Europe/Stockholm", "off.sold-out": "1"}
    digest = {"digest": "1", "digest.language": "de", "digest.hour": "8"}
    expected = {
        **{"name": "Ikea", "email": "shop@ikea.example", "timezone": "Europe/Stockholm", "mails_off": ["sold-out"]},
        "digest": {"email": None, "language": "de", "hour": 8},
    }
    assert save(**given, **digest) == expected
    assert save() == expected
    assert save(digest="", timezone="") == expected | {"digest": None, "timezone": None}
    assert save(email="") == expected | {"digest": None, "timezone": None, "email": None}
    answer = form.post("/console/settings", {"was": "{}", "digest": "1", "digest.hour": "25", "name": "Ikea"})
    assert answer.status_code == 422
    assert site.ask("GET", "/brand/IKEA", key=key)["digest"] is None
    assert Form(site).sign_in(site.key("IKEA", "read")).get("/console/settings").status_code == 403


def test_the_admin_sees_the_last_reconciliation(site: Site) -> None:
    form = Form(site).sign_in(ADMIN)
    assert "Last reconciliation none yet" in text_of(form.get("/console/system").text)
    results.save(site.store, 0, Result(at=1_800_000_000_000_000, discounts=3))
    assert "Last reconciliation ✓ no difference" in text_of(form.get("/console/system").text)
    found = Result(at=1_800_000_000_000_000)
    found.add(Difference("dsc-x", "total", "granted", "1", "2"))
    results.save(site.store, 1, found)
    assert "! 1 difference" in text_of(form.get("/console/system").text)
