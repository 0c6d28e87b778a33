"""Every route with every sort of token: who is allowed, and the answers to those who are not."""

import re
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import pytest
from werkzeug.test import TestResponse

from discount.domain.errors import BY_SLUG
from discount.store.keys import partition_of
from tests.api.client import check_problem
from tests.security.issuer import signed, unsigned
from tests.security.two_brands import (
    ADMIN,
    Shop,
    TwoBrands,
    checkout,
)
from tests.support import stored_data
from tests.support.stored_data import Kept

SCOPES = ("manage", "grant", "redeem", "read")


@dataclass(frozen=True)
class Route:
    """An operation and its callers: keys with one of the scopes, `admin`, and users for themselves."""

    method: str
    path: str
    needs: tuple[str, ...]
    user: bool = False
    call: dict[str, Any] = field(default_factory=dict)
    #: The status for another brand's key.
    elsewhere: int = 404
    #: The status for another user.
    not_mine: int = 403
    #: Its refusals have the shape of an earlier service, not that of a problem document.
    dialect: bool = False
    #: Whether a key needs all of the scopes.
    every: bool = False
    #: Whether the ledger answers it.
    past: bool = False
    #: Whether keys may do it, and not only users.
    keys: bool = True

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


GRANT = {"json": {"user_id": "Ann"}}
DISCOUNT = {"json": {"brand_id": "IKEA", "discount_code": "x", "total_count": 1}}
TOKEN = {"data": {"token": "x"}}
ROUTES = [
    Route("POST", "/discount", ("manage",), call=DISCOUNT),
    Route("GET", "/discount", ("admin", "read"), True, elsewhere=200, not_mine=200),
    Route("GET", "/discount?brand_id=IKEA", ("admin", "read"), True, not_mine=200),
    Route("GET", "/discount/{discount}", ("admin", "read"), True, not_mine=200),
    Route("PATCH", "/discount/{discount}", ("manage",), call={"json": {"paused": True}}),
    Route("DELETE", "/discount/{discount}", ("manage",)),
    Route("POST", "/discount/{discount}/grant", ("grant",), True, call=GRANT),
    Route("GET", "/discount/{discount}/grant?user_id=Ann", ("read",), True),
    Route("POST", "/discount/{discount}/grant/revoke", ("manage",), call=GRANT),
    Route("POST", "/discount/{discount}/grants", ("grant",), call={"json": {"user_ids": ["Ann", "Bo"]}}),
    Route("GET", "/discount/{discount}/grants", ("read",)),
    Route("GET", "/discount/{discount}/grants?format=csv", ("read",)),
    Route("POST", "/brand/IKEA/grant", ("grant",), True, call=GRANT),
    Route("GET", "/user/Ann/grants", ("read",), True, elsewhere=200),
    Route("GET", "/user/Ann/grants?brand_id=IKEA", ("read",), True),
    Route("POST", "/discount/{imported}/codes", ("manage",), call={"data": "A1\nA2", "content_type": "text/plain"}),
    Route(
        "POST",
        "/discount/{imported}/codes/move-in",
        ("manage",),
        call={"data": "code,user_id\nM1,Ann", "content_type": "text/csv"},
    ),
    Route("GET", "/discount/{discount}/codes", ("manage",)),
    Route("POST", "/discount/{empty}/wait", ("grant",), True, call=GRANT),
    Route("GET", "/discount/{empty}/wait?user_id=Ann", ("read",), True),
    Route("DELETE", "/discount/{empty}/wait?user_id=Ann", ("grant",), True),
    Route("GET", "/discount/{discount}/waits", ("read",)),
    Route("GET", "/discount/{discount}/grant/picture?user_id=Ann", ("read",), True),
    Route("GET", "/discount/{discount}/grant/page?user_id=Ann", ("read",), True),
    Route("POST", "/validation", ("redeem",), True, call={"json": "checkout"}),
    Route("POST", "/validation", ("redeem",), True, call={"json": "checkout of the brand"}),
    Route("POST", "/redemption", ("redeem",), True, call={"json": "checkout"}),
    Route("POST", "/redemption", ("redeem",), True, call={"json": "checkout of the brand"}),
    Route("GET", "/redemption/{redemption}", ("read",), True, not_mine=404),
    Route("POST", "/redemption/{redemption}/confirm", ("redeem",), True, not_mine=404),
    Route("POST", "/redemption/{redemption}/rollback", ("redeem",)),
    Route("GET", "/discount/{discount}/redemptions", ("read",)),
    Route("GET", "/discount/{discount}/redemptions?format=csv", ("read",)),
    Route("GET", "/user/Ann/redemptions", ("read",), True, elsewhere=200),
    Route("GET", "/user/Ann/redemptions?brand_id=IKEA", ("read",), True),
    Route("POST", "/brand", ("admin",), call={"json": {"id": "New"}}),
    Route("GET", "/brand", ("admin",)),
    Route("GET", "/brand/IKEA", ("admin", "manage")),
    Route("PATCH", "/brand/IKEA", ("admin", "manage"), call={"json": {"name": "Ikea"}}),
    Route("DELETE", "/brand/IKEA", ("admin",)),
    Route("POST", "/brand/IKEA/keys", ("admin",), call={"json": {"name": "more"}}),
    Route("GET", "/brand/IKEA/keys", ("admin",)),
    Route("DELETE", "/brand/IKEA/keys/{key}", ("admin",)),
    Route("POST", "/token/introspect", ("admin", "read"), True, call=TOKEN, elsewhere=200, not_mine=200),
    Route("DELETE", "/user/Ann", ("admin", "manage"), elsewhere=200),
    Route("PUT", "/user/Ann", ("grant",), True, call={"json": {"email": "ann@x.example"}}, elsewhere=200),
    Route("GET", "/user/Ann", ("grant",), True, elsewhere=200),
    Route("POST", "/brand/IKEA/list/vip", ("manage",), call={"data": "Ann\nBo", "content_type": "text/plain"}),
    Route("GET", "/brand/IKEA/list", ("read",)),
    Route("GET", "/brand/IKEA/list/vip", ("read",)),
    Route("DELETE", "/brand/IKEA/list/vip", ("manage",)),
    Route("POST", "/webhook", ("manage",), call={"json": {"brand_id": "IKEA", "url": "https://ikea.example/x"}}),
    Route("GET", "/webhook?brand_id=IKEA", ("manage",)),
    Route("GET", "/webhook/{webhook}", ("manage",)),
    Route("PATCH", "/webhook/{webhook}", ("manage",), call={"json": {"on": False}}),
    Route("DELETE", "/webhook/{webhook}", ("manage",)),
    Route("POST", "/webhook/{webhook}/secret", ("manage",)),
    Route("POST", "/webhook/test", ("manage",), call={"json": "webhook"}),
    Route("GET", "/event?brand_id=IKEA", ("read",)),
    Route("POST", "/code", ("read",), call={"json": "code"}, past=True),
    Route("GET", "/discount/{discount}/figures", ("read",), past=True),
    Route("GET", "/brand/IKEA/figures", ("read",), past=True),
    Route("GET", "/brand/IKEA/export/events", ("read",), past=True),
    Route("GET", "/change?brand_id=IKEA", ("read",), past=True),
    Route("GET", "/delivery?brand_id=IKEA", ("read",)),
    Route("GET", "/delivery/{delivery}", ("read",)),
    Route("POST", "/delivery/{delivery}/resend", ("manage",)),
    Route("POST", "/delivery/resend", ("manage",), call={"json": {"brand_id": "IKEA"}}),
]
POOL = {"json": {"brand": "IKEA", "number_to_create": 3}}
READABLE = {"json": {"id": "NEW26", "discount": 10, "validity": "2280-01-01T00:00:00Z", "brand": "IKEA"}}
USE = {"json": {"discount_code": "HELLO26", "user": "Ann"}}
COUPON = {"data": {"code": "NEW10", "discount_percentage": "10", "expiry_date": "2280-01-01"}}
APPLY = {"data": {"user_id": "Ann", "coupon_code": "TEN", "brand": "IKEA"}}
PERSON = {"data": {"name": "Cy", "email_id": "cy@user.example"}}
COUNTS = {
    "data": {f"{each}_repeat_count": 9 for each in ("global_total", "user_total", "user_daily", "user_weekly")},
}
ROUTES += [
    Route("POST", "/v1/discount/create", ("manage",), call=POOL, dialect=True),
    Route("GET", "/v1/discount/fetch/IKEA/Ann", ("grant",), True, dialect=True),
    Route("POST", "/api/v1/discountcode/", ("manage", "grant"), call=READABLE, dialect=True, every=True),
    Route("GET", "/api/v1/discountcode/", ("read",), True, elsewhere=200, not_mine=200, dialect=True),
    Route("GET", "/api/v1/discountcode/HELLO26/", ("read",), True, not_mine=200, dialect=True),
    Route("POST", "/api/v1/discountcodeusage/", ("redeem",), True, call=USE, dialect=True),
    Route("GET", "/api/v1/discountcodeusage/", ("read",), True, elsewhere=200, not_mine=200, dialect=True),
    Route("GET", "/api/v1/discountcodeusage/{used}/", ("read",), True, not_mine=404, dialect=True),
    Route("GET", "/api/discountcodeusage/{used}/", ("read",), True, not_mine=404, dialect=True),
    # No brand is named here: the call is about the caller's own.
    Route("POST", "/coupon", ("manage",), call=COUPON, elsewhere=200, dialect=True),
    Route("GET", "/coupon", ("read",), elsewhere=200, dialect=True),
    Route("PUT", "/coupon/TEN/repeat_count", ("manage",), call=COUNTS, dialect=True),
    Route("GET", "/coupon/TEN/repeat_count", ("read",), dialect=True),
    Route("GET", "/coupon/TEN/status", ("read",), dialect=True),
    Route("PUT", "/coupon/TEN/expiry_date", ("manage",), call={"data": {"expiry_date": "2280-01-02"}}, dialect=True),
    Route("DELETE", "/coupon/TEN", ("manage",), dialect=True),
    Route("POST", "/coupon/apply", ("redeem",), True, call=APPLY, dialect=True),
    Route("POST", "/user", ("manage",), call=PERSON, elsewhere=200, dialect=True),
    Route("GET", "/user", ("read",), elsewhere=200, dialect=True),
    Route("POST", "/create-discount-codes", ("manage",), call={"json": {"name": "x"}}, elsewhere=200, dialect=True),
    *(
        Route(
            method,
            "/get-discount-code",
            ("grant",),
            True,
            call={"json": "personal"},
            not_mine=200,
            dialect=True,
            keys=False,
        )
        for method in ("GET", "POST")
    ),
]
OPEN = {("GET", "/healthy"), ("GET", "/ready"), ("GET", "/metrics"), ("GET", "/test")}
# Anyone with the link may call these.
BY_LINK = {("GET", "/unsubscribe/{token}"), ("POST", "/unsubscribe/{token}")}
named = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)


