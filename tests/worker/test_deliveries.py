"""Deliveries: which events lead to them, how they are made and repeated, and what is kept of them."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook as Reference

from discount.config import Settings
from discount.domain.errors import NoLongerKept, WebhookOff
from discount.domain.model import Delivery, Receipt
from discount.security import url_policy
from discount.security.signing import Signer
from discount.services import deliveries, delivery_lanes, outbox, webhooks
from discount.store import keys
from discount.store.connection import Store
from discount.worker import planner as planner_module
from discount.worker.dispatcher import BATCH, SPAN, Dispatcher, Schedule
from discount.worker.planner import Planner
from discount.worker.reminders import Reminders
from discount.worker.webhook_client import LONGEST_PAUSE, WebhookClient
from discount.worker.webhook_delivery import WebhookDelivery
from tests.api.client import Client
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.worker.conftest import SETTINGS
from tests.worker.harness import (
    AT_ONCE,
    DELIVERED,
    GONE,
    RETRY,
    SECOND,
    Calls,
    dispatch,
    due,
    leased,
    of_brand,
    plan,
    until,
)
from tests.worker.peer import Peer, answer, answering

URL = "https://ikea.example/discounts"
PARTITION = keys.partition_of("IKEA", SETTINGS.partitions)
STREAM = keys.events(PARTITION)
NEVER = Schedule(pauses=(), timeout=PATIENCE, off_after=1e9)


def hook(store: Store, url: str = URL, brand: str = "IKEA", **more: Any) -> str:
    return webhooks.create(store, brand, url, **more).id


def planned(store: Store, brand: str = "IKEA") -> list[tuple[str, str]]:
    """Return a brand's deliveries as pairs of target and event type."""
    return sorted((each.target, each.type) for each in of_brand(store, brand))


def pending(store: Store) -> int:
    """Return the events that a planner read and did not finish."""
    replies = store.commands([("XPENDING", keys.events(each), outbox.GROUP) for each in range(store.partitions)])
    return sum(reply[0] for reply in replies)


def granted(client: Client, count: int, **changes: Any) -> str:
    """Create a discount of which some users have a code."""
    discount: str = client.create(**changes)["id"]
    for number in range(count):
        client.grant(discount, f"User {number}")
    return discount


# Planned deliveries.


def test_webhooks_of_brand_and_discount_get_the_types_they_want(client: Client, store: Store) -> None:
    every, grants = hook(store), hook(store, types=["code.granted", "discount.closed"])
    own = client.create(webhook_url=URL, webhook_types=["code.granted"], discount_code="own")
    other = client.create(discount_code="other")
    for discount in (own["id"], other["id"]):
        client.grant(discount)
    assert plan(store) == 4
    assert planned(store) == sorted(
        [
            (every, "discount.created"),
            (every, "discount.created"),
            (every, "code.granted"),
            (every, "code.granted"),
            (grants, "code.granted"),
            (grants, "code.granted"),
            (own["webhook_id"], "code.granted"),
        ]
    )
    assert [each.discount_id for each in of_brand(store, webhook_id=own["webhook_id"])] == [own["id"]]
    assert pending(store) == 0


def test_a_webhook_gets_one_event_of_each_granted_share(client: Client, store: Store) -> None:
    webhook = hook(store, types=["discount.running-low"])
    discount = granted(client, 20, total_count=20)
    plan(store)
    client.grant(discount, "User 1")
    plan(store)
    assert planned(store) == [(webhook, "discount.running-low")] * 2
    events = client.http.get("/event?brand_id=IKEA&types=discount.running-low").get_json()["events"]
    shares = [(each["data"]["percent"], each["data"]["granted_count"], each["data"]["total_count"]) for each in events]
    assert shares == [(80, 16, 20), (95, 19, 20)]


def test_a_delivery_waits_from_when_it_is_planned(client: Client, store: Store) -> None:
    webhook = hook(store)
    before = store.now()
    granted(client, 1)
    plan(store)
    event = client.http.get("/event?brand_id=IKEA&types=code.granted").get_json()["events"][0]
    found = of_brand(store, type="code.granted")[0]
    assert (found.event_id, found.target, found.kind, found.state) == (event["id"], webhook, "webhook", "waiting")
    assert (found.attempts, found.status, found.answer, found.last_at) == (0, "", "", None)
    assert before <= found.created_at <= store.now()
    assert found.due_at is not None
    assert before <= found.due_at <= store.now()


def test_webhooks_of_another_brand_get_no_deliveries(client: Client, store: Store) -> None:
    neighbour = next(f"B{n}" for n in range(1000) if keys.partition_of(f"B{n}", store.partitions) == PARTITION)
    hook(store, brand=neighbour)
    granted(client, 1)
    assert plan(store) == 2
    assert (of_brand(store), of_brand(store, neighbour)) == ([], [])


def test_an_event_without_receivers_is_done_without_deliveries(client: Client, store: Store) -> None:
    granted(client, 3)
    assert (plan(store), pending(store), of_brand(store)) == (4, 0, [])


def test_deliveries_to_a_webhook_that_is_off_are_listed_as_failed(client: Client, store: Store) -> None:
    webhook = hook(store)
    webhooks.change(store, webhook, on=False)
    client.create()
    plan(store)
    found = of_brand(store)
    assert [(each.state, each.status, each.due_at, each.attempts) for each in found] == [
        ("failed", "webhook-off", None, 0)
    ]
    assert due(store) == []


def test_a_test_event_goes_only_to_the_tested_webhook(client: Client, store: Store) -> None:
    tested = hook(store, types=["discount.closed"])
    hook(store)
    made = client.http.post("/webhook/test", json={"webhook_id": tested}).get_json()
    plan(store)
    found = of_brand(store)
    assert [(each.target, each.type, each.event_id, each.id) for each in found] == [
        (tested, "webhook.test", made["event_id"], made["delivery_id"])
    ]


