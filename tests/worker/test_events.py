"""GET /event: all events of one brand, in order, and no others; and trimming the outbox."""

import threading
import time
from datetime import datetime
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discount.services import outbox
from discount.store import keys
from discount.store.connection import Store
from tests.api.client import Client, check_problem
from tests.support.patience import PATIENCE
from tests.worker.conftest import SETTINGS

PARTITION = keys.partition_of("IKEA", SETTINGS.partitions)
STREAM = keys.events(PARTITION)
# Another brand in the same partition, and one in another.
NEIGHBOUR = next(f"B{n}" for n in range(1000) if keys.partition_of(f"B{n}", SETTINGS.partitions) == PARTITION)
STRANGER = next(f"B{n}" for n in range(1000) if keys.partition_of(f"B{n}", SETTINGS.partitions) != PARTITION)


def ask(client: Client, brand: str = "IKEA", **query: Any) -> dict[str, Any]:
    answer = client.http.get("/event", query_string={"brand_id": brand} | query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    assert len(found["events"]) <= int(query.get("limit", 100))
    return found


def types(page: dict[str, Any]) -> list[str]:
    return [each["type"] for each in page["events"]]


def replay(client: Client, limit: int, brand: str = "IKEA", **query: Any) -> list[Any]:
    """Return all pages, each by the cursor of the one before."""
    found: list[Any] = []
    for _ in range(1000):
        page = ask(client, brand, limit=limit, **query)
        if not page["events"]:
            return found
        found += page["events"]
        query["after"] = page["next"]
    raise AssertionError("the pages have no end")


def checkout(discount: str, code: str, order: str = "A-1") -> dict[str, Any]:
    return {
        "discount_id": discount,
        "user_id": "Ann",
        "code": code,
        "order": {"id": order, "amount": 1000, "currency": "EUR"},
    }


# The events.


def test_events_are_complete_and_in_order(client: Client) -> None:
    discount = client.create(total_count=1, amount_off=300, currency="EUR", limits={"total": 1})["id"]
    code = client.grant(discount, "Ann").get_json()["code"]
    redemption = client.http.post("/redemption", json=checkout(discount, code)).get_json()["id"]
    client.http.post(f"/redemption/{redemption}/rollback", json={"reason": "sent back"})
    of_request = {"X-Request-Id": "request-1"}
    client.http.patch(f"/discount/{discount}", json={"paused": True, "limits": {"total": 2}}, headers=of_request)
    client.http.delete(f"/discount/{discount}", headers=of_request)
    found = ask(client)["events"]
    of_code = {"discount_id": discount, "user_id": "Ann", "code": code}
    use = of_code | {
        **{"redemption_id": redemption, "order_id": "A-1", "amount": 1000, "currency": "EUR", "discount_amount": 300},
        "metadata": {},
    }
    by = {"discount_id": discount, "by": "open", "request_id": "request-1"}
    created = found[0]["data"]
    definition = {
        **{"discount_code": "Christmas 2020 discount", "total_count": 1, "amount_off": 300, "currency": "EUR"},
        "limits": {"total": 1, "per_user": 1},
    }
    assert created["definition"] == definition | {"codes": created["definition"]["codes"]}
    assert created["definition"]["codes"]["kind"] == "unique"
    assert [(each["type"], each["data"]) for each in found[1:]] == [
        ("code.granted", of_code | {"metadata": {}, "waited_since": None}),
        ("discount.sold-out", {"discount_id": discount}),
        ("code.redeemed", use),
        ("discount.limit-reached", {"discount_id": discount, "limit": "total"}),
        ("redemption.rolled-back", use | {"reason": "sent back"}),
        (
            "discount.changed",
            by
            | {"before": {"paused": False, "limits": {"total": 1}}, "after": {"paused": True, "limits": {"total": 2}}},
        ),
        (
            "discount.closed",
            by | {"before": {"paused": True, "closed": None}, "after": {"paused": False, "closed": "keep"}},
        ),
    ]
    assert {each["brand_id"] for each in found} == {"IKEA"}
    assert len({each["id"] for each in found}) == len(found)
    assert all(before["time"] <= after["time"] for before, after in pairwise(found))
    assert set(found[0]) == {"type", "id", "time", "brand_id", "data"}


def test_a_call_that_changes_nothing_writes_no_event(client: Client) -> None:
    discount = client.create()["id"]
    for _ in range(3):
        client.grant(discount, "Ann")
    assert types(ask(client)) == ["discount.created", "code.granted"]


def test_an_event_has_the_same_id_on_every_request(client: Client) -> None:
    client.create()
    assert ask(client)["events"] == ask(client)["events"]


def test_events_do_not_contain_the_address_given_with_a_grant(client: Client) -> None:
    discount = client.create()["id"]
    client.http.post(f"/discount/{discount}/grant", json={"user_id": "Ann", "email": "ann@shop.example"})
    assert "ann@shop.example" not in client.http.get("/event?brand_id=IKEA").text


def test_events_do_not_name_a_forgotten_user(client: Client) -> None:
    discount = client.create()["id"]
    client.grant(discount, "Ann")
    client.grant(discount, "Bob")
    assert client.http.delete("/user/Ann").status_code == 200
    assert [each["data"].get("user_id") for each in ask(client)["events"]] == [None, "Bob"]


# Where one goes on.


def test_each_event_is_followed_by_the_rest(client: Client) -> None:
    discount = client.create()["id"]
    for number in range(5):
        client.grant(discount, f"User {number}")
    whole = ask(client)["events"]
    assert len(whole) == 6
    for place, each in enumerate(whole):
        assert ask(client, after=each["id"])["events"] == whole[place + 1 :]


def test_a_webhook_gets_only_the_chosen_types(client: Client) -> None:
    discount = client.create(total_count=1)["id"]
    client.grant(discount, "Ann")
    assert types(ask(client, types="code.granted")) == ["code.granted"]
    assert types(ask(client, types="discount.sold-out,discount.created")) == ["discount.created", "discount.sold-out"]
    assert types(ask(client, types="code.redeemed")) == []


def test_an_empty_page_has_a_cursor_to_continue_from(client: Client) -> None:
    client.create()
    last = ask(client)["next"]
    empty = ask(client, after=last)
    assert empty["events"] == []
    client.create()
    assert types(ask(client, after=empty["next"])) == ["discount.created"]


def test_a_page_emptied_by_types_has_a_cursor_to_continue_from(client: Client) -> None:
    discount = client.create()["id"]
    client.grant(discount, "Ann")
    page = ask(client, types="discount.closed")
    assert page["events"] == []
    client.http.delete(f"/discount/{discount}")
    assert types(ask(client, after=page["next"])) == ["discount.closed"]


def test_a_brand_without_events_goes_on_from_its_neighbours(client: Client) -> None:
    client.create(brand_id=NEIGHBOUR)
    page = ask(client)
    assert page["events"] == []
    client.create()
    assert types(ask(client, after=page["next"])) == ["discount.created"]


def test_a_brand_without_events_gets_no_cursor(client: Client) -> None:
    assert ask(client) == {"events": [], "next": None}


def test_a_page_ends_with_its_limit_and_the_next_begins_after_it(client: Client) -> None:
    discount = client.create()["id"]
    for number in range(4):
        client.grant(discount, f"User {number}")
    page = ask(client, limit=2)
    assert (len(page["events"]), page["next"]) == (2, page["events"][1]["id"])
    assert replay(client, 2) == ask(client)["events"]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    acts=st.lists(st.tuples(st.sampled_from(["IKEA", NEIGHBOUR, STRANGER]), st.booleans()), max_size=30),
    limit=st.integers(1, 12),
    chosen=st.sampled_from(["", "code.granted", "discount.created,code.granted", "discount.closed"]),
)
def test_pages_of_any_size_are_the_whole_and_no_other_brands(
    client: Client, store: Store, acts: list[tuple[str, bool]], limit: int, chosen: str
) -> None:
    client.redis.flushall()
    wanted: dict[str, list[tuple[str, int]]] = {"IKEA": [], NEIGHBOUR: [], STRANGER: []}
    for number, (brand, created) in enumerate(acts):
        partition = keys.partition_of(brand, SETTINGS.partitions)
        kind = "discount.created" if created else "code.granted"
        # As the scripts write them; only faster.
        fields = {
            "type": kind,
            "at": 1_700_000_000_000_000 + number,
            "brand": brand,
            "number": "1",
            "user": "Ann",
            "code": "X",
        }
        client.redis.xadd(keys.events(partition), fields)
        if not chosen or kind in chosen.split(","):
            wanted[brand].append((kind, number))
    query = {"types": chosen} if chosen else {}
    for brand, expected in wanted.items():
        found = replay(client, limit, brand, **query)
        assert [each["type"] for each in found] == [kind for kind, _ in expected]
        assert [datetime.fromisoformat(each["time"]).microsecond for each in found] == [
            number for _, number in expected
        ]
        assert {each["brand_id"] for each in found} <= {brand}
        assert found == ask(client, brand, limit=1000, **query)["events"]