class OpenShop(NamedTuple):
    """A shop with one of everything, and all data in Redis when it had just been opened."""

    shop: Shop
    data: dict[str, Kept]


@pytest.fixture(scope="module")
def opened() -> list[OpenShop]:
    """The shop of all tests, once the first of them has opened it: that takes three times as long as a test."""
    return []


@pytest.fixture
def ikea(two_brands: TwoBrands, opened: list[OpenShop], request: pytest.FixtureRequest) -> Shop:
    if not opened:
        shop = open_shop(two_brands)
        opened.append(OpenShop(shop, stored_data.keep(two_brands.redis)))
    stored_data.restore(two_brands.redis, opened[0].data)
    call = getattr(request.node, "callspec", None)
    if call is not None and "route" in call.params and call.params["route"].past:
        two_brands.read_into_ledger()
    return replace(opened[0].shop)


def open_shop(two_brands: TwoBrands) -> Shop:
    """Open two shops, of which one has all that a route may name, and return that."""
    two_brands.open_shop("Other")
    shop = two_brands.open_shop("IKEA")
    two_brands.done("POST", "/v1/discount/create", shop.key, **POOL)
    two_brands.done("POST", "/api/v1/discountcode/", shop.key, json=READABLE["json"] | {"id": "HELLO26"})
    two_brands.done("POST", "/api/v1/discountcode/", shop.key, json=READABLE["json"] | {"id": "USED26"})
    used = USE["json"] | {"discount_code": "USED26"}
    shop.used = two_brands.done("POST", "/api/v1/discountcodeusage/", shop.key, json=used)["id"]
    two_brands.done("POST", "/coupon", shop.key, data=COUPON["data"] | {"code": "TEN"})
    two_brands.done("PUT", "/coupon/TEN/repeat_count", shop.key, **COUNTS)
    two_brands.done("POST", "/user", shop.key, data=PERSON["data"] | {"email_id": "ann@user.example"})
    shop.personal = two_brands.done("POST", "/create-discount-codes", shop.key, json={"name": "x", "num_codes": 9})[
        "id"
    ]
    two_brands.done("POST", "/brand/IKEA/list/vip", shop.key, data="Ann", content_type="text/plain")
    for user in ("Ann", "Bo"):
        two_brands.done("GET", "/get-discount-code", signed(user), json={"discount_id": shop.personal})
    # A discount without codes, of which Ann waits for one.
    body = {"brand_id": "IKEA", "discount_code": "x", "codes": {"kind": "imported"}}
    shop.empty = two_brands.done("POST", "/discount", shop.key, json=body)["id"]
    two_brands.done("POST", f"/discount/{shop.empty}/wait", shop.key, **GRANT)
    return shop


