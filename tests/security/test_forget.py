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

NAME = "Ånn-of-4711"


@pytest.fixture
def shops(world: TwoBrands) -> list[Shop]:
    """Two brands, of which the user holds all kinds of codes and has redemptions, rollbacks and holds."""
    found = []
    for brand in ("IKEA", "Other"):
        shop = world.open_shop(brand)
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
            discount = world.done("POST", "/discount", shop.key, json=body)["id"]
            code = world.done("POST", f"/discount/{discount}/grant", shop.key, json={"user_id": NAME})["code"]
            mine = Shop(brand, shop.key, discount, code, "")
            for order in ("kept", "undone", "held"):
                body = checkout(mine, f"{order}-{number}", NAME) | ({"hold_seconds": 600} if order == "held" else {})
                made_id = world.done("POST", "/redemption", shop.key, json=body)["id"]
                if order == "undone":
                    reason = {"reason": f"{NAME} asked for it"}
                    world.done("POST", f"/redemption/{made_id}/rollback", shop.key, json=reason)
        found.append(shop)
    return found


def everything(world: TwoBrands) -> str:
    """Return all data in Redis as text."""
    found = []
    for key in world.redis.keys("*"):
        kind = world.redis.type(key)
        read = {
            "hash": world.redis.hgetall,
            "string": world.redis.get,
            "set": world.redis.smembers,
            "list": lambda name: world.redis.lrange(name, 0, -1),
            "zset": lambda name: world.redis.zrange(name, 0, -1),
            "stream": world.redis.xrange,
        }[kind]
        try:
            found.append(f"{key} {read(key)}")
        except UnicodeDecodeError:
            # Digests and bitmaps.
            continue
    return "\n".join(found)


def counts(world: TwoBrands, shop: Shop) -> list[Any]:
    page = world.done("GET", f"/discount?brand_id={shop.brand}", shop.key)
    return [
        {name: each[name] for name in each if name.endswith("_count") or name == "sums"} for each in page["discounts"]
    ]


def test_nothing_names_the_user_any_more_and_every_count_stays(world: TwoBrands, shops: list[Shop]) -> None:
    before = [counts(world, shop) for shop in shops]
    assert NAME in everything(world)
    report = world.done("DELETE", f"/user/{NAME}", ADMIN)
    assert (report["user_id"], report["grants"], report["redemptions"]) == (NAME, 6, 18)
    assert report["events"] > 0
    found = everything(world)
    for text in (NAME, "ann-of-4711", "asked for it"):
        assert text not in found
    assert [counts(world, shop) for shop in shops] == before
    for shop in shops:
        assert world.done("GET", f"/user/{NAME}/grants", shop.key)["grants"] == []
        assert world.done("GET", f"/user/{NAME}/redemptions", shop.key)["redemptions"] == []
    again = world.done("DELETE", f"/user/{NAME}", ADMIN)
    assert again == {"user_id": NAME, "grants": 0, "redemptions": 0, "events": 0}


def test_what_others_have_stays_as_it_is(world: TwoBrands, shops: list[Shop]) -> None:
    before = [world.done("GET", f"/user/Ann/{what}", shops[0].key) for what in ("grants", "redemptions")]
    world.done("DELETE", f"/user/{NAME}", ADMIN)
    assert [world.done("GET", f"/user/Ann/{what}", shops[0].key) for what in ("grants", "redemptions")] == before


def test_a_brand_forgets_what_it_keeps_itself(world: TwoBrands, shops: list[Shop]) -> None:
    ikea, other = shops
    report = world.done("DELETE", f"/user/{NAME}", ikea.key)
    assert (report["grants"], report["redemptions"]) == (3, 9)
    assert world.done("GET", f"/user/{NAME}/grants", ikea.key)["grants"] == []
    assert len(world.done("GET", f"/user/{NAME}/grants", other.key)["grants"]) == 3
    assert len(world.done("GET", f"/user/{NAME}/redemptions", other.key)["redemptions"]) == 9
    tag = f"{{{keys.partition_of('IKEA', 16):02x}}}"
    assert not [line for line in everything(world).splitlines() if line.startswith(tag) and NAME in line]


def test_what_was_forgotten_can_still_be_listed_confirmed_and_undone(world: TwoBrands, shops: list[Shop]) -> None:
    ikea = shops[0]
    world.done("DELETE", f"/user/{NAME}", ADMIN)
    for discount in world.done("GET", "/discount", ikea.key)["discounts"]:
        grants = world.done("GET", f"/discount/{discount['id']}/grants", ikea.key)["grants"]
        assert len(grants) == discount["granted_count"]
        page = world.done("GET", f"/discount/{discount['id']}/redemptions", ikea.key)["redemptions"]
        for each in page:
            if each["user_id"] == "Ann":
                continue
            assert each["user_id"].startswith("forgotten-")
            if each["state"] == "held":
                assert world.done("POST", f"/redemption/{each['id']}/confirm", ikea.key)["state"] == "redeemed"
            done = world.done("POST", f"/redemption/{each['id']}/rollback", ikea.key)
            assert done["state"] == "rolled-back"
        after = world.done("GET", f"/discount/{discount['id']}", ikea.key)
        assert (after["on_hold_count"], after["redeemed_count"]) == (0, len([p for p in page if p["user_id"] == "Ann"]))


