"""Users and shops at the checkout: neither uses up the other's orders, idempotency keys or guesses."""

import pytest

from discount.services import checkouts
from tests.api.client import check_problem
from tests.security.issuer import signed
from tests.security.two_brands import TwoBrands, checkout

KEY = {"Idempotency-Key": "checkout-1001"}


def test_a_user_cannot_take_an_order_number_or_key_of_the_shop(two_brands: TwoBrands) -> None:
    shop = two_brands.open_shop("IKEA")
    for user in ("Ann", "Bo"):
        two_brands.done("POST", f"/discount/{shop.discount}/grant", shop.key, json={"user_id": user})
    code = two_brands.done("GET", f"/discount/{shop.discount}/grant?user_id=Bo", shop.key)["code"]
    held = two_brands.ask(
        "POST", "/redemption", signed("Ann"), json=checkout(shop) | {"hold_seconds": 86_400}, headers=KEY
    ).get_json()
    of_shop = two_brands.ask(
        "POST", "/redemption", shop.key, json=checkout(shop, user="Bo") | {"code": code}, headers=KEY
    )
    assert (held["state"], of_shop.status_code, of_shop.get_json()["state"]) == ("held", 201, "redeemed")
    assert held["id"] != of_shop.get_json()["id"]
    # The user's own repeat is still the user's first one.
    again = two_brands.ask(
        "POST", "/redemption", signed("Ann"), json=checkout(shop) | {"hold_seconds": 86_400}, headers=KEY
    )
    assert (again.status_code, again.get_json()["id"]) == (200, held["id"])
    assert two_brands.ask("POST", f"/redemption/{held['id']}/confirm", signed("Ann")).status_code == 200
    check_problem(two_brands.ask("GET", f"/redemption/{of_shop.get_json()['id']}", signed("Ann")), 404, "not-found")


def test_a_shop_address_is_not_counted_for_its_customers(
    two_brands: TwoBrands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkouts, "ADDRESS_GUESSES", 3)
    shop = two_brands.open_shop("IKEA")
    for number in range(6):
        wrong = checkout(shop, user=f"Customer {number}") | {"code": "WRONG"}
        check_problem(two_brands.ask("POST", "/redemption", shop.key, json=wrong), 404, "not-granted")
    assert two_brands.ask("POST", "/validation", shop.key, json=checkout(shop)).get_json()["valid"]
    for number in range(3):
        wrong = checkout(shop, user=f"User {number}") | {"code": "WRONG"}
        check_problem(two_brands.ask("POST", "/redemption", signed(f"User {number}"), json=wrong), 404, "not-granted")
    check_problem(two_brands.ask("POST", "/redemption", signed("Ann"), json=checkout(shop)), 429, "too-many-guesses")


def test_wrong_codes_count_per_brand_even_after_it_forgets_the_user(two_brands: TwoBrands) -> None:
    shops = [two_brands.open_shop(brand) for brand in ("IKEA", "Other")]
    for shop in shops:
        for _ in range(checkouts.USER_GUESSES):
            two_brands.ask("POST", "/validation", shop.key, json=checkout(shop) | {"code": "WRONG"})
    two_brands.done("DELETE", "/user/Ann", shops[0].key)
    statuses = [two_brands.ask("POST", "/validation", shop.key, json=checkout(shop)).status_code for shop in shops]
    assert statuses == [200, 429]


def test_a_validation_shows_the_detail_of_each_reason(two_brands: TwoBrands) -> None:
    shop = two_brands.open_shop("IKEA")
    two_brands.done("POST", "/redemption", shop.key, json=checkout(shop))
    body = checkout(shop)
    body["order"]["amount"] = 7
    verdict = two_brands.done("POST", "/validation", shop.key, json=body)
    assert verdict["reasons"][0]["word"] == "idempotency-mismatch"
    assert verdict["reasons"][0]["detail"] == "This order was used with another amount."
    wrong = two_brands.done("POST", "/validation", shop.key, json=checkout(shop) | {"code": "WRONG"})
    assert [each["detail"] for each in wrong["reasons"]] == ["The user holds no such code here; check the spelling."]
