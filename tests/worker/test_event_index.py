"""A quiet brand finds its events beside a loud one, and events of forgotten users wait for their readers."""

from typing import Any

import pytest

from discount.services import event_index, outbox
from discount.store import keys
from discount.store.connection import Store
from discount.worker.housekeeper import Housekeeper
from discount.worker.planner import Planner
from tests.api.client import Client
from tests.worker.conftest import SETTINGS

PARTITION = keys.partition_of("IKEA", SETTINGS.partitions)
STREAM = keys.events(PARTITION)
LOUD = next(f"B{n}" for n in range(1000) if keys.partition_of(f"B{n}", SETTINGS.partitions) == PARTITION)
WEEK = 7 * 86400


def write(client: Client, brand: str, count: int, user: str = "Ann") -> None:
    pipeline = client.redis.pipeline()
    for number in range(count):
        fields = {"type": "code.granted", "at": 1_700_000_000_000_000 + number, "brand": brand, "number": "1"}
        pipeline.xadd(STREAM, fields | {"user": user, "code": f"{brand} {number}"})
    pipeline.execute()


def replay(client: Client, brand: str, limit: int = 100) -> tuple[list[Any], int]:
    """Return all events of a brand, and in how many calls they were found."""
    found: list[Any] = []
    query: dict[str, Any] = {"brand_id": brand, "limit": limit}
    for calls in range(1, 1000):
        page = client.http.get("/event", query_string=query).get_json()
        found += page["events"]
        if page["next"] in (None, query.get("after")):
            return found, calls
        query["after"] = page["next"]
    raise AssertionError("the pages have no end")


def housekeeper(store: Store, keep: int = WEEK) -> Housekeeper:
    return Housekeeper(store, Planner(store, "one", None), None, keep)


@pytest.fixture
def mixed(client: Client) -> Client:
    """An outbox of 10,500 entries, 21 of them of a quiet brand."""
    for _ in range(20):
        write(client, LOUD, 524)
        write(client, "IKEA", 1)
    write(client, "IKEA", 1)
    return client


def index(store: Store) -> None:
    """Index all whole blocks."""
    while event_index.extend(store, PARTITION):
        pass


def test_a_quiet_brand_finds_its_events_in_a_few_calls(mixed: Client, store: Store) -> None:
    before, many = replay(mixed, "IKEA")
    index(store)
    found, few = replay(mixed, "IKEA")
    assert found == before
    assert len(found) == 21
    # One call more each, to see that there is nothing more.
    assert few <= 3
    assert many > 6


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_pages_by_the_index_are_the_whole_for_each_brand(mixed: Client, store: Store, limit: int) -> None:
    index(store)
    write(mixed, LOUD, 30)
    write(mixed, "IKEA", 3)
    assert len(replay(mixed, "IKEA", limit)[0]) == 24
    if limit > 7:
        assert len({each["id"] for each in replay(mixed, LOUD, limit)[0]}) == 20 * 524 + 30


def test_two_workers_make_one_index(mixed: Client, store: Store) -> None:
    index(store)
    before = mixed.state()
    mixed.redis.delete(keys.indexed(PARTITION))
    index(store)
    assert mixed.state() == before


def test_the_index_of_a_loud_brand_is_small_and_is_cut_with_the_outbox(mixed: Client, store: Store) -> None:
    index(store)
    # A mark for each block of the loud brand, and one for each event of the quiet one.
    assert mixed.redis.zcard(keys.brand_events(PARTITION, LOUD)) == 10_500 // event_index.BLOCK
    assert mixed.redis.zcard(keys.brand_events(PARTITION, "IKEA")) <= 21
    mixed.redis.xtrim(STREAM, minid=f"{int(mixed.redis.time()[0]) + 1}000")
    mixed.redis.set(keys.trimmed(PARTITION), f"{int(mixed.redis.time()[0]) + 1}000-0")
    event_index.cut(store, PARTITION)
    left = [key for key in mixed.redis.keys("*") if key.endswith(":events") and key != STREAM]
    assert (left, mixed.redis.zcard(keys.indexes(PARTITION))) == ([], 0)


# Forgetting.


def named(client: Client, user: str) -> list[str]:
    return [fields["type"] for _, fields in client.redis.xrange(STREAM) if fields.get("user") == user]


def test_an_event_of_a_forgotten_user_is_cut_after_every_group_has_read_it(client: Client, store: Store) -> None:
    discount = client.create()["id"]
    for group in (outbox.GROUP, "ledger"):
        store.run("open_group", [STREAM], [group])
    client.grant(discount, "Ann")
    assert client.http.delete("/user/Ann").get_json()["events"] == 1
    # Hidden at once.
    shown = client.http.get("/event?brand_id=IKEA").get_json()["events"]
    assert [each["type"] for each in shown] == ["discount.created", "user.forgotten"]
    assert shown[-1]["data"] == {"user_id": "Ann", "discount_id": discount}
    for group in (outbox.GROUP, "ledger"):
        housekeeper(store).index()
        assert "code.granted" in named(client, "Ann")
        ((_, rows),) = client.redis.xreadgroup(group, "reader", {STREAM: ">"})
        # Each reader gets the grant, then the name that replaces the user's, then that this was all.
        types = [fields["type"] for _, fields in rows if fields.get("user") == "Ann"]
        assert types == ["code.granted", "user.forgotten", "user.forgotten"]
        nobody = next(fields["nobody"] for _, fields in rows if "nobody" in fields)
        (held,) = client.http.get(f"/discount/{discount}/grants").get_json()["grants"]
        assert held["user_id"] == nobody
        housekeeper(store).index()
        assert "code.granted" in named(client, "Ann")
        client.redis.xack(STREAM, group, *(place for place, _ in rows))
    housekeeper(store).index()
    assert named(client, "Ann") == ["user.forgotten", "user.forgotten"]
    assert client.redis.exists(keys.forgotten(PARTITION)) == 0


def test_an_address_in_an_event_of_a_forgotten_user_is_not_noted_any_more(client: Client, store: Store) -> None:
    discount = client.create()["id"]
    planner = Planner(store, "one", None)
    planner.open()
    client.http.post(f"/discount/{discount}/grant", json={"user_id": "Ann", "email": "ann@shop.example"})
    client.http.delete("/user/Ann")
    while planner.turn():
        pass
    assert client.http.get("/user/Ann?brand_id=IKEA").status_code == 404
