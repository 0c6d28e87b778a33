"""A whole run of the real service: no secret in a log line, an answer, an event, a metric or a key."""

from typing import Any

import pytest

from tests.security.issuer import (
    AUDIENCE,
    ISSUER,
    SECRET,
    signed,
)
from tests.security.two_brands import ADMIN, PEPPER
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, wait_until

USERS = {"jwt_secret": SECRET, "jwt_audience": AUDIENCE, "jwt_issuer": ISSUER}


@pytest.fixture
def service(redis_server: RedisServer, redis: Any) -> Any:
    # Listening to all: with tokens on, it may.
    settings = {"auth": "token", "admin_key": ADMIN, "secret": PEPPER, "log_level": "debug"} | USERS
    with Service(redis_server.url, replicas=1, workers=2, **settings) as running:
        yield running


def test_no_secret_comes_out_anywhere(service: Service, redis: Any) -> None:
    base = service.urls[0]
    texts: list[str] = []

    def call(method: str, path: str, token: str, body: Any = None) -> Any:
        reply = ask(base, method, path, body, headers={"Authorization": f"Bearer {token}"})
        texts.append(f"{reply.raw!r} {reply.headers}")
        return reply

    call("POST", "/brand", ADMIN, {"id": "IKEA"})
    key = ask(base, "POST", "/brand/IKEA/keys", {"name": "x"}, headers={"Authorization": f"Bearer {ADMIN}"}).json["key"]
    user, late, other = signed("Ann"), signed("Ann", exp=1_600_000_000), signed("Ann", secret="k" * 32)
    discount = call("POST", "/discount", key, {"brand_id": "IKEA", "discount_code": "x", "total_count": 3}).json["id"]
    cut = key[:-1]
    for token in (key, user, late, other, cut, ADMIN, ADMIN + "x"):
        for method, path, body in (
            ("GET", "/discount", None),
            ("GET", "/nowhere", None),
            ("POST", f"/discount/{discount}/grant", {"user_id": "Ann"}),
            ("POST", f"/discount/{discount}/grant", {"user_id": 1}),
            ("POST", "/redemption", {}),
            ("DELETE", "/brand/none", None),
            ("POST", "/token/introspect", b"token=" + token.encode()),
        ):
            call(method, path, token, body)
    form = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Bearer {ADMIN}"}
    for token in (key, user, late, ADMIN):
        texts.append(str(ask(base, "POST", "/token/introspect", f"token={token}".encode(), headers=form).raw))
    texts.append(ask(base, "GET", "/metrics").raw.decode())
    texts.append(ask(base, "GET", "/openapi.json").raw.decode())
    ask(base, "GET", "/nowhere", headers={"X-Request-Id": "the-last-one"})
    wait_until(lambda: "the-last-one" in service.log(0), "the last line of the log")
    texts.append(service.log(0))
    for name in redis.keys("*"):
        texts.append(name + str(redis.dump(name)))
    everything = "\n".join(texts)
    assert "request_id" in service.log(0)
    signatures = [token.rpartition(".")[2] for token in (user, late, other)]
    for secret in (ADMIN, PEPPER, SECRET, key, cut, key.split("_")[2], user, late, other, *signatures):
        assert secret not in everything, secret
