"""Bad checkouts, rules and limits are refused with the right 4xx and the name of the field, and store nothing."""

import json
from typing import Any

import pytest

from tests.api.client import (
    DISCOUNT,
    JSON,
    Client,
    check_problem,
)

CHECKOUT: dict[str, Any] = {
    "brand_id": "IKEA",
    "user_id": "User 1",
    "code": "SUMMER-26",
    "order": {"id": "A-1", "amount": 1000, "currency": "EUR"},
}
PATHS = ["/validation", "/redemption"]
LONG = "x" * 10_000
NOT_TEXT: list[Any] = [None, 5, 1.5, True, [], {}]
NOT_IDS = ["", " ", "a\x00b", "a\nb", "a{b", "a/b", "\u202eabc", "🎄", LONG]
NOT_OBJECTS: list[Any] = [None, "A-1", 5, []]
NOT_DURATIONS: list[Any] = [14, "", "soon", "P0D", "P0Y", "-P1D", "P100000D", True, []]
NOT_BOOLEANS: list[Any] = [None, 1, "true", []]
NOT_WHOLE: list[Any] = [None, "10", 1.5, True, [], {}]


def with_field(field: str, value: Any) -> dict[str, Any]:
    """Return the body with one field, such as `/order/amount`, changed."""
    body: dict[str, Any] = json.loads(json.dumps(CHECKOUT))
    inner, name = (body["order"], field[7:]) if field.startswith("/order/") else (body, field[1:])
    inner[name] = value
    return body


FIELDS: list[tuple[str, Any]] = [
    *[("/user_id", value) for value in [*NOT_TEXT, *NOT_IDS]],
    *[("/brand_id", value) for value in [*NOT_TEXT[1:], *NOT_IDS]],
    *[("/discount_id", value) for value in NOT_TEXT[1:]],
    *[("/code", value) for value in [*NOT_TEXT, "", LONG]],
    *[("/order", value) for value in NOT_OBJECTS],
    *[("/order/id", value) for value in [*NOT_TEXT, *NOT_IDS]],
    *[("/order/amount", value) for value in [*NOT_WHOLE, -1, 10**12 + 1, 10**18]],
    *[("/order/currency", value) for value in [*NOT_TEXT, "", "eur", "EURO", "XXX", "XAU", "BTC"]],
    ("/more", 1),
    ("/order/more", 1),
]
HOLDS: list[tuple[str, Any]] = [("/hold_seconds", value) for value in [*NOT_WHOLE[1:], 0, -1, 10**18]]


@pytest.fixture(autouse=True)
def open_discount(client: Client) -> str:
    """A discount with one code for all, not used yet."""
    return str(client.create(total_count=None, codes={"kind": "shared", "code": "SUMMER-26"}, percent_off=10)["id"])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("field", "value"), FIELDS, ids=lambda value: repr(value)[:24])
def test_a_bad_field_of_a_checkout_is_named(client: Client, path: str, field: str, value: Any) -> None:
    client.refused("POST", path, 422, "invalid", field, json=with_field(field, value))


@pytest.mark.parametrize(("field", "value"), HOLDS, ids=lambda value: repr(value)[:24])
def test_a_bad_time_of_a_hold_is_named(client: Client, field: str, value: Any) -> None:
    client.refused("POST", "/redemption", 422, "invalid", field, json=with_field(field, value))


@pytest.mark.parametrize(
    ("path", "field"),
    # A validation without a code asks for all that fit.
    [(path, field) for path in PATHS for field in ("user_id", "code", "order") if path + field != "/validationcode"],
)
def test_a_missing_field_of_a_checkout_is_named(client: Client, path: str, field: str) -> None:
    body = {name: value for name, value in CHECKOUT.items() if name != field}
    client.refused("POST", path, 422, "invalid", f"/{field}", json=body)


@pytest.mark.parametrize("field", ["id", "amount", "currency"])
def test_a_missing_field_of_an_order_is_named(client: Client, field: str) -> None:
    order = {name: value for name, value in CHECKOUT["order"].items() if name != field}
    client.refused("POST", "/redemption", 422, "invalid", f"/order/{field}", json=CHECKOUT | {"order": order})


