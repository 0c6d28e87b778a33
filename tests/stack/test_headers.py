"""Headers with underscores: the two tokens of personal codes arrive, and no other header can be forged that way."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.security.issuer import (
    AUDIENCE,
    ISSUER,
    SECRET,
    signed,
)
from tests.security.two_brands import ADMIN, PEPPER
from tests.stack.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, wait_until

BODY = {"brand_id": "Underscore", "discount_code": "x", "total_count": 1}


@pytest.fixture(params=["through nginx", "straight"])
def url(request: pytest.FixtureRequest, proxy: Proxy, service: Service) -> str:
    return proxy.url if request.param == "through nginx" else service.urls[0]


def test_a_client_of_personal_codes_is_served(url: str) -> None:
    made = ask(
        url, "POST", "/create-discount-codes", {"name": "Sale", "num_codes": 2}, headers={"brand_auth_token": "Nike"}
    )
    assert (made.status, made.json["brand_id"]) == (200, "Nike")
    body = {"discount_id": made.json["id"]}
    code = {"discount-code": f"Nike-thinks-Stina-is-awesome-{made.json['id']}"}
    for method in ("GET", "POST", "GET"):
        got = ask(url, method, "/get-discount-code", body, headers={"user_auth_token": "Stina"})
        assert (got.status, got.json) == (200, code)
    # A proxy that drops such names passes these on.
    assert ask(url, "GET", "/get-discount-code", body, headers={"User-Auth-Token": "Stina"}).json == code


@pytest.fixture(scope="module")
def guarded() -> Iterator[Service]:
    """A replica behind one proxy, with tokens on, that limits the failed calls of an address."""
    users = {"jwt_secret": SECRET, "jwt_audience": AUDIENCE, "jwt_issuer": ISSUER}
    limits = {"proxies": 1, "rate_address": "20/hour"}
    settings: dict[str, Any] = {"auth": "token", "admin_key": ADMIN, "secret": PEPPER, **limits, **users}
    with RedisServer() as own, Service(own.url, replicas=1, **settings) as running:
        yield running


def test_with_tokens_a_brands_key_and_a_users_token_arrive(guarded: Service, tmp_path: Path) -> None:
    with Proxy(guarded.addresses, tmp_path) as proxy:
        admin = {"Authorization": f"Bearer {ADMIN}"}
        assert ask(proxy.url, "POST", "/brand", {"id": "Adidas"}, headers=admin).status == 201
        key = ask(proxy.url, "POST", "/brand/Adidas/keys", {"name": "a key"}, headers=admin).json["key"]
        sale = {"name": "Sale", "num_codes": 1}
        made = ask(proxy.url, "POST", "/create-discount-codes", sale, headers={"brand_auth_token": key}).json
        body = {"discount_id": made["id"]}
        got = ask(proxy.url, "GET", "/get-discount-code", body, headers={"user_auth_token": signed("u1")})
        assert got.json == {"discount-code": f"Adidas-thinks-u1-is-awesome-{made['id']}"}
        refused = ask(proxy.url, "GET", "/get-discount-code", body, headers={"user_auth_token": key})
        assert refused.status == 403


def test_a_header_with_an_underscore_cannot_fake_the_client_address(guarded: Service, tmp_path: Path) -> None:
    with Proxy(guarded.addresses, tmp_path) as proxy:
        left = []
        for number in range(3):
            named = {"X_Forwarded_For": f"192.0.2.{number}", "X-Forwarded_For": f"192.0.3.{number}", "Remote_Addr": "x"}
            refused = ask(proxy.url, "GET", "/discount", headers=named)
            assert refused.status == 401
            left.append(int(refused.headers["RateLimit-Remaining"]))
    assert left == [left[0], left[0] - 1, left[0] - 2]


def test_a_header_name_with_an_underscore_is_not_an_idempotency_key(url: str) -> None:
    made = [ask(url, "POST", "/discount", BODY, headers={"Idempotency_Key": "same"}).json["id"] for _ in range(2)]
    assert made[0] != made[1]


@pytest.mark.parametrize(
    "named",
    [
        {"Content_Length": "1"},
        {"Transfer_Encoding": "chunked"},
        {"Content_Type": "text/plain"},
        {"Expect_": "100-continue"},
        {"Script_Name": "/discount"},
        {"SCRIPT_NAME": "/discount", "PATH_INFO": "/healthy"},
        {"Path_Info": "/metrics"},
        {"X-Forwarded-Proto": "https", "X_Forwarded_Proto": "http", "X-Forwarded-Ssl": "on"},
        {"Host_": "elsewhere"},
    ],
    ids=lambda named: next(iter(named)),
)
def test_a_name_with_an_underscore_changes_nothing_of_how_a_request_is_read(url: str, named: dict[str, str]) -> None:
    answered = ask(url, "POST", "/discount", BODY, headers=named)
    assert (answered.status, answered.json["brand_id"]) == (201, "Underscore"), answered.raw


def test_a_header_name_with_an_underscore_is_not_a_request_id(service: Service) -> None:
    answered = ask(service.urls[0], "GET", "/healthy", headers={"X_Request_Id": "passed-off"})
    (made,) = answered.headers.get_all("X-Request-Id") or []
    assert made != "passed-off"


def _is_logged(proxy: Proxy, request_id: str) -> bool:
    return f'"request_id":"{request_id}"' in proxy.log()


def test_the_proxy_and_the_replica_speak_of_a_request_by_one_id(proxy: Proxy) -> None:
    for named in ({"X_Request_Id": "one"}, {"X-Request-Id": "one", "X_Request_Id": "two"}, {"X_Request_Id": "ä b"}):
        answered = ask(proxy.url, "GET", "/discount/nothing", headers=named)
        (request_id,) = answered.headers.get_all("X-Request-Id") or []
        assert answered.json["request_id"] == request_id
        assert request_id.isascii()
        assert request_id.isprintable()
        wait_until(partial(_is_logged, proxy, request_id), "its line in the log")
