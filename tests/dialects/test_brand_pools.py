"""The dialect of brand pools, line by line."""

import re
import secrets
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.api.client import Client
from tests.security.issuer import signed
from tests.security.two_brands import TwoBrands

CREATE = "/v1/discount/create"
CODE = re.compile("[A-Za-z0-9]{10}")


def create(http: FlaskClient, count: int = 10, brand: str = "brand1") -> list[str]:
    answer = http.post(CREATE, json={"brand": brand, "number_to_create": count})
    assert (answer.status_code, answer.content_type) == (200, "application/json"), answer.text
    found: list[str] = answer.get_json()
    return found


def fetch(http: FlaskClient, user: str, brand: str = "brand1") -> str:
    answer = http.get(f"/v1/discount/fetch/{brand}/{user}")
    assert answer.status_code == 200, answer.text
    assert list(answer.get_json()) == ["discount_code"]
    return str(answer.get_json()["discount_code"])


def check_no_code(http: FlaskClient, path: str) -> None:
    answer = http.get(path)
    assert (answer.status_code, answer.get_json()) == (404, {"error": "There is no code for this user."})


def test_a_brand_gets_the_requested_number_of_ten_character_codes(raw: FlaskClient) -> None:
    codes = create(raw, 10)
    assert len(set(codes)) == 10
    assert all(CODE.fullmatch(code) for code in codes)


@pytest.mark.parametrize("count", [1, 99, 100, 101, 1000])
def test_any_number_of_codes_up_to_a_thousand_is_made(raw: FlaskClient, count: int) -> None:
    assert len(set(create(raw, count))) == count


def test_repeated_calls_add_to_the_pool_and_every_code_is_given_once(raw: FlaskClient) -> None:
    made = create(raw, 2) + create(raw, 1)
    assert [fetch(raw, f"user {number}") for number in range(3)] == made
    check_no_code(raw, "/v1/discount/fetch/brand1/user 3")
    more = create(raw, 1)
    assert fetch(raw, "user 3") == more[0]


def test_a_user_always_gets_the_same_code_of_a_brand(raw: FlaskClient) -> None:
    create(raw, 2)
    create(raw, 1, "brand2")
    first = fetch(raw, "Ann")
    fetch(raw, "Bo")
    assert fetch(raw, "Ann") == first
    assert fetch(raw, "Ann", "brand2") != first
    check_no_code(raw, "/v1/discount/fetch/brand1/Cy")
    assert fetch(raw, "Ann") == first


def test_an_unknown_brand_and_a_sold_out_one_get_different_answers(raw: FlaskClient) -> None:
    answer = raw.get("/v1/discount/fetch/nobody/Ann")
    assert (answer.status_code, answer.get_json()) == (404, {"error": "There is no such brand."})


@pytest.mark.parametrize("change", [{"paused": True}, {"expires_at": "2020-01-01T00:00:00Z"}, None])
def test_a_pool_that_is_paused_expired_or_closed_has_no_code(raw: FlaskClient, change: dict[str, Any] | None) -> None:
    create(raw, 1)
    found = raw.get("/discount").get_json()["discounts"][0]
    path = f"/discount/{found['id']}"
    assert (raw.delete(path) if change is None else raw.patch(path, json=change)).status_code == 200
    check_no_code(raw, "/v1/discount/fetch/brand1/Ann")
    again = raw.post(CREATE, json={"brand": "brand1", "number_to_create": 1})
    assert again.status_code == (400 if change is None else 200)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"brand": "b"}, "number_to_create"),
        ({"number_to_create": 1}, "brand"),
        ({"brand": "b", "number_to_create": "10"}, "number_to_create"),
        ({"brand": "b", "number_to_create": 0}, "number_to_create"),
        ({"brand": "b", "number_to_create": -1}, "number_to_create"),
        ({"brand": "b", "number_to_create": 1001}, "number_to_create"),
        ({"brand": "b", "number_to_create": 1.5}, "number_to_create"),
        ({"brand": "b", "number_to_create": True}, "number_to_create"),
        ({"brand": "b", "number_to_create": None}, "number_to_create"),
        ({"brand": 7, "number_to_create": 1}, "brand"),
        ({"brand": "", "number_to_create": 1}, "brand"),
        ([], "The body"),
    ],
)
def test_fields_that_are_missing_or_wrong_are_refused(client: Client, body: Any, field: str) -> None:
    answer = client.http.post(CREATE, json=body)
    assert (answer.status_code, list(answer.get_json())) == (400, ["error"])
    assert answer.get_json()["error"].startswith(f"{field} ")
    assert client.state() == {}


def test_fields_that_are_not_known_are_ignored(raw: FlaskClient) -> None:
    answer = raw.post(CREATE, json={"brand": "b", "number_to_create": 1, "number": 1, "colour": {"red": []}})
    assert (answer.status_code, len(answer.get_json())) == (200, 1)


def test_the_pool_is_one_native_discount_of_imported_codes(raw: FlaskClient) -> None:
    create(raw, 3)
    create(raw, 4)
    fetch(raw, "Ann")
    (found,) = raw.get("/discount?brand_id=brand1").get_json()["discounts"]
    assert (found["codes"]["kind"], found["total_count"], found["granted_count"]) == ("imported", 7, 1)
    assert raw.get("/user/Ann/grants").get_json()["grants"][0]["code"] == fetch(raw, "Ann")


def test_codes_that_exist_already_are_replaced(raw: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = iter("A" * 10 + "B" * 10 + "A" * 10 + "C" * 10 + "C" * 10 + "B" * 10 + "D" * 10)
    monkeypatch.setattr(secrets, "choice", lambda _: next(letters))
    assert create(raw, 2) == ["A" * 10, "B" * 10]
    assert create(raw, 2) == ["C" * 10, "D" * 10]
    assert [fetch(raw, f"user {number}") for number in range(4)] == [letter * 10 for letter in "ABCD"]


def test_the_service_greets(raw: FlaskClient) -> None:
    answer = raw.get("/test")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "OK", "message": "hello!"})


def test_a_key_creates_codes_only_for_its_brand_and_users_fetch_theirs(two_brands: TwoBrands) -> None:
    ikea, lidl = two_brands.open_shop("IKEA"), two_brands.open_shop("Lidl")
    body = {"brand": "IKEA", "number_to_create": 1}
    (code,) = two_brands.done("POST", CREATE, ikea.key, json=body)
    foreign = two_brands.ask("POST", CREATE, lidl.key, json=body)
    assert (foreign.status_code, foreign.get_json()) == (404, {"error": "There is no such brand."})
    assert two_brands.ask("POST", CREATE, signed("Ann"), json=body).status_code == 403
    assert two_brands.done("GET", "/v1/discount/fetch/IKEA/Ann", signed("Ann")) == {"discount_code": code}
    assert two_brands.ask("GET", "/v1/discount/fetch/IKEA/Ann", signed("Bo")).status_code == 403
    assert two_brands.ask("GET", "/v1/discount/fetch/IKEA/Bo", lidl.key).status_code == 404
