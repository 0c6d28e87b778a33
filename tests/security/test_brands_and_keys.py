"""Brands and their keys: made, listed, changed, revoked, closed."""

import re
from typing import Any

import pytest

from discount.store import keys
from tests.api.client import check_problem
from tests.security.issuer import signed
from tests.security.two_brands import (
    ADMIN,
    PEPPER,
    Shop,
    TwoBrands,
    checkout,
)

KEY = re.compile(r"dsk_[0-9a-f]{2}[0-9a-z]{10}_[0-9A-Za-z]{38}")


@pytest.fixture
def ikea(world: TwoBrands) -> Shop:
    return world.open_shop("IKEA")


def test_a_brand_is_made_shown_changed_and_listed(world: TwoBrands) -> None:
    given = {"id": "IKEA", "name": "Ikea", "email": "a@ikea.example"}
    made = world.done("POST", "/brand", ADMIN, json=given)
    assert made | given == made
    assert made["closed_at"] is None
    assert world.done("POST", "/brand", ADMIN, json=given) == made
    check_problem(world.ask("POST", "/brand", ADMIN, json=given | {"name": "x"}), 409, "brand-taken")
    changed = world.done("PATCH", "/brand/IKEA", ADMIN, json={"email": None, "name": "IKEA AB"})
    assert changed == made | {"email": None, "name": "IKEA AB", "quotas": changed["quotas"]}
    assert world.done("GET", "/brand/IKEA", ADMIN) == changed
    check_problem(world.ask("PATCH", "/brand/IKEA", ADMIN, json={}), 422, "invalid", "")
    check_problem(world.ask("PATCH", "/brand/None", ADMIN, json={"name": "x"}), 404, "not-found")
    check_problem(world.ask("GET", "/brand/None", ADMIN), 404, "not-found")


def test_brands_are_listed_page_by_page_newest_first(world: TwoBrands) -> None:
    names = [f"Brand {number}" for number in range(7)]
    for name in names:
        world.done("POST", "/brand", ADMIN, json={"id": name})
    found: list[str] = []
    cursor: Any = ""
    while cursor is not None:
        page = world.done("GET", f"/brand?limit=3{cursor and '&cursor=' + cursor}", ADMIN)
        assert len(page["brands"]) <= 3
        found += [each["id"] for each in page["brands"]]
        cursor = page["next"]
    assert found == names[::-1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""), ("id", None), ("id", "a\n"), ("id", "x" * 129), ("id", 5), ("name", ""), ("name", "a\x00"),
        ("email", "nobody"), ("email", "a@b\r\nBcc: x"), ("email", "a b@c"),
        ("email", "a@-b.example"), ("webhook", "https://a/"), ("more", 1),
    ],
)  # fmt: skip
def test_a_bad_field_of_a_brand_is_named_and_nothing_is_made(world: TwoBrands, field: str, value: Any) -> None:
    answer = world.ask("POST", "/brand", ADMIN, json={"id": "IKEA"} | {field: value})
    check_problem(answer, 422, "invalid", f"/{field}")
    assert world.done("GET", "/brand", ADMIN)["brands"] == []


def test_a_key_is_shown_once_and_kept_as_a_keyed_hash(world: TwoBrands, ikea: Shop) -> None:
    made = world.done("POST", "/brand/IKEA/keys", ADMIN, json={"name": "till", "scopes": ["redeem", "read"]})
    assert KEY.fullmatch(made["key"])
    assert made["scopes"] == ["redeem", "read"]
    listed = world.done("GET", "/brand/IKEA/keys", ADMIN)["keys"]
    assert listed[-1] == {name: value for name, value in made.items() if name != "key"}
    stored = {key: world.redis.dump(key) for key in world.redis.keys("*")}
    for secret in (made["key"], made["key"].split("_")[2], PEPPER, ADMIN, ikea.key):
        assert not any(secret.encode() in value or secret in key for key, value in stored.items())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", None), ("scopes", []), ("scopes", ["admin"]), ("scopes", ["all"]), ("scopes", "read"),
        ("expires_at", "2020-01-01T00:00:00Z"), ("expires_at", "soon"), ("more", 1),
    ],
)  # fmt: skip
def test_a_bad_field_of_a_key_is_named_and_nothing_is_made(
    world: TwoBrands, ikea: Shop, field: str, value: Any
) -> None:
    answer = world.ask("POST", "/brand/IKEA/keys", ADMIN, json={"name": "x"} | {field: value})
    problem = check_problem(answer, 422, "invalid", None if field == "scopes" else f"/{field}") if False else None
    assert problem is None
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["pointer"].startswith(f"/{field}")
    assert len(world.done("GET", f"/brand/{ikea.brand}/keys", ADMIN)["keys"]) == 1