def test_a_page_skips_a_bounded_number_of_entries_of_others(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "ENTRIES", 5)
    monkeypatch.setattr(outbox, "LOOKED_AT", 10)
    for _ in range(12):
        client.create(brand_id=NEIGHBOUR, codes={"kind": "shared", "code": "A" * (_ + 1)}, total_count=None)
    client.create()
    first = ask(client)
    assert first["events"] == []
    assert types(ask(client, after=first["next"])) == ["discount.created"]


# Waiting.


def waiting(redis: Any, count: int) -> None:
    """Wait until some callers block in Redis."""
    deadline = time.monotonic() + PATIENCE
    while sum(each["cmd"] == "xread" and "b" in each["flags"] for each in redis.client_list()) != count:
        assert time.monotonic() < deadline, "no call waits"
        time.sleep(0.01)


class Asking(threading.Thread):
    """A thread that waits for events."""

    def __init__(self, app: Flask, **query: Any) -> None:
        super().__init__(daemon=True)
        self._app = app
        self._query = {"brand_id": "IKEA", "wait": 25} | query
        self.page: Any = None
        self.seconds = 0.0
        self.start()

    def run(self) -> None:
        started = time.monotonic()
        self.page = self._app.test_client().get("/event", query_string=self._query).get_json()
        self.seconds = time.monotonic() - started

    def end(self) -> dict[str, Any]:
        self.join(PATIENCE)
        assert not self.is_alive()
        found: dict[str, Any] = self.page
        return found


