"""What a user's list of codes says of each: its state, what it takes off, and its uses."""

from typing import Any

from discount.store import keys
from tests.api.client import Client


def held(client: Client, user: str = "Ann") -> dict[str, Any]:
    """Return the user's codes by the name of their discount."""
    return {each["discount_code"]: each for each in client.http.get(f"/user/{user}/grants").get_json()["grants"]}


def redeem(client: Client, discount_id: str, code: str, order: str, **more: Any) -> None:
    body = {"discount_id": discount_id, "user_id": "Ann", "code": code} | more
    body["order"] = {"id": order, "amount": 1000, "currency": "EUR"}
    assert client.http.post("/redemption", json=body).status_code == 201


def test_each_code_has_the_state_of_this_moment(client: Client) -> None:
    made = {
        name: client.create(discount_code=name, percent_off=12.5, limits={"per_user": 2})["id"]
        for name in ("good", "paused", "expired", "void", "used-up", "scheduled")
    }
    codes = {name: client.grant(each, "Ann").get_json()["code"] for name, each in made.items()}
    for order in ("1", "2"):
        redeem(client, made["used-up"], codes["used-up"], order)
    redeem(client, made["good"], codes["good"], "3")
    redeem(client, made["good"], codes["good"], "4", hold_seconds=600)
    client.http.patch(f"/discount/{made['paused']}", json={"paused": True})
    client.http.patch(f"/discount/{made['scheduled']}", json={"starts_at": "2280-01-01T00:00:00Z"})
    client.http.delete(f"/discount/{made['void']}?granted_codes=void")
    discount = keys.discount(keys.partition_of("IKEA", 16), made["expired"])
    client.redis.hset(discount, "expires_at", "1000000000000000")
    found = held(client)
    assert {name: each["state"] for name, each in found.items()} == {name: name for name in made}
    assert {each["percent_off"] for each in found.values()} == {12.5}
    counts = {name: (each["used_count"], each["on_hold_count"]) for name, each in found.items()}
    assert counts == dict.fromkeys(made, (0, 0)) | {"good": (1, 1), "used-up": (2, 0)}
    assert found["good"]["code"] == codes["good"]
