"""Bad lines of orders, and bad products of discounts: each fault is named, and nothing changes."""

import json
from typing import Any

import pytest

from tests.api.client import Client

DISCOUNT = {"brand_id": "IKEA", "discount_code": "Some", "codes": {"kind": "shared", "code": "SOME"}, "percent_off": 10}
LINE = {"id": "1", "amount": 500}


def order(lines: Any, amount: int = 500) -> dict[str, Any]:
    body = {"brand_id": "IKEA", "user_id": "User 1", "code": "SOME"}
    return body | {"order": {"id": "A-1", "amount": amount, "currency": "EUR", "lines": lines}}


@pytest.mark.parametrize("path", ["/validation", "/redemption"])
@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (5, "/order/lines"),
        (None, "/order/lines"),
        ([5], "/order/lines/0"),
        ([{"amount": 500}], "/order/lines/0/id"),
        ([{"id": "1"}], "/order/lines/0/amount"),
        ([LINE | {"id": ""}], "/order/lines/0/id"),
        ([LINE | {"id": "x" * 65}], "/order/lines/0/id"),
        ([LINE | {"id": "a\nb"}], "/order/lines/0/id"),
        ([LINE | {"amount": -1}], "/order/lines/0/amount"),
        ([LINE | {"amount": 1.5}], "/order/lines/0/amount"),
        ([LINE | {"quantity": 0}], "/order/lines/0/quantity"),
        ([LINE | {"quantity": 10**6 + 1}], "/order/lines/0/quantity"),
        ([LINE | {"sku": ""}], "/order/lines/0/sku"),
        ([LINE | {"category": 5}], "/order/lines/0/category"),
        ([LINE | {"price": 5}], "/order/lines/0/price"),
        ([{"id": "1", "amount": 499}], "/order/lines"),
        ([{"id": "1", "amount": 250}, {"id": "1", "amount": 250}], "/order/lines/1/id"),
        ([{"id": str(n), "amount": 1} for n in range(501)], "/order/lines"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_bad_line_is_named(client: Client, path: str, lines: Any, place: str) -> None:
    client.refused("POST", path, 422, "invalid", place, json=order(lines))


def test_a_repeated_field_of_a_line_is_refused(client: Client) -> None:
    text = json.dumps(order([LINE])).replace('"amount": 500}]', '"amount": 500, "amount": 500}]')
    answer = client.http.post("/redemption", data=text, content_type="application/json")
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"applies_to": {}}, "/applies_to"),
        ({"applies_to": {"skus": [], "categories": []}}, "/applies_to"),
        ({"applies_to": {"skus": "A"}}, "/applies_to/skus"),
        ({"applies_to": {"skus": [""]}}, "/applies_to/skus/0"),
        ({"applies_to": {"skus": ["x" * 65]}}, "/applies_to/skus/0"),
        ({"applies_to": {"brands": ["A"]}}, "/applies_to/brands"),
        ({"applies_to": {"skus": [str(n) for n in range(101)]}}, "/applies_to/skus"),
        ({"except": {}}, "/except"),
        ({"except": {"categories": [5]}}, "/except/categories/0"),
        ({"except_": {"skus": ["A"]}}, "/except_"),
        ({"minimum_quantity": 0}, "/minimum_quantity"),
        ({"per": "piece"}, "/per"),
        ({"cheapest_lines": 0}, "/cheapest_lines"),
        ({"dearest_lines": 501}, "/dearest_lines"),
        ({"cheapest_lines": 1, "dearest_lines": 1}, "/dearest_lines"),
        ({"percent_off": None, "cheapest_lines": 1}, "/cheapest_lines"),
        ({"percent_off": None, "per": "line"}, "/per"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bad_products_of_a_discount_are_named(client: Client, given: dict[str, Any], place: str) -> None:
    client.refused("POST", "/discount", 422, "invalid", place, json=DISCOUNT | given)


def test_an_order_of_500_lines_is_redeemed(client: Client) -> None:
    client.create(**DISCOUNT | {"applies_to": {"categories": ["x*"]}, "per": "line", "total_count": None})
    lines = [
        {"id": f"{n}".zfill(64), "amount": 999, "sku": f"{n}".zfill(64), "category": "x" * 64, "quantity": 2}
        for n in range(500)
    ]
    answer = client.http.post("/redemption", json=order(lines, 500 * 999))
    assert answer.status_code == 201, answer.text
    found = answer.get_json()
    assert [each["discount_amount"] for each in found["lines"]] == [100] * 500
    assert found["discount_amount"] == 50_000
    again = client.http.post("/redemption", json=order(lines, 500 * 999))
    assert (again.status_code, again.get_json()["lines"]) == (200, found["lines"])


def test_a_discount_shows_what_it_is_for_and_says_nothing_of_the_rest(client: Client) -> None:
    given = {"applies_to": {"skus": ["A", "B*"]}, "except": {"categories": ["C"]}, "minimum_quantity": 2}
    made = client.create(**DISCOUNT | given | {"cheapest_lines": 1, "total_count": None})
    shown = client.http.get(f"/discount/{made['id']}").get_json()
    assert {name: shown[name] for name in given} == given
    assert shown["cheapest_lines"] == 1
    assert {"per", "dearest_lines"}.isdisjoint(shown)
    plain = client.create(discount_code="Plain")
    assert {"applies_to", "except", "except_", "minimum_quantity", "per"}.isdisjoint(plain)
    event = client.http.get("/event?brand_id=IKEA&types=discount.created").get_json()["events"][0]
    definition = event["data"]["definition"]
    assert {name: definition[name] for name in given} == given