def test_the_webhook_of_a_discount_can_be_tested(client: Client, store: Store) -> None:
    own = client.create(webhook_url=URL, webhook_types=["code.granted"])["webhook_id"]
    client.http.post("/webhook/test", json={"webhook_id": own})
    plan(store)
    assert planned(store) == [(own, "webhook.test")]


def test_an_event_planned_twice_has_one_delivery(client: Client, store: Store) -> None:
    hook(store)
    granted(client, 5)
    plan(store)
    before = of_brand(store)
    calls = Calls()
    store.command("XGROUP", "SETID", STREAM, outbox.GROUP, "0")
    assert plan(store) == 6
    assert of_brand(store) == before
    dispatch(store, calls.prepare)
    store.command("XGROUP", "SETID", STREAM, outbox.GROUP, "0")
    assert plan(store) == 6
    dispatch(store, calls.prepare)
    assert (len(calls.ids), len(set(calls.ids))) == (6, 6)
    assert {each.state for each in of_brand(store)} == {"delivered"}


def test_two_planners_share_the_events(client: Client, store: Store, redis_server: RedisServer) -> None:
    hook(store)
    granted(client, 40)
    plan(store, "opens the groups")
    client.redis.xgroup_setid(STREAM, outbox.GROUP, "0")
    counts: list[int] = []

    def work(name: str) -> None:
        own = Store.at(redis_server.url, PATIENCE, store.partitions)
        own.patience = 0.01
        counts.append(plan(own, name))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE)
    assert sum(counts) == 41
    assert len(of_brand(store)) == 41