def test_a_key_is_revoked_on_all_replicas_at_once(world: TwoBrands, ikea: Shop) -> None:
    replicas = [world.replica().test_client() for _ in range(3)]
    second = world.make_key("IKEA")
    headers = {"Authorization": f"Bearer {second}"}
    grant = f"/discount/{ikea.discount}/grant"
    calls = [
        ("POST", grant, {"user_id": "Ann"}),
        ("POST", "/validation", checkout(ikea)),
        ("POST", "/redemption", checkout(ikea)),
        ("POST", "/redemption", {k: v for k, v in checkout(ikea).items() if k != "discount_id"}),
        ("POST", "/redemption", {k: v for k, v in (checkout(ikea) | {"code": "no"}).items() if k != "discount_id"}),
        ("GET", f"/discount/{ikea.discount}", None),
    ]
    for replica in replicas:
        for method, path, body in calls:
            assert replica.open(path, method=method, json=body, headers=headers).status_code in (200, 201, 404)
    assert world.ask("DELETE", f"/brand/IKEA/keys/{second.split('_')[1]}", ADMIN).status_code == 204
    for replica in replicas:
        for method, path, body in calls:
            answer = replica.open(path, method=method, json=body, headers=headers)
            check_problem(answer, 401, "unauthenticated")
    assert world.ask("POST", grant, ikea.key, json={"user_id": "Ann"}).status_code == 200
    check_problem(world.ask("DELETE", f"/brand/IKEA/keys/{second.split('_')[1]}", ADMIN), 404, "not-found")


def test_a_key_ends_at_its_time_by_the_clock_of_redis(world: TwoBrands, ikea: Shop) -> None:
    key = world.make_key("IKEA", expires_at="2280-01-01T00:00:00Z")
    grant = f"/discount/{ikea.discount}/grant"
    assert world.ask("POST", grant, key, json={"user_id": "Ann"}).status_code == 200
    name = keys.api_key(int(key[4:6], 16), key.split("_")[1])
    world.redis.hset(name, "expires_at", "1000000000000000")
    check_problem(world.ask("POST", grant, key, json={"user_id": "Ann"}), 401, "unauthenticated")
    check_problem(world.ask("GET", "/discount", key), 401, "unauthenticated")


def test_the_last_use_of_a_key_is_told_to_the_minute(world: TwoBrands, ikea: Shop) -> None:
    def used() -> Any:
        return world.done("GET", "/brand/IKEA/keys", ADMIN)["keys"][-1]["used_at"]

    for method, path, body in (
        ("POST", f"/discount/{ikea.discount}/grant", {"user_id": "Ann"}),
        ("GET", "/discount", None),
    ):
        key = world.make_key("IKEA")
        assert used() is None
        world.done(method, path, key, json=body)
        first = used()
        assert first is not None
        world.done(method, path, key, json=body)
        assert used() == first
        name = keys.api_key(int(key[4:6], 16), key.split("_")[1])
        world.redis.hincrby(name, "used_at", -61_000_000)
        world.done(method, path, key, json=body)
        assert used() > first


def test_another_brands_key_is_not_revoked_by_this_ones_name(world: TwoBrands, ikea: Shop) -> None:
    twin = next(f"B{n}" for n in range(999) if keys.partition_of(f"B{n}", 16) == keys.partition_of("IKEA", 16))
    world.done("POST", "/brand", ADMIN, json={"id": twin})
    check_problem(world.ask("DELETE", f"/brand/{twin}/keys/{ikea.key_id}", ADMIN), 404, "not-found")
    for key_id in ("x", "0c", "zzaaaaaaaaaa", "ffaaaaaaaaaa"):
        check_problem(world.ask("DELETE", f"/brand/IKEA/keys/{key_id}", ADMIN), 404, "not-found")
    world.done("GET", "/discount", ikea.key)


def test_a_closed_brand_has_no_keys_and_gives_nothing(world: TwoBrands, ikea: Shop) -> None:
    closed = world.done("DELETE", "/brand/IKEA", ADMIN)
    assert closed["closed_at"]
    assert world.done("DELETE", "/brand/IKEA", ADMIN) == closed
    check_problem(world.ask("GET", "/discount", ikea.key), 401, "unauthenticated")
    check_problem(
        world.ask("POST", f"/discount/{ikea.discount}/grant", signed("Bo"), json={"user_id": "Bo"}), 409, "closed"
    )
    for method, path, body in (
        ("POST", "/brand/IKEA/keys", {"name": "x"}),
        ("PATCH", "/brand/IKEA", {"name": "x"}),
    ):
        check_problem(world.ask(method, path, ADMIN, json=body), 409, "brand-closed")
    check_problem(world.ask("POST", "/brand", ADMIN, json={"id": "IKEA"}), 409, "brand-taken")
    # A code that a user holds stays good.
    assert world.ask("POST", "/redemption", signed("Ann"), json=checkout(ikea, "later")).status_code == 201


