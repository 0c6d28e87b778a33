"""Metadata of discounts, grants and redemptions: kept, shown, filtered by, exported, and in events."""

from typing import Any

import pytest

from discount.store import keys
from tests.api.client import Client
from tests.support import records

MAIL, SHOP = {"channel": "mail", "campaign-id": "7"}, {"channel": "shop"}
ORDER = {"id": "A-1", "amount": 1000, "currency": "EUR"}


def use(client: Client, discount: str, user: str, code: str, order: str, **more: Any) -> Any:
    body = {"discount_id": discount, "user_id": user, "code": code, "order": ORDER | {"id": order}}
    return client.http.post("/redemption", json=body | more)


def listed(client: Client, path: str, name: str) -> list[Any]:
    answer = client.http.get(path)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.get_json()[name]
    return found


def test_metadata_of_a_discount_is_shown_changed_and_filtered_by(client: Client) -> None:
    first, second = client.create(metadata=MAIL), client.create(metadata=SHOP)
    client.create()
    assert (first["metadata"], second["metadata"]) == (MAIL, SHOP)
    path = "/discount?brand_id=IKEA&metadata.channel=mail"
    assert [each["id"] for each in listed(client, path, "discounts")] == [first["id"]]
    assert listed(client, path + "&metadata.campaign-id=8", "discounts") == []
    changed = client.http.patch(f"/discount/{second['id']}", json={"metadata": {"channel": "mail"}}).get_json()
    assert changed["metadata"] == {"channel": "mail"}
    assert len(listed(client, path, "discounts")) == 2
    assert client.http.patch(f"/discount/{second['id']}", json={"metadata": {}}).get_json()["metadata"] == {}
    event = listed(client, "/event?brand_id=IKEA&types=discount.changed", "events")[0]["data"]
    assert (event["before"], event["after"]) == ({"metadata": SHOP}, {"metadata": {"channel": "mail"}})


def test_metadata_of_a_grant_is_kept_with_the_first_call(client: Client) -> None:
    discount = client.create()["id"]
    path = f"/discount/{discount}/grant"
    email = {"email": "ann@shop.example"}
    made = client.http.post(path, json={"user_id": "Ann", "metadata": MAIL} | email).get_json()
    again = client.http.post(path, json={"user_id": "Ann", "metadata": SHOP}).get_json()
    assert made["metadata"] == again["metadata"] == MAIL
    assert client.http.get(path + "?user_id=Ann").get_json() == made
    assert "metadata" not in client.grant(discount, "Bob").get_json()
    client.http.post(path + "s", json={"user_ids": ["Cid", "Dan"], "metadata": SHOP})
    for where in (f"/discount/{discount}/grants?metadata.channel=", "/user/Ann/grants?metadata.channel="):
        assert [each["user_id"] for each in listed(client, where + "mail", "grants")] == ["Ann"]
    shops = listed(client, f"/discount/{discount}/grants?metadata.channel=shop", "grants")
    assert {each["user_id"] for each in shops} == {"Cid", "Dan"}
    events = listed(client, "/event?brand_id=IKEA&types=code.granted", "events")
    assert [each["data"]["metadata"] for each in events] == [MAIL, {}, SHOP, SHOP]
    text = client.http.get(f"/discount/{discount}/grants?format=csv").text
    assert '"{""campaign-id"":""7"",""channel"":""mail""}"' in text
    only = client.http.get(f"/discount/{discount}/grants?format=csv&metadata.channel=mail").text
    assert len(only.splitlines()) == 2


def test_metadata_of_a_redemption_is_in_every_answer_and_event(client: Client) -> None:
    discount = client.create(limits={"per_user": 9})["id"]
    code = client.grant(discount, "Ann").get_json()["code"]
    made = use(client, discount, "Ann", code, "A-1", metadata=MAIL).get_json()
    plain = use(client, discount, "Ann", code, "A-2").get_json()
    assert made["metadata"] == MAIL
    assert made["order"]["id"] == "A-1"
    assert "metadata" not in plain
    assert use(client, discount, "Ann", code, "A-1").get_json()["metadata"] == MAIL
    for where in (f"/discount/{discount}/redemptions", "/user/Ann/redemptions"):
        assert [each["id"] for each in listed(client, where + "?metadata.channel=mail", "redemptions")] == [made["id"]]
    rolled_back = client.http.post(f"/redemption/{made['id']}/rollback").get_json()
    assert rolled_back["metadata"] == MAIL
    events = listed(client, "/event?brand_id=IKEA&types=code.redeemed,redemption.rolled-back", "events")
    in_events = [(each["type"], each["data"]["order_id"], each["data"]["metadata"]) for each in events]
    assert in_events == [
        ("code.redeemed", "A-1", MAIL),
        ("code.redeemed", "A-2", {}),
        ("redemption.rolled-back", "A-1", MAIL),
    ]
    assert '""channel"":""mail""' in client.http.get(f"/discount/{discount}/redemptions?format=csv").text


def test_without_metadata_nothing_more_is_stored(client: Client) -> None:
    discount = client.create()["id"]
    made = client.grant(discount, "Ann").get_json()
    partition = keys.partition_of("IKEA", 16)
    (bucket,) = client.redis.keys(f"{{{partition:02x}}}:discount:{discount}:grants:*")
    (value,) = client.redis.hgetall(bucket).values()
    assert value.split(" ", 1)[1] == made["code"]
    entry = client.redis.xrevrange(keys.events(partition))[0][1]
    assert set(entry) == {"type", "at", "brand", "number", "user", "code"}
    redemption = use(client, discount, "Ann", made["code"], "A-1").get_json()["id"]
    assert records.get(client.redis, redemption).order == "A-1"


def test_the_largest_metadata_is_kept_as_it_was_given(client: Client) -> None:
    largest = {f"{number:040d}": "ä" * 200 for number in range(20)}
    assert client.create(metadata=largest)["metadata"] == largest


@pytest.mark.parametrize(
    "bad",
    [
        {f"n{number}": "x" for number in range(21)},
        {"n" * 41: "x"},
        {"": "x"},
        {"two words": "x"},
        {"a": "x" * 201},
        {"a": "two\nlines"},
        {"a": 1},
        ["a"],
        "a",
    ],
)
def test_bad_metadata_changes_nothing(client: Client, bad: Any) -> None:
    discount = client.create()["id"]
    before = client.state()
    for path, body in (
        ("/discount", {"brand_id": "IKEA", "discount_code": "x", "total_count": 1}),
        (f"/discount/{discount}/grant", {"user_id": "Ann"}),
        ("/redemption", {"discount_id": discount, "user_id": "Ann", "code": "X", "order": ORDER}),
    ):
        answer = client.http.post(path, json=body | {"metadata": bad})
        assert answer.status_code == 422, answer.text
        (error,) = answer.get_json()["errors"]
        assert error["pointer"].startswith("/metadata")
    assert client.state() == before


@pytest.mark.parametrize("query", ["metadata=x", "metadata.two words=x", "metadata.=x", "metadata.a=1&metadata.a=2"])
def test_a_bad_filter_is_named(client: Client, query: str) -> None:
    answer = client.http.get(f"/discount?brand_id=IKEA&{query}")
    assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/invalid"), answer.text
    assert answer.get_json()["errors"][0]["parameter"].startswith("metadata")