def test_another_planner_plans_the_events_of_one_that_is_gone(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook(store)
    Planner(store, "one", None).open()
    granted(client, 3)
    taken = client.redis.xreadgroup(outbox.GROUP, "gone", {STREAM: ">"})
    assert len(taken[0][1]) == 4
    other = Planner(store, "other", None)
    # As long as it may be alive, it is left what it has.
    assert (other.take_over(), other.turn().read, pending(store)) == (0, 0, 4)
    monkeypatch.setattr(planner_module, "SILENT", 0)
    assert (other.take_over(), pending(store)) == (4, 0)
    assert len(of_brand(store)) == 4


def test_events_of_a_user_forgotten_in_the_meantime_are_planned_and_acknowledged(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook(store)
    Planner(store, "one", None).open()
    discount = granted(client, 2)
    client.redis.xreadgroup(outbox.GROUP, "gone", {STREAM: ">"})
    assert client.http.delete("/user/User 0").status_code == 200
    monkeypatch.setattr(planner_module, "SILENT", 0)
    Planner(store, "other", None).take_over()
    assert pending(store) == 0
    # No event is taken away before its readers have read it.
    assert [(each.type, each.discount_id) for each in of_brand(store)] == [
        ("discount.created", discount),
        ("code.granted", discount),
        ("code.granted", discount),
    ]


def test_e_mails_are_planned_for_users_with_an_address_and_no_objection(client: Client, store: Store) -> None:
    reminders = Reminders(store, 3)
    client.http.post("/brand", json={"id": "IKEA", "email": "shop@ikea.example"})
    client.http.put("/user/Ann?brand_id=IKEA", json={"email": "ann@x.example"})
    client.http.put("/user/Bob", json={"email": "bob@x.example"})
    client.http.put("/user/Cid?brand_id=IKEA", json={"email": "cid@x.example", "unsubscribed": True})
    discount = client.create(total_count=5)["id"]
    for user in ("Ann", "Bob", "Cid", "Dan"):
        client.grant(discount, user)
    client.http.post(f"/discount/{discount}/grant", json={"user_id": "Eve", "email": "eve@x.example"})
    plan(store, reminders=reminders)
    assert planned(store) == [
        ("brand", "discount.sold-out"),
        ("user:Ann", "code.granted"),
        ("user:Bob", "code.granted"),
        ("user:Eve", "code.granted"),
    ]
    assert {each.kind for each in of_brand(store)} == {"email"}


def test_e_mails_switched_off_by_a_brand_are_not_planned(client: Client, store: Store) -> None:
    client.http.post("/brand", json={"id": "IKEA", "email": "shop@ikea.example"})
    answer_ = client.http.patch("/brand/IKEA", json={"mails_off": ["code-granted", "sold-out"]})
    assert answer_.status_code == 200, answer_.text
    client.http.put("/user/Ann?brand_id=IKEA", json={"email": "ann@x.example"})
    client.grant(client.create(total_count=1)["id"], "Ann")
    plan(store, reminders=Reminders(store, 3))
    assert of_brand(store) == []


def test_no_e_mail_is_planned_without_a_mail_server(client: Client, store: Store) -> None:
    client.http.put("/user/Ann", json={"email": "ann@x.example"})
    client.grant(client.create()["id"], "Ann")
    plan(store)
    assert of_brand(store) == []


# When it is tried again.


def waiting(tries: int = 0, since: int = 0) -> Delivery:
    """Return a delivery that waits after some attempts."""
    return Delivery(
        id="dlv-",
        brand_id="IKEA",
        kind="webhook",
        target="whk-",
        type="code.granted",
        event_id="evt-",
        discount_id="",
        entry_id="",
        lane="",
        state="waiting",
        attempts=tries,
        created_at=0,
        due_at=0,
        last_at=None,
        status="",
        answer="",
        milliseconds=None,
        tries=tries,
        since=since,
    )


DEFAULT = Settings().pauses


@pytest.mark.parametrize("tries", range(len(DEFAULT)))
def test_each_pause_is_a_fifth_longer_or_shorter_at_most(tries: int) -> None:
    schedule = Schedule(DEFAULT, 10, 1)
    found = {schedule.next_try(waiting(tries), RETRY, SECOND) for _ in range(200)}
    pause = DEFAULT[tries] * SECOND
    for each in found:
        assert each is not None
        assert SECOND + 0.8 * pause - 1 <= each <= SECOND + 1.2 * pause
    # They do not come back together.
    assert len(found) > 100


def test_after_the_last_pause_it_is_given_up() -> None:
    assert Schedule((1.0, 2.0), 10, 1).next_try(waiting(2), RETRY, 0) is None
    assert NEVER.next_try(waiting(), RETRY, 0) is None


@pytest.mark.parametrize("receipt", [DELIVERED, GONE, Receipt("failed", "refused", "", 0)])
def test_a_finished_delivery_is_not_retried(receipt: Receipt) -> None:
    assert Schedule(DEFAULT, 10, 1).next_try(waiting(), receipt, 0) is None


def test_retry_after_makes_a_pause_longer_and_never_shorter() -> None:
    schedule = Schedule((100.0,), 10, 1)
    assert schedule.next_try(waiting(), replace(RETRY, retry_after=5000.0), 7) == 7 + 5000 * SECOND
    short = schedule.next_try(waiting(), replace(RETRY, retry_after=1.0), 7)
    assert short is not None
    assert short >= 80 * SECOND


def test_no_delivery_is_attempted_after_three_days() -> None:
    assert SPAN == 3 * 86400
    schedule = Schedule((100.0,), 10, 1)
    end = 5 + SPAN * SECOND
    assert schedule.next_try(waiting(since=5), RETRY, end - 121 * SECOND) is not None
    assert schedule.next_try(waiting(since=5), RETRY, end - 79 * SECOND) is None
    assert schedule.next_try(waiting(since=5), replace(RETRY, retry_after=200.0), end - 199 * SECOND) is None
    assert schedule.next_try(waiting(since=5), replace(RETRY, retry_after=200.0), end - 200 * SECOND) == end


@settings(max_examples=100)
@given(asked=st.lists(st.one_of(st.none(), st.floats(0, LONGEST_PAUSE)), max_size=20))
def test_the_pauses_between_attempts_grow_and_end_within_three_days(asked: list[float | None]) -> None:
    schedule, now, tries = Schedule(DEFAULT, 10, 1), 0, 0
    for wish in asked + [None] * (len(DEFAULT) + 1):
        following = schedule.next_try(waiting(tries), replace(RETRY, retry_after=wish), now)
        if following is None:
            break
        assert now < following <= SPAN * SECOND
        now, tries = following, tries + 1
    else:
        raise AssertionError("the tries have no end")
    assert tries <= len(DEFAULT)
    if not any(asked):
        # Nearly three days, however the pauses fall.
        assert now > 1.5 * 86400 * SECOND


def test_a_failing_delivery_is_retried_once_per_pause(client: Client, store: Store) -> None:
    hook(store)
    client.create()
    plan(store)
    calls = Calls(lambda _: RETRY)
    dispatch(store, calls.prepare, Schedule((0.0, 0.0), PATIENCE, 1e9))
    found = of_brand(store)[0]
    assert [each.tries for each in calls.made] == [0, 1, 2]
    assert (found.state, found.attempts, found.status, found.answer, found.due_at) == (
        "failed",
        3,
        "500",
        "oh no",
        None,
    )
    assert due(store) == []


def test_a_delivery_that_fails_once_succeeds_on_the_next_try(client: Client, store: Store) -> None:
    hook(store)
    granted(client, 5)
    plan(store)
    calls = Calls(lambda each: RETRY if each.tries == 0 else DELIVERED)
    dispatch(store, calls.prepare)
    assert Counter(calls.ids) == {each.id: 2 for each in of_brand(store)}
    assert {(each.state, each.attempts, each.status) for each in of_brand(store)} == {("delivered", 2, "200")}


def test_a_delivery_that_is_not_due_is_left_alone(client: Client, store: Store) -> None:
    hook(store)
    client.create()
    plan(store)
    calls = Calls(lambda _: replace(RETRY, retry_after=3600.0))
    dispatch(store, calls.prepare)
    found = of_brand(store)[0]
    assert (len(calls.made), found.state) == (1, "waiting")
    assert found.due_at is not None
    assert found.last_at is not None
    assert 3599 * SECOND < found.due_at - found.last_at <= 3600 * SECOND
    brand = deliveries.brand_of(PARTITION, found.lane)[1]
    assert int(store.command("ZSCORE", keys.lanes(PARTITION, "webhook", brand), found.lane)) == found.due_at
    assert int(store.command("ZSCORE", keys.due(PARTITION, "webhook"), brand)) == found.due_at


def test_a_delivery_with_an_internal_error_fails_and_delays_no_other(client: Client, store: Store) -> None:
    hook(store)
    granted(client, 30)
    plan(store)
    broken = {each.id for each in of_brand(store)[::16]}

    def fail(each: Delivery) -> Receipt:
        if each.id in broken:
            raise ZeroDivisionError("a fault of ours")
        return DELIVERED

    dispatch(store, Calls(fail).prepare, NEVER)
    assert {each.id for each in of_brand(store, state="failed")} == broken
    assert {each.status for each in of_brand(store, state="failed")} == {"broken"}
    assert len(of_brand(store, state="delivered")) == 31 - len(broken)


# Webhooks that fail.


def disabled(client: Client) -> list[Any]:
    found = client.http.get("/event?brand_id=IKEA&types=webhook.disabled").get_json()["events"]
    return [each["data"] for each in found]


def fail(store: Store, webhook: str, count: int, off_after: float, receipt: Receipt = RETRY) -> None:
    """Let some calls of a webhook fail."""
    found = of_brand(store, state="waiting", webhook_id=webhook)[0]
    for _ in range(count):
        assert delivery_lanes.settle(store, found, receipt, due_at=store.now(), lease=60, off_after=off_after)


def test_a_webhook_is_switched_off_with_its_tenth_failure(client: Client, store: Store) -> None:
    webhook = hook(store)
    client.create()
    plan(store)
    fail(store, webhook, 9, 0)
    assert webhooks.show(store, webhook).off_at is None
    assert disabled(client) == []
    fail(store, webhook, 1, 0)
    found = webhooks.show(store, webhook)
    assert (found.off_reason, found.off_at is None) == ("failing", False)
    assert disabled(client) == [{"webhook_id": webhook, "reason": "failing"}]
    # Told once, however many calls were under way.
    fail(store, webhook, 5, 0)
    assert len(disabled(client)) == 1


def test_a_webhook_that_has_not_failed_for_long_stays_on(client: Client, store: Store) -> None:
    webhook = hook(store)
    client.create()
    plan(store)
    fail(store, webhook, 30, 3600)
    found = webhooks.show(store, webhook)
    assert (found.off_at, found.failures) == (None, 30)
    shown = client.http.get(f"/webhook/{webhook}").get_json()
    assert (shown["on"], shown["failing_since"] is None) == (True, False)
    # An hour later.
    assert found.failing_since is not None
    client.redis.hset(keys.webhook(PARTITION, webhook), "failing_since", found.failing_since - 3600 * SECOND)
    fail(store, webhook, 1, 3600)
    assert webhooks.show(store, webhook).off_reason == "failing"


def test_one_successful_call_ends_the_failing(client: Client, store: Store) -> None:
    webhook = hook(store)
    granted(client, 1)
    plan(store)
    first, second = of_brand(store)
    for _ in range(9):
        delivery_lanes.settle(store, first, RETRY, due_at=1, lease=60, off_after=0)
    delivery_lanes.settle(store, second, DELIVERED, due_at=None, lease=60, off_after=0)
    found = webhooks.show(store, webhook)
    assert (found.failures, found.failing_since) == (0, None)
    delivery_lanes.settle(store, first, RETRY, due_at=1, lease=60, off_after=0)
    assert webhooks.show(store, webhook).off_at is None


def test_a_delivery_without_a_call_does_not_count_as_failing(client: Client, store: Store) -> None:
    webhook = hook(store)
    client.create()
    plan(store)
    found = of_brand(store)[0]
    for _ in range(20):
        delivery_lanes.settle(store, found, RETRY, due_at=1, lease=60, off_after=0, called=False)
    shown = webhooks.show(store, webhook)
    assert (shown.off_at, shown.failures, shown.failing_since) == (None, 0, None)
    assert of_brand(store)[0].attempts == 0


def test_a_webhook_that_is_gone_is_turned_off_and_reported_once(client: Client, store: Store) -> None:
    webhook, other = hook(store), hook(store)
    granted(client, 9)
    plan(store)
    calls = Calls(lambda each: GONE if each.target == webhook else DELIVERED)
    dispatch(store, calls.prepare)
    found = webhooks.show(store, webhook)
    assert (found.off_reason, webhooks.show(store, other).off_at) == ("gone", None)
    assert disabled(client) == [{"webhook_id": webhook, "reason": "gone"}]
    assert {each.state for each in of_brand(store, webhook_id=webhook)} == {"failed"}
    # The brand's other webhooks get an event.
    plan(store)
    assert {each.target: each.state for each in of_brand(store, type="webhook.disabled")} == {
        webhook: "failed",
        other: "waiting",
    }


def test_a_webhook_switched_on_again_starts_with_no_failures(client: Client, store: Store) -> None:
    webhook = hook(store)
    client.create()
    plan(store)
    fail(store, webhook, 10, 0)
    assert webhooks.change(store, webhook, on=True).off_at is None
    fail(store, webhook, 9, 0)
    assert webhooks.show(store, webhook).off_at is None


def test_a_delivery_is_settled_once(client: Client, store: Store) -> None:
    hook(store)
    client.create()
    plan(store)
    found = of_brand(store)[0]
    assert delivery_lanes.settle(store, found, DELIVERED, due_at=None, lease=60, off_after=0)
    assert not delivery_lanes.settle(store, found, RETRY, due_at=1, lease=60, off_after=0)
    again = of_brand(store)[0]
    assert (again.state, again.attempts, again.status) == ("delivered", 1, "200")


# Lanes.


def test_only_one_of_many_dispatchers_leases_a_lane(client: Client, store: Store, redis_server: RedisServer) -> None:
    hook(store)
    granted(client, 90)
    plan(store)
    count = 8
    barrier = threading.Barrier(count)
    lanes = due(store)
    won: list[list[str]] = []

    def race() -> None:
        own = Store.at(redis_server.url, PATIENCE, store.partitions)
        for partition, lane in lanes:
            barrier.wait(PATIENCE)
            claimed = delivery_lanes.lease_lane(own, partition, lane, 60, 1000)
            if claimed is not None:
                won.append([each.id for each in claimed])

    threads = [threading.Thread(target=race) for _ in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE)
    assert len(lanes) == deliveries.LANES
    assert len(won) == len(lanes)
    assert sorted(each for ids in won for each in ids) == sorted(each.id for each in of_brand(store))
    assert (due(store), sorted(leased(store))) == ([], sorted(lanes))


def test_two_dispatchers_make_each_delivery_once(client: Client, store: Store, redis_server: RedisServer) -> None:
    for _ in range(3):
        hook(store)
    granted(client, 50)
    plan(store)
    calls = Calls()
    workers = [
        Dispatcher(Store.at(redis_server.url, PATIENCE, store.partitions), AT_ONCE, calls.prepare, 4) for _ in range(2)
    ]
    ending = threading.Event()

    def work(dispatcher: Dispatcher) -> None:
        while not ending.wait(0.002):
            dispatcher.turn()
        dispatcher.end()

    threads = [threading.Thread(target=work, args=(each,)) for each in workers]
    for each in threads:
        each.start()
    try:
        until(lambda: len(of_brand(store, state="delivered")) == 153)
    finally:
        ending.set()
        for each in threads:
            each.join(PATIENCE)
    assert (len(calls.ids), len(set(calls.ids))) == (153, 153)
    assert {each.attempts for each in of_brand(store)} == {1}


def test_a_lane_of_a_worker_that_is_gone_is_taken_over_after_its_lease(client: Client, store: Store) -> None:
    hook(store)
    client.create()
    plan(store)
    (partition, lane), *_ = due(store)
    assert delivery_lanes.lease_lane(store, partition, lane, 60, BATCH)
    delivery_lanes.release_ended_lanes(store, store.now())
    assert (due(store), leased(store)) == ([], [(partition, lane)])
    assert delivery_lanes.lease_lane(store, partition, lane, 60, BATCH) is None
    client.redis.zadd(keys.leases(partition), {lane: store.now() - 1})
    delivery_lanes.release_ended_lanes(store, store.now())
    calls = Calls()
    dispatch(store, calls.prepare)
    assert len(calls.made) == 1
    assert of_brand(store)[0].state == "delivered"


def test_a_lease_outlasts_an_attempt_and_each_attempt_renews_it(client: Client, store: Store) -> None:
    schedule = Schedule((), 10, 1)
    assert schedule.lease > 10
    hook(store)
    client.create()
    plan(store)
    (partition, lane), *_ = due(store)
    found = delivery_lanes.lease_lane(store, partition, lane, 1, BATCH)
    assert found
    first = float(store.command("ZSCORE", keys.leases(partition), lane))
    delivery_lanes.settle(store, found[0], RETRY, due_at=1, lease=1000, off_after=1)
    assert float(store.command("ZSCORE", keys.leases(partition), lane)) > first + 900 * SECOND


def test_deliveries_planned_in_a_leased_lane_are_made_after_its_return(client: Client, store: Store) -> None:
    webhook = hook(store)
    client.create()
    plan(store)
    (partition, lane), *_ = due(store)
    claimed = delivery_lanes.lease_lane(store, partition, lane, 60, BATCH)
    assert claimed
    granted(client, 40)
    plan(store)
    assert lane not in {name for _, name in due(store)}
    delivery_lanes.release_lane(store, partition, lane)
    assert lane in {name for _, name in due(store)}
    dispatch(store, Calls().prepare)
    assert {each.state for each in of_brand(store, webhook_id=webhook)} == {"delivered"}


def test_more_than_a_batch_is_made_in_turns(client: Client, store: Store) -> None:
    hook(store)
    count = 2 * BATCH * deliveries.LANES
    granted(client, count, total_count=count)
    plan(store)
    calls = Calls()
    dispatch(store, calls.prepare)
    # Beside the grants, the discount was created, ran low twice, and was sold out.
    assert (len(calls.ids), len(set(calls.ids))) == (count + 4, count + 4)


def test_a_webhook_that_hangs_delays_no_other(client: Client, store: Store) -> None:
    slow = hook(store, brand="Slow")
    hook(store)
    granted(client, 10, brand_id="Slow")
    granted(client, 10)
    plan(store)
    hanging = threading.Event()

    def answer_(each: Delivery) -> Receipt:
        if each.target == slow:
            assert hanging.wait(PATIENCE)
        return DELIVERED

    calls = Calls(answer_)
    dispatcher = Dispatcher(store, AT_ONCE, calls.prepare, deliveries.LANES + 1)
    try:
        until(lambda: dispatcher.turn() + 1 and len(of_brand(store, state="delivered")) == 11)
        assert of_brand(store, "Slow", state="delivered") == []
        # Of its own deliveries one a lane is under way.
        assert 1 <= len([each for each in calls.made if each.target == slow]) <= deliveries.LANES
    finally:
        hanging.set()
        dispatcher.end()


def test_a_lane_that_fails_three_times_is_skipped_for_a_while(client: Client, store: Store) -> None:
    hook(store)
    granted(client, 90)
    plan(store)
    calls = Calls(lambda _: RETRY)
    dispatch(store, calls.prepare, Schedule((3600.0,), PATIENCE, 1e9))
    lanes = Counter(each.lane for each in calls.made)
    assert set(lanes.values()) == {3}
    assert len(lanes) == deliveries.LANES


def test_a_lane_out_of_time_is_skipped_at_once(client: Client, store: Store) -> None:
    hook(store)
    granted(client, 90)
    plan(store)
    calls = Calls(lambda _: Receipt("retry", "timeout", "", 10))
    dispatch(store, calls.prepare, Schedule((3600.0,), PATIENCE, 1e9))
    assert set(Counter(each.lane for each in calls.made).values()) == {1}


def test_a_stopping_dispatcher_gives_back_its_unmade_deliveries(client: Client, store: Store) -> None:
    hook(store)
    granted(client, 60)
    plan(store)
    begun, go_on = threading.Event(), threading.Event()

    def answer_(_: Delivery) -> Receipt:
        begun.set()
        assert go_on.wait(PATIENCE)
        return DELIVERED

    calls = Calls(answer_)
    dispatcher = Dispatcher(store, AT_ONCE, calls.prepare, 1)
    dispatcher.turn()
    assert begun.wait(PATIENCE)
    ending = threading.Thread(target=dispatcher.end)
    ending.start()
    until(dispatcher._ending.is_set)
    go_on.set()
    ending.join(PATIENCE)
    assert not ending.is_alive()
    assert len(calls.made) == 1
    assert leased(store) == []
    dispatch(store, calls.prepare)
    assert (len(calls.ids), len(set(calls.ids))) == (61, 61)


# Calls that are really made.


@pytest.fixture
def courier(store: Store, signatures: Signer) -> WebhookDelivery:
    sender = WebhookClient(url_policy.policy(loopback=True), PATIENCE)
    return WebhookDelivery(store, sender, signatures, None)


def test_a_call_is_signed_and_equals_the_event_of_get_event(
    client: Client, store: Store, courier: WebhookDelivery, signatures: Signer
) -> None:
    with Peer(answering(answer(200, b"thanks"))) as peer:
        made = client.http.post("/webhook", json={"brand_id": "IKEA", "url": peer.url}).get_json()
        granted(client, 3)
        plan(store)
        dispatch(store, courier.prepare)
        requests = peer.requests
    events = client.http.get("/event?brand_id=IKEA").get_json()["events"]
    got = {headers["webhook-id"]: Reference(made["secret"]).verify(body, headers) for headers, body in requests}
    assert len(requests) == 4
    assert got == {each["id"]: each for each in events}
    assert {headers["content-type"] for headers, _ in requests} == {"application/json"}
    assert {(each.state, each.status, each.answer) for each in of_brand(store)} == {("delivered", "200", "thanks")}


def test_within_the_overlap_both_secrets_verify_a_call_and_after_it_the_new_one(
    client: Client, store: Store, courier: WebhookDelivery
) -> None:
    with Peer(answering(answer())) as peer:
        made = client.http.post("/webhook", json={"brand_id": "IKEA", "url": peer.url}).get_json()
        secrets = [made["secret"], client.http.post(f"/webhook/{made['id']}/secret").get_json()["secret"]]
        client.create()
        plan(store)
        dispatch(store, courier.prepare)
        client.redis.hset(keys.webhook(PARTITION, made["id"]), "before_until", store.now() - SECOND)
        client.create()
        plan(store)
        dispatch(store, courier.prepare)
        first, second = peer.requests
    for secret in secrets:
        assert Reference(secret).verify(first[1], first[0])
    assert Reference(secrets[1]).verify(second[1], second[0])
    with pytest.raises(Exception, match="No matching signature"):
        Reference(secrets[0]).verify(second[1], second[0])


def test_a_call_made_again_has_the_same_id_and_body_and_a_signature_of_its_time(
    client: Client, store: Store, courier: WebhookDelivery
) -> None:
    with Peer(answering(answer(503), answer(200))) as peer:
        made = client.http.post("/webhook", json={"brand_id": "IKEA", "url": peer.url}).get_json()
        client.create()
        plan(store)
        dispatch(store, courier.prepare)
        (one, first), (two, second) = peer.requests
    assert (one["webhook-id"], first) == (two["webhook-id"], second)
    for headers, body in peer.requests:
        assert Reference(made["secret"]).verify(body, headers)


def test_a_removed_webhook_is_not_called(client: Client, store: Store, courier: WebhookDelivery) -> None:
    with Peer(answering(answer())) as peer:
        removed, off, kept = (hook(store, peer.url) for _ in range(3))
        client.create()
        plan(store)
        webhooks.remove(store, removed)
        webhooks.change(store, off, on=False)
        dispatch(store, courier.prepare)
        assert len(peer.requests) == 1
    assert {each.target: (each.state, each.status, each.attempts) for each in of_brand(store)} == {
        removed: ("failed", "no-webhook", 0),
        off: ("failed", "webhook-off", 0),
        kept: ("delivered", "200", 1),
    }


def test_no_call_is_made_for_an_event_no_longer_kept(client: Client, store: Store, courier: WebhookDelivery) -> None:
    with Peer(answering(answer())) as peer:
        hook(store, peer.url)
        client.create()
        plan(store)
        client.redis.xtrim(STREAM, maxlen=0, approximate=False)
        dispatch(store, courier.prepare)
        assert peer.requests == []
    assert [(each.state, each.status) for each in of_brand(store)] == [("failed", "no-longer-kept")]


def test_a_webhook_that_was_moved_is_called_where_it_is_now(
    client: Client, store: Store, courier: WebhookDelivery
) -> None:
    with Peer(answering(answer())) as before, Peer(answering(answer())) as after:
        webhook = hook(store, before.url)
        client.create()
        plan(store)
        webhooks.change(store, webhook, url=after.url)
        dispatch(store, courier.prepare)
        assert (len(before.requests), len(after.requests)) == (0, 1)


def test_an_e_mail_without_a_mail_server_is_listed_as_failed(
    client: Client, store: Store, courier: WebhookDelivery
) -> None:
    client.http.put("/user/Ann", json={"email": "ann@x.example"})
    client.grant(client.create()["id"], "Ann")
    plan(store, reminders=Reminders(store, 3))
    dispatch(store, courier.prepare)
    assert [(each.state, each.status) for each in of_brand(store)] == [("failed", "no-mail")]


# Seen over HTTP.


def listing(client: Client, **query: Any) -> dict[str, Any]:
    answered = client.http.get("/delivery", query_string={"brand_id": "IKEA"} | query)
    assert answered.status_code == 200, answered.text
    found: dict[str, Any] = answered.get_json()
    return found


def pages(client: Client, **query: Any) -> Iterator[Any]:
    for _ in range(1000):
        page = listing(client, **query)
        yield from page["deliveries"]
        if page["next"] is None:
            return
        query["cursor"] = page["next"]
    raise AssertionError("the pages have no end")


@pytest.fixture
def made(client: Client, store: Store) -> dict[str, str]:
    """Create two webhooks: the first succeeded on grants and failed otherwise, the second waits."""
    first = hook(store, types=["code.granted", "discount.created"])
    discount = granted(client, 7)
    plan(store)
    dispatch(store, Calls(lambda each: DELIVERED if each.type == "code.granted" else RETRY).prepare, NEVER)
    second = hook(store)
    client.http.patch(f"/discount/{discount}", json={"paused": True})
    plan(store)
    return {"first": first, "second": second, "discount": discount}


def test_a_delivery_is_shown_whole(client: Client, store: Store, made: dict[str, str]) -> None:
    found = listing(client, state="failed")["deliveries"][0]
    assert found == {
        "id": found["id"],
        "brand_id": "IKEA",
        "kind": "webhook",
        "webhook_id": made["first"],
        "user_id": None,
        "type": "discount.created",
        "event_id": client.http.get("/event?brand_id=IKEA&limit=1").get_json()["events"][0]["id"],
        "discount_id": made["discount"],
        "state": "failed",
        "attempts": 1,
        "created_at": found["created_at"],
        "due_at": None,
        "last_at": found["last_at"],
        "status": "500",
        "answer": "oh no",
        "milliseconds": 3,
    }
    assert found["last_at"] > found["created_at"]
    assert client.http.get(f"/delivery/{found['id']}").get_json() == found


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 9),
        ({"state": "delivered"}, 7),
        ({"state": "failed"}, 1),
        ({"state": "waiting"}, 1),
        ({"kind": "webhook"}, 9),
        ({"kind": "email"}, 0),
        ({"webhook_id": "first"}, 8),
        ({"webhook_id": "second"}, 1),
        ({"type": "code.granted"}, 7),
        ({"type": "discount.changed"}, 1),
        ({"type": "discount.created", "state": "delivered"}, 0),
        ({"webhook_id": "first", "state": "failed"}, 1),
        ({"since": "2001-09-11T00:00:00Z"}, 9),
        ({"since": "2286-01-01T00:00:00Z"}, 0),
    ],
)
def test_a_list_has_the_matching_deliveries_newest_first(
    client: Client, made: dict[str, str], query: dict[str, str], count: int
) -> None:
    asked = query | ({"webhook_id": made[query["webhook_id"]]} if "webhook_id" in query else {})
    found = listing(client, **asked)
    assert (len(found["deliveries"]), found["next"]) == (count, None)
    times = [each["created_at"] for each in found["deliveries"]]
    assert times == sorted(times, reverse=True)


