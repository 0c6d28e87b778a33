"""Redemptions over HTTP: validation, use, hold, confirm, rollback, and the lists."""

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from werkzeug.test import TestResponse

from discount.domain.ids import make_redemption_id, short_of
from discount.store import keys
from tests.api.client import Client, check_problem
from tests.support import records
from tests.support.service import wait_until

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"
SHARED = {"kind": "shared", "code": "SUMMER-26"}
NO_LEFT = {"total": None, "per_user": None, "per_user_per_day": None, "per_user_per_week": None}
LATER = "2280-01-01T00:00:00Z"
PAST = "2020-01-01T00:00:00.000001Z"


def opened(client: Client, **changes: Any) -> str:
    """Create a discount with one code for all and 10 % off, and return its id."""
    return str(client.create(**{"total_count": None, "codes": SHARED, "percent_off": 10} | changes)["id"])


def checkout(order: str = "A-1", user: str = "User 1", amount: int = 5000, **changes: Any) -> dict[str, Any]:
    """Return the body of a redemption of the shared code."""
    of_order = {"id": order, "amount": amount, "currency": changes.pop("currency", "EUR")}
    return {"brand_id": "IKEA", "user_id": user, "code": "SUMMER-26", "order": of_order} | changes


def redeem(client: Client, *given: Any, key: str | None = None, **changes: Any) -> TestResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.http.post("/redemption", json=checkout(*given, **changes), headers=headers)


def redeemed(client: Client, *given: Any, **changes: Any) -> dict[str, Any]:
    """Redeem, and return the answer."""
    answer = redeem(client, *given, **changes)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def validated(client: Client, *given: Any, **changes: Any) -> dict[str, Any]:
    answer = client.http.post("/validation", json=checkout(*given, **changes))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def figures(client: Client, discount_id: str) -> tuple[int, int, int, dict[str, Any]]:
    """Return a discount's counts of redemptions, holds and rollbacks, and its sums."""
    shown = client.http.get(f"/discount/{discount_id}").get_json()
    return shown["redeemed_count"], shown["on_hold_count"], shown["rolled_back_count"], shown["sums"]


def listed(client: Client, path: str, **query: Any) -> list[dict[str, Any]]:
    """Return the redemptions of all pages."""
    found: list[dict[str, Any]] = []
    while True:
        page = client.http.get(path, query_string=query).get_json()
        assert set(page) == {"redemptions", "next"}
        assert len(page["redemptions"]) <= query.get("limit", 100)
        found += page["redemptions"]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


# All calls in order


def test_a_redemption_shows_exactly_its_fields(client: Client) -> None:
    discount_id = opened(client, limits={"total": 10, "per_user": 2, "per_user_per_day": 2})
    found = redeemed(client)
    assert re.fullmatch(r"rdm-[0-9a-f]{2}[0-9A-Za-z]{22,24}", found["id"])
    assert re.fullmatch(MOMENT, found["redeemed_at"])
    assert found == {
        "id": found["id"],
        "discount_id": discount_id,
        "brand_id": "IKEA",
        "user_id": "User 1",
        "code": "SUMMER-26",
        "state": "redeemed",
        "order": {"id": "A-1", "amount": 5000, "currency": "EUR"},
        "discount_amount": 500,
        "amount_to_pay": 4500,
        "left": {"total": 9, "per_user": 1, "per_user_per_day": 1, "per_user_per_week": None},
        "redeemed_at": found["redeemed_at"],
        "hold_until": None,
        "confirmed_at": None,
        "rolled_back_at": None,
        "reason": "",
    }


