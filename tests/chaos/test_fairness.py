"""A slow receiver delays no other brand, and workers share the work."""

import socket
import time

import pytest

from discount.domain.model import Delivery
from discount.services import contacts, webhooks
from discount.store import keys
from discount.store.connection import Store
from discount.worker.dispatcher import SLOW
from tests.chaos.chaos_run import await_end, check_arrived
from tests.chaos.receiver import Receiver
from tests.chaos.worker_processes import Offer, WorkerProcesses, make_offer
from tests.support.redis_server import RedisServer
from tests.support.service import wait_until

#: Seconds: longer than a test, so a call that hangs does so until the worker ends.
LONG = 60


def brand_in(partition: int, beginning: str) -> str:
    """Return a brand whose keys are in a partition."""
    return next(f"{beginning}{n}" for n in range(1000) if keys.partition_of(f"{beginning}{n}", 16) == partition)


@pytest.mark.parametrize("partition", [3, 4])
def test_a_hanging_receiver_delays_no_other_brand(
    redis_server: RedisServer, store: Store, receiver: Receiver, partition: int
) -> None:
    slow = make_offer(store, receiver, "hang", brand_in(3, "slow"), 100)
    fast = make_offer(store, receiver, "ok", brand_in(partition, "fast"), 100)
    slow.grant([f"user {number}" for number in range(100)])
    fast.grant([f"user {number}" for number in range(100)])
    with WorkerProcesses(redis_server.url, workers=1, webhook_timeout=LONG):
        wait_until(lambda: receiver.counts()[fast.brand_id] == 104, "all of the other brand's")
    hanging = [each for each in receiver.calls() if each.name == slow.brand_id]
    assert {each.answer for each in hanging} == {"hang"}
    assert len(hanging) == 4, "as many as a webhook has lanes, and none came back"


def test_many_hanging_receivers_of_one_brand_delay_no_other_brand(
    redis_server: RedisServer, store: Store, receiver: Receiver
) -> None:
    # Ten receivers of four lanes each are more than there are senders.
    slow = make_offer(store, receiver, "500", brand_in(3, "slow"), 400)
    for _ in range(9):
        webhooks.create(store, slow.brand_id, receiver.url("500", slow.brand_id))
    slow.grant([f"user {number}" for number in range(400)])
    fast = make_offer(store, receiver, "ok", brand_in(3, "fast"), 100)
    with WorkerProcesses(redis_server.url, workers=1, webhook_timeout=LONG, webhook_pauses="3,600"):
        # Wait until the worker knows that each of them fails.
        wait_until(lambda: left_alone(redis_server, 3) == 40, "all of the lanes are left alone for a while")
        receiver.turn(slow.brand_id, "hang")
        wait_until(lambda: hanging(receiver, slow), "calls that hang")
        fast.grant([f"user {number}" for number in range(100)])
        wait_until(lambda: receiver.counts()[fast.brand_id] == 104, "all of the other brand's")
    assert hanging(receiver, slow) <= 4, "a quarter of the senders"


def test_many_slow_receivers_of_one_brand_delay_no_other_brand(
    redis_server: RedisServer, store: Store, receiver: Receiver
) -> None:
    slow = make_offer(store, receiver, "held", brand_in(3, "slow"), 400)
    for _ in range(19):
        webhooks.create(store, slow.brand_id, receiver.url("held", slow.brand_id))
    slow.grant([f"user {number}" for number in range(400)])
    fast = make_offer(store, receiver, "ok", brand_in(3, "fast"), 100)
    with WorkerProcesses(redis_server.url, workers=1, webhook_timeout=LONG):
        wait_until(lambda: receiver.held(slow.brand_id) == 12, "calls that are held: all senders but a quarter")
        fast.grant([f"user {number}" for number in range(50)])
        wait_until(lambda: receiver.counts()[fast.brand_id] == 51, "all of the other brand's")
        assert receiver.held(slow.brand_id) == 12, "none of the slow ones was answered meanwhile"
        # Each took longer than a quick call, and says 200: then its lane is known to be slow.
        time.sleep(SLOW)
        receiver.let_go(slow.brand_id)
        wait_until(lambda: receiver.counts()[slow.brand_id] > 12, "calls after those")
        fast.grant([f"user {number}" for number in range(50, 100)])
        # The four events more: it was created, it ran low twice, and it is sold out.
        wait_until(lambda: receiver.counts()[fast.brand_id] == 104, "the rest of the other brand's")