def test_since_separates_old_events_from_new_ones(client: Client, made: dict[str, str]) -> None:
    whole = listing(client)["deliveries"]
    assert listing(client, since=whole[3]["created_at"])["deliveries"] == [
        each for each in whole if each["created_at"] >= whole[3]["created_at"]
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9, 10, 1000])
@pytest.mark.parametrize("state", [None, "delivered"])
def test_pages_of_any_size_are_the_whole_list(
    client: Client, made: dict[str, str], limit: int, state: str | None
) -> None:
    query = {} if state is None else {"state": state}
    assert list(pages(client, limit=limit, **query)) == listing(client, **query)["deliveries"]


def test_many_deliveries_of_one_moment_are_all_listed(client: Client, store: Store) -> None:
    for _ in range(20):
        hook(store)
    granted(client, 10, webhook_url=URL)
    plan(store)
    for limit in (1, 7, 100):
        found = [each["id"] for each in pages(client, limit=limit)]
        assert (len(found), len(set(found))) == (11 * 21, 11 * 21)


def test_another_brands_deliveries_are_not_listed(client: Client, made: dict[str, str]) -> None:
    assert listing(client, brand_id="Billy") == {"deliveries": [], "next": None}
    assert listing(client, brand_id="Billy", webhook_id=made["first"])["deliveries"] == []


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("", "brand_id"),
        ("brand_id=IKEA&state=lost", "state"),
        ("brand_id=IKEA&kind=fax", "kind"),
        ("brand_id=IKEA&webhook_id=x", "webhook_id"),
        ("brand_id=IKEA&since=yesterday", "since"),
        ("brand_id=IKEA&since=1999-01-01T00:00:00Z", "since"),
        ("brand_id=IKEA&limit=0", "limit"),
        ("brand_id=IKEA&cursor=x", "cursor"),
        ("brand_id=IKEA&cursor=MTpkc2MtMQ", "cursor"),
        ("brand_id=IKEA&user_id=Ann", "user_id"),
    ],
)
def test_a_bad_list_is_refused(client: Client, query: str, place: str) -> None:
    client.refused("GET", f"/delivery?{query}", 422, "invalid", place)


