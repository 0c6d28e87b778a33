"""Each command beside the HTTP call that does the same: same answers, same refusals, on a real Redis."""

# ruff: noqa: F811 - an imported fixture is named again as a parameter

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from discount.domain.events import parse_event_id
from discount.domain.ids import make_delivery_id
from discount.services import deliveries, outbox
from discount.services.deliveries import PlannedDelivery
from discount.store import keys
from discount.store.connection import Store
from tests.stack.test_command_line import (  # noqa: F401 - fixtures
    ROOT,
    Call,
    answer,
    call,
    commands,
    http,
    server,
    table,
    wrong,
)
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.sqlite_ledger import SqliteLedger

Answer = Callable[..., str]
Said = Callable[..., Any]
ORDER = ("--order-id", "A-1", "--order-amount", "10000", "--order-currency", "EUR")
LOOPBACK = {"WEBHOOK_LOOPBACK": "1"}


@pytest.fixture
def said(answer: Answer) -> Said:
    """Run a command with --json, and return its one line."""

    def run(*words: str) -> Any:
        text = answer(*words, "--json")
        assert text.count("\n") == 1
        return json.loads(text)

    return run


@pytest.fixture
def discount(http: FlaskClient) -> Any:
    body = {"brand_id": "Till", "discount_code": "Spring", "total_count": 9, "percent_off": 10}
    return http.post("/discount", json=body | {"limits": {"per_user": 5}}).get_json()


def rows(text: str) -> dict[str, str]:
    """Return the rows that a table of one thing must have: its fields with a value."""
    return dict(row for row in table(text) if len(row) == 2)


def test_create_takes_every_field_that_http_takes(said: Said, http: FlaskClient) -> None:
    made = said(
        *("create", "IKEA", "Spring", "--total", "3", "--percent-off", "12.5", "--currency", "EUR"),
        *("--minimum-amount", "1000", "--maximum-discount", "500", "--limits-total", "50", "--limits-per-user", "none"),
        *("--limits-per-user-per-day", "2", "--timezone", "Europe/Stockholm", "--valid-for", "P14D"),
        *("--expires-at", "2280-01-01T00:00:00Z", "--no-returns-use", "--prefix", "X-", "--idempotency-key", "once"),
        *("--webhook-url", "https://ikea.example/x", "--webhook-types", "code.granted"),
        *("--applies-to-skus", "CHAIR-*", "--except-categories", "sale", "--except-categories", "old"),
        *("--minimum-quantity", "2", "--per", "line", "--cheapest-lines", "3"),
        *("--combines", "line-amount", "--combines", "order-percent"),
    )
    body = {
        **{"brand_id": "IKEA", "discount_code": "Spring", "total_count": 3, "percent_off": 12.5, "currency": "EUR"},
        **{"minimum_amount": 1000, "maximum_discount": 500, "timezone": "Europe/Stockholm", "valid_for": "P14D"},
        **{"expires_at": "2280-01-01T00:00:00Z", "returns_use": False, "codes": {"prefix": "X-"}},
        **{"webhook_url": "https://ikea.example/x", "webhook_types": ["code.granted"]},
        **{"applies_to": {"skus": ["CHAIR-*"]}, "except": {"categories": ["sale", "old"]}},
        **{"minimum_quantity": 2, "per": "line", "cheapest_lines": 3, "combines": ["line-amount", "order-percent"]},
        "limits": {"total": 50, "per_user": None, "per_user_per_day": 2},
    }
    again = http.post("/discount", json=body, headers={"Idempotency-Key": "once"})
    assert again.status_code == 201
    assert made == again.get_json()
    assert made["webhook_secret"].startswith("whsec_")