def test_a_repeated_redemption_returns_the_first_one(client: Client) -> None:
    discount_id = opened(client, limits={"per_user": 5})
    answers = [redeem(client) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    first = answers[0].get_json()
    assert [answer.get_json() for answer in answers] == [first] * 3
    shown = client.http.get(f"/redemption/{first['id']}")
    assert (shown.status_code, shown.get_json()) == (200, first)
    assert figures(client, discount_id) == (1, 0, 0, {"EUR": {"orders": 5000, "discounts": 500}})


def test_by_brand_by_discount_and_by_both_it_is_the_same_redemption(client: Client) -> None:
    discount_id = opened(client)
    first = redeemed(client)
    for place in ({"brand_id": None, "discount_id": discount_id}, {"discount_id": discount_id}, {"discount_id": None}):
        again = redeem(client, **place)
        assert (again.status_code, again.get_json()) == (200, first)


def test_a_validation_shows_exactly_its_fields_and_counts_nothing(client: Client) -> None:
    discount_id = opened(client, limits={"total": 10, "per_user": 2})
    before = client.state()
    assert validated(client, amount=999) == {
        "valid": True,
        "discount_id": discount_id,
        "discount_amount": 100,
        "amount_to_pay": 899,
        "left": {"total": 10, "per_user": 2, "per_user_per_day": None, "per_user_per_week": None},
        "reasons": [],
    }
    assert client.state() == before
    redeemed(client)
    assert validated(client, "A-2")["left"]["per_user"] == 1


def test_a_validation_reports_every_reason_to_refuse(client: Client) -> None:
    discount_id = opened(client, limits={"total": 1, "per_user": None}, minimum_amount=6000, currency="EUR")
    redeemed(client, amount=6000)
    client.http.patch(f"/discount/{discount_id}", json={"paused": True, "starts_at": LATER})
    verdict = validated(client, "A-2", amount=5999)
    assert (verdict["valid"], verdict["discount_amount"], verdict["amount_to_pay"]) == (False, 0, 5999)
    assert verdict["left"] == NO_LEFT | {"total": 0}
    reasons = {each.pop("word"): each for each in verdict["reasons"]}
    assert all(each.pop("title").endswith(".") for each in reasons.values())
    assert reasons == {
        "minimum-amount": {"minimum_amount": 6000, "currency": "EUR"},
        "paused": {},
        "not-started": {"starts_at": LATER},
        "limit-reached": {"limit": "total"},
    }


def test_a_validation_of_a_wrong_code_gives_no_other_reason(client: Client) -> None:
    opened(client, limits={"total": 0}, minimum_amount=6000, currency="SEK")
    verdict = validated(client, code="WINTER")
    assert [each["word"] for each in verdict.pop("reasons")] == ["not-granted"]
    assert verdict == {
        "valid": False,
        "discount_id": None,
        "discount_amount": 0,
        "amount_to_pay": 5000,
        "left": NO_LEFT,
    }


def test_a_hold_counts_until_it_is_confirmed(client: Client) -> None:
    discount_id = opened(client, limits={"total": 1})
    held = redeemed(client, hold_seconds=600)
    made, until = (datetime.fromisoformat(held[name]) for name in ("redeemed_at", "hold_until"))
    assert (held["state"], until - made) == ("held", timedelta(seconds=600))
    assert figures(client, discount_id) == (0, 1, 0, {})
    problem = check_problem(redeem(client, "A-2", "User 2"), 409, "limit-reached")
    assert (problem["limit"], problem["opens_at"]) == ("total", held["hold_until"])

    confirmed = client.http.post(f"/redemption/{held['id']}/confirm")

    at = confirmed.get_json()["confirmed_at"]
    assert re.fullmatch(MOMENT, at)
    assert confirmed.status_code == 200
    assert confirmed.get_json() == held | {"state": "redeemed", "confirmed_at": at}
    assert client.http.post(f"/redemption/{held['id']}/confirm").get_json() == confirmed.get_json()
    assert client.http.get(f"/redemption/{held['id']}").get_json() == confirmed.get_json()
    # The order again: the answer is the redemption as it is now.
    again = redeem(client, hold_seconds=600)
    assert (again.status_code, again.get_json()) == (200, confirmed.get_json())
    assert figures(client, discount_id) == (1, 0, 0, {"EUR": {"orders": 5000, "discounts": 500}})
    assert "opens_at" not in check_problem(redeem(client, "A-2", "User 2"), 409, "limit-reached")


def test_a_use_that_was_never_held_counts_as_confirmed(client: Client) -> None:
    opened(client)
    made = redeemed(client)
    answer = client.http.post(f"/redemption/{made['id']}/confirm")
    assert (answer.status_code, answer.get_json()) == (200, made)


@pytest.mark.parametrize("hold", [None, 600], ids=["redeemed", "held"])
def test_a_rollback_returns_the_use_once(client: Client, hold: int | None) -> None:
    discount_id = opened(client, limits={"total": 1})
    made = redeemed(client, hold_seconds=hold)
    path = f"/redemption/{made['id']}/rollback"

    undone = client.http.post(path, json={"reason": "The order was cancelled. ✂"})

    at = undone.get_json()["rolled_back_at"]
    assert re.fullmatch(MOMENT, at)
    assert undone.status_code == 200
    expected = made | {"state": "rolled-back", "rolled_back_at": at, "reason": "The order was cancelled. ✂"}
    # What is left is what is left now; the answer to a repeat has what was left after the use.
    repeated, expected = expected, expected | {"left": made["left"] | {"total": 1, "per_user": 1}}
    assert undone.get_json() == expected
    sums = {} if hold else {"EUR": {"orders": 0, "discounts": 0}}
    assert figures(client, discount_id) == (0, 0, 1, sums)
    # Once more, with no body or another reason: it stays as it was.
    assert client.http.post(path).get_json() == expected
    assert client.http.post(path, json={"reason": "Another"}).get_json() == expected
    assert client.http.post(path, json={}).get_json() == expected
    assert figures(client, discount_id) == (0, 0, 1, sums)
    assert redeem(client, hold_seconds=hold).get_json() == repeated
    client.refused("POST", f"/redemption/{made['id']}/confirm", 409, "hold-ended")
    redeemed(client, "A-2")
    check_problem(redeem(client, "A-3", "User 2"), 409, "limit-reached")


def test_a_use_that_does_not_return_stays_counted(client: Client) -> None:
    discount_id = opened(client, limits={"total": 2}, returns_use=False)
    for order, hold in (("A-1", None), ("A-2", 600)):
        made = redeemed(client, order, order, hold_seconds=hold)
        client.http.post(f"/redemption/{made['id']}/rollback")
    assert figures(client, discount_id) == (0, 0, 2, {"EUR": {"orders": 0, "discounts": 0}})
    # Of the two only the hold came back.
    assert redeemed(client, "A-3", "User 3")["left"]["total"] == 0
    check_problem(redeem(client, "A-4", "User 1"), 409, "limit-reached")


def test_a_hold_that_ends_is_released_and_leaves_its_order_free(client: Client) -> None:
    discount_id = opened(client, limits={"total": 1})
    held = redeemed(client, hold_seconds=1)
    path = f"/redemption/{held['id']}"
    wait_until(lambda: client.http.get(path).get_json()["state"] == "released", "the hold has ended")
    assert figures(client, discount_id) == (0, 0, 0, {})
    client.refused("POST", f"{path}/confirm", 409, "hold-ended")
    # Nothing to give back.
    assert client.http.post(f"{path}/rollback").get_json()["state"] == "released"
    assert listed(client, f"/discount/{discount_id}/redemptions", state="released") == [held | {"state": "released"}]
    again = redeemed(client)
    assert (again["id"], again["state"], again["hold_until"]) == (held["id"], "redeemed", None)
    assert listed(client, f"/discount/{discount_id}/redemptions") == [again]
    assert listed(client, "/user/User%201/redemptions") == [again]
    assert figures(client, discount_id) == (1, 0, 0, {"EUR": {"orders": 5000, "discounts": 500}})


def test_a_new_checkout_releases_the_users_earlier_hold(client: Client) -> None:
    discount_id = opened(client, limits={"total": 1})
    first = redeemed(client, hold_seconds=600)
    assert validated(client, "A-2")["valid"]
    second = redeemed(client, "A-2", hold_seconds=600)
    assert client.http.get(f"/redemption/{first['id']}").get_json()["state"] == "released"
    client.refused("POST", f"/redemption/{first['id']}/confirm", 409, "hold-ended")
    assert figures(client, discount_id)[:3] == (0, 1, 0)
    assert client.http.post(f"/redemption/{second['id']}/confirm").status_code == 200
    check_problem(redeem(client, "A-3"), 409, "limit-reached")


# Discount amounts


@pytest.mark.parametrize(
    ("rule", "amount", "off"),
    [
        ({"percent_off": 10}, 5000, 500),
        ({"percent_off": 10}, 4, 0),
        ({"percent_off": 10}, 5, 1),
        ({"percent_off": 12.5}, 10001, 1250),
        ({"percent_off": 12.5}, 10004, 1251),
        ({"percent_off": 33.33}, 10000, 3333),
        ({"percent_off": 0.01}, 4999, 0),
        ({"percent_off": 0.01}, 5000, 1),
        ({"percent_off": 100}, 10**12, 10**12),
        ({"percent_off": 99.99}, 10**12, 999_900_000_000),
        ({"percent_off": 50, "maximum_discount": 700, "currency": "EUR"}, 1399, 700),
        ({"percent_off": 50, "maximum_discount": 700, "currency": "EUR"}, 9999, 700),
        ({"amount_off": 700, "currency": "EUR"}, 701, 700),
        ({"amount_off": 700, "currency": "EUR"}, 699, 699),
        ({"percent_off": None}, 5000, 0),
        ({"percent_off": 10}, 0, 0),
    ],
)
def test_the_discount_amount_is_exact(client: Client, rule: dict[str, Any], amount: int, off: int) -> None:
    discount_id = opened(client, **({} if "percent_off" in rule else {"percent_off": None}) | rule)
    verdict = validated(client, amount=amount)
    made = redeemed(client, amount=amount)
    assert [(each["discount_amount"], each["amount_to_pay"]) for each in (verdict, made)] == [(off, amount - off)] * 2
    assert figures(client, discount_id)[3] == {"EUR": {"orders": amount, "discounts": off}}
    assert f'"amount":{amount},' in client.http.get(f"/redemption/{made['id']}").text


def test_sums_are_shown_by_currency(client: Client) -> None:
    discount_id = opened(client, limits={"per_user": None})
    redeemed(client, "A-1", amount=10**12, currency="EUR")
    made = redeemed(client, "A-2", amount=10**12, currency="JPY")
    redeemed(client, "A-3", amount=7, currency="EUR")
    client.http.post(f"/redemption/{made['id']}/rollback")
    assert figures(client, discount_id) == (
        2,
        0,
        1,
        {"EUR": {"orders": 10**12 + 7, "discounts": 10**11 + 1}, "JPY": {"orders": 0, "discounts": 0}},
    )


# Codes


def test_a_granted_code_can_be_redeemed_in_any_spelling(client: Client) -> None:
    found = client.create(percent_off=10, limits={"per_user": None})
    code = client.grant(found["id"]).get_json()["code"]
    typed = [code, code.lower(), code.replace("-", ""), code.replace("-", " "), code.replace("-", "–")]
    for number, each in enumerate(typed):
        assert redeemed(client, f"A-{number}", code=each)["code"] == code


def test_the_same_order_with_the_code_typed_otherwise_is_the_same(client: Client) -> None:
    opened(client)
    first = redeemed(client)
    again = redeem(client, code="summer 26")
    assert (again.status_code, again.get_json()) == (200, first)


def test_every_wrong_code_gets_the_same_answer(client: Client) -> None:
    mine, other = client.create(), client.create()
    code = client.grant(mine["id"], "Holder").get_json()["code"]
    own = client.grant(other["id"], "User 1").get_json()["code"]
    other_brand = client.create(brand_id="Other", total_count=None, codes={"kind": "shared", "code": "OTHER"})
    wrong = [
        {"code": "NONSENSE"},
        {"code": code},
        {"code": "OTHER"},
        {"code": "-"},
        {"brand_id": "Nobody"},
        {"discount_id": mine["id"], "code": code},
        {"discount_id": mine["id"], "code": own},
        {"discount_id": other_brand["id"], "brand_id": "Other", "code": own},
    ]
    answers = []
    for number, each in enumerate(wrong):
        problem = check_problem(redeem(client, f"A-{number}", **{"code": own} | each), 404, "not-granted")
        answers.append({name: value for name, value in problem.items() if name != "request_id"})
    assert answers == [answers[0]] * len(wrong)
    assert set(answers[0]) == {"type", "title", "status", "detail"}
    assert answers[0]["detail"] == "The user holds no such code here; check the spelling."


def test_a_voided_code_is_refused_as_closed(client: Client) -> None:
    found = client.create()
    code = client.grant(found["id"]).get_json()["code"]
    client.http.delete(f"/discount/{found['id']}?granted_codes=void")
    check_problem(redeem(client, code=code), 409, "closed")


def test_a_code_that_was_kept_is_good_after_the_close(client: Client) -> None:
    found = client.create()
    code = client.grant(found["id"]).get_json()["code"]
    client.http.delete(f"/discount/{found['id']}")
    assert redeemed(client, code=code)["state"] == "redeemed"


# Refusals


def test_every_refusal_of_a_redemption_has_its_problem(client: Client) -> None:
    discount_id = opened(client, minimum_amount=1000, currency="EUR", limits={"total": 2, "per_user": 1})
    address = f"/discount/{discount_id}"
    problem = client.refused("POST", "/redemption", 409, "minimum-amount", json=checkout(amount=999))
    assert (problem["minimum_amount"], problem["currency"]) == (1000, "EUR")
    problem = client.refused("POST", "/redemption", 409, "currency-mismatch", json=checkout(currency="SEK"))
    assert problem["currency"] == "EUR"
    redeemed(client)
    problem = client.refused("POST", "/redemption", 409, "already-redeemed", json=checkout("A-2"))
    assert (problem["limit"], "opens_at" in problem) == ("per_user", False)
    redeemed(client, "A-2", "User 2")
    body = checkout("A-3", "User 3")
    assert client.refused("POST", "/redemption", 409, "limit-reached", json=body)["limit"] == "total"
    client.http.patch(address, json={"starts_at": LATER})
    assert client.refused("POST", "/redemption", 409, "not-started", json=body)["starts_at"] == LATER
    client.http.patch(address, json={"starts_at": None, "expires_at": PAST})
    assert client.refused("POST", "/redemption", 409, "expired", json=body)["expires_at"] == PAST
    client.http.patch(address, json={"paused": True})
    client.refused("POST", "/redemption", 409, "paused", json=body)
    client.http.delete(address + "?granted_codes=void")
    client.refused("POST", "/redemption", 409, "closed", json=body)
    # A repeat of a redemption is answered all the same.
    assert redeem(client).status_code == 200


@pytest.mark.parametrize(("limit", "days"), [("per_user_per_day", 1), ("per_user_per_week", None)], ids=["day", "week"])
def test_a_limit_of_days_or_weeks_opens_at_a_midnight_of_its_zone(client: Client, limit: str, days: int | None) -> None:
    zone = ZoneInfo("Asia/Kathmandu")
    opened(client, limits={"per_user": None, limit: 1}, timezone=zone.key)
    seconds, _ = client.redis.time()
    redeemed(client)
    problem = check_problem(redeem(client, "A-2"), 409, "limit-reached")
    opens = datetime.fromisoformat(problem["opens_at"]).astimezone(zone)
    today = datetime.fromtimestamp(seconds, UTC).astimezone(zone)
    midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
    assert (problem["limit"], opens) == (limit, midnight + timedelta(days=days or 7 - today.weekday()))
    assert redeem(client, "A-2", "User 2").status_code == 201


def test_a_limit_of_zero_refuses_everyone_and_null_refuses_no_one(client: Client) -> None:
    discount_id = opened(client, limits={"total": 0, "per_user": None})
    assert client.refused("POST", "/redemption", 409, "limit-reached", json=checkout())["limit"] == "total"
    changed = client.http.patch(f"/discount/{discount_id}", json={"limits": {"total": None}}).get_json()
    assert changed["limits"] == NO_LEFT
    for number in range(5):
        assert redeemed(client, f"A-{number}")["left"] == NO_LEFT
    client.http.patch(f"/discount/{discount_id}", json={"limits": {"total": 5}})
    assert client.refused("POST", "/redemption", 409, "limit-reached", json=checkout("A-6"))["limit"] == "total"
    client.http.patch(f"/discount/{discount_id}", json={"limits": {"total": 6, "per_user": 4}})
    assert client.refused("POST", "/redemption", 409, "limit-reached", json=checkout("A-6"))["limit"] == "per_user"
    assert redeemed(client, "A-6", "User 2")["left"]["total"] == 0


def test_a_code_ends_some_time_after_its_grant(client: Client) -> None:
    found = client.create(valid_for="PT1S", limits={"per_user": None})
    grant = client.grant(found["id"]).get_json()
    ends = datetime.fromisoformat(grant["granted_at"]) + timedelta(seconds=1)
    body = checkout("A-1", code=grant["code"])
    wait_until(lambda: not validated(client, code=grant["code"])["valid"], "the code has ended")
    problem = client.refused("POST", "/redemption", 409, "expired", json=body)
    assert datetime.fromisoformat(problem["expires_at"]) == ends == datetime.fromisoformat(grant["good_until"])


@pytest.mark.parametrize("length", ["PT1H", "PT3600S", "P14D", "P2W", "P1M", "P1Y2M3DT4H5M6S", "PT0.5S", "P100Y"])
def test_a_duration_comes_back_as_it_was_given(client: Client, length: str) -> None:
    found = client.create(valid_for=length)
    assert found["valid_for"] == length
    assert client.http.get(f"/discount/{found['id']}").get_json()["valid_for"] == length
    grant = client.grant(found["id"]).get_json()
    assert grant["granted_at"] < grant["good_until"]


def test_a_month_is_a_calendar_month_in_the_zone_of_the_discount(client: Client) -> None:
    zone = ZoneInfo("Asia/Tokyo")
    found = client.create(valid_for="P1M", timezone="Asia/Tokyo")
    grant = client.grant(found["id"]).get_json()
    begun, ends = (datetime.fromisoformat(grant[name]).astimezone(zone) for name in ("granted_at", "good_until"))
    assert (ends.month - begun.month) % 12 == 1
    assert ends.time() == begun.time()
    assert ends.day == begun.day or (ends + timedelta(days=1)).day == 1


# Repeated calls


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 5001},
        {"currency": "SEK"},
        {"user": "User 2"},
        {"code": "AUTUMN-26"},
        {"hold_seconds": 600},
    ],
    ids=["amount", "currency", "user", "code", "hold"],
)
@pytest.mark.parametrize("by_key", [False, True], ids=["order", "key"])
def test_an_order_or_a_key_with_other_content_is_refused(client: Client, changes: dict[str, Any], by_key: bool) -> None:
    opened(client, limits={"per_user": None})
    opened(client, codes={"kind": "shared", "code": "AUTUMN-26"})
    redeemed(client, key="key-1")
    other = checkout("A-2" if by_key else "A-1", **changes)
    headers = {"Idempotency-Key": "key-1"} if by_key else {}
    client.refused("POST", "/redemption", 422, "idempotency-mismatch", json=other, headers=headers)


