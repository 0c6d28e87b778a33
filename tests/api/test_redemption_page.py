"""The calls in the pages for checkouts work from top to bottom."""

from tests.api.client import Client
from tests.api.page_calls import send_calls


def test_the_calls_of_the_page_on_redemptions_work_from_top_to_bottom(client: Client) -> None:
    answers = send_calls(client, "redemption.md")
    assert [status for status, _ in answers] == [201, 201, 200, 201, 200, 200]
    _, granted, validated, redeemed, undone, shown = (body for _, body in answers)
    assert granted["code"] == redeemed["code"] == "SPRING-26"
    assert (validated["valid"], validated["discount_amount"]) == (True, 1250)
    assert (redeemed["discount_amount"], redeemed["left"]["total"]) == (1250, 49)
    assert undone == shown
    assert (shown["state"], shown["reason"], shown["left"]["total"]) == ("rolled-back", "The order was cancelled.", 50)


def test_the_calls_of_the_page_on_order_lines_work_from_top_to_bottom(client: Client) -> None:
    answers = send_calls(client, "order-lines.md")
    assert [status for status, _ in answers] == [201, 200, 201]
    created, validated, redeemed = (body for _, body in answers)
    assert created["applies_to"] == {"skus": ["CHAIR-*"], "categories": ["tables"]}
    assert (validated["valid"], validated["discount_amount"], validated["amount_to_pay"]) == (True, 1000, 14990)
    assert validated["lines"] == redeemed["lines"]
    assert redeemed["lines"] == [
        {"id": "1", "discount_amount": 333},
        {"id": "2", "discount_amount": 667},
        {"id": "3", "discount_amount": 0},
        {"id": "4", "discount_amount": 0},
    ]


def test_the_calls_of_the_page_on_several_codes_work_from_top_to_bottom(client: Client) -> None:
    answers = send_calls(client, "several-codes.md")
    assert [status for status, _ in answers] == [201, 201, 200, 201, 200]
    _, created, validated, redeemed, undone = (body for _, body in answers)
    assert created["combines"] == ["line-percent", "order-percent"]
    assert (validated["valid"], validated["discount_amount"], validated["amount_to_pay"]) == (True, 1500, 8500)
    assert [each["discount_amount"] for each in validated["codes"]] == [500, 1000]
    assert (redeemed["discount_amount"], redeemed["amount_to_pay"]) == (1500, 8500)
    ids = [each["id"] for each in redeemed["redemptions"]]
    assert [each["redeemed_with"] for each in redeemed["redemptions"]] == [[ids[1]], [ids[0]]]
    assert undone["state"] == "rolled-back"
    shown = [client.http.get(f"/redemption/{each}").get_json() for each in ids]
    assert {(each["state"], each["reason"]) for each in shown} == {("rolled-back", "The order was cancelled.")}


def test_the_calls_of_the_page_on_fitting_codes_work_from_top_to_bottom(client: Client) -> None:
    answers = send_calls(client, "fitting-codes.md")
    assert [status for status, _ in answers] == [201, 201, 201, 200]
    found = answers[-1][1]
    assert [(each["code"], each["discount_amount"]) for each in found["codes"]] == [
        ("SPRING-26", 1000),
        ("THANKS", 500),
    ]
    assert found["best"] == {"codes": ["SPRING-26", "THANKS"], "discount_amount": 1500, "amount_to_pay": 8500}