def check_refusal(route: Route, answer: TestResponse, status: int, word: str) -> Any:
    """Check a refusal: a problem document, or a dialect's own body."""
    if not route.dialect:
        return check_problem(answer, status, word)
    body = answer.get_json()
    # One dialect answers with a plain sentence.
    body = {"message": body} if isinstance(body, str) else body
    assert (answer.status_code, answer.content_type, len(body)) == (status, "application/json", 1), body
    assert set(body) < {"error", "detail", "message"}
    sentence = next(iter(body.values()))
    return {"detail": "" if sentence == BY_SLUG[word].title else sentence}


def ask(two_brands: TwoBrands, shop: Shop, route: Route, token: str | None) -> TestResponse:
    """Make the call with the shop's ids in it."""
    call = dict(route.call)
    if str(call.get("json", "")).startswith("checkout"):
        of_brand = call["json"] == "checkout of the brand"
        call["json"] = checkout(shop)
        if of_brand:
            call["json"] |= {"brand_id": shop.brand}
            del call["json"]["discount_id"]
    if call.get("json") == "webhook":
        call["json"] = {"webhook_id": shop.webhook}
    if call.get("json") == "code":
        call["json"] = {"brand_id": shop.brand, "code": shop.code}
    if call.get("json") == "personal":
        call["json"] = {"discount_id": shop.personal}
    imported = ""
    if "{imported}" in route.path:
        body = {"brand_id": shop.brand, "discount_code": "x", "codes": {"kind": "imported"}}
        imported = two_brands.done("POST", "/discount", shop.key, json=body)["id"]
    things = {"discount": shop.discount, "redemption": shop.redemption, "key": shop.key_id, "imported": imported}
    things["empty"] = shop.empty
    things["used"] = shop.used
    path = route.path.format(**things, webhook=shop.webhook, delivery=shop.delivery)
    return two_brands.ask(route.method, path, token, **call)


