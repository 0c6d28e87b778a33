"""Rates of tokens and addresses: shown in every answer, enforced, and counted across all replicas."""

from typing import Any

import pytest

from tests.api.client import check_problem
from tests.security.issuer import signed
from tests.security.two_brands import ADMIN, TwoBrands, checkout
from tests.support.redis_server import RedisServer


@pytest.fixture
def small(redis_server: RedisServer, redis: Any) -> TwoBrands:
    """Three requests an hour for a user, five for a key, nine for an address."""
    rates = {"rate_user": "3/hour", "rate_key": "50/hour", "rate_address": "9/hour"}
    return TwoBrands(redis_server.url, redis, **rates)


def figures(answer: Any) -> tuple[int, int, int]:
    limit, left, reset = (int(answer.headers[f"RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset"))
    return limit, left, reset


@pytest.mark.parametrize("hot", [True, False])
def test_the_remaining_rate_is_shown_and_calls_beyond_it_are_refused(small: TwoBrands, hot: bool) -> None:
    shop = small.open_shop("IKEA")
    call = ("POST", f"/discount/{shop.discount}/grant") if hot else ("GET", f"/discount/{shop.discount}")
    body: dict[str, Any] = {"json": {"user_id": "Ann"}} if hot else {}
    for left in (2, 1, 0):
        answer = small.ask(*call, signed(), **body)
        assert answer.status_code == 200, answer.text
        assert figures(answer)[:2] == (3, left)
        assert 0 < figures(answer)[2] <= 3600
    refused = small.ask(*call, signed(), **body)
    check_problem(refused, 429, "too-many-requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    # Another token for the same user counts as the same, another user does not.
    check_problem(small.ask(*call, signed(iat=1_700_000_000), **body), 429, "too-many-requests")
    other: dict[str, Any] = {"json": {"user_id": "Bo"}} if hot else {}
    assert small.ask(*call, signed("Bo"), **other).status_code in (200, 201)


def test_all_replicas_count_together(small: TwoBrands) -> None:
    shop = small.open_shop("IKEA")
    replicas = [small.replica().test_client() for _ in range(2)]
    headers = {"Authorization": f"Bearer {signed()}"}
    path = f"/discount/{shop.discount}/grant"
    statuses = [replicas[n % 2].post(path, json={"user_id": "Ann"}, headers=headers).status_code for n in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


def test_a_request_counts_once_regardless_of_its_script_calls(small: TwoBrands) -> None:
    shop = small.open_shop("IKEA")
    body = {"brand_id": "IKEA", "discount_code": "x", "codes": {"kind": "personal", "template": "x-{user}"}}
    personal = small.done("POST", "/discount", shop.key, json=body)["id"]
    # A replica that does not know the template yet asks the script twice.
    answer = small.ask("POST", f"/discount/{personal}/grant", signed(), json={"user_id": "Ann"})
    assert (answer.status_code, figures(answer)[1]) == (201, 2)


@pytest.mark.parametrize("hot", [True, False])
def test_an_address_calling_for_many_users_is_rate_limited(small: TwoBrands, hot: bool) -> None:
    shop = small.open_shop("IKEA")
    statuses = []
    for number in range(12):
        user = f"User {number}"
        if hot:
            call = small.ask("POST", "/validation", signed(user), json=checkout(shop, user=user))
        else:
            call = small.ask("GET", f"/user/{user}/grants", signed(user))
        statuses.append(call.status_code)
    assert statuses == [200] * 9 + [429] * 3


def test_an_address_that_guesses_tokens_is_rate_limited(small: TwoBrands) -> None:
    statuses = [small.ask("GET", "/discount", f"garbage-{number}").status_code for number in range(12)]
    assert statuses == [401] * 9 + [429] * 3
    # Who has a key is not held up by those who have none.
    assert small.ask("GET", "/brand", ADMIN).status_code == 200


def test_a_rate_that_is_off_is_not_counted(redis_server: RedisServer, redis: Any) -> None:
    free = TwoBrands(redis_server.url, redis, rate_user="off", rate_key="off", rate_address="off")
    shop = free.open_shop("IKEA")
    for method, path, body in (
        ("POST", f"/discount/{shop.discount}/grant", {"user_id": "Ann"}),
        ("GET", f"/discount/{shop.discount}", None),
    ):
        answer = free.ask(method, path, signed(), json=body)
        assert answer.status_code == 200
        assert "RateLimit-Limit" not in answer.headers
    assert [key for key in redis.keys("*") if "rate" in key] == []


def test_a_check_of_a_token_costs_the_hot_calls_no_round_trip(two_brands: TwoBrands) -> None:
    shop = two_brands.open_shop("IKEA")
    for token in (shop.key, signed("Ann")):
        for path, body in (
            (f"/discount/{shop.discount}/grant", {"user_id": "Ann"}),
            ("/validation", checkout(shop)),
            ("/redemption", checkout(shop)),
        ):
            two_brands.ask("POST", path, token, json=body)
            two_brands.trips = 0
            assert two_brands.ask("POST", path, token, json=body).status_code in (200, 201)
            assert two_brands.trips == 1, path
