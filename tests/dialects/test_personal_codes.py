"""The dialect of personal codes, line by line."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from discount.app import create_app
from discount.config import Settings
from tests.api.client import Client
from tests.security.issuer import signed
from tests.security.two_brands import ADMIN, TwoBrands

CREATE = "/create-discount-codes"
GET = "/get-discount-code"
SALE = {"name": "Summer sale", "num_codes": 2}


def create(http: FlaskClient, brand: str = "Nike", **changes: Any) -> dict[str, Any]:
    answer = http.post(CREATE, json=SALE | changes, headers={"brand_auth_token": brand})
    assert (answer.status_code, answer.content_type) == (200, "application/json"), answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def get(http: FlaskClient, discount_id: Any, user: str = "Stina", method: str = "GET") -> TestResponse:
    return http.open(GET, method=method, json={"discount_id": discount_id}, headers={"user_auth_token": user})


def check(answer: TestResponse, status: int, sentence: str) -> None:
    assert (answer.status_code, answer.content_type) == (status, "application/json"), answer.text
    assert answer.get_json() == {"message": sentence}


def test_a_discount_is_answered_with_its_five_fields(raw: FlaskClient) -> None:
    made = create(raw)
    assert list(made) == ["id", "brand_id", "name", "webhook_url", "num_codes"]
    assert made["id"].startswith("dsc-")
    assert made | {"id": ""} == {
        "id": "",
        "brand_id": "Nike",
        "name": "Summer sale",
        "webhook_url": "",
        "num_codes": 2,
    }


def test_a_code_contains_brand_user_and_discount_and_never_changes(raw: FlaskClient) -> None:
    made = create(raw)["id"]
    code = {"discount-code": f"Nike-thinks-Stina-is-awesome-{made}"}
    for method in ("GET", "POST", "GET"):
        answer = get(raw, made, method=method)
        assert (answer.status_code, answer.get_json()) == (200, code)
    assert get(raw, made, "Per").get_json() == {"discount-code": f"Nike-thinks-Per-is-awesome-{made}"}


def test_a_get_body_may_have_any_json_layout_and_extra_fields(raw: FlaskClient) -> None:
    body = json.dumps({"discount_id": create(raw)["id"], "colour": "red"}, indent=2)
    headers = {"user_auth_token": "Stina", "content-type": "application/json"}
    assert raw.get(GET, data=body, headers=headers).status_code == 200
    assert raw.post(CREATE, json=SALE | {"colour": "red"}, headers={"brand_auth_token": "Nike"}).status_code == 200


def test_codes_use_the_known_names_of_brand_and_user(raw: FlaskClient) -> None:
    assert raw.post("/brand", json={"id": "b1", "name": "Nike {Sweden}"}).status_code == 201
    stina = {"email": "stina@user.example", "name": "Stina Åkerman"}
    assert raw.put("/user/u2?brand_id=b1", json=stina).status_code == 200
    made = create(raw, "b1")["id"]
    assert get(raw, made, "u2").get_json()["discount-code"] == f"Nike Sweden-thinks-Stina Åkerman-is-awesome-{made}"
    assert get(raw, made, "u3").get_json()["discount-code"] == f"Nike Sweden-thinks-u3-is-awesome-{made}"


def test_two_users_with_the_same_name_have_different_codes(raw: FlaskClient) -> None:
    made = create(raw)["id"]
    for user in ("u1", "u2"):
        body = {"email": f"{user}@user.example", "name": "Per"}
        assert raw.put(f"/user/{user}?brand_id=Nike", json=body).status_code == 200
    code = f"Nike-thinks-Per-is-awesome-{made}"
    for user, given in (("u1", code), ("u2", f"{code}-2"), ("u1", code)):
        assert get(raw, made, user).get_json() == {"discount-code": given}


def test_the_requested_number_of_users_gets_a_code_and_none_by_default(raw: FlaskClient) -> None:
    made = create(raw)["id"]
    assert [get(raw, made, f"u{number}").status_code for number in range(2)] == [200, 200]
    check(get(raw, made, "u2"), 409, "There are no discount codes left.")
    assert get(raw, made, "u0").status_code == 200
    none = raw.post(CREATE, json={"name": "x"}, headers={"brand_auth_token": "Nike"}).get_json()
    assert none["num_codes"] == 0
    check(get(raw, none["id"]), 409, "There are no discount codes left.")
    assert raw.patch(f"/discount/{none['id']}", json={"total_count": 1}).status_code == 200
    assert get(raw, none["id"]).status_code == 200


def test_the_discount_is_a_native_one(raw: FlaskClient) -> None:
    made = create(raw, webhook_url="https://nike.example/codes")
    code = get(raw, made["id"]).get_json()["discount-code"]
    (found,) = raw.get("/discount?brand_id=Nike").get_json()["discounts"]
    assert (found["discount_code"], found["total_count"], found["granted_count"]) == ("Summer sale", 2, 1)
    assert found["codes"]["kind"] == "personal"
    assert raw.get("/user/Stina/grants").get_json()["grants"][0]["code"] == code
    webhook = raw.get(f"/webhook/{found['webhook_id']}").get_json()
    assert (webhook["url"], webhook["types"]) == ("https://nike.example/codes", ["code.granted"])


@pytest.mark.parametrize(
    "change",
    [{"paused": True}, {"expires_at": "2020-01-01T00:00:00Z"}, {"starts_at": "2280-01-01T00:00:00Z"}, None],
)
def test_a_discount_that_gives_no_codes_now_says_so(raw: FlaskClient, change: dict[str, Any] | None) -> None:
    path = f"/discount/{create(raw)['id']}"
    assert (raw.delete(path) if change is None else raw.patch(path, json=change)).status_code == 200
    answer = get(raw, path.removeprefix("/discount/"))
    assert (answer.status_code, list(answer.get_json())) == (409, ["message"])


@pytest.mark.parametrize(
    "changes",
    [
        *({"name": wrong} for wrong in ("", None, 5, "x" * 201, " x")),
        *({"num_codes": wrong} for wrong in (-1, "2", 1.5, True, None, 10**9)),
        *({"webhook_url": wrong} for wrong in ("nowhere", 5, "ftp://x.example", "http://127.0.0.1/hook", "https://[")),
    ],
    ids=str,
)
def test_an_invalid_field_is_refused_and_creates_nothing(client: Client, changes: dict[str, Any]) -> None:
    answer = client.http.post(CREATE, json=SALE | changes, headers={"brand_auth_token": "Nike"})
    assert (answer.status_code, list(answer.get_json())) == (400, ["message"]), answer.text
    assert answer.get_json()["message"].startswith(f"{next(iter(changes))} ")
    assert client.state() == {}


def test_an_unknown_discount_is_not_found(client: Client) -> None:
    for unknown in ("", "nothing", "353b6a1a-2b04-4360-93ff-0598c1a9aec1", "dsc-002" + "2" * 22, "x" * 1000):
        answer = get(client.http, unknown)
        assert (answer.status_code, list(answer.get_json())) == (404, ["message"])
    not_ids: list[Any] = [None, 5, [], {}]
    for wrong in not_ids:
        answer = get(client.http, wrong)
        assert answer.status_code == 400
        assert answer.get_json()["message"].startswith("discount_id ")
    assert client.state() == {}


def test_a_call_without_its_header_is_refused(client: Client) -> None:
    check(client.http.post(CREATE, json=SALE), 401, "The header brand_auth_token is missing.")
    for method in ("GET", "POST"):
        answer = client.http.open(GET, method=method, json={"discount_id": "x"}, headers={"brand_auth_token": "x"})
        check(answer, 401, "The header user_auth_token is missing.")
    for wrong in ("", "a/b", "x" * 129, " ", "{}", ".."):
        answer = client.http.post(CREATE, json=SALE, headers={"brand_auth_token": wrong})
        assert (answer.status_code, list(answer.get_json())) == (400, ["message"])
        assert answer.get_json()["message"].startswith("brand_auth_token ")
    assert client.state() == {}


def test_an_id_in_a_header_may_be_of_any_script(raw: FlaskClient) -> None:
    made = raw.post(CREATE, json=SALE, environ_base={"HTTP_BRAND_AUTH_TOKEN": "Åhléns".encode().decode("latin-1")})
    assert made.get_json()["brand_id"] == "Åhléns"


def test_with_tokens_a_brand_creates_and_a_user_gets(two_brands: TwoBrands) -> None:
    nike, other = two_brands.open_shop("Nike"), two_brands.open_shop("Other")
    made = two_brands.http.post(CREATE, json=SALE, headers={"brand_auth_token": nike.key})
    assert (made.status_code, made.get_json()["brand_id"]) == (200, "Nike")
    discount_id = made.get_json()["id"]
    got = get(two_brands.http, discount_id, signed("u2"))
    assert (got.status_code, got.get_json()["discount-code"].split("-is-")[0]) == (200, "Nike-thinks-u2")
    # The same by the header that all others have.
    assert two_brands.done("GET", GET, signed("u2"), json={"discount_id": discount_id}) == got.get_json()
    assert two_brands.done("POST", CREATE, other.key, json=SALE)["brand_id"] == "Other"


def test_only_the_right_token_creates_or_gets_a_discount(two_brands: TwoBrands) -> None:
    nike = two_brands.open_shop("Nike")
    discount_id = two_brands.done("POST", CREATE, nike.key, json=SALE)["id"]
    wrong = ("b1", "", "dsk_x_y", "é.ü.\x7f", "a b")
    for token, status in ((signed("u1"), 403), (ADMIN, 403), *((each, 401) for each in wrong)):
        answer = two_brands.http.post(CREATE, json=SALE, headers={"brand_auth_token": token})
        assert (answer.status_code, list(answer.get_json())) == (status, ["message"]), answer.text
    for token, status in (("u1", 401), ("", 401), (nike.key, 403), (ADMIN, 403)):
        answer = get(two_brands.http, discount_id, token)
        assert (answer.status_code, list(answer.get_json())) == (status, ["message"]), answer.text
    # A token in the other's header is none.
    answer = two_brands.http.post(CREATE, json=SALE, headers={"user_auth_token": nike.key})
    assert (answer.status_code, "WWW-Authenticate" in answer.headers) == (401, True)
    made, _ = two_brands.done("GET", "/discount", nike.key)["discounts"]
    assert (made["id"], made["granted_count"]) == (discount_id, 0)


def test_the_root_greets_where_no_other_dialect_is_spoken(redis_server: Any) -> None:
    alone = create_app(Settings(redis_url=redis_server.url, dialects="personal-codes")).test_client()
    answer = alone.get("/")
    assert (answer.status_code, answer.content_type, answer.text) == (200, "text/plain; charset=utf-8", "Ok")
    several = create_app(Settings(redis_url=redis_server.url, dialects="personal-codes,coupons")).test_client()
    assert several.get("/").text != "Ok"


def test_the_document_names_the_headers(raw: FlaskClient) -> None:
    document = raw.get("/openapi.json").get_json()
    schemes = document["components"]["securitySchemes"]
    for path, header in ((CREATE, "brand_auth_token"), (GET, "user_auth_token")):
        assert (schemes[header]["type"], schemes[header]["in"], schemes[header]["name"]) == ("apiKey", "header", header)
        for operation in document["paths"][path].values():
            assert header in {name for each in operation["security"] for name in each}