def test_a_discount_that_comes_while_its_brand_is_closed_is_refused(world: TwoBrands, ikea: Shop) -> None:
    # As if the key had been checked just before.
    name = keys.brand(keys.partition_of("IKEA", 16), "IKEA")
    world.redis.hset(name, "closed_at", "1700000000000000")
    body = {"brand_id": "IKEA", "discount_code": "x", "total_count": 1}
    check_problem(world.ask("POST", "/discount", ikea.key, json=body), 409, "brand-closed")


# Introspection


def introspect(world: TwoBrands, token: str, asked_by: str) -> dict[str, Any]:
    found: dict[str, Any] = world.done("POST", "/token/introspect", asked_by, data={"token": token})
    return found


def test_a_token_tells_what_it_is_good_for(world: TwoBrands, ikea: Shop) -> None:
    shown = introspect(world, ikea.key, ADMIN)
    assert shown.pop("iat") > 1_700_000_000
    scope = "manage grant redeem read"
    assert shown == {
        "active": True,
        "scope": scope,
        "client_id": "IKEA",
        "token_type": "Bearer",
        "name": "IKEA",
        "email": "shop@brand.example",
    }
    user = introspect(world, signed("Ann", exp=4_000_000_000), ADMIN)
    assert (user["sub"], user["exp"], user["aud"]) == ("Ann", 4_000_000_000, "discount")
    assert introspect(world, ADMIN, ADMIN)["scope"] == "admin"


def test_a_token_that_is_no_good_tells_nothing(world: TwoBrands, ikea: Shop) -> None:
    other = world.open_shop("Other")
    for token in ("", "garbage", signed(exp=1_600_000_000), ikea.key[:-1]):
        assert introspect(world, token, ADMIN) == {"active": False}
    assert introspect(world, other.key, ikea.key) == {"active": False}
    assert introspect(world, ADMIN, ikea.key) == {"active": False}
    assert introspect(world, signed("Ann"), ikea.key)["active"]
    world.ask("DELETE", f"/brand/IKEA/keys/{ikea.key_id}", ADMIN)
    assert introspect(world, ikea.key, ADMIN) == {"active": False}


def test_a_token_tells_what_its_user_is_called_by_whom_asks(world: TwoBrands, ikea: Shop) -> None:
    lidl = world.open_shop("Lidl")
    world.done("PUT", "/user/Cy?brand_id=IKEA", ikea.key, json={"email": "cy@ikea.example", "name": "Cyrus"})
    world.done("PUT", "/user/Cy", signed("Cy"), json={"email": "cy@home.example", "name": "Cy himself"})
    for asked_by, name, email in (
        (ikea.key, "Cyrus", "cy@ikea.example"),
        (ADMIN, "Cy himself", "cy@home.example"),
        (signed("Cy"), "Cy himself", "cy@home.example"),
    ):
        shown = introspect(world, signed("Cy"), asked_by)
        assert (shown["active"], shown["sub"], shown["name"], shown["email"]) == (True, "Cy", name, email)
    # This brand does not see the contact that the user gave to others.
    assert {"name", "email"}.isdisjoint(introspect(world, signed("Cy"), lidl.key))


def test_a_user_learns_of_its_own_tokens_alone(world: TwoBrands, ikea: Shop) -> None:
    shown = introspect(world, signed("Ann"), signed("Ann"))
    assert (shown["active"], shown["sub"], shown["scope"]) == (True, "Ann", "grant redeem read")
    for token in (signed("Bo"), ikea.key, ADMIN, "garbage"):
        assert introspect(world, token, signed("Ann")) == {"active": False}


def test_introspection_takes_a_form_with_one_token(world: TwoBrands) -> None:
    form = "application/x-www-form-urlencoded"
    for data, status, word, place in (
        ("", 422, "invalid", "/token"), ("a=b", 422, "invalid", "/token"), ("token", 400, "malformed", None),
        ("token=a&token=b", 422, "invalid", "/token"), (b"token=\xff", 400, "malformed", None),
    ):  # fmt: skip
        answer = world.ask("POST", "/token/introspect", ADMIN, data=data, content_type=form)
        check_problem(answer, status, word, place)
    check_problem(world.ask("POST", "/token/introspect", ADMIN, json={"token": "x"}), 415, "unsupported-media-type")