def test_the_same_key_gives_the_same_redemption(client: Client) -> None:
    discount_id = opened(client, limits={"per_user": None})
    answers = [redeem(client, key="key-1") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].get_json() == answers[1].get_json()
    check_problem(redeem(client, "A-2", key="key-1"), 422, "idempotency-mismatch")
    assert figures(client, discount_id)[0] == 1


def test_orders_and_keys_are_separate_for_each_brand(client: Client) -> None:
    opened(client)
    opened(client, brand_id="Other")
    first = redeemed(client, key="key-1")
    second = redeemed(client, key="key-1", brand_id="Other")
    assert (first["id"] != second["id"], second["brand_id"]) == (True, "Other")


# Lists


def test_redemptions_are_listed_in_pages_newest_first(client: Client) -> None:
    discount_id = opened(client, limits={"per_user": None})
    opened(client, brand_id="Other", limits={"per_user": None})
    made = [redeemed(client, f"A-{number}", f"User {number % 2}") for number in range(7)]
    elsewhere = redeemed(client, "B-1", "User 1", brand_id="Other")
    made.reverse()
    for limit in (1, 2, 3, 7, 8):
        assert listed(client, f"/discount/{discount_id}/redemptions", limit=limit) == made
    of_user = [each for each in made if each["user_id"] == "User 1"]
    for limit in (1, 2, 4, 5):
        assert listed(client, "/user/User%201/redemptions", limit=limit) == [elsewhere, *of_user]
    assert listed(client, "/user/User%201/redemptions", brand_id="IKEA", limit=2) == of_user
    assert listed(client, "/user/User%201/redemptions", brand_id="Nobody") == []
    assert listed(client, "/user/Nobody/redemptions") == []