def test_a_discount_is_changed_and_closed(
    said: Said, answer: Answer, call: Call, http: FlaskClient, discount: Any
) -> None:
    address = f"/discount/{discount['id']}"
    end = ("--expires-at", "2280-01-01T00:00:00Z")
    changed = said("change", discount["id"], "--total", "20", "--paused", "--limits-total", "7", *end)
    assert changed == http.get(address).get_json()
    assert (changed["total_count"], changed["status"], changed["limits"]["total"]) == (20, "paused", 7)
    shown = rows(answer("change", discount["id"], "--no-paused", "--limits-total", "none", "--expires-at", "none"))
    assert (shown["status"], shown["limits"], "expires_at" in shown) == ("active", "per_user 5", False)
    assert http.get(address).get_json()["limits"]["total"] is None
    assert wrong(call("change", discount["id"])) == "invalid: The command must name at least one field to change."
    assert wrong(call("change", discount["id"], "--total", "0")).startswith("invalid: --total must be from 1 to")
    closed = said("close", discount["id"], "--granted-codes", "void")
    assert closed == http.get(address).get_json()
    assert closed["status"] == "closed"
    assert wrong(call("change", discount["id"], "--total", "30")) == "closed: The discount is closed."


def test_grants_are_shown_listed_and_read_from_a_file(
    said: Said, answer: Answer, call: Call, http: FlaskClient, discount: Any, tmp_path: Path
) -> None:
    address = f"/discount/{discount['id']}"
    assert wrong(call("held", discount["id"], "Ann")).startswith("not-granted: ")
    (tmp_path / "users.txt").write_text("Ann\nBo\n\nCy\n", encoding="utf-8")
    many = said("grant", discount["id"], "--users", "users.txt")
    assert [each["user_id"] for each in many["grants"]] == ["Ann", "Bo", "Cy"]
    assert many == http.post(f"{address}/grants", json={"user_ids": ["Ann", "Bo", "Cy"]}).get_json()
    assert said("held", discount["id"], "Ann") == http.get(f"{address}/grant?user_id=Ann").get_json()
    assert said("grants", discount["id"], "--limit", "2") == http.get(f"{address}/grants?limit=2").get_json()
    assert said("user", "grants", "Ann", "--brand", "Till") == http.get("/user/Ann/grants?brand_id=Till").get_json()
    assert table(answer("user", "grants", "Ann"))[0] == ["discount", "user", "code", "granted"]
    as_csv = answer("grants", discount["id"], "--format", "csv")
    assert as_csv == http.get(f"{address}/grants?format=csv").text.replace("\r\n", "\n")
    first = call("grants", discount["id"], "--limit", "2")
    assert len(table(first.stdout)) == 3
    assert first.stderr.startswith("For more rows: --cursor ")
    rest = answer("grants", discount["id"], "--cursor", first.stderr.split()[-1])
    assert len(table(rest)) == 2
    held = said("brand", "grant", "Till", "Ann")
    assert held == http.post("/brand/Till/grant", json={"user_id": "Ann"}).get_json()
    refused = call("grant", discount["id"], "Dan", "Eve", "--email", "dan@x.example")
    assert wrong(refused) == "invalid: --email needs exactly one user."


