"""Limits by period and window, budgets and hours over HTTP, and the calls of their page."""

from typing import Any

from tests.api.client import Client
from tests.api.page_calls import send_calls

LIMITS: dict[str, Any] = {
    "total": None,
    "per_user": 5,
    "per_user_per_day": None,
    "per_user_per_week": None,
    "per_user_per_month": 4,
    "per_day": 100,
    "per_week": 200,
    "per_month": 300,
    "windows": [{"period": "PT1H", "per_user": 1}, {"period": "P7D", "per_user": 3}],
    "amount": {"EUR": 100000, "JPY": 5000},
    "budget_caps": True,
}
DISCOUNT: dict[str, Any] = {
    "brand_id": "IKEA",
    "discount_code": "Spring",
    "codes": {"kind": "shared", "code": "SPRING-26"},
    "percent_off": 10,
}


def test_the_calls_of_the_page_work_from_top_to_bottom(client: Client) -> None:
    answers = send_calls(client, "usage-limits.md")
    assert [status for status, _ in answers] == [201, 201, 201, 409]
    made, first, second, refused = (body for _, body in answers)
    assert (first["discount_amount"], second["discount_amount"]) == (1000, 500)
    assert second["left"]["amount"] == {"EUR": 0}
    assert second["left"]["windows"] == [{"period": "PT24H", "per_user": 0}]
    assert (refused["limit"], refused["period"], refused["most"]) == ("window", "PT24H", 2)
    body = {"discount_id": made["id"], "user_id": "User 1", "code": "happy 26"}
    order = {"id": "B-3", "amount": 10000, "currency": "EUR"}
    seen = client.http.post("/validation", json=body | {"order": order}).get_json()
    assert [(each["word"], each["limit"], each["most"]) for each in seen["reasons"]] == [
        ("limit-reached", "window", 2),
        ("limit-reached", "amount", 1500),
    ]


def test_a_discount_shows_its_limits_and_hours_as_they_were_set(client: Client) -> None:
    opens = [
        {"from": "09:00", "to": "17:30", "days": ["mon", "fri"]},
        {"from": "22:00", "to": "02:00", "days": ["sat"]},
    ]
    made = client.http.post("/discount", json=DISCOUNT | {"limits": LIMITS, "opens": opens}).get_json()
    assert (made["limits"], made["opens"]) == (LIMITS, opens)
    assert client.http.get(f"/discount/{made['id']}").get_json() == made


def test_a_change_replaces_windows_and_budgets_and_leaves_the_other_limits(client: Client) -> None:
    made = client.http.post("/discount", json=DISCOUNT | {"limits": LIMITS}).get_json()
    changes = {"windows": [{"period": "P1D", "per_user": 9}], "amount": None, "per_day": 7, "per_week": None}

    changed = client.http.patch(f"/discount/{made['id']}", json={"limits": changes}).get_json()

    expected = LIMITS | {"windows": [{"period": "P1D", "per_user": 9}], "per_day": 7}
    assert changed["limits"] == {name: each for name, each in expected.items() if name not in ("amount", "per_week")}


def test_a_discount_without_such_limits_shows_none_of_them(client: Client) -> None:
    made = client.http.post("/discount", json=DISCOUNT).get_json()
    assert "opens" not in made
    assert made["limits"] == {"total": None, "per_user": 1, "per_user_per_day": None, "per_user_per_week": None}


def test_the_event_of_a_discount_has_its_limits_and_hours(client: Client) -> None:
    opens = [{"from": "09:00", "to": "17:30", "days": ["mon"]}]
    made = client.http.post("/discount", json=DISCOUNT | {"limits": LIMITS, "opens": opens}).get_json()
    client.http.patch(f"/discount/{made['id']}", json={"limits": {"amount": {"EUR": 7}, "windows": None}})

    created, changed = (each["data"] for each in client.http.get("/event?brand_id=IKEA").get_json()["events"])

    definition = created["definition"]
    assert definition["windows"] == {"PT1H": 1, "P7D": 3}
    assert (definition["amount"], definition["budget_caps"]) == ({"EUR": 100000, "JPY": 5000}, True)
    assert definition["opens"] == opens
    assert definition["limits"]["per_month"] == 300
    assert (changed["before"]["amount"], changed["after"]["amount"]) == ({"EUR": 100000, "JPY": 5000}, {"EUR": 7})
    assert (changed["before"]["windows"], changed["after"]["windows"]) == ({"PT1H": 1, "P7D": 3}, {})