def test_a_checkout_names_a_brand_or_a_discount(client: Client) -> None:
    body = {name: value for name, value in CHECKOUT.items() if name != "brand_id"}
    client.refused("POST", "/redemption", 422, "invalid", "/brand_id", json=body)


@pytest.mark.parametrize("path", [*PATHS, "/redemption/rdm-0c000000000000000000000000/rollback"])
@pytest.mark.parametrize(
    ("data", "status", "word"),
    [
        (b"", 400, "malformed"), (b"{", 400, "malformed"), (b"\xff\xfe", 400, "malformed"),

        (b" " * (256 * 1024 + 1), 413, "too-large"),
    ],
    ids=["empty", "cut", "not text", "large"],
)  # fmt: skip
def test_a_body_that_is_not_json_is_refused(client: Client, path: str, data: bytes, status: int, word: str) -> None:
    if data == b"" and path.endswith("rollback"):
        # Nothing in it is needed.
        client.refused("POST", path, 404, "not-found", data=data, content_type=JSON)
        return
    client.refused("POST", path, status, word, data=data, content_type=JSON)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "data",
    [b'{"user_id": "\xc3\x28"}', b'{"order": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"],
    ids=["not UTF-8", "deep"],
)
def test_invalid_text_and_endless_lists_are_refused(client: Client, path: str, data: bytes) -> None:
    before = client.state()
    assert client.http.post(path, data=data, content_type=JSON).status_code in (400, 422)
    assert client.state() == before


@pytest.mark.parametrize("path", PATHS)
def test_a_repeated_field_is_refused(client: Client, path: str) -> None:
    text = json.dumps(CHECKOUT)[:-1] + ', "user_id": "User 2"}'
    answer = client.http.post(path, data=text, content_type=JSON)
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_another_type_of_body_is_refused(client: Client, path: str, media_type: str) -> None:
    client.refused("POST", path, 415, "unsupported-media-type", data=json.dumps(CHECKOUT), content_type=media_type)


@pytest.mark.parametrize("key", ["", " ", "a b", "ä", "x" * 256])
def test_a_bad_idempotency_key_is_named(client: Client, key: str) -> None:
    headers = {"Idempotency-Key": key}
    client.refused("POST", "/redemption", 422, "invalid", "Idempotency-Key", json=CHECKOUT, headers=headers)


# Wrong codes


def test_unknown_anothers_and_malformed_codes_get_one_answer(client: Client) -> None:
    held = client.create(discount_code="Held", total_count=3)["id"]
    anothers = client.grant(held, "User 2").get_json()["code"]
    for path in PATHS:
        answers = []
        for code in ("UNKNOWN-1", anothers, anothers.lower(), "\x00\ufffd", "🎄", "-", "x" * 64):
            body = CHECKOUT | {"code": code, "user_id": f"User of {path[1:]}"}
            answer = client.http.post(path, json=body)
            text = answer.get_json()
            text.pop("request_id", None)
            answers.append((answer.status_code, json.dumps(text), answer.content_type))
        assert len(set(answers)) == 1, answers
        assert "not-granted" in answers[0][1]


# Redemptions by their id