def test_a_code_is_validated_redeemed_held_confirmed_and_rolled_back(
    said: Said, answer: Answer, call: Call, http: FlaskClient, discount: Any
) -> None:
    code = answer("grant", discount["id"], "Ann").strip()
    checkout = ("Ann", code, "--brand", "Till", *ORDER)
    order = {"id": "A-1", "amount": 10000, "currency": "EUR"}
    body = {"brand_id": "Till", "user_id": "Ann", "code": code, "order": order}
    valid = said("redemption", "validate", *checkout)
    assert valid == http.post("/validation", json=body).get_json()
    assert (valid["valid"], valid["discount_amount"]) == (True, 1000)
    unknown = call("redemption", "validate", "Ann", "WRONG", "--discount-id", discount["id"], *ORDER, "--json")
    assert unknown.returncode == 1
    assert [each["word"] for each in json.loads(unknown.stdout)["reasons"]] == ["not-granted"]

    done = said("redemption", "redeem", *checkout, "--hold-seconds", "600")
    address = f"/redemption/{done['id']}"
    assert (done["state"], done) == ("held", http.get(address).get_json())
    assert said("redemption", "confirm", done["id"]) == http.get(address).get_json()
    shown = rows(answer("redemption", "show", done["id"]))
    assert (shown["state"], shown["order"]) == ("redeemed", "id A-1, amount 10000, currency EUR")
    back = said("redemption", "rollback", done["id"], "--reason", "returned")
    assert (back["state"], back["reason"], back) == ("rolled-back", "returned", http.get(address).get_json())

    listed = f"/discount/{discount['id']}/redemptions"
    assert said("redemption", "list", discount["id"], "--state", "rolled-back") == http.get(listed).get_json()
    assert answer("redemption", "list", discount["id"], "--format", "csv") == http.get(
        f"{listed}?format=csv"
    ).text.replace("\r\n", "\n")
    assert (
        said("user", "redemptions", "Ann", "--brand", "Till")
        == http.get("/user/Ann/redemptions?brand_id=Till").get_json()
    )
    assert table(answer("user", "redemptions", "Ann"))[0][:4] == ["id", "user", "code", "state"]

    refusals = {
        ("redeem", "Ann", code, *ORDER): "invalid: --brand is missing; --brand or --discount-id is required.",
        ("redeem", *checkout[:-1], "eur"): "invalid: --order-currency ",
        ("redeem", "Ann", "WRONG", "--brand", "Till", *ORDER): "not-granted: ",
        ("confirm", "rdm-x"): "not-found: There is no such redemption.",
    }
    for words, reason in refusals.items():
        assert wrong(call("redemption", *words)).startswith(reason)


def test_several_codes_and_lines_are_redeemed_and_rolled_back_together(said: Said, http: FlaskClient) -> None:
    for code, off in (("TEN", "10"), ("TWENTY", "20")):
        said("create", "Till", code, "--kind", "shared", "--code", code, "--percent-off", off, "--combines", "all")
    lines = [{"id": "1", "amount": 4000, "sku": "A"}, {"id": "2", "amount": 6000, "quantity": 2}]
    words = [word for each in lines for word in ("--order-line", json.dumps(each))]
    checkout = ("Ann", "TEN", "TWENTY", "--brand", "Till", "--order-id", "Several", *ORDER[2:], *words)
    order = {"id": "Several", "amount": 10000, "currency": "EUR", "lines": lines}
    body = {"brand_id": "Till", "user_id": "Ann", "codes": ["TEN", "TWENTY"], "order": order}
    assert said("redemption", "validate", *checkout) == http.post("/validation", json=body).get_json()
    done = said("redemption", "redeem", *checkout)
    assert done == http.post("/redemption", json=body).get_json()
    assert (done["discount_amount"], [each["discount_amount"] for each in done["lines"]]) == (2800, [1120, 1680])
    first, second = (each["id"] for each in done["redemptions"])
    assert said("redemption", "rollback", first, "--whole-order")["state"] == "rolled-back"
    assert http.get(f"/redemption/{second}").get_json()["state"] == "rolled-back"


def test_a_line_that_is_no_json_is_refused(call: Call) -> None:
    words = ("redemption", "validate", "Ann", "TEN", "--brand", "Till", *ORDER, "--order-line", "{")
    assert wrong(call(*words)) == "invalid: --order-line must be a JSON object."


def test_brands_are_made_changed_listed_and_closed(said: Said, answer: Answer, call: Call, http: FlaskClient) -> None:
    made = said("brand", "create", "Zoo", "--name", "The Zoo", "--email", "zoo@zoo.example")
    shown = said("brand", "show", "Zoo")
    assert shown == http.get("/brand/Zoo").get_json()
    assert shown == made | {"quotas": shown["quotas"]}
    changed = said("brand", "change", "Zoo", "--email", "none", "--mails-off", "sold-out", "--mails-off", "webhook-off")
    assert (changed["email"], changed["mails_off"]) == (None, ["sold-out", "webhook-off"])
    assert said("brand", "change", "Zoo", "--mails-off", "none") == http.get("/brand/Zoo").get_json()
    assert http.get("/brand/Zoo").get_json()["mails_off"] == []
    assert said("brand", "list") == http.get("/brand").get_json()
    assert ["Zoo", "The Zoo"] in table(answer("brand", "list"))
    assert wrong(call("brand", "show", "None")) == "not-found: There is no brand None; create it first."
    closed = said("brand", "close", "Zoo")
    assert closed | {"quotas": shown["quotas"]} == http.get("/brand/Zoo").get_json()
    assert wrong(call("webhook", "create", "Zoo", "https://zoo.example/x")) == "brand-closed: The brand is closed."


