"""One primary, two replicas and three Sentinels: the primary is killed, cut off, and comes back."""

from collections.abc import Iterator

import pytest

from discount.domain.errors import NotYetDurable, Unavailable
from discount.services import grants
from discount.store.connection import Store
from discount.store.durability import Mode
from tests.chaos import failovers
from tests.chaos.failovers import Granting, held_code, judge, make_offer
from tests.chaos.receiver import Receiver
from tests.chaos.worker_processes import WorkerProcesses
from tests.chaos.worker_processes import make_offer as make_offer_with_webhook
from tests.support.clusters import Node, Sentinels
from tests.support.service import wait_until

SOME = 30


@pytest.fixture(scope="module")
def servers() -> Iterator[Sentinels]:
    with Sentinels(replicas=2) as running:
        yield running


@pytest.fixture
def sentinels(servers: Sentinels) -> Iterator[Sentinels]:
    yield servers
    servers.heal()


def store_of(sentinels: Sentinels, mode: Mode) -> Store:
    store = Store.at(sentinels.url, 1.0, 16)
    store.set_durability(mode, 1)
    failovers.prepare(store)
    return store


def test_a_killed_primary_is_replaced_and_serves_no_more_when_it_returns(sentinels: Sentinels) -> None:
    store = store_of(sentinels, "replicated")
    offer = make_offer(store, 0)
    with Granting(store, [offer]) as granting:
        granting.wait_for(SOME)
        old = failovers.kill_primary(sentinels)
        granting.wait_for(SOME)
        # The old primary comes back with its older data.
        old.start()
        granting.wait_for(SOME)
        sentinels.heal()
        granting.wait_for(SOME)
    found = judge(store, granting.answers)
    assert (found.lost, found.doubled) == ([], [])


@pytest.mark.parametrize("mode", ["fast", "replicated"])
def test_only_fast_loses_what_a_primary_that_is_cut_off_answers(sentinels: Sentinels, mode: Mode) -> None:
    store = store_of(sentinels, mode)
    offer = make_offer(store, 1)
    with Granting(store, [offer]) as granting:
        granting.wait_for(SOME)
        old = failovers.partition_primary(sentinels)
        granting.wait_for(SOME)
        sentinels.rejoin(old)
        sentinels.heal()
        granting.wait_for(SOME)
    found = judge(store, granting.answers)
    if mode == "fast":
        assert found.lost
        assert found.doubled, "the promoted list begins with the codes that were lost"
    else:
        assert (found.lost, found.doubled) == ([], [])
        assert any(each.slug == "not-yet-durable" for each in granting.failures)


@pytest.mark.parametrize("mode", ["fast", "replicated"])
def test_only_in_mode_fast_a_brand_gets_events_of_lost_grants(
    sentinels: Sentinels, receiver: Receiver, mode: Mode
) -> None:
    store = store_of(sentinels, mode)
    brand = f"brand-{mode}"
    offer = make_offer_with_webhook(store, receiver, "ok", brand, 100)
    with WorkerProcesses(sentinels.url, workers=1, durability=mode, redis_timeout=1) as workers:
        workers.await_ready()
        offer.grant(["Ann"])
        wait_until(lambda: receiver.counts()[brand] == 2, "the discount's and Ann's events are delivered")
        primary = sentinels.primary()
        for replica in sentinels.nodes:
            if replica is not primary:
                sentinels.cut_replication(replica)
        if mode == "fast":
            grants.grant(store, offer.discount_id, "Bob")
            wait_until(lambda: receiver.counts()[brand] == 3, "Bob's event is delivered")
        else:
            with pytest.raises(NotYetDurable):
                grants.grant(store, offer.discount_id, "Bob")
            before = waits(primary)
            wait_until(lambda: waits(primary) >= before + 3, "the worker has read Bob's grant, and waits again")
            assert receiver.counts()[brand] == 2
            wait_until(lambda: workers.figure(0, "discount_events_waiting") > 0, "the event is shown as waiting")
        primary.pause()
        sentinels.await_new_primary(primary)
        sentinels.heal()
        assert held_code(store, offer.discount_id, "Bob") is None, "the grant has vanished"
        delivered = receiver.counts()[brand]
        wait_until(lambda: granted(store, offer.discount_id, "Bob"), "Bob has a code for good")
        wait_until(lambda: receiver.counts()[brand] == delivered + 1, "the event of this grant is delivered")


def waits(node: Node) -> int:
    """Return how often a node was asked to wait for its replicas."""
    return int(node.info("commandstats").get("cmdstat_wait", {}).get("calls", 0))


def granted(store: Store, discount_id: str, user: str) -> bool:
    """Return whether a user was given a code."""
    try:
        return bool(grants.grant(store, discount_id, user).code)
    except Unavailable:
        return False