def unchanged(two_brands: TwoBrands) -> dict[str, bytes]:
    """Return all data but request and guess counts, the times at which keys were used, and leases of the ledger."""
    kept = (key for key in two_brands.redis.keys("*") if not re.search(r":rate:|:guesses:|:key:|:mark$", key))
    return stored_data.dump_keys(two_brands.redis, kept)


def test_the_table_has_every_operation(two_brands: TwoBrands) -> None:
    document = two_brands.http.get("/openapi.json").get_json()
    operations = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    shape = {name: f"{{{name}_id}}" for name in ("discount", "redemption", "key", "webhook", "delivery")} | {
        "imported": "{discount_id}",
        "empty": "{discount_id}",
        "used": "{redemption_id}",
    }
    table = set()
    for route in ROUTES:
        path = route.path.partition("?")[0].format(**shape)
        path = re.sub(r"/IKEA/Ann$", "/{brand_id}/{user_id}", re.sub("/(TEN|HELLO26)(/|$)", r"/{code}\2", path))
        path = re.sub(r"^/user/Ann", "/user/{user_id}", re.sub(r"^/brand/IKEA", "/brand/{brand_id}", path))
        path = path.replace("/list/vip", "/list/{name}").replace("/export/events", "/export/{table}")
        table.add((route.method, path))
    assert table | OPEN | BY_LINK == operations