def test_users_are_reached_shown_and_forgotten(said: Said, call: Call, http: FlaskClient, discount: Any) -> None:
    put = said("user", "set", "Fay", "--email", "fay@x.example", "--locale", "de", "--brand", "Till", "--unsubscribed")
    assert put == said("user", "show", "Fay", "--brand", "Till") == http.get("/user/Fay?brand_id=Till").get_json()
    assert (put["email"], put["unsubscribed"]) == ("fay@x.example", True)
    assert said("user", "set", "Fay", "--email", "none", "--brand", "Till")["email"] is None
    assert wrong(call("user", "set", "Fay", "--email", "fay")).startswith("invalid: --email ")
    assert wrong(call("user", "show", "Nobody")).startswith("not-found: ")
    http.post(f"/discount/{discount['id']}/grant", json={"user_id": "Fay"})
    assert said("user", "forget", "Fay", "--brand", "Other")["grants"] == 0
    assert said("user", "forget", "Fay", "--brand", "Till")["grants"] == 1
    assert said("forget", "Fay") == {"user_id": "Fay", "grants": 0, "redemptions": 0, "events": 0}


def test_webhooks_are_made_changed_tested_and_removed(
    said: Said, answer: Answer, call: Call, http: FlaskClient
) -> None:
    made = said("webhook", "create", "Hook", "https://hook.example/x", "--types", "code.granted")
    address = f"/webhook/{made['id']}"
    assert made.pop("secret").startswith("whsec_")
    assert made == said("webhook", "show", made["id"]) == http.get(address).get_json()
    assert said("webhook", "list", "Hook") == http.get("/webhook?brand_id=Hook").get_json()
    assert table(answer("webhook", "list", "Hook"))[1][1:] == ["https://hook.example/x", "code.granted", "on"]
    assert said("webhook", "change", made["id"], "--types", "none", "--off") == http.get(address).get_json()
    assert (http.get(address).get_json()["types"], http.get(address).get_json()["on"]) == ([], False)
    assert wrong(call("webhook", "test", made["id"])).startswith("webhook-off: ")
    answer("webhook", "change", made["id"], "--on")
    assert set(said("webhook", "test", made["id"])) == {"event_id", "delivery_id"}
    assert said("webhook", "secret", made["id"])["secret"].startswith("whsec_")
    assert wrong(call("webhook", "create", "Hook", "http://127.0.0.1/x")).startswith("invalid: URL is not a URL")
    local = call("webhook", "create", "Hook", "http://127.0.0.1/x", **LOOPBACK)
    assert local.returncode == 0
    assert answer("webhook", "remove", made["id"]) == ""
    assert wrong(call("webhook", "show", made["id"])).startswith("not-found: ")


