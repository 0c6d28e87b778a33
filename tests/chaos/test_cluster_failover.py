"""A Cluster whose nodes die, hang and hand partitions over: each partition is served, and the others notice nothing."""

import pytest

from discount.services import grants
from discount.store.connection import Store
from tests.chaos import failovers
from tests.chaos.failovers import Granting, judge, make_offer, partition_of
from tests.support.clusters import Cluster

SOME = 30
#: The share of the calls to other nodes that may fail while one hangs.
SMALL = 0.05


@pytest.fixture
def store(cluster: Cluster) -> Store:
    store = Store.at(cluster.url, 2.0, 16)
    store.set_durability("replicated", 1)
    store.prepare()
    failovers.await_safety(store)
    return store


@pytest.fixture
def offers(store: Store, cluster: Cluster) -> list[str]:
    """A discount on each master."""
    return [make_offer(store, cluster.partitions_of(master)[0]) for master in cluster.masters()]


def test_the_url_of_any_node_serves_every_brand(cluster: Cluster) -> None:
    for node in cluster.nodes:
        store = Store.at(f"redis://{node.address}", 5.0, 16)
        store.set_durability(None, 1)
        store.prepare()
        for partition in range(16):
            offer = make_offer(store, partition)
            assert grants.grant(store, offer, "Ann").code
        assert store.nodes.kind == "cluster"
        assert store.nodes.durability.mode(store.nodes.kind) == "replicated"


def test_a_master_is_killed_and_its_partitions_go_on(cluster: Cluster, store: Store, offers: list[str]) -> None:
    with Granting(store, offers) as granting:
        granting.wait_for(SOME)
        failovers.kill(cluster, partition_of(offers[0]))
        granting.wait_for(SOME)
        cluster.heal()
    found = judge(store, granting.answers)
    assert (found.lost, found.doubled) == ([], [])
    # Nothing but an answer or a 503 has reached a client: any other error ends `granting`.
    assert {each.slug for each in granting.failures} <= {"unavailable", "not-yet-durable"}


def test_a_node_that_hangs_costs_the_others_next_to_nothing(cluster: Cluster, store: Store, offers: list[str]) -> None:
    victim, *others = offers
    with Granting(store, offers) as granting:
        granting.wait_for(SOME)
        master = failovers.freeze(cluster, partition_of(victim))
        granting.wait_for(SOME)
        master.resume()
    for other in others:
        failed = sum(each.discount_id == other for each in granting.failures)
        assert failed <= SMALL * granting.counts()[other]
    found = judge(store, granting.answers)
    assert (found.lost, found.doubled) == ([], [])


def test_a_process_starts_and_serves_the_rest_while_a_shard_is_gone(
    cluster: Cluster, store: Store, offers: list[str]
) -> None:
    gone, *others = offers
    master = cluster.master_of(partition_of(gone))
    for node in (*cluster.replicas_of(master), master):
        node.kill()
    for late in (store, Store.at(cluster.url, 2.0, 16)):
        late.set_durability("replicated", 1)
        late.prepare()
        with Granting(late, others) as granting:
            granting.wait_for(SOME)


def test_partitions_move_under_load_and_no_call_fails(cluster: Cluster, store: Store, offers: list[str]) -> None:
    with Granting(store, offers) as granting:
        for offer in offers:
            granting.wait_for(SOME)
            failovers.move(cluster, partition_of(offer))
        granting.wait_for(SOME)
    assert granting.failures == []
    found = judge(store, granting.answers)
    assert (found.lost, found.doubled) == ([], [])