def test_a_waiting_call_is_answered_as_soon_as_an_event_occurs(app: Flask, client: Client) -> None:
    asking = Asking(app)
    waiting(client.redis, 1)
    discount = client.create()["id"]
    assert [each["data"]["discount_id"] for each in asking.end()["events"]] == [discount]
    assert asking.seconds < 20


def test_events_of_others_do_not_end_a_wait(app: Flask, client: Client) -> None:
    client.create()
    last = ask(client)["next"]
    asking = Asking(app, after=last, types="code.granted")
    waiting(client.redis, 1)
    client.create(brand_id=NEIGHBOUR)
    discount = client.create()["id"]
    waiting(client.redis, 1)
    client.grant(discount, "Ann")
    assert types(asking.end()) == ["code.granted"]


def test_a_wait_ends_with_its_time(client: Client) -> None:
    client.create()
    last = ask(client)["next"]
    started = time.monotonic()
    assert ask(client, after=last, wait=1)["events"] == []
    assert 1 <= time.monotonic() - started < 15


def test_a_wait_may_exceed_the_timeout_of_one_redis_call(client: Client, app_store: Store) -> None:
    client.create()
    last = ask(client)["next"]
    started, before = time.monotonic(), app_store.patience
    app_store.patience = 0.1
    try:
        assert ask(client, after=last, wait=1)["events"] == []
    finally:
        app_store.patience = before
    assert time.monotonic() - started >= 1