@pytest.mark.parametrize("name", ["dlv-00" + "0" * 24, "dlv-ff" + "0" * 24, "x", "whk-00" + "0" * 24])
def test_an_unknown_delivery_is_not_found(client: Client, name: str) -> None:
    client.refused("GET", f"/delivery/{name}", 404, "not-found")
    client.refused("POST", f"/delivery/{name}/resend", 404, "not-found")


# Sent again.


def test_a_resent_delivery_starts_with_all_its_attempts(client: Client, store: Store, made: dict[str, str]) -> None:
    failed = listing(client, state="failed")["deliveries"][0]
    answered = client.http.post(f"/delivery/{failed['id']}/resend")
    assert answered.status_code == 202
    again = answered.get_json()
    assert again == failed | {"state": "waiting", "due_at": again["due_at"]}
    calls = Calls(lambda _: RETRY)
    dispatch(store, calls.prepare, Schedule((0.0, 0.0), PATIENCE, 1e9))
    tries = [(each.event_id, each.tries) for each in calls.made if each.id == failed["id"]]
    assert tries == [(failed["event_id"], tried) for tried in range(3)]
    assert client.http.get(f"/delivery/{failed['id']}").get_json()["attempts"] == 4


def test_a_successful_delivery_can_be_sent_again(client: Client, store: Store, made: dict[str, str]) -> None:
    done = listing(client, state="delivered")["deliveries"][0]["id"]
    key = keys.delivery(PARTITION, done)
    assert client.redis.ttl(key) > 0
    assert client.http.post(f"/delivery/{done}/resend").status_code == 202
    # While it waits it is kept for as long as that takes.
    assert client.redis.ttl(key) == -1
    calls = Calls()
    dispatch(store, calls.prepare)
    assert calls.ids.count(done) == 1
    assert client.redis.ttl(key) > 0


