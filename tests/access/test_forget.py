"""A user is forgotten: nothing that is kept names the user any more, and every count stays."""

from typing import Any

import pytest

from discount.store import keys
from tests.access.issuer import signed
from tests.access.world import ADMIN, Shop, World, checkout
from tests.http.client import check_problem

NAME = "Ånn-of-4711"


@pytest.fixture
def shops(world: World) -> list[Shop]:
    """Two brands, of which the user holds all kinds of code, has redeemed, rolled back and holds."""
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


def everything(world: World) -> str:
    """All that Redis holds, as text."""
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


def counts(world: World, shop: Shop) -> list[Any]:
    page = world.done("GET", f"/discount?brand_id={shop.brand}", shop.key)
    return [
        {name: each[name] for name in each if name.endswith("_count") or name == "sums"} for each in page["discounts"]
    ]


def test_nothing_names_the_user_any_more_and_every_count_stays(world: World, shops: list[Shop]) -> None:
    before = [counts(world, shop) for shop in shops]
    assert NAME in everything(world)
    told = world.done("DELETE", f"/user/{NAME}", ADMIN)
    assert (told["user_id"], told["grants"], told["redemptions"]) == (NAME, 6, 18)
    assert told["events"] > 0
    found = everything(world)
    for text in (NAME, "ann-of-4711", "asked for it"):
        assert text not in found
    assert [counts(world, shop) for shop in shops] == before
    for shop in shops:
        assert world.done("GET", f"/user/{NAME}/grants", shop.key)["grants"] == []
        assert world.done("GET", f"/user/{NAME}/redemptions", shop.key)["redemptions"] == []
    again = world.done("DELETE", f"/user/{NAME}", ADMIN)
    assert again == {"user_id": NAME, "grants": 0, "redemptions": 0, "events": 0}


def test_what_others_have_stays_as_it_is(world: World, shops: list[Shop]) -> None:
    before = [world.done("GET", f"/user/Ann/{what}", shops[0].key) for what in ("grants", "redemptions")]
    world.done("DELETE", f"/user/{NAME}", ADMIN)
    assert [world.done("GET", f"/user/Ann/{what}", shops[0].key) for what in ("grants", "redemptions")] == before


def test_a_brand_forgets_what_it_keeps_itself(world: World, shops: list[Shop]) -> None:
    ikea, other = shops
    told = world.done("DELETE", f"/user/{NAME}", ikea.key)
    assert (told["grants"], told["redemptions"]) == (3, 9)
    assert world.done("GET", f"/user/{NAME}/grants", ikea.key)["grants"] == []
    assert len(world.done("GET", f"/user/{NAME}/grants", other.key)["grants"]) == 3
    assert len(world.done("GET", f"/user/{NAME}/redemptions", other.key)["redemptions"]) == 9
    tag = f"{{{keys.partition_of('IKEA', 16):02x}}}"
    assert not [line for line in everything(world).splitlines() if line.startswith(tag) and NAME in line]


def test_what_was_forgotten_can_still_be_listed_confirmed_and_undone(world: World, shops: list[Shop]) -> None:
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


def test_a_user_who_comes_back_is_a_new_one(world: World, shops: list[Shop]) -> None:
    world.done("DELETE", f"/user/{NAME}", ADMIN)
    ikea = shops[0]
    again = world.ask("POST", f"/discount/{ikea.discount}/grant", signed(NAME), json={"user_id": NAME})
    assert again.status_code == 201


def test_a_user_is_not_forgotten_by_users(world: World, shops: list[Shop]) -> None:
    check_problem(world.ask("DELETE", f"/user/{NAME}", signed(NAME)), 403, "forbidden")
    assert len(world.done("GET", f"/user/{NAME}/grants", shops[0].key)["grants"]) == 3
