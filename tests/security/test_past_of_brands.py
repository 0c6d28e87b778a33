"""Find, figures and changes with every sort of token: nothing of one brand reaches another."""

from dataclasses import dataclass
from typing import Any

import pytest

from discount.ledger.database import Database
from discount.ledger.tallies import TallyReader
from discount.services import tallies
from discount.store import keys
from tests.security.issuer import signed, unsigned
from tests.security.two_brands import ADMIN, Shop, TwoBrands, checkout

#: What is known only inside the brand Other: a user, names, texts, amounts.
MARKS = ("Zoe", "Hush", "order-of-Other", "secret-note", "987654", "kept back", "invalid-reason")


@dataclass
class Call:
    """A call about the past of a brand."""

    method: str
    path: str
    body: dict[str, Any] | None = None


def open_other(two_brands: TwoBrands) -> Shop:
    """Open the brand Other, and leave its marks in every table and in the figures."""
    other = two_brands.open_shop("Other")
    body = {"brand_id": "Other", "discount_code": "Hush", "total_count": 2, "metadata": {"of": "secret-note"}}
    other.discount = two_brands.done("POST", "/discount", other.key, json=body)["id"]
    grant = f"/discount/{other.discount}/grant"
    other.code = two_brands.done("POST", grant, other.key, json={"user_id": "Zoe"})["code"]
    order = checkout(other, "order-of-Other", "Zoe")
    order["order"]["amount"] = 987654
    two_brands.done("POST", "/redemption", other.key, json=order)
    two_brands.done("POST", grant, other.key, json={"user_id": "Zoe-2"})
    revoked = {"user_id": "Zoe-2", "reason": "kept back", "back": "void"}
    two_brands.done("POST", f"{grant}/revoke", other.key, json=revoked)
    two_brands.done("PATCH", f"/discount/{other.discount}", other.key, json={"paused": True})
    two_brands.read_into_ledger()
    store = two_brands.store()
    minute = store.now() // 60_000_000 * 60_000_000
    partition = keys.partition_of("Other", store.partitions)
    store.command("HSET", keys.tallies(partition), f"{minute} {other.discount} {tallies.NO_GRANT}invalid-reason", 1)
    TallyReader(store, Database(two_brands.settings.ledger_url), lambda: [partition]).turn()
    return other


def calls_about(shop: Shop, other: str, change: str) -> list[Call]:
    """Return every way to ask for a shop's past; `other` is a brand that the caller may name instead."""
    found = [
        *(Call("POST", "/code", {"brand_id": brand, "code": shop.code}) for brand in (shop.brand, other)),
        Call("POST", "/code", {"code": shop.code}),
        Call("GET", f"/change?brand_id={shop.brand}"),
        Call("GET", f"/change?discount_id={shop.discount}"),
        Call("GET", f"/change?brand_id={other}&discount_id={shop.discount}"),
        Call("GET", f"/change?after={change}"),
        Call("GET", f"/change?brand_id={other}&after={change}"),
        Call("GET", f"/change?brand_id={shop.brand}&discount_id={shop.discount}&limit=1000"),
    ]
    for step in ("minute", "hour", "day"):
        found.append(Call("GET", f"/discount/{shop.discount}/figures?step={step}"))
        found.append(Call("GET", f"/brand/{shop.brand}/figures?step={step}"))
    return found


@pytest.fixture
def other(two_brands: TwoBrands) -> Shop:
    return open_other(two_brands)


def change_of(two_brands: TwoBrands, shop: Shop) -> str:
    return str(two_brands.done("GET", "/change?limit=1", shop.key)["changes"][0]["id"])


def ask(two_brands: TwoBrands, call: Call, token: str | None) -> tuple[int, str]:
    answer = two_brands.ask(call.method, call.path, token, **({"json": call.body} if call.body else {}))
    return answer.status_code, answer.text


def test_no_token_shows_the_past_of_another_brand(two_brands: TwoBrands, other: Shop) -> None:
    ikea = two_brands.open_shop("IKEA")
    two_brands.read_into_ledger()
    tokens = {
        "none": None,
        "garbage": "garbage",
        "unsigned": unsigned(),
        "admin": ADMIN,
        "another brand": ikea.key,
        "another brand, to read": two_brands.make_key("IKEA", "read"),
        "another brand, all but to read": two_brands.make_key("IKEA", "manage", "grant", "redeem"),
        "its own brand, but not to read": two_brands.make_key("Other", "manage", "grant", "redeem"),
        "its user": signed("Zoe"),
        "another user": signed("Ann"),
    }
    calls = calls_about(other, "IKEA", change_of(two_brands, other))
    for sort, token in tokens.items():
        for call in calls:
            status, text = ask(two_brands, call, token)
            of_own = "brand_id=IKEA" in call.path or "another brand" in sort
            assert status in ((200, 401, 403, 404, 422) if of_own else (401, 403, 404)), (sort, call)
            assert [mark for mark in MARKS if mark in text] == [], (sort, call)
            # Whoever may not read at all learns nothing, not even whether there is such a thing.
            if sort in ("none", "garbage", "unsigned"):
                assert status == 401
            if sort == "admin" or "not to read" in sort or "all but" in sort or "user" in sort:
                assert status == 403


def test_a_key_of_the_brand_sees_all_of_it(two_brands: TwoBrands, other: Shop) -> None:
    two_brands.open_shop("IKEA")
    calls = calls_about(other, "Other", change_of(two_brands, other))
    for token in (other.key, two_brands.make_key("Other", "read")):
        answers = [ask(two_brands, call, token) for call in calls]
        assert {status for status, _ in answers} == {200}
        seen = "".join(text for _, text in answers)
        # The user whose code was taken back has another code.
        assert [mark for mark in MARKS if mark not in seen] == ["kept back"]
        of_grants = two_brands.done("GET", f"/discount/{other.discount}/grants", other.key)["grants"]
        assert [each["user_id"] for each in of_grants] == ["Zoe"]