def test_deliveries_are_listed_shown_and_made_again(
    said: Said, answer: Answer, call: Call, http: FlaskClient, server: RedisServer
) -> None:
    webhook = said("webhook", "create", "Post", "https://post.example/x")["id"]
    said("create", "Post", "Sale", "--total", "1")
    store = Store.at(server.url, PATIENCE, 16)
    event = outbox.list_page(store, "Post", limit=1).items[0]
    partition, entry_id = parse_event_id(event.id) or (0, "")
    found = make_delivery_id(partition, event.id, webhook)
    planned = PlannedDelivery(found, "Post", "webhook", webhook, "discount.created", event.id, "", entry_id, 1)
    deliveries.plan(store, partition, store.now(), [("", [planned])])

    assert said("delivery", "show", found) == http.get(f"/delivery/{found}").get_json()
    listed = said("delivery", "list", "Post", "--state", "waiting", "--webhook-id", webhook)
    assert listed == http.get("/delivery?brand_id=Post").get_json()
    assert [each["id"] for each in listed["deliveries"]] == [found]
    assert table(answer("delivery", "list", "Post"))[1][:4] == [found, "webhook", "discount.created", webhook]
    assert said("delivery", "resend", found)["id"] == found
    again = said("delivery", "resend-all", "Post", "--state", "waiting")
    assert again == {"resent_count": 1, "refused_count": 0, "next": None}
    answer("webhook", "change", webhook, "--off")
    assert answer("delivery", "resend-all", "Post", "--state", "waiting") == ("0 will be resent, 1 cannot be resent\n")
    assert wrong(call("delivery", "resend", found)).startswith("webhook-off: ")
    assert wrong(call("delivery", "show", "dlv-x")).startswith("not-found: ")


def test_events_are_replayed(said: Said, call: Call, http: FlaskClient) -> None:
    found = said("create", "Past", "Sale", "--total", "1")["id"]
    call("grant", found, "Ann")
    page = said("event", "list", "Past")
    assert page == http.get("/event?brand_id=Past").get_json()
    words = [each["type"] for each in page["events"]]
    assert words == ["discount.created", "code.granted", "discount.sold-out"]
    some = said("event", "list", "Past", "--types", "code.granted", "--limit", "1")
    assert [each["id"] for each in some["events"]] == [page["events"][1]["id"]]
    shown = call("event", "list", "Past", "--after", page["events"][0]["id"])
    assert [line.split("  ")[2] for line in shown.stdout.splitlines()] == words[1:]
    assert shown.stderr == f"Continue with: --after {page['next']}\n"
    assert wrong(call("event", "list", "Past", "--types", "code.lost")).startswith("invalid: --types has 'code.lost'")


def test_events_are_followed_until_it_is_stopped(said: Said, server: RedisServer, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "discount", "event", "follow", "Now", "--json"]
    environment = os.environ | {"REDIS_URL": server.url, "PYTHONPATH": str(ROOT)}
    said("create", "Now", "Sale", "--total", "1")
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as following:
        try:
            assert following.stdout is not None
            assert json.loads(following.stdout.readline())["type"] == "discount.created"
            said("create", "Now", "Another", "--total", "1")
            assert json.loads(following.stdout.readline())["type"] == "discount.created"
            following.send_signal(signal.SIGINT)
            assert following.wait(PATIENCE) == 0
        finally:
            following.kill()


def test_an_unreachable_redis_is_named_without_its_password(call: Call, tmp_path: Path) -> None:
    line = wrong(call("list", REDIS_URL="redis://ann:hush@127.0.0.1:1/0?password=hush"))
    assert line == ("unavailable: Redis cannot be reached. The address is redis://127.0.0.1:1/0, from REDIS_URL.")
    folder = wrong(call("list", REDIS_URL="", DATA="elsewhere"))
    assert f"no `discount run` uses {tmp_path / 'elsewhere'}" in folder
    assert "use the DATA or the working directory" in folder


def test_reconcile_ends_with_1_if_anything_differs_and_repairs_it(
    call: Call, server: RedisServer, discount: Any, tmp_path: Path
) -> None:
    ledger = SqliteLedger(tmp_path)
    settings = {"LEDGER_URL": ledger.url}
    store = Store.at(server.url, PATIENCE, 16)
    for user in ("User 1", "User 2"):
        assert call("grant", discount["id"], user).returncode == 0
    ledger.read(store)
    done = call("reconcile", discount["id"], **settings)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "Compared 1 discounts, 2 grants. Differences: 0.\n"
    client = server.client()
    client.hincrby(keys.discount(int(discount["id"][4:6], 16), discount["id"]), "orders:EUR", 5)
    done = call("reconcile", discount["id"], "--json", **settings)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["difference_count"] == 1
    (difference,) = found["differences"]
    assert difference == {
        **{"discount_id": discount["id"], "check": "sums", "subject": "orders:EUR"},
        **{"redis": "5", "ledger": "0", "repaired": False},
    }
    # Others of this file have forgotten a user before there was a ledger: figures of that grant cannot be made again.
    done = call("reconcile", discount["id"], "--repair", **settings)
    assert done.returncode == 0, done.stdout
    assert "repaired" in done.stdout
    assert call("reconcile", discount["id"], **settings).returncode == 0
    done = call("reconcile", discount["id"], LEDGER_URL="")
    assert done.returncode == 1
    assert done.stderr.startswith("discount: LEDGER_URL: set the database of the ledger")


