"""Refused calls count against the rate, just as successful ones do."""

from typing import Any

import pytest

from tests.api.client import check_problem
from tests.security.issuer import signed
from tests.security.two_brands import TwoBrands
from tests.support.redis_server import RedisServer


@pytest.fixture
def small(redis_server: RedisServer, redis: Any) -> TwoBrands:
    """Three requests an hour for a user, thirty for a key, four for an address."""
    rates = {"rate_user": "3/hour", "rate_key": "30/hour", "rate_address": "4/hour"}
    return TwoBrands(redis_server.url, redis, **rates)


def statuses(two_brands: TwoBrands, times: int, method: str, path: str, token: str | None, **call: Any) -> list[int]:
    return [two_brands.ask(method, path, token, **call).status_code for _ in range(times)]


def test_a_wrong_query_without_a_token_reveals_nothing_and_is_counted(small: TwoBrands) -> None:
    check_problem(small.ask("GET", "/discount?limit=x"), 401, "unauthenticated")
    assert statuses(small, 5, "GET", "/discount?colour=red", None) == [401, 401, 401, 429, 429]


def test_calls_that_a_token_does_not_allow_count(small: TwoBrands) -> None:
    shop = small.open_shop("IKEA")
    reader = small.make_key("IKEA", "read")
    assert statuses(small, 31, "DELETE", f"/discount/{shop.discount}", reader) == [403] * 30 + [429]
    other = small.make_key("IKEA", "read")
    grant = {"json": {"user_id": "Ann"}}
    assert statuses(small, 31, "POST", f"/discount/{shop.discount}/grant", other, **grant) == [403] * 30 + [429]


def test_calls_forbidden_to_users_count(small: TwoBrands) -> None:
    assert statuses(small, 4, "POST", "/discount", signed("Bo"), json={}) == [403, 403, 403, 429]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"json": {"user_id": ""}}, 422),
        ({"data": b"{", "content_type": "application/json"}, 400),
        ({"data": b"x"}, 415),
    ],
)
def test_a_hot_call_that_is_refused_before_its_script_counts(
    small: TwoBrands, body: dict[str, Any], status: int
) -> None:
    shop = small.open_shop("IKEA")
    path = f"/discount/{shop.discount}/grant"
    assert statuses(small, 4, "POST", path, signed("Bo"), **body) == [status] * 3 + [429]


def test_a_hot_call_that_its_script_refuses_counts_once(small: TwoBrands) -> None:
    shop = small.open_shop("IKEA")
    small.done("PATCH", f"/discount/{shop.discount}", shop.key, json={"paused": True})
    key = small.make_key("IKEA")
    path = f"/discount/{shop.discount}/grant"
    assert statuses(small, 31, "POST", path, key, json={"user_id": "New"}) == [409] * 30 + [429]


# Tokens that are not what they seem


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": "4000000000"},
        {"exp": [4000000000]},
        {"exp": 10**400},
        {"exp": float("inf")},
        {"exp": True},
        {"iat": "1700000000"},
        {"iat": 10**400},
        {"iat": float("-inf")},
        {"iat": -1},
        {"nbf": float("inf")},
    ],
)
def test_a_time_that_is_no_number_makes_no_good_token(two_brands: TwoBrands, changes: dict[str, Any]) -> None:
    token = signed(**changes)
    check_problem(two_brands.ask("GET", "/discount", token), 401, "unauthenticated")
    path = f"/discount/{two_brands.open_shop('IKEA').discount}/grant"
    check_problem(two_brands.ask("POST", path, token, json={"user_id": "Ann"}), 401, "unauthenticated")


@pytest.mark.parametrize("user", ["\ud83d", "Ann\udc00"])
def test_a_lone_surrogate_is_refused_as_a_user(two_brands: TwoBrands, user: str) -> None:
    check_problem(two_brands.ask("GET", "/discount", signed(user)), 401, "unauthenticated")


@pytest.mark.parametrize("more", ["=", "==", "~", "+", "/", ".", ".x"])
def test_a_valid_token_with_extra_characters_is_refused(two_brands: TwoBrands, more: str) -> None:
    token = signed()
    assert two_brands.ask("GET", "/discount", token).status_code == 200
    check_problem(two_brands.ask("GET", "/discount", token + more), 401, "unauthenticated")