def test_existing_events_are_returned_without_waiting(client: Client) -> None:
    client.create()
    started = time.monotonic()
    assert types(ask(client, wait=25)) == ["discount.created"]
    assert time.monotonic() - started < 20


def test_a_call_does_not_wait_when_too_many_calls_already_wait(app: Flask, client: Client) -> None:
    asking = [Asking(app) for _ in range(SETTINGS.long_calls)]
    waiting(client.redis, len(asking))
    started = time.monotonic()
    assert ask(client, wait=25)["events"] == []
    assert time.monotonic() - started < 20
    client.create()
    assert [types(each.end()) for each in asking] == [["discount.created"]] * len(asking)
    # Their places are free again.
    again = Asking(app, types="code.granted")
    waiting(client.redis, 1)
    client.grant(client.create()["id"], "Ann")
    assert types(again.end()) == ["code.granted"]


# What is refused.


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("", "brand_id"),
        ("brand_id=IKEA&types=code.given", "types"),
        ("brand_id=IKEA&types=code.granted,", "types"),
        ("brand_id=IKEA&types=code.granted,%20code.redeemed", "types"),
        ("brand_id=IKEA&wait=26", "wait"),
        ("brand_id=IKEA&wait=-1", "wait"),
        ("brand_id=IKEA&wait=soon", "wait"),
        ("brand_id=IKEA&limit=0", "limit"),
        ("brand_id=IKEA&limit=1001", "limit"),
        ("brand_id=IKEA&after=", "after"),
        ("brand_id=IKEA&after=0-0", "after"),
        ("brand_id=IKEA&after=$", "after"),
        (f"brand_id=IKEA&after=evt-{PARTITION:02x}1-0", "after"),
        (f"brand_id=IKEA&after=evt-{PARTITION:02x}1-0-0000000g", "after"),
        (f"brand_id=IKEA&after=evt-{PARTITION:02x}1-0-00000000%0a", "after"),
        (f"brand_id=IKEA&after=evt-{PARTITION:02x}1-99999999999999999999-00000000", "after"),
        (f"brand_id=IKEA&after=evt-{PARTITION:02x}1-18446744073709551616-00000000", "after"),
        (f"brand_id=IKEA&after=evt-{PARTITION:02x}%D9%A1-0-00000000", "after"),
        ("brand_id=IKEA&after=evt-ff1-0-00000000", "after"),
        ("brand_id=IKEA&before=1", "before"),
    ],
)
def test_an_invalid_query_is_refused(client: Client, query: str, place: str) -> None:
    client.refused("GET", f"/event?{query}", 422, "invalid", place)


def test_the_last_possible_places_are_taken(client: Client) -> None:
    for number in (2**64 - 1, 2**64 - 2, 0):
        after = f"evt-{PARTITION:02x}9999999999999999-{number}-00000000"
        assert ask(client, after=after)["events"] == []


def test_an_event_of_another_partition_is_not_a_valid_cursor(client: Client) -> None:
    client.create(brand_id=STRANGER)
    foreign = ask(client, STRANGER)["next"]
    client.refused("GET", f"/event?brand_id=IKEA&after={quote(foreign)}", 422, "invalid", "after")


# What is cut off.