def test_redemptions_are_listed_by_state_and_time(client: Client) -> None:
    discount_id = opened(client, limits={"per_user": None})
    made = [redeemed(client, f"A-{n}", hold_seconds=600 if n % 3 == 1 else None) for n in range(9)]
    for each in made[2::3]:
        client.http.post(f"/redemption/{each['id']}/rollback")
    for path in (f"/discount/{discount_id}/redemptions", "/user/User%201/redemptions"):

        def ids(path: str = path, **query: Any) -> list[str]:
            return [each["order"]["id"] for each in listed(client, path, **query)]

        for limit in (1, 2, 100):
            assert ids(state="redeemed", limit=limit) == ["A-6", "A-3", "A-0"]
            assert ids(state="held", limit=limit) == ["A-7", "A-4", "A-1"]
            assert ids(state="rolled-back", limit=limit) == ["A-8", "A-5", "A-2"]
            assert ids(state="released", limit=limit) == []
            # From the moment on, and before the moment.
            since, until = made[2]["redeemed_at"], made[6]["redeemed_at"]
            assert ids(since=since, until=until, limit=limit) == ["A-5", "A-4", "A-3", "A-2"]
            assert ids(since=since, until=until, state="held", limit=limit) == ["A-4"]
        assert ids(since=LATER) == []
        assert ids(until=PAST) == []
        assert ids(since=until, until=since) == []


