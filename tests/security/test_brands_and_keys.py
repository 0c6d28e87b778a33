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
from tests.support import stored_data

KEY = re.compile(r"dsk_[0-9a-f]{2}[0-9a-z]{10}_[0-9A-Za-z]{38}")


@pytest.fixture
def ikea(two_brands: TwoBrands) -> Shop:
    return two_brands.open_shop("IKEA")


def test_a_brand_is_made_shown_changed_and_listed(two_brands: TwoBrands) -> None:
    given = {"id": "IKEA", "name": "Ikea", "email": "a@ikea.example"}
    made = two_brands.done("POST", "/brand", ADMIN, json=given)
    assert made | given == made
    assert made["closed_at"] is None
    assert two_brands.done("POST", "/brand", ADMIN, json=given) == made
    check_problem(two_brands.ask("POST", "/brand", ADMIN, json=given | {"name": "x"}), 409, "brand-taken")
    changed = two_brands.done("PATCH", "/brand/IKEA", ADMIN, json={"email": None, "name": "IKEA AB"})
    assert changed == made | {"email": None, "name": "IKEA AB", "quotas": changed["quotas"]}
    assert two_brands.done("GET", "/brand/IKEA", ADMIN) == changed
    check_problem(two_brands.ask("PATCH", "/brand/IKEA", ADMIN, json={}), 422, "invalid", "")
    check_problem(two_brands.ask("PATCH", "/brand/None", ADMIN, json={"name": "x"}), 404, "not-found")
    check_problem(two_brands.ask("GET", "/brand/None", ADMIN), 404, "not-found")


def test_brands_are_listed_page_by_page_newest_first(two_brands: TwoBrands) -> None:
    names = [f"Brand {number}" for number in range(7)]
    for name in names:
        two_brands.done("POST", "/brand", ADMIN, json={"id": name})
    found: list[str] = []
    cursor: Any = ""
    while cursor is not None:
        page = two_brands.done("GET", f"/brand?limit=3{cursor and '&cursor=' + cursor}", ADMIN)
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
def test_a_bad_field_of_a_brand_is_named_and_nothing_is_made(two_brands: TwoBrands, field: str, value: Any) -> None:
    answer = two_brands.ask("POST", "/brand", ADMIN, json={"id": "IKEA"} | {field: value})
    check_problem(answer, 422, "invalid", f"/{field}")
    assert two_brands.done("GET", "/brand", ADMIN)["brands"] == []


def test_a_key_is_shown_once_and_kept_as_a_keyed_hash(two_brands: TwoBrands, ikea: Shop) -> None:
    made = two_brands.done("POST", "/brand/IKEA/keys", ADMIN, json={"name": "till", "scopes": ["redeem", "read"]})
    assert KEY.fullmatch(made["key"])
    assert made["scopes"] == ["redeem", "read"]
    listed = two_brands.done("GET", "/brand/IKEA/keys", ADMIN)["keys"]
    assert listed[-1] == {name: value for name, value in made.items() if name != "key"}
    stored = stored_data.dump(two_brands.redis)
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
    two_brands: TwoBrands, ikea: Shop, field: str, value: Any
) -> None:
    answer = two_brands.ask("POST", "/brand/IKEA/keys", ADMIN, json={"name": "x"} | {field: value})
    problem = check_problem(answer, 422, "invalid", None if field == "scopes" else f"/{field}") if False else None
    assert problem is None
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["pointer"].startswith(f"/{field}")
    assert len(two_brands.done("GET", f"/brand/{ikea.brand}/keys", ADMIN)["keys"]) == 1


def test_a_key_is_revoked_on_all_replicas_at_once(two_brands: TwoBrands, ikea: Shop) -> None:
    replicas = [two_brands.replica().test_client() for _ in range(3)]
    second = two_brands.make_key("IKEA")
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
    assert two_brands.ask("DELETE", f"/brand/IKEA/keys/{second.split('_')[1]}", ADMIN).status_code == 204
    for replica in replicas:
        for method, path, body in calls:
            answer = replica.open(path, method=method, json=body, headers=headers)
            check_problem(answer, 401, "unauthenticated")
    assert two_brands.ask("POST", grant, ikea.key, json={"user_id": "Ann"}).status_code == 200
    check_problem(two_brands.ask("DELETE", f"/brand/IKEA/keys/{second.split('_')[1]}", ADMIN), 404, "not-found")