def test_asking_twice_makes_one_delivery(client: Client, store: Store, made: dict[str, str]) -> None:
    failed = listing(client, state="failed")["deliveries"][0]["id"]
    for _ in range(3):
        assert client.http.post(f"/delivery/{failed}/resend").status_code == 202
    calls = Calls()
    dispatch(store, calls.prepare)
    assert calls.ids.count(failed) == 1


def test_a_resend_to_a_webhook_that_is_off_is_refused(client: Client, made: dict[str, str]) -> None:
    client.http.patch(f"/webhook/{made['first']}", json={"on": False})
    failed = listing(client, state="failed")["deliveries"][0]["id"]
    client.refused("POST", f"/delivery/{failed}/resend", 409, "webhook-off")


def test_a_resend_to_a_removed_webhook_is_refused(client: Client, made: dict[str, str]) -> None:
    client.http.delete(f"/webhook/{made['first']}")
    failed = listing(client, state="failed")["deliveries"][0]["id"]
    client.refused("POST", f"/delivery/{failed}/resend", 404, "not-found")


def test_a_resend_of_an_event_no_longer_kept_is_refused(client: Client, made: dict[str, str]) -> None:
    client.redis.xtrim(STREAM, maxlen=0, approximate=False)
    failed = listing(client, state="failed")["deliveries"][0]["id"]
    client.refused("POST", f"/delivery/{failed}/resend", 410, "no-longer-kept")