@pytest.mark.parametrize("action", ["", "/confirm", "/rollback"])
@pytest.mark.parametrize(
    "redemption_id",
    ["x", "rdm-", "rdm-zz" + "0" * 24, "rdm-ff" + "0" * 24, "rdm-0c" + "0" * 24, "rdm-0c" + "0" * 25,
     "RDM-0c" + "0" * 24, "rdm-0c" + "G" * 24, "{0c}:events", "*", "%00", "🎄", "x" * 2000],
    ids=lambda value: value[:12],
)  # fmt: skip
def test_an_unknown_redemption_is_not_found(client: Client, action: str, redemption_id: str) -> None:
    client.refused("POST" if action else "GET", f"/redemption/{redemption_id}{action}", 404, "not-found")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"reason": 5}, "/reason"), ({"reason": None}, "/reason"), ({"reason": "x" * 10_000}, "/reason"),
        ({"reason": "a\x00b"}, "/reason"), ({"more": 1}, "/more"), ([], ""), ("x", ""),
    ],
)  # fmt: skip
def test_a_bad_reason_of_a_rollback_is_named(client: Client, body: Any, place: str) -> None:
    done = client.http.post("/redemption", json=CHECKOUT).get_json()["id"]
    client.refused("POST", f"/redemption/{done}/rollback", 422, "invalid", place, json=body)
    assert client.http.get(f"/redemption/{done}").get_json()["state"] == "redeemed"


# Lists


@pytest.mark.parametrize(
    "query",
    [
        "state=used", "state=", "since=yesterday", "since=2026-11-20T00:00:00", "until=2000-01-01T00:00:00Z", "until=1",
        "limit=0", "limit=1001", "limit=-1", "limit=1.5", "limit=ten", "cursor=", "cursor=x", "cursor=AAAA", "more=1",
        "state=held&state=held", "format=xml",
    ],
)  # fmt: skip
@pytest.mark.parametrize("of", ["discount", "user"])
def test_a_bad_filter_of_a_list_is_named(client: Client, open_discount: str, of: str, query: str) -> None:
    path = f"/discount/{open_discount}/redemptions" if of == "discount" else "/user/User 1/redemptions"
    client.refused("GET", f"{path}?{query}", 422, "invalid", query.partition("=")[0])


# Rules and limits


RULES: list[tuple[dict[str, Any], str]] = [
    *[({"percent_off": value}, "/percent_off") for value in [0, -1, 100.01, 12.345, "10", True, [], 10**18]],
    *[({"amount_off": value, "currency": "EUR"}, "/amount_off") for value in [0, -1, 1.5, "10", True, 10**18]],
    *[({"minimum_amount": value, "currency": "EUR"}, "/minimum_amount") for value in [-1, 1.5, "10", True, 10**18]],
    *[
        ({"maximum_discount": value, "currency": "EUR", "percent_off": 1}, "/maximum_discount")
        for value in [-1, 1.5, "10", True, 10**18]
    ],
    *[({"amount_off": 5, "currency": value}, "/currency") for value in [5, True, "", "eur", "EURO", "XXX"]],
    ({"amount_off": 5}, "/currency"),
    ({"currency": "EUR"}, "/currency"),
    ({"percent_off": 5, "amount_off": 5, "currency": "EUR"}, "/amount_off"),
    ({"maximum_discount": 5, "currency": "EUR"}, "/maximum_discount"),
    *[({"timezone": value}, "/timezone") for value in [None, 5, "", "Mars", "../etc/passwd", "localtime", "x" * 65]],
    *[({"valid_for": value}, "/valid_for") for value in NOT_DURATIONS],
    *[({"valid_for": value}, "/valid_for") for value in ["p1d", "P1D ", "P1D\n", "P1DT", "P0.5M", "P101Y", "P1D1M"]],
    *[({"valid_for": value}, "/valid_for") for value in ["P2003-01-01T00:00:00", "P99999999999999999999W", "PT1,5H"]],
    *[({"returns_use": value}, "/returns_use") for value in NOT_BOOLEANS],
]
LIMITS: list[tuple[Any, str]] = [
    *[
        ({name: value}, f"/limits/{name}")
        for name in ("total", "per_user", "per_user_per_day", "per_user_per_week")
        for value in [-1, 1.5, "10", True, 10**18, []]
    ],
    ({"per_year": 1}, "/limits/per_year"),
    *[
        ({name: value}, f"/limits/{name}")
        for name in ("per_user_per_month", "per_day", "per_week", "per_month")
        for value in [-1, 1.5, "10", True, 10**18, []]
    ],
    *[({"windows": value}, "/limits/windows") for value in [5, "PT1H", {}, [{"period": "PT1H", "per_user": 1}] * 6]],
    *[({"windows": [value]}, "/limits/windows/0") for value in [5, "PT1H", None]],
    *[
        ({"windows": [{"period": value, "per_user": 1}]}, "/limits/windows/0/period")
        for value in ["", "1 hour", "P1M", "P1Y", "PT0S", "PT0.5S", "P401D", "x" * 33, 5, None]
    ],
    *[
        ({"windows": [{"period": "PT1H", "per_user": value}]}, "/limits/windows/0/per_user")
        for value in [-1, 101, "1", True, None]
    ],
    ({"windows": [{"period": "PT1H"}]}, "/limits/windows/0/per_user"),
    ({"windows": [{"period": "PT24H", "per_user": 1}, {"period": "P1D", "per_user": 2}]}, "/limits/windows"),
    *[({"amount": value}, "/limits/amount") for value in [5, [], "EUR"]],
    *[({"amount": {name: 5}}, f"/limits/amount/{name}") for name in ["eur", "EURO", "XAU", "ABC"]],
    *[({"amount": {"EUR": value}}, "/limits/amount/EUR") for value in [-1, 1.5, "5", 10**12 + 1, None, True]],
    *[({"budget_caps": value}, "/limits/budget_caps") for value in NOT_BOOLEANS],
    (5, "/limits"),
    ([], "/limits"),
    (None, "/limits"),
]