def test_a_remembered_key_keeps_to_its_scopes_and_its_brand(
    two_brands: TwoBrands, ikea: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("discount.api.gate.ADMITTED", 1)
    other = two_brands.open_shop("Volvo")
    ours, theirs = two_brands.make_key("IKEA", "grant"), two_brands.make_key("Volvo", "grant")
    for user in ("Bo", "Bo", "Cid"):
        for shop, key, foreign in ((ikea, ours, other), (other, theirs, ikea)):
            two_brands.done("POST", f"/discount/{shop.discount}/grant", key, json={"user_id": user})
            answer = two_brands.ask("POST", f"/discount/{foreign.discount}/grant", key, json={"user_id": user})
            check_problem(answer, 404, "not-found")
            answer = two_brands.ask("POST", "/redemption", key, json=checkout(shop, "A-2", user))
            check_problem(answer, 403, "forbidden")


def test_a_key_ends_at_its_time_by_the_clock_of_redis(two_brands: TwoBrands, ikea: Shop) -> None:
    key = two_brands.make_key("IKEA", expires_at="2280-01-01T00:00:00Z")
    grant = f"/discount/{ikea.discount}/grant"
    assert two_brands.ask("POST", grant, key, json={"user_id": "Ann"}).status_code == 200
    name = keys.api_key(int(key[4:6], 16), key.split("_")[1])
    two_brands.redis.hset(name, "expires_at", "1000000000000000")
    check_problem(two_brands.ask("POST", grant, key, json={"user_id": "Ann"}), 401, "unauthenticated")
    check_problem(two_brands.ask("GET", "/discount", key), 401, "unauthenticated")


def test_the_last_use_of_a_key_is_shown_to_the_minute(two_brands: TwoBrands, ikea: Shop) -> None:
    def used() -> Any:
        return two_brands.done("GET", "/brand/IKEA/keys", ADMIN)["keys"][-1]["used_at"]

    for method, path, body in (
        ("POST", f"/discount/{ikea.discount}/grant", {"user_id": "Ann"}),
        ("GET", "/discount", None),
    ):
        key = two_brands.make_key("IKEA")
        assert used() is None
        two_brands.done(method, path, key, json=body)
        first = used()
        assert first is not None
        two_brands.done(method, path, key, json=body)
        assert used() == first
        name = keys.api_key(int(key[4:6], 16), key.split("_")[1])
        two_brands.redis.hincrby(name, "used_at", -61_000_000)
        two_brands.done(method, path, key, json=body)
        assert used() > first


def test_a_key_cannot_be_revoked_under_another_brand(two_brands: TwoBrands, ikea: Shop) -> None:
    twin = next(f"B{n}" for n in range(999) if keys.partition_of(f"B{n}", 16) == keys.partition_of("IKEA", 16))
    two_brands.done("POST", "/brand", ADMIN, json={"id": twin})
    check_problem(two_brands.ask("DELETE", f"/brand/{twin}/keys/{ikea.key_id}", ADMIN), 404, "not-found")
    for key_id in ("x", "0c", "zzaaaaaaaaaa", "ffaaaaaaaaaa"):
        check_problem(two_brands.ask("DELETE", f"/brand/IKEA/keys/{key_id}", ADMIN), 404, "not-found")
    two_brands.done("GET", "/discount", ikea.key)


def test_a_closed_brand_has_no_keys_and_gives_nothing(two_brands: TwoBrands, ikea: Shop) -> None:
    closed = two_brands.done("DELETE", "/brand/IKEA", ADMIN)
    assert closed["closed_at"]
    assert two_brands.done("DELETE", "/brand/IKEA", ADMIN) == closed
    check_problem(two_brands.ask("GET", "/discount", ikea.key), 401, "unauthenticated")
    check_problem(
        two_brands.ask("POST", f"/discount/{ikea.discount}/grant", signed("Bo"), json={"user_id": "Bo"}), 409, "closed"
    )
    for method, path, body in (
        ("POST", "/brand/IKEA/keys", {"name": "x"}),
        ("PATCH", "/brand/IKEA", {"name": "x"}),
    ):
        check_problem(two_brands.ask(method, path, ADMIN, json=body), 409, "brand-closed")
    check_problem(two_brands.ask("POST", "/brand", ADMIN, json={"id": "IKEA"}), 409, "brand-taken")
    # A code that a user holds stays good.
    assert two_brands.ask("POST", "/redemption", signed("Ann"), json=checkout(ikea, "later")).status_code == 201


def test_a_discount_that_comes_while_its_brand_is_closed_is_refused(two_brands: TwoBrands, ikea: Shop) -> None:
    # As if the key had been checked just before.
    name = keys.brand(keys.partition_of("IKEA", 16), "IKEA")
    two_brands.redis.hset(name, "closed_at", "1700000000000000")
    body = {"brand_id": "IKEA", "discount_code": "x", "total_count": 1}
    check_problem(two_brands.ask("POST", "/discount", ikea.key, json=body), 409, "brand-closed")


# Introspection


def introspect(two_brands: TwoBrands, token: str, asked_by: str) -> dict[str, Any]:
    found: dict[str, Any] = two_brands.done("POST", "/token/introspect", asked_by, data={"token": token})
    return found


def test_introspection_shows_the_scope_of_a_token(two_brands: TwoBrands, ikea: Shop) -> None:
    shown = introspect(two_brands, ikea.key, ADMIN)
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
    user = introspect(two_brands, signed("Ann", exp=4_000_000_000), ADMIN)
    assert (user["sub"], user["exp"], user["aud"]) == ("Ann", 4_000_000_000, "discount")
    assert introspect(two_brands, ADMIN, ADMIN)["scope"] == "admin"


def test_introspection_of_an_invalid_token_reveals_nothing(two_brands: TwoBrands, ikea: Shop) -> None:
    other = two_brands.open_shop("Other")
    for token in ("", "garbage", signed(exp=1_600_000_000), ikea.key[:-1]):
        assert introspect(two_brands, token, ADMIN) == {"active": False}
    assert introspect(two_brands, other.key, ikea.key) == {"active": False}
    assert introspect(two_brands, ADMIN, ikea.key) == {"active": False}
    assert introspect(two_brands, signed("Ann"), ikea.key)["active"]
    two_brands.ask("DELETE", f"/brand/IKEA/keys/{ikea.key_id}", ADMIN)
    assert introspect(two_brands, ikea.key, ADMIN) == {"active": False}


def test_introspection_shows_the_user_name_known_to_the_caller(two_brands: TwoBrands, ikea: Shop) -> None:
    lidl = two_brands.open_shop("Lidl")
    two_brands.done("PUT", "/user/Cy?brand_id=IKEA", ikea.key, json={"email": "cy@ikea.example", "name": "Cyrus"})
    two_brands.done("PUT", "/user/Cy", signed("Cy"), json={"email": "cy@home.example", "name": "Cy himself"})
    for asked_by, name, email in (
        (ikea.key, "Cyrus", "cy@ikea.example"),
        (ADMIN, "Cy himself", "cy@home.example"),
        (signed("Cy"), "Cy himself", "cy@home.example"),
    ):
        shown = introspect(two_brands, signed("Cy"), asked_by)
        assert (shown["active"], shown["sub"], shown["name"], shown["email"]) == (True, "Cy", name, email)
    # This brand does not see the contact that the user gave to others.
    assert {"name", "email"}.isdisjoint(introspect(two_brands, signed("Cy"), lidl.key))


def test_a_user_can_introspect_only_their_tokens(two_brands: TwoBrands, ikea: Shop) -> None:
    shown = introspect(two_brands, signed("Ann"), signed("Ann"))
    assert (shown["active"], shown["sub"], shown["scope"]) == (True, "Ann", "grant redeem read")
    for token in (signed("Bo"), ikea.key, ADMIN, "garbage"):
        assert introspect(two_brands, token, signed("Ann")) == {"active": False}


def test_introspection_takes_a_form_with_one_token(two_brands: TwoBrands) -> None:
    form = "application/x-www-form-urlencoded"
    for data, status, word, place in (
        ("", 422, "invalid", "/token"), ("a=b", 422, "invalid", "/token"), ("token", 400, "malformed", None),
        ("token=a&token=b", 422, "invalid", "/token"), (b"token=\xff", 400, "malformed", None),
    ):  # fmt: skip
        answer = two_brands.ask("POST", "/token/introspect", ADMIN, data=data, content_type=form)
        check_problem(answer, status, word, place)
    check_problem(
        two_brands.ask("POST", "/token/introspect", ADMIN, json={"token": "x"}), 415, "unsupported-media-type"
    )