def test_a_reader_who_would_miss_trimmed_events_is_refused(client: Client, store: Store) -> None:
    old = [client.redis.xadd(STREAM, _fields(number), id=f"{1000 + number}-0") for number in range(3)]
    client.create()
    ids = [each["id"] for each in ask(client)["events"]]
    assert outbox.trim(store, PARTITION, 60) == len(old)
    answer = client.http.get(f"/event?brand_id=IKEA&after={ids[1]}")
    check_problem(answer, 410, "no-longer-kept")
    # Who has seen all that is gone misses nothing.
    assert types(ask(client, after=ids[2])) == ["discount.created"]
    assert types(ask(client)) == ["discount.created"]


def _fields(number: int, brand: str = "IKEA") -> dict[str, Any]:
    return {"type": "discount.created", "at": 1_700_000_000_000_000 + number, "brand": brand, "number": "1"}


def _places(redis: Any) -> list[str]:
    return [place for place, _ in redis.xrange(STREAM)]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    ages=st.lists(st.integers(0, 200), max_size=12),
    groups=st.lists(st.tuples(st.integers(0, 12), st.sets(st.integers(0, 11))), max_size=3),
)
def test_recent_events_and_events_a_group_has_not_read_are_kept(
    client: Client, store: Store, ages: list[int], groups: list[tuple[int, set[int]]]
) -> None:
    client.redis.flushall()
    now, keep = int(client.redis.time()[0]), 100
    # No entry is so near to the bound that a busy machine would move it across.
    ages = sorted((each + 5000 if each >= keep else 0 for each in ages), reverse=True)
    places = [client.redis.xadd(STREAM, _fields(n), id=f"{(now - age) * 1000}-{n + 1}") for n, age in enumerate(ages)]
    owed: set[str] = set()
    for name, (read, done) in enumerate(groups):
        client.redis.xgroup_create(STREAM, f"g{name}", "0", mkstream=True)
        taken = client.redis.xreadgroup(f"g{name}", "c", {STREAM: ">"}, count=read) if read else []
        got = [place for _, rows in taken for place, _ in rows]
        acked = [place for number, place in enumerate(got) if number in done]
        if acked:
            client.redis.xack(STREAM, f"g{name}", *acked)
        owed |= set(places) - set(acked)
    if not groups and not places:
        client.redis.xgroup_create(STREAM, "g", "0", mkstream=True)
    first_owed = min((places.index(each) for each in owed), default=len(places))
    first_young = next((number for number, age in enumerate(ages) if age == 0), len(places))
    cut = min(first_owed, first_young)
    assert outbox.trim(store, PARTITION, keep) == cut
    assert _places(client.redis) == places[cut:]
    assert client.redis.get(keys.trimmed(PARTITION)) == (places[cut - 1] if cut else None)
    assert outbox.trim(store, PARTITION, keep) == 0


def test_events_waiting_to_be_planned_are_counted_with_their_age(client: Client, store: Store) -> None:
    client.redis.xgroup_create(STREAM, "others", "0", mkstream=True)
    assert outbox.waiting(store, PARTITION) == (0, None)
    for number in range(4):
        client.redis.xadd(STREAM, _fields(number), id=f"{1000 + number}-0")
    client.redis.xgroup_create(STREAM, outbox.GROUP, "0")
    assert outbox.waiting(store, PARTITION) == (4, 1000)
    client.redis.xreadgroup(outbox.GROUP, "c", {STREAM: ">"}, count=2)
    assert outbox.waiting(store, PARTITION) == (4, 1000)
    client.redis.xack(STREAM, outbox.GROUP, "1000-0")
    assert outbox.waiting(store, PARTITION) == (3, 1001)
    client.redis.xack(STREAM, outbox.GROUP, "1001-0")
    assert outbox.waiting(store, PARTITION) == (2, 1002)
    client.redis.xreadgroup(outbox.GROUP, "c", {STREAM: ">"})
    client.redis.xack(STREAM, outbox.GROUP, "1002-0", "1003-0")
    assert outbox.waiting(store, PARTITION) == (0, None)