@named
def test_a_call_without_a_valid_token_is_unauthenticated(two_brands: TwoBrands, ikea: Shop, route: Route) -> None:
    expired = two_brands.make_key("IKEA", expires_at="2280-01-01T00:00:00Z")
    two_brands.redis.hset(f"{{{expired[4:6]}}}:key:{expired.split('_')[1]}", "expires_at", "1000000000000000")
    revoked = two_brands.make_key("IKEA")
    two_brands.done("GET", "/discount", revoked)
    two_brands.ask("DELETE", f"/brand/IKEA/keys/{revoked.split('_')[1]}", ADMIN)
    wrong = {
        "garbage": "garbage",
        "a cut key": ikea.key[:-1],
        "a key with a typing error": ikea.key[:30] + ("x" if ikea.key[30] != "x" else "y") + ikea.key[31:],
        "a key of nobody": "dsk_00aaaaaaaaaa_" + "0" * 38,
        "an expired key": expired,
        "a revoked key": revoked,
        "almost the admin key": ADMIN[:-1] + "b",
        "expired": signed(exp=1_600_000_000),
        "never expires": signed(exp=None),
        "wrong audience": signed(aud="another"),
        "no audience": signed(aud=None),
        "wrong issuer": signed(iss="https://evil.example"),
        "no user": signed(sub=None),
        "no algorithm": unsigned(),
        "another secret": signed(secret="k" * 32),
        "not yet": signed(nbf=4_000_000_000),
        "a user of control characters": signed("A\x00nn"),
    }
    before = unchanged(two_brands)
    bare = check_refusal(route, ask(two_brands, ikea, route, None), 401, "unauthenticated")
    for what, token in wrong.items():
        if "{imported}" in route.path:
            before = {}
        answer = ask(two_brands, ikea, route, token)
        problem = check_refusal(route, answer, 401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="discount", error="invalid_token"', what
        assert problem.get("detail", "") in ("", "The token has expired.", "The token's `sub` is not a valid user id.")
        assert token not in answer.text
    assert bare.get("detail", "") == ""
    if before:
        assert unchanged(two_brands) == before


@named
def test_a_key_needs_one_of_the_scopes(two_brands: TwoBrands, ikea: Shop, route: Route) -> None:
    all_but = [scope for scope in SCOPES if scope not in route.needs]
    if all_but:
        lacking = two_brands.make_key("IKEA", *all_but)
        answer = ask(two_brands, ikea, route, lacking)
        problem = check_refusal(route, answer, 403, "forbidden")
        scope = " ".join(route.needs)
        assert route.dialect or problem["scope"] == scope
        assert f'error="insufficient_scope", scope="{scope}"' in answer.headers["WWW-Authenticate"]
    if route.every:
        for scope in route.needs:
            lacking = two_brands.make_key("IKEA", *(each for each in SCOPES if each != scope))
            check_refusal(route, ask(two_brands, ikea, route, lacking), 403, "forbidden")
    if not route.keys:
        check_refusal(route, ask(two_brands, ikea, route, ikea.key), 403, "forbidden")
        return
    for scopes in [route.needs] if route.every else [(scope,) for scope in route.needs]:
        token = ADMIN if scopes == ("admin",) else two_brands.make_key("IKEA", *scopes)
        answer = ask(two_brands, ikea, route, token)
        assert answer.status_code in (200, 201, 202, 204), (scopes, answer.text)
        assert int(answer.headers["RateLimit-Remaining"]) < int(answer.headers["RateLimit-Limit"])
        if route.method == "DELETE":
            break


@named
def test_the_admin_key_opens_only_admin_routes(two_brands: TwoBrands, ikea: Shop, route: Route) -> None:
    if "admin" not in route.needs:
        check_refusal(route, ask(two_brands, ikea, route, ADMIN), 403, "forbidden")


@named
def test_data_of_another_brand_is_not_found(two_brands: TwoBrands, ikea: Shop, route: Route) -> None:
    if route.needs == ("admin",):
        return
    other = two_brands.make_key("Other")
    before = unchanged(two_brands)
    answer = ask(two_brands, ikea, route, other)
    assert answer.status_code == route.elsewhere, answer.text
    if route.elsewhere == 404:
        check_refusal(route, answer, 404, "not-found")
    body = answer.get_json(silent=True, force=True)
    assert ikea.discount not in answer.text.replace(str(isinstance(body, dict) and body.get("detail")), "")
    assert ikea.code not in answer.text
    if "{imported}" not in route.path:
        # The other brand's data is unchanged; only this brand's may differ.
        own = f"{{{partition_of('Other', two_brands.settings.partitions):02x}}}:"
        assert {
            key for key, value in unchanged(two_brands).items() if before.get(key) != value and own not in key
        } == set()


@named
def test_a_user_acts_only_for_themselves(two_brands: TwoBrands, ikea: Shop, route: Route) -> None:
    before = unchanged(two_brands)
    answer = ask(two_brands, ikea, route, signed("Bo"))
    if not route.user:
        check_refusal(route, answer, 403, "forbidden")
        assert "{imported}" in route.path or unchanged(two_brands) == before
        return
    assert answer.status_code == route.not_mine, answer.text
    assert ikea.code not in answer.text
    assert unchanged(two_brands) == before
    mine = ask(two_brands, ikea, route, signed("Ann"))
    assert mine.status_code in (200, 201, 204), mine.text


def test_public_routes_need_no_token(two_brands: TwoBrands) -> None:
    for _, path in OPEN | {("GET", "/openapi.json"), ("GET", "/apidocs")}:
        assert two_brands.ask("GET", path).status_code == 200
        assert two_brands.ask("GET", path, "garbage").status_code == 200


def test_a_token_of_another_kind_or_header_is_not_accepted(two_brands: TwoBrands, ikea: Shop) -> None:
    for header in (f"Basic {ikea.key}", f"Bearer  {ikea.key} x", "Bearer", f"Bearer {ikea.key},Bearer x", ikea.key):
        answer = two_brands.ask("GET", "/discount", headers={"Authorization": header})
        check_problem(answer, 401, "unauthenticated")
    check_problem(two_brands.ask("GET", f"/discount?access_token={ikea.key}"), 401, "unauthenticated")
    assert two_brands.ask("GET", "/discount", headers={"Authorization": f"bearer {ikea.key}"}).status_code == 200


def test_a_user_sees_discounts_that_are_open_and_none_of_their_secrets(two_brands: TwoBrands, ikea: Shop) -> None:
    shared = two_brands.done(
        "POST",
        "/discount",
        ikea.key,
        json={"brand_id": "IKEA", "discount_code": "x", "codes": {"kind": "shared", "code": "HUSH-26"}},
    )["id"]
    paused = two_brands.done("POST", "/discount", ikea.key, json=DISCOUNT["json"])["id"]
    two_brands.done("PATCH", f"/discount/{paused}", ikea.key, json={"paused": True})
    user = signed("Bo")
    page = two_brands.done("GET", "/discount", user)
    found = {each["id"] for each in page["discounts"]}
    assert shared in found
    assert paused not in found
    assert "HUSH" not in str(page) + str(two_brands.done("GET", f"/discount/{shared}", user))
    assert {"codes", "granted_count", "sums", "total_count"} & set(page["discounts"][0]) == set()
    check_problem(two_brands.ask("GET", f"/discount/{paused}", user), 404, "not-found")
    check_problem(two_brands.ask("GET", "/discount?status=paused", user), 403, "forbidden")


def test_a_brand_may_leave_its_name_out_at_the_checkout(two_brands: TwoBrands, ikea: Shop) -> None:
    body = checkout(ikea, "B-1")
    del body["discount_id"]
    assert two_brands.done("POST", "/redemption", ikea.key, json=body)["brand_id"] == "IKEA"


def test_the_key_of_a_brand_selects_the_brand_of_a_request(two_brands: TwoBrands, ikea: Shop) -> None:
    discount = {"discount_code": "No name", "total_count": 1}
    assert two_brands.done("POST", "/discount", ikea.key, json=discount)["brand_id"] == "IKEA"
    webhook = {"url": "https://brand.example/more"}
    assert two_brands.done("POST", "/webhook", ikea.key, json=webhook)["brand_id"] == "IKEA"
    assert two_brands.ask("POST", "/delivery/resend", ikea.key, json={}).status_code == 202
    for path in ("/webhook", "/delivery", "/event", "/discount"):
        found = two_brands.done("GET", path, ikea.key)
        assert found == two_brands.done("GET", f"{path}?brand_id=IKEA", ikea.key)
    # A brand may not name another brand; a caller that is no brand must name one.
    check_problem(two_brands.ask("POST", "/discount", ikea.key, json=discount | {"brand_id": "B"}), 404, "not-found")


def test_every_answer_forbids_caching_sniffing_and_framing(two_brands: TwoBrands, ikea: Shop) -> None:
    grant = two_brands.ask("POST", f"/discount/{ikea.discount}/grant", ikea.key, json={"user_id": "Ann"})
    for answer in (
        grant,
        two_brands.ask("GET", "/discount"),
        two_brands.ask("GET", "/none"),
        two_brands.ask("GET", "/healthy"),
    ):
        headers = answer.headers
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
        assert (headers["Referrer-Policy"], "frame-ancestors 'none'" in headers["Content-Security-Policy"]) == (
            "no-referrer",
            True,
        )


def test_the_admin_key_looks_at_every_brands_discounts_and_sees_no_code(two_brands: TwoBrands, ikea: Shop) -> None:
    body = {"brand_id": "IKEA", "discount_code": "All", "codes": {"kind": "shared", "code": "HUSH"}}
    shared = two_brands.done("POST", "/discount", ikea.key, json=body)["id"]
    listed = two_brands.done("GET", "/discount?limit=1000", ADMIN)["discounts"]
    assert {each["brand_id"] for each in listed} == {"IKEA", "Other"}
    shown = two_brands.done("GET", f"/discount/{shared}", ADMIN)
    assert shown in listed
    assert (shown["codes"], shown["granted_count"]) == ({"kind": "shared"}, 0)
    for answer in (listed, shown):
        assert "HUSH" not in str(answer)
        assert "HELLO26" not in str(answer)
    own = two_brands.done("GET", f"/discount/{ikea.discount}", ADMIN)
    assert own == two_brands.done("GET", f"/discount/{ikea.discount}", ikea.key)
    assert own["redeemed_count"] == 1
    for method, path in (("PATCH", ""), ("DELETE", ""), ("GET", "/codes"), ("GET", "/grants"), ("GET", "/redemptions")):
        check_problem(two_brands.ask(method, f"/discount/{ikea.discount}{path}", ADMIN, json={}), 403, "forbidden")


def test_the_past_of_one_brand_has_nothing_of_another(two_brands: TwoBrands, ikea: Shop) -> None:
    two_brands.read_into_ledger()
    other = two_brands.make_key("Other", "read")
    for key, brand in ((ikea.key, "IKEA"), (other, "Other")):
        changes = two_brands.done("GET", "/change", key)["changes"]
        assert changes
        shown = {two_brands.done("GET", f"/discount/{each['discount_id']}", key)["brand_id"] for each in changes}
        assert shown == {brand}
    check_problem(two_brands.ask("POST", "/code", other, json={"code": ikea.code}), 404, "not-found")
    assert two_brands.done("POST", "/code", ikea.key, json={"code": ikea.code})["holders"]
    of_ikea = f"/change?discount_id={ikea.discount}"
    check_problem(two_brands.ask("GET", of_ikea, other), 404, "not-found")
    assert [each["type"] for each in two_brands.done("GET", of_ikea, ikea.key)["changes"]] == ["discount.created"]
    first = two_brands.done("GET", "/change?limit=1", ikea.key)["next"]
    check_problem(two_brands.ask("GET", f"/change?after={first}", other), 422, "invalid", "after")
    assert two_brands.done("GET", "/brand/IKEA/figures", ikea.key)["figures"][0]["granted"] == 5
