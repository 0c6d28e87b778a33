"""A user is forgotten: no stored data names the user, and every count stays."""

from typing import Any

import pytest

from discount.store import keys
from tests.api.client import check_problem
from tests.security.issuer import signed
from tests.security.two_brands import (
    ADMIN,
    Shop,
    TwoBrands,
    checkout,
)
from tests.support import records

NAME = "Ånn-of-4711"


@pytest.fixture
def shops(two_brands: TwoBrands) -> list[Shop]:
    """Two brands, of which the user holds all kinds of codes and has redemptions, rollbacks and holds."""
    found = []
    for brand in ("IKEA", "Other"):
        shop = two_brands.open_shop(brand)
        made = [
            {"kind": "personal", "template": "{user}-of-{brand}"},
            {"kind": "shared", "code": f"SALE-{brand}"},
            {"kind": "unique"},
        ]
        for number, codes in enumerate(made):
            body = {
                "brand_id": brand, "discount_code": "x", "codes": codes, "limits": {"per_user": 9},
                "percent_off": 10, "total_count": 5,
            }  # fmt: skip
            discount = two_brands.done("POST", "/discount", shop.key, json=body)["id"]
            code = two_brands.done("POST", f"/discount/{discount}/grant", shop.key, json={"user_id": NAME})["code"]
            mine = Shop(brand, shop.key, discount, code, "")
            for order in ("kept", "undone", "held"):
                body = checkout(mine, f"{order}-{number}", NAME) | ({"hold_seconds": 600} if order == "held" else {})
                made_id = two_brands.done("POST", "/redemption", shop.key, json=body)["id"]
                if order == "undone":
                    reason = {"reason": f"{NAME} asked for it"}
                    two_brands.done("POST", f"/redemption/{made_id}/rollback", shop.key, json=reason)
        found.append(shop)
    return found


def everything(two_brands: TwoBrands) -> str:
    """Return all data in Redis as text."""
    found = []
    for key in two_brands.redis.keys("*"):
        kind = two_brands.redis.type(key)
        read = {
            "hash": two_brands.redis.hgetall,
            "string": two_brands.redis.get,
            "set": two_brands.redis.smembers,
            "list": lambda name: two_brands.redis.lrange(name, 0, -1),
            "zset": lambda name: two_brands.redis.zrange(name, 0, -1),
            "stream": two_brands.redis.xrange,
        }[kind]
        try:
            found.append(f"{key} {read(key)}")
        except UnicodeDecodeError:
            # Digests and bitmaps.
            continue
    return "\n".join(found)


def counts(two_brands: TwoBrands, shop: Shop) -> list[Any]:
    page = two_brands.done("GET", f"/discount?brand_id={shop.brand}", shop.key)
    return [
        {name: each[name] for name in each if name.endswith("_count") or name == "sums"} for each in page["discounts"]
    ]


def test_nothing_names_the_user_any_more_and_every_count_stays(two_brands: TwoBrands, shops: list[Shop]) -> None:
    before = [counts(two_brands, shop) for shop in shops]
    assert NAME in everything(two_brands)
    report = two_brands.done("DELETE", f"/user/{NAME}", ADMIN)
    assert (report["user_id"], report["grants"], report["redemptions"]) == (NAME, 6, 18)
    assert report["events"] > 0
    found = everything(two_brands)
    for text in (NAME, "ann-of-4711", "asked for it"):
        assert text not in found
    assert [counts(two_brands, shop) for shop in shops] == before
    for shop in shops:
        assert two_brands.done("GET", f"/user/{NAME}/grants", shop.key)["grants"] == []
        assert two_brands.done("GET", f"/user/{NAME}/redemptions", shop.key)["redemptions"] == []
    again = two_brands.done("DELETE", f"/user/{NAME}", ADMIN)
    assert again == {"user_id": NAME, "grants": 0, "redemptions": 0, "events": 0}


def test_data_of_other_users_is_unchanged(two_brands: TwoBrands, shops: list[Shop]) -> None:
    before = [two_brands.done("GET", f"/user/Ann/{what}", shops[0].key) for what in ("grants", "redemptions")]
    two_brands.done("DELETE", f"/user/{NAME}", ADMIN)
    assert [two_brands.done("GET", f"/user/Ann/{what}", shops[0].key) for what in ("grants", "redemptions")] == before


def test_a_brand_forgets_only_its_data_about_the_user(two_brands: TwoBrands, shops: list[Shop]) -> None:
    ikea, other = shops
    report = two_brands.done("DELETE", f"/user/{NAME}", ikea.key)
    assert (report["grants"], report["redemptions"]) == (3, 9)
    assert two_brands.done("GET", f"/user/{NAME}/grants", ikea.key)["grants"] == []
    assert len(two_brands.done("GET", f"/user/{NAME}/grants", other.key)["grants"]) == 3
    assert len(two_brands.done("GET", f"/user/{NAME}/redemptions", other.key)["redemptions"]) == 9
    tag = f"{{{keys.partition_of('IKEA', 16):02x}}}"
    assert not [line for line in everything(two_brands).splitlines() if line.startswith(tag) and NAME in line]