def test_redemptions_are_saved_as_csv(client: Client) -> None:
    discount_id = opened(client, limits={"per_user": None})
    made = [
        redeemed(client, "A-1", '=1+1,"a"'),
        redeemed(client, "A-2", "Ünïcode", amount=7, currency="JPY", hold_seconds=600),
        redeemed(client, "-1+1", "User 1"),
    ]
    undone = client.http.post(f"/redemption/{made[0]['id']}/rollback", json={"reason": "=sent back"}).get_json()
    path = f"/discount/{discount_id}/redemptions?format=csv"
    answer = client.http.get(path)
    assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{discount_id}-redemptions.csv"'
    rows = list(csv.reader(io.StringIO(answer.data.decode())))
    head = ["id", "user_id", "code", "state", "order_id", "amount", "currency", "discount_amount", "redeemed_at"]
    head += ["hold_until", "confirmed_at", "rolled_back_at", "reason", "metadata"]
    assert rows[0] == head
    assert [row[:8] for row in rows[1:]] == [
        [made[2]["id"], "User 1", "SUMMER-26", "redeemed", "'-1+1", "5000", "EUR", "500"],
        [made[1]["id"], "Ünïcode", "SUMMER-26", "held", "A-2", "7", "JPY", "1"],
        [made[0]["id"], '\'=1+1,"a"', "SUMMER-26", "rolled-back", "A-1", "5000", "EUR", "500"],
    ]
    assert [bool(row[9]) for row in rows[1:]] == [False, True, False]
    assert [row[10:] for row in rows[1:]] == [["", "", "", ""]] * 2 + [
        ["", undone["rolled_back_at"], "'=sent back", ""]
    ]
    moments = [datetime.fromisoformat(row[8]) for row in rows[1:]]
    assert moments == [datetime.fromisoformat(each["redeemed_at"]) for each in made[::-1]]
    held = client.http.get(path + "&state=held")
    assert [row[4] for row in csv.reader(io.StringIO(held.text))][1:] == ["A-2"]
    assert client.http.get(path + f"&since={LATER}").text == ",".join(head) + "\r\n"


