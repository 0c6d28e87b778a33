"""Tokens while Redis is full or away: reads are answered where possible, and no caller gets in without a right."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.client import check_problem
from tests.security.issuer import signed
from tests.security.two_brands import ADMIN, TwoBrands, checkout
from tests.support.redis_server import RedisServer


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    with RedisServer(appendonly="yes") as server:
        yield server


@pytest.fixture
def own(own_server: RedisServer) -> Iterator[TwoBrands]:
    with own_server.client() as client:
        yield TwoBrands(own_server.url, client)


def test_while_redis_is_full_look_ups_work_and_keys_can_be_revoked(own: TwoBrands) -> None:
    shop = own.open_shop("IKEA")
    spare = own.make_key("IKEA")
    own.redis.config_set("maxmemory-policy", "noeviction")
    own.redis.config_set("maxmemory", "1")
    # The key has never been used: that it is now cannot be written, and does not matter.
    assert own.ask("GET", f"/discount/{shop.discount}", spare).status_code == 200
    assert own.ask("GET", "/user/Ann/grants", signed()).status_code == 200
    for token in (shop.key, signed("Bo")):
        answer = own.ask("POST", f"/discount/{shop.discount}/grant", token, json={"user_id": "Bo"})
        check_problem(answer, 503, "unavailable")
    check_problem(own.ask("GET", "/discount", "garbage"), 401, "unauthenticated")
    assert own.ask("DELETE", f"/brand/IKEA/keys/{spare.split('_')[1]}", ADMIN).status_code == 204
    check_problem(own.ask("GET", "/discount", spare), 401, "unauthenticated")
    own.redis.config_set("maxmemory", "0")
    assert own.ask("POST", f"/discount/{shop.discount}/grant", shop.key, json={"user_id": "Bo"}).status_code == 201


def test_access_is_refused_while_redis_is_down_and_restored_afterwards(own: TwoBrands, own_server: RedisServer) -> None:
    shop = own.open_shop("IKEA")
    own_server.kill()
    calls: list[tuple[str, str, Any]] = [
        ("POST", f"/discount/{shop.discount}/grant", {"user_id": "Ann"}),
        ("POST", "/validation", checkout(shop)),
        ("GET", f"/discount/{shop.discount}", None),
    ]
    for token, status, word in (
        (shop.key, 503, "unavailable"), (signed(), 503, "unavailable"), ("garbage", 401, "unauthenticated"),
        ("dsk_00aaaaaaaaaa_" + "0" * 38, 401, "unauthenticated"),
    ):  # fmt: skip
        for method, path, body in calls:
            check_problem(own.ask(method, path, token, json=body), status, word)
    assert own.ask("GET", "/healthy").status_code == 200
    own_server.start()
    for token in (shop.key, signed()):
        for method, path, body in calls:
            assert own.ask(method, path, token, json=body).status_code == 200