def test_deliveries_that_failed_while_a_webhook_was_off_can_be_resent(client: Client, store: Store) -> None:
    webhook = hook(store)
    webhooks.change(store, webhook, on=False)
    granted(client, 5)
    plan(store)
    webhooks.change(store, webhook, on=True)
    answered = client.http.post("/delivery/resend", json={"brand_id": "IKEA", "webhook_id": webhook})
    assert (answered.status_code, answered.get_json()) == (
        202,
        {"resent_count": 6, "refused_count": 0, "next": None},
    )
    calls = Calls()
    dispatch(store, calls.prepare)
    assert sorted(calls.ids) == sorted(each.id for each in of_brand(store))


def test_a_range_is_sent_again_page_by_page(client: Client, store: Store) -> None:
    good, off = hook(store), hook(store)
    granted(client, 9)
    plan(store)
    dispatch(store, Calls(lambda _: RETRY).prepare, NEVER)
    webhooks.change(store, off, on=False)
    body: dict[str, Any] = {"brand_id": "IKEA", "limit": 4}
    resent = refused = 0
    for _ in range(10):
        page = client.http.post("/delivery/resend", json=body).get_json()
        resent, refused = resent + page["resent_count"], refused + page["refused_count"]
        if page["next"] is None:
            break
        body["cursor"] = page["next"]
    assert (resent, refused) == (10, 10)
    assert {each.state for each in of_brand(store, webhook_id=good)} == {"waiting"}
    assert {each.state for each in of_brand(store, webhook_id=off)} == {"failed"}