def test_the_past_is_shown(call: Call, http: FlaskClient, server: RedisServer, tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path)
    given = {"brand_id": "Archive", "discount_code": "Spring", "total_count": 9, "percent_off": 10}
    discount = http.post("/discount", json=given).get_json()
    code = http.post(f"/discount/{discount['id']}/grant", json={"user_id": "Ann"}).get_json()["code"]
    body = {"discount_id": discount["id"], "user_id": "Ann", "code": code}
    http.post("/redemption", json=body | {"order": {"id": "A-1", "amount": 10000, "currency": "JPY"}})
    http.patch(f"/discount/{discount['id']}", json={"paused": True})

    def shown(*words: str) -> str:
        done = call(*words, LEDGER_URL=ledger.url)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    owner = f"Spring ({discount['id']}, unique, paused)"
    assert f"Nobody holds it. It is a code of {owner}." in shown("find", "Archive", code)
    ledger.read(Store.at(server.url, PATIENCE, 16))
    found = shown("find", "Archive", code.lower())
    assert found.startswith(f"{code}: held by Ann, of {owner}.\n")
    assert ("code.granted" in found, "code.redeemed" in found) == (True, True)
    (holder,) = json.loads(shown("find", "Archive", code, "--json"))["holders"]
    assert (holder["state"], holder["redeemed_count"]) == ("granted", 1)
    for words in ((discount["id"],), ("--brand", "Archive")):
        rows = table(shown("figures", *words, "--step", "hour"))
        assert rows[-1] == ["total", "1", "0", "1", "0", "0", "1,000 JPY"]
        assert json.loads(shown("figures", *words, "--json"))["decimals"] == {"JPY": 0}
    for words in (("figures", discount["id"]), ("changes", "Archive")):
        found = json.loads(shown(*words, "--from", "2280-01-01T00:00:00Z", "--to", "2280-01-02T00:00:00Z", "--json"))
        assert not found.get("figures", found.get("changes"))
    assert "discount.changed" in shown("changes", "Archive", "--from", "2020-01-01T00:00:00Z")
    assert wrong(call("figures", discount["id"])) == "no-ledger: This service keeps no history."


def test_a_brand_gets_a_digest_sees_a_preview_and_ends_it(said: Said, call: Call, tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path)
    said("brand", "create", "Desk")
    assert wrong(call("brand", "change", "Desk", "--digest-hour", "8")).startswith("invalid: ")
    changed = said(
        *("brand", "change", "Desk", "--digest-email", "desk@desk.example", "--digest-language", "de"),
        *("--timezone", "Europe/Berlin"),
    )
    wanted = {"email": "desk@desk.example", "language": "de", "hour": 7}
    assert (changed["digest"], changed["timezone"]) == (wanted, "Europe/Berlin")
    assert said("brand", "change", "Desk", "--name", "The Desk")["digest"] == wanted
    done = call("brand", "digest", "Desk", "--day", "2026-11-25", LEDGER_URL=ledger.url)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.startswith("To: desk@desk.example\nSubject: Ihre Codes am 25. November 2026\n\n")
    assert "wurden 0 Codes von The Desk vergeben" in done.stdout
    page = call("brand", "digest", "Desk", "--html", LEDGER_URL=ledger.url)
    assert page.stdout.startswith("<!doctype html>")
    assert wrong(call("brand", "digest", "Desk")).startswith("LEDGER_URL: ")
    assert said("brand", "change", "Desk", "--no-digest")["digest"] is None
