"""Several codes for one order over HTTP, and the codes that fit an order: what is answered, and what is refused."""

from typing import Any

import pytest

from tests.api.client import Client, check_problem

ORDER = {"id": "A-1", "amount": 10_000, "currency": "EUR"}
BODY = {"brand_id": "IKEA", "user_id": "User 1", "codes": ["TEN", "FIVE"], "order": ORDER}
ALL = {"brand_id": "IKEA", "user_id": "User 1", "order": ORDER}


@pytest.fixture
def discounts(client: Client) -> list[str]:
    """Create 10 % off and 5.00 off, which go together, and return their ids."""
    rules: list[tuple[str, dict[str, Any]]] = [
        ("TEN", {"percent_off": 10}),
        ("FIVE", {"amount_off": 500, "currency": "EUR"}),
    ]
    return [
        client.create(
            total_count=None, codes={"kind": "shared", "code": code}, combines="all", limits={"per_user": None}, **rule
        )["id"]
        for code, rule in rules
    ]


def test_several_codes_are_redeemed_once(client: Client, discounts: list[str]) -> None:
    made = client.http.post("/redemption", json=BODY)
    again = client.http.post("/redemption", json=BODY)
    assert (made.status_code, again.status_code) == (201, 200)
    assert made.get_json() == again.get_json()
    found = made.get_json()
    assert (found["discount_amount"], found["amount_to_pay"]) == (1500, 8500)
    assert [each["discount_id"] for each in found["redemptions"]] == discounts
    for discount in discounts:
        listed = client.http.get(f"/discount/{discount}/redemptions").get_json()["redemptions"]
        assert [each["redeemed_with"] for each in listed] == [
            [each["id"] for each in found["redemptions"] if each["discount_id"] != discount]
        ]
    listed = client.http.get("/user/User 1/redemptions").get_json()["redemptions"]
    assert len(listed) == 2


def test_a_refusal_names_the_refused_code(client: Client, discounts: list[str]) -> None:
    client.http.patch(f"/discount/{discounts[1]}", json={"limits": {"total": 0}})
    problem = check_problem(client.http.post("/redemption", json=BODY), 409, "limit-reached")
    assert (problem["code"], problem["limit"]) == ("FIVE", "total")
    problem = check_problem(client.http.post("/redemption", json=BODY | {"codes": ["WRONG"]}), 404, "not-granted")
    assert problem["code"] == "WRONG"
    client.create(total_count=None, codes={"kind": "shared", "code": "ALONE"}, percent_off=5)
    refused = client.http.post("/redemption", json=BODY | {"codes": ["TEN", "ALONE"]})
    problem = check_problem(refused, 409, "not-combinable")
    assert {problem["code"], *problem["codes"]} == {"TEN", "ALONE"}


def test_a_validation_says_what_is_in_the_way_of_each_code(client: Client, discounts: list[str]) -> None:
    client.http.patch(f"/discount/{discounts[1]}", json={"paused": True})
    found = client.http.post("/validation", json=BODY | {"codes": ["TEN", "FIVE", "WRONG"]}).get_json()
    assert (found["valid"], found["discount_amount"]) == (False, 1500)
    words = [[reason["word"] for reason in each["reasons"]] for each in found["codes"]]
    assert words == [[], ["paused"], ["not-granted"]]
    assert [each["valid"] for each in found["codes"]] == [True, False, False]


@pytest.mark.parametrize("path", ["/validation", "/redemption"])
@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"codes": []}, "/codes"),
        ({"codes": ["A"] * 6}, "/codes"),
        ({"codes": "TEN"}, "/codes"),
        ({"codes": None}, "/codes"),
        ({"codes": ["TEN", 5]}, "/codes/1"),
        ({"codes": ["TEN", ""]}, "/codes/1"),
        ({"codes": ["TEN", "ten"]}, "/codes/1"),
        ({"code": "TEN"}, "/codes"),
        ({"discount_id": "dsc-x"}, "/discount_id"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bad_codes_are_named(
    client: Client, discounts: list[str], path: str, changes: dict[str, Any], place: str
) -> None:
    assert discounts
    client.refused("POST", path, 422, "invalid", place, json=BODY | changes)


def test_a_discount_is_not_named_without_a_code(client: Client, discounts: list[str]) -> None:
    body = {name: value for name, value in ALL.items() if name != "brand_id"} | {"discount_id": discounts[0]}
    client.refused("POST", "/validation", 422, "invalid", "/discount_id", json=body)
    client.refused("POST", "/redemption", 422, "invalid", "/code", json=ALL)


@pytest.mark.parametrize("combines", ["some", [], ["order"], ["all"], 5, None])
def test_combines_is_a_word_or_a_list_of_classes(client: Client, combines: Any) -> None:
    body = {"brand_id": "IKEA", "discount_code": "Some", "total_count": 1, "combines": combines}
    answer = client.http.post("/discount", json=body)
    if combines == []:
        assert "combines" not in answer.get_json()
        return
    check_problem(answer, 422, "invalid", "/combines/0" if isinstance(combines, list) else "/combines")


def test_combines_is_shown_as_it_was_given(client: Client) -> None:
    for given in ("all", ["line-percent", "order-amount"]):
        made = client.create(discount_code=str(given), combines=given)
        assert client.http.get(f"/discount/{made['id']}").get_json()["combines"] == given
    assert "combines" not in client.create(discount_code="Alone")


def test_a_validation_without_a_code_shows_all_that_fit(client: Client, discounts: list[str]) -> None:
    found = client.http.post("/validation", json=ALL).get_json()
    assert [(each["code"], each["discount_amount"], each["discount_id"]) for each in found["codes"]] == [
        ("TEN", 1000, discounts[0]),
        ("FIVE", 500, discounts[1]),
    ]
    assert found["best"] == {"codes": ["TEN", "FIVE"], "discount_amount": 1500, "amount_to_pay": 8500}
    assert found["complete"] is True
    nothing = client.http.post("/validation", json=ALL | {"brand_id": "Empty"}).get_json()
    assert nothing == {"codes": [], "best": None, "complete": True}


def test_the_whole_order_is_rolled_back_from_any_of_its_redemptions(client: Client, discounts: list[str]) -> None:
    made = client.http.post("/redemption", json=BODY | {"hold_seconds": 600}).get_json()
    first, second = (each["id"] for each in made["redemptions"])
    assert client.http.post(f"/redemption/{second}/confirm").get_json()["state"] == "redeemed"
    assert client.http.get(f"/redemption/{first}").get_json()["state"] == "redeemed"
    undone = client.http.post(f"/redemption/{second}/rollback", json={"reason": "back", "whole_order": True})
    assert (undone.status_code, undone.get_json()["state"]) == (200, "rolled-back")
    for discount in discounts:
        shown = client.http.get(f"/discount/{discount}").get_json()
        assert (shown["redeemed_count"], shown["rolled_back_count"]) == (0, 1)
    client.refused("POST", f"/redemption/{first}/rollback", 422, "invalid", "/whole_order", json={"whole_order": 1})