def test_a_range_has_a_beginning_and_a_state(client: Client, made: dict[str, str]) -> None:
    newest = listing(client, state="delivered")["deliveries"][0]["created_at"]
    body = {"brand_id": "IKEA", "state": "delivered", "since": newest}
    first = client.http.post("/delivery/resend", json=body).get_json()
    assert first["resent_count"] == len(
        [each for each in listing(client, type="code.granted")["deliveries"] if each["created_at"] >= newest]
    )
    everything = client.http.post("/delivery/resend", json={"brand_id": "IKEA"}).get_json()
    assert everything == {"resent_count": 1, "refused_count": 0, "next": None}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "/brand_id"),
        ({"brand_id": "IKEA", "state": "lost"}, "/state"),
        ({"brand_id": "IKEA", "webhook_id": "x"}, "/webhook_id"),
        ({"brand_id": "IKEA", "since": "1999-01-01T00:00:00Z"}, "/since"),
        ({"brand_id": "IKEA", "limit": 1001}, "/limit"),
        ({"brand_id": "IKEA", "cursor": "x"}, "/cursor"),
        ({"brand_id": "IKEA", "delivery_id": "x"}, "/delivery_id"),
    ],
)
def test_a_bad_range_is_refused(client: Client, body: Any, place: str) -> None:
    client.refused("POST", "/delivery/resend", 422, "invalid", place, json=body)


def test_refusals_of_the_commands_are_those_of_the_service(client: Client, store: Store) -> None:
    webhook = hook(store)
    client.create()
    plan(store)
    found = of_brand(store)[0]
    webhooks.change(store, webhook, on=False)
    with pytest.raises(WebhookOff):
        deliveries.resend(store, found.id)
    webhooks.change(store, webhook, on=True)
    store.command("XTRIM", STREAM, "MAXLEN", 0)
    with pytest.raises(NoLongerKept):
        deliveries.resend(store, found.id)