def left_alone(server: RedisServer, partition: int) -> int:
    with server.client() as client:
        seconds, microseconds = client.time()
        later = f"({seconds * 1_000_000 + microseconds}"
        brands = client.zrange(keys.due(partition, "webhook"), 0, -1)
        lanes = [keys.lanes(partition, "webhook", each) for each in brands]
        return sum(int(client.zcount(each, later, "+inf")) for each in lanes)


def hanging(receiver: Receiver, offer: Offer) -> int:
    return sum(each.answer == "hang" for each in receiver.calls() if each.name == offer.brand_id)


def test_a_mail_server_that_hangs_delays_no_webhook(
    redis_server: RedisServer, store: Store, receiver: Receiver
) -> None:
    offers = [make_offer(store, receiver, "ok", brand_in(number, "brand"), 100) for number in range(16)]
    users = [f"user {number}" for number in range(10)]
    for offer in offers:
        for user in users:
            contacts.put(store, user, brand_id=offer.brand_id, email=f"{offer.brand_id}@example.org")
    # It accepts connections, and never answers.
    silent = socket.create_server(("127.0.0.1", 0), backlog=512)
    url = f"smtp+plain://127.0.0.1:{silent.getsockname()[1]}"
    with silent, WorkerProcesses(redis_server.url, workers=1, webhook_timeout=LONG, smtp_url=url) as workers:
        workers.await_ready()
        for offer in offers:
            offer.grant(users)
        # Before the first of the e-mails can have ended.
        wait_until(lambda: receiver.counts().total() == 16 * 11, "all calls", LONG - 5)


def test_an_event_that_cannot_be_planned_delays_no_other(
    redis_server: RedisServer, store: Store, receiver: Receiver
) -> None:
    offer = make_offer(store, receiver, "ok", "IKEA", 100)
    with redis_server.client() as client:
        stream = keys.events(keys.partition_of("IKEA", 16))
        for _ in range(20):
            client.xadd(stream, {"type": "strange", "at": "1", "brand": "IKEA"})
    offer.grant([f"user {number}" for number in range(50)])
    with WorkerProcesses(redis_server.url, workers=1, webhook_timeout=LONG, webhook_pauses="0.1,0.1"):
        wait_until(lambda: receiver.counts()["IKEA"] == 51, "all events of IKEA")
        wait_until(lambda: len(failed(offer)) == 20, "what cannot stands among the failed")
    assert {each.status for each in failed(offer)} == {"broken"}


def failed(offer: Offer) -> list[Delivery]:
    return [each for each in offer.deliveries() if each.state == "failed"]


def test_two_workers_plan_and_send(redis_server: RedisServer, store: Store, receiver: Receiver) -> None:
    offers = [make_offer(store, receiver, "ok", brand_in(number, "brand"), 1000) for number in range(16)]
    with WorkerProcesses(redis_server.url, workers=2, webhook_timeout=LONG) as workers:
        workers.await_ready()
        for first in range(0, 160, 10):
            for offer in offers:
                offer.grant([f"user {number}" for number in range(first, first + 10)])
        await_end(redis_server, offers, workers)
        sent = [workers.figure(number, "discount_deliveries_total") for number in (0, 1)]
    assert check_arrived(receiver, offers)[0] == sum(sent) == 16 * 161
    assert min(sent) > 0
    with redis_server.client() as client:
        consumers = [each for p in range(16) for each in client.xinfo_consumers(keys.events(p), "deliveries")]
    assert len({each["name"] for each in consumers}) == 2