def test_a_user_who_comes_back_is_a_new_one(world: TwoBrands, shops: list[Shop]) -> None:
    world.done("DELETE", f"/user/{NAME}", ADMIN)
    ikea = shops[0]
    again = world.ask("POST", f"/discount/{ikea.discount}/grant", signed(NAME), json={"user_id": NAME})
    assert again.status_code == 201


def test_a_user_is_not_forgotten_by_users(world: TwoBrands, shops: list[Shop]) -> None:
    check_problem(world.ask("DELETE", f"/user/{NAME}", signed(NAME)), 403, "forbidden")
    assert len(world.done("GET", f"/user/{NAME}/grants", shops[0].key)["grants"]) == 3


def fill_outbox(world: TwoBrands, brand: str, count: int) -> None:
    """Add events of other users to a brand's partition."""
    stream = keys.events(keys.partition_of(brand, 16))
    pipeline = world.redis.pipeline()
    for number in range(count):
        pipeline.xadd(stream, {"type": "code.granted", "at": str(number), "brand": brand, "user": "Bob", "code": "X"})
    pipeline.execute()


@pytest.mark.parametrize("user", [NAME, "nobody"])
def test_forgetting_costs_the_same_however_many_events_others_have(
    world: TwoBrands, shops: list[Shop], user: str
) -> None:
    trips = []
    for extra in (0, 3000):
        fill_outbox(world, "IKEA", extra)
        if user == NAME:
            world.done("POST", f"/discount/{shops[0].discount}/grant", shops[0].key, json={"user_id": NAME})
        before = world.trips
        report = world.done("DELETE", f"/user/{user}", shops[0].key)
        trips.append(world.trips - before)
        assert (report["events"] > 0) == (user == NAME)
    # The first time the user holds and has redeemed more.
    assert trips[1] <= trips[0]


def test_an_event_that_stands_elsewhere_since_a_clock_went_back_is_found(world: TwoBrands, shops: list[Shop]) -> None:
    stream = keys.events(keys.partition_of("IKEA", 16))
    fill_outbox(world, "IKEA", 2000)
    place, fields = next(row for row in world.redis.xrange(stream) if row[1].get("user") == NAME)
    world.redis.xdel(stream, place)
    world.redis.xadd(stream, fields)
    world.done("DELETE", f"/user/{NAME}", ADMIN)
    assert NAME not in everything(world)


def test_an_event_among_many_of_the_same_moment_is_found(world: TwoBrands, shops: list[Shop]) -> None:
    stream = keys.events(keys.partition_of("IKEA", 16))
    rows = world.redis.xrange(stream)
    world.redis.delete(stream)
    # All at one time, the user's behind a page of others.
    at = next(fields["at"] for _, fields in rows if fields.get("user") == NAME)
    others = {"type": "code.granted", "at": at, "brand": "IKEA", "user": "Bob", "code": "X"}
    for number in range(1, 51):
        world.redis.xadd(stream, others, id=f"{int(at) // 1000}-{number}")
    for number, (_, fields) in enumerate(rows, 51):
        world.redis.xadd(stream, fields, id=f"{max(int(fields['at']) // 1000, int(at) // 1000)}-{number}")
    world.done("DELETE", f"/user/{NAME}", ADMIN)
    assert NAME not in everything(world)


def test_what_was_told_of_an_earlier_hold_of_an_order_is_found(world: TwoBrands, shops: list[Shop]) -> None:
    ikea = shops[0]
    page = world.done("GET", f"/user/{NAME}/redemptions", ikea.key)["redemptions"]
    held = next(each for each in page if each["state"] == "held")
    record = keys.redemption(keys.partition_of("IKEA", 16), held["id"])
    at = world.redis.hget(record, "at")
    # Its time is over.
    world.redis.hset(record, "hold_until", at)
    world.redis.zrem(keys.holds(keys.partition_of("IKEA", 16), held["discount_id"]), held["id"])
    body = {"discount_id": held["discount_id"], "user_id": NAME, "code": held["code"], "order": held["order"]}
    assert world.done("POST", "/redemption", ikea.key, json=body)["id"] == held["id"]
    assert world.redis.hget(record, "earlier_at").split() == [at]