def test_forgotten_redemptions_can_be_listed_confirmed_or_rolled_back(two_brands: TwoBrands, shops: list[Shop]) -> None:
    ikea = shops[0]
    two_brands.done("DELETE", f"/user/{NAME}", ADMIN)
    for discount in two_brands.done("GET", "/discount", ikea.key)["discounts"]:
        grants = two_brands.done("GET", f"/discount/{discount['id']}/grants", ikea.key)["grants"]
        assert len(grants) == discount["granted_count"]
        page = two_brands.done("GET", f"/discount/{discount['id']}/redemptions", ikea.key)["redemptions"]
        for each in page:
            if each["user_id"] == "Ann":
                continue
            assert each["user_id"].startswith("forgotten-")
            if each["state"] == "held":
                assert two_brands.done("POST", f"/redemption/{each['id']}/confirm", ikea.key)["state"] == "redeemed"
            done = two_brands.done("POST", f"/redemption/{each['id']}/rollback", ikea.key)
            assert done["state"] == "rolled-back"
        after = two_brands.done("GET", f"/discount/{discount['id']}", ikea.key)
        assert (after["on_hold_count"], after["redeemed_count"]) == (0, len([p for p in page if p["user_id"] == "Ann"]))


def test_a_forgotten_user_who_returns_is_a_new_user(two_brands: TwoBrands, shops: list[Shop]) -> None:
    two_brands.done("DELETE", f"/user/{NAME}", ADMIN)
    ikea = shops[0]
    again = two_brands.ask("POST", f"/discount/{ikea.discount}/grant", signed(NAME), json={"user_id": NAME})
    assert again.status_code == 201


def test_a_user_is_not_forgotten_by_users(two_brands: TwoBrands, shops: list[Shop]) -> None:
    check_problem(two_brands.ask("DELETE", f"/user/{NAME}", signed(NAME)), 403, "forbidden")
    assert len(two_brands.done("GET", f"/user/{NAME}/grants", shops[0].key)["grants"]) == 3


def fill_outbox(two_brands: TwoBrands, brand: str, count: int) -> None:
    """Add events of other users to a brand's partition."""
    stream = keys.events(keys.partition_of(brand, 16))
    pipeline = two_brands.redis.pipeline()
    for number in range(count):
        pipeline.xadd(stream, {"type": "code.granted", "at": str(number), "brand": brand, "user": "Bob", "code": "X"})
    pipeline.execute()


@pytest.mark.parametrize("user", [NAME, "nobody"])
def test_forgetting_costs_the_same_for_any_number_of_other_events(
    two_brands: TwoBrands, shops: list[Shop], user: str
) -> None:
    trips = []
    for extra in (0, 3000):
        fill_outbox(two_brands, "IKEA", extra)
        if user == NAME:
            two_brands.done("POST", f"/discount/{shops[0].discount}/grant", shops[0].key, json={"user_id": NAME})
        before = two_brands.trips
        report = two_brands.done("DELETE", f"/user/{user}", shops[0].key)
        trips.append(two_brands.trips - before)
        assert (report["events"] > 0) == (user == NAME)
    # The first time the user holds and has redeemed more.
    assert trips[1] <= trips[0]


def test_an_event_moved_by_a_backward_clock_is_found(two_brands: TwoBrands, shops: list[Shop]) -> None:
    stream = keys.events(keys.partition_of("IKEA", 16))
    fill_outbox(two_brands, "IKEA", 2000)
    place, fields = next(row for row in two_brands.redis.xrange(stream) if row[1].get("user") == NAME)
    two_brands.redis.xdel(stream, place)
    two_brands.redis.xadd(stream, fields)
    two_brands.done("DELETE", f"/user/{NAME}", ADMIN)
    assert NAME not in everything(two_brands)


def test_an_event_among_many_of_the_same_moment_is_found(two_brands: TwoBrands, shops: list[Shop]) -> None:
    stream = keys.events(keys.partition_of("IKEA", 16))
    rows = two_brands.redis.xrange(stream)
    two_brands.redis.delete(stream)
    # All at one time, the user's behind a page of others.
    at = next(fields["at"] for _, fields in rows if fields.get("user") == NAME)
    others = {"type": "code.granted", "at": at, "brand": "IKEA", "user": "Bob", "code": "X"}
    for number in range(1, 51):
        two_brands.redis.xadd(stream, others, id=f"{int(at) // 1000}-{number}")
    for number, (_, fields) in enumerate(rows, 51):
        two_brands.redis.xadd(stream, fields, id=f"{max(int(fields['at']) // 1000, int(at) // 1000)}-{number}")
    two_brands.done("DELETE", f"/user/{NAME}", ADMIN)
    assert NAME not in everything(two_brands)


def test_the_event_of_an_earlier_hold_of_an_order_is_found(two_brands: TwoBrands, shops: list[Shop]) -> None:
    ikea = shops[0]
    page = two_brands.done("GET", f"/user/{NAME}/redemptions", ikea.key)["redemptions"]
    held = next(each for each in page if each["state"] == "held")
    at = str(records.get(two_brands.redis, held["id"]).at)
    # Its time is over.
    records.change(two_brands.redis, held["id"], hold_until=at)
    two_brands.redis.zrem(keys.holds(keys.partition_of("IKEA", 16), held["discount_id"]), held["id"])
    body = {"discount_id": held["discount_id"], "user_id": NAME, "code": held["code"], "order": held["order"]}
    assert two_brands.done("POST", "/redemption", ikea.key, json=body)["id"] == held["id"]
    assert records.get(two_brands.redis, held["id"]).words["e"] == at
