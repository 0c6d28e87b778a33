"""Audiences over HTTP: groups, lists and orders, at the grant and at the checkout, and the calls of their page."""

from typing import Any

import pytest

from tests.api.client import Client
from tests.api.page_calls import send_calls

DISCOUNT: dict[str, Any] = {"brand_id": "IKEA", "discount_code": "Family", "total_count": 10, "percent_off": 10}


def opened(client: Client, audience: dict[str, Any], **more: Any) -> str:
    made = client.http.post("/discount", json=DISCOUNT | {"audience": audience} | more)
    assert made.status_code == 201, made.text
    assert made.get_json()["audience"] == {"at": "both"} | audience
    return str(made.get_json()["id"])


def grant(client: Client, discount_id: str, user: str, **more: Any) -> tuple[int, Any]:
    answer = client.http.post(f"/discount/{discount_id}/grant", json={"user_id": user} | more)
    return answer.status_code, answer.get_json()


def upload(client: Client, name: str, *users: str) -> Any:
    body = "\n".join(users)
    answer = client.http.post(f"/brand/IKEA/list/{name}", data=body, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def test_the_calls_of_the_page_work_from_top_to_bottom(client: Client) -> None:
    answers = send_calls(client, "audience.md")
    assert [status for status, _ in answers] == [201, 200, 200, 201, 200, 200]
    _, added, contact, redeemed, validated, shown = (body for _, body in answers)
    assert (added["added_count"], added["repeated_count"], added["bad_count"]) == (2, 1, 0)
    assert (contact["groups"], redeemed["discount_amount"], shown["users_count"]) == (["family"], 500, 2)
    assert [(each["word"], each["condition"]) for each in validated["reasons"]] == [
        ("not-in-audience", "groups"),
        ("not-in-audience", "orders_at_least"),
    ]
    assert [validated["reasons"][1][name] for name in ("least", "stated")] == [3, 1]
    assert (validated["valid"], validated["discount_amount"]) == (False, 500)


def test_only_users_of_the_audience_are_granted_a_code(client: Client) -> None:
    discount_id = opened(client, {"groups": ["vip"], "lists": ["a", "b"]})
    upload(client, "b", "Ann")
    client.http.put("/user/Bo?brand_id=IKEA", json={"email": None, "groups": ["staff", "vip"]})
    client.http.put("/user/Di?brand_id=Billy", json={"email": None, "groups": ["vip"]})
    assert grant(client, discount_id, "Ann")[0] == 201
    assert grant(client, discount_id, "Bo", email="bo@example.com", metadata={"a": "b"})[0] == 201
    assert grant(client, discount_id, "Cy", customer={"groups": ["vip"]})[0] == 201
    status, problem = grant(client, discount_id, "Di")
    assert (status, problem["type"], problem["condition"]) == (409, "/problems/not-in-audience", "groups")
    assert "stated" not in problem


def test_a_user_who_holds_a_code_gets_it_again_without_a_judgement(client: Client) -> None:
    discount_id = opened(client, {"first_order": True, "at": "grant"})
    first = grant(client, discount_id, "Ann", customer={"orders": 0})
    assert first[0] == 201
    again = grant(client, discount_id, "Ann", customer={"orders": 5})
    assert (again[0], again[1]["code"]) == (200, first[1]["code"])
    assert grant(client, discount_id, "Bo", customer={"orders": 5})[1]["stated"] == 5
    assert grant(client, discount_id, "Bo")[1]["detail"] == "The caller has to state it in `customer`."


def test_many_users_are_judged_at_once_and_each_has_an_outcome(client: Client) -> None:
    discount_id = opened(client, {"lists": ["a"]})
    upload(client, "a", "Ann", "Bo")
    answer = client.http.post(f"/discount/{discount_id}/grants", json={"user_ids": ["Ann", "Cy", "Bo", "Cy", "Ann"]})
    outcomes = answer.get_json()["grants"]
    assert [each.get("refusal") for each in outcomes] == [None, "not-in-audience", None, "not-in-audience", None]
    assert client.http.get(f"/discount/{discount_id}").get_json()["granted_count"] == 2


def test_a_grant_of_the_brand_passes_over_discounts_for_other_users(client: Client) -> None:
    plain = client.http.post("/discount", json=DISCOUNT).get_json()["id"]
    vip = opened(client, {"groups": ["vip"]})
    for user, customer, expected in (("Ann", {"groups": ["vip"]}, vip), ("Bo", {}, plain)):
        answer = client.http.post("/brand/IKEA/grant", json={"user_id": user, "customer": customer})
        assert answer.get_json()["discount_id"] == expected


def test_at_the_checkout_a_wrong_code_says_nothing_of_the_audience(client: Client) -> None:
    opened(client, {"groups": ["vip"], "at": "checkout"}, codes={"kind": "shared", "code": "VIP"}, total_count=None)
    body = {"brand_id": "IKEA", "user_id": "Ann", "order": {"id": "1", "amount": 1000, "currency": "EUR"}}
    wrong = client.http.post("/redemption", json=body | {"code": "nothing"})
    assert (wrong.status_code, wrong.get_json()["type"]) == (404, "/problems/not-granted")
    right = client.http.post("/redemption", json=body | {"code": "vip"})
    assert (right.status_code, right.get_json()["condition"]) == (409, "groups")
    member = body | {"code": "vip", "customer": {"groups": ["vip"]}}
    assert client.http.post("/redemption", json=member).status_code == 201
    # The order has its answer, whatever is stated now.
    assert client.http.post("/redemption", json=body | {"code": "vip"}).status_code == 200


def test_a_list_is_shown_grown_and_deleted(client: Client) -> None:
    discount_id = opened(client, {"lists": ["a"]})
    done = upload(client, "a", "Ann", "x" * 129, "Bo", "b\x00d", "Ann")
    assert (done["added_count"], done["repeated_count"], done["bad_count"], done["bad_lines"]) == (2, 1, 2, [2, 4])
    assert upload(client, "a", "Ann", "Cy")["added_count"] == 1
    assert client.http.get("/brand/IKEA/list").get_json() == {
        "lists": [{"brand_id": "IKEA", "name": "a", "users_count": 3}]
    }
    assert grant(client, discount_id, "Cy")[0] == 201
    assert client.http.delete("/brand/IKEA/list/a").get_json()["users_count"] == 3
    assert client.http.delete("/brand/IKEA/list/a").status_code == 404
    assert grant(client, discount_id, "Ann")[0] == 409
    assert client.http.get("/brand/IKEA/list").get_json() == {"lists": []}


def test_a_forgotten_user_is_on_no_list_and_in_no_group(client: Client) -> None:
    discount_id = opened(client, {"lists": ["a"], "groups": ["vip"]})
    upload(client, "a", "Ann", "Bo")
    client.http.put("/user/Ann?brand_id=IKEA", json={"email": None, "groups": ["vip"]})
    assert client.http.delete("/user/Ann").status_code == 200
    assert client.http.get("/brand/IKEA/list/a").get_json()["users_count"] == 1
    assert grant(client, discount_id, "Ann")[0] == 409
    assert grant(client, discount_id, "Bo")[0] == 201


AUDIENCES: list[tuple[Any, str]] = [
    *[(value, "/audience") for value in [5, [], "vip", {}, {"at": "grant"}, {"groups": []}]],
    *[({"groups": value}, "/audience/groups") for value in ["vip", 5, ["a"] * 51]],
    *[({"groups": [value]}, "/audience/groups/0") for value in ["", "a b", "x" * 65, 5, None]],
    *[({"lists": [value]}, "/audience/lists/0") for value in ["", "a b", "..", "x" * 65, 5]],
    ({"lists": ["a"] * 11}, "/audience/lists"),
    ({"first_order": 1}, "/audience/first_order"),
    *[({name: value}, f"/audience/{name}") for name in ("orders_at_least", "spent_at_least") for value in [0, -1, "5"]],
    ({"first_order": True, "orders_at_least": 1}, "/audience/orders_at_least"),
    ({"groups": ["a"], "at": "always"}, "/audience/at"),
]


@pytest.mark.parametrize(("audience", "place"), AUDIENCES, ids=lambda value: repr(value)[:40])
def test_a_bad_audience_is_named(client: Client, audience: Any, place: str) -> None:
    client.refused("POST", "/discount", 422, "invalid", place, json=DISCOUNT | {"audience": audience})