def test_a_list_of_more_than_a_page_is_saved_whole(client: Client) -> None:
    discount_id = opened(client, limits={"per_user": None})
    redeemed(client, "first")
    # Written straight to Redis, as creating them one by one takes seconds.
    partition, first = int(discount_id[4:6], 16), client.http.get("/user/User%201/redemptions").get_json()
    record = records.get(client.redis, first["redemptions"][0]["id"])
    stream = keys.more_redemptions(partition, discount_id)
    pipeline = client.redis.pipeline()
    for number in range(2100, 0, -1):
        name = make_redemption_id(partition, "IKEA", f"B-{number}")
        at = record.at - number
        text = records.write(replace(record, at=at, order=f"B-{number}"))
        pipeline.rpush(keys.records(name)[0], short_of(name), text)
        pipeline.xadd(stream, {"r": short_of(name)}, id=f"{at}-0")
    pipeline.execute()
    rows = list(csv.reader(io.StringIO(client.http.get(f"/discount/{discount_id}/redemptions?format=csv").text)))
    assert len(rows) == 2102
    assert {row[4] for row in rows[2:]} == {f"B-{number}" for number in range(1, 2101)}
    paged = listed(client, f"/discount/{discount_id}/redemptions", limit=1000)
    assert [each["order"]["id"] for each in paged] == [row[4] for row in rows[1:]]
    # A page that looks at many and shows none still leads on.
    assert listed(client, f"/discount/{discount_id}/redemptions", state="held", limit=1000) == []