@pytest.mark.parametrize(("given", "place"), RULES, ids=lambda value: repr(value)[:40])
def test_a_bad_part_of_a_rule_is_named(client: Client, given: dict[str, Any], place: str) -> None:
    client.refused("POST", "/discount", 422, "invalid", place, json=DISCOUNT | given)


OPENS: list[tuple[Any, str]] = [
    *[(value, "/opens") for value in [5, {}, "09:00-17:00", [{"from": "09:00", "to": "17:00"}] * 51]],
    *[([value], "/opens/0") for value in [5, None, "fri"]],
    *[([{"from": value, "to": "17:00"}], "/opens/0/from") for value in ["9:00", "24:00", "09:60", "09:00\n", 9, None]],
    ([{"from": "09:00"}], "/opens/0/to"),
    *[([{"from": "09:00", "to": "17:00", "days": value}], "/opens/0/days") for value in ["fri", [], ["fri"] * 2, None]],
    ([{"from": "09:00", "to": "17:00", "days": ["Friday"]}], "/opens/0/days/0"),
]


@pytest.mark.parametrize(("opens", "place"), OPENS, ids=lambda value: repr(value)[:40])
def test_bad_hours_are_named(client: Client, opens: Any, place: str) -> None:
    client.refused("POST", "/discount", 422, "invalid", place, json=DISCOUNT | {"opens": opens})


@pytest.mark.parametrize(("limits", "place"), LIMITS, ids=lambda value: repr(value)[:40])
def test_a_bad_limit_is_named(client: Client, open_discount: str, limits: Any, place: str) -> None:
    client.refused("POST", "/discount", 422, "invalid", place, json=DISCOUNT | {"limits": limits})
    client.refused("PATCH", f"/discount/{open_discount}", 422, "invalid", place, json={"limits": limits})


@pytest.mark.parametrize(
    "name", ["percent_off", "amount_off", "currency", "minimum_amount", "maximum_discount", "timezone", "valid_for"]
)
def test_a_rule_cannot_be_changed(client: Client, open_discount: str, name: str) -> None:
    client.refused("PATCH", f"/discount/{open_discount}", 422, "invalid", f"/{name}", json={name: 5})


def test_the_forwarded_header_is_trusted_only_with_a_configured_proxy(client: Client) -> None:
    for header in ("1.2.3.4", "1.2.3.4, 5.6.7.8", ",", "x" * 5000, "a\tb"):
        answer = client.http.post("/validation", json=CHECKOUT, headers={"X-Forwarded-For": header})
        assert answer.status_code == 200, answer.text
    check_problem(client.http.post("/validation", json={}), 422, "invalid", "/user_id")
