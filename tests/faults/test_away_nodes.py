"""A Cluster of three real servers: every form of its URL, nodes that die, hang and come back, and one that moves."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from discount.app import create_app
from discount.config import Settings
from discount.domain.errors import Unavailable
from discount.services import partitions
from discount.store import keys
from discount.store.connection import Store
from discount.store.rate_limits import Rates
from tests.support.clusters import Cluster, Node, move_by_keys
from tests.support.fixtures import ON_CLUSTER
from tests.support.service import wait_until

PARTITIONS = 16
#: Seconds that an exchange may take; a hung node costs that much once.
TIMEOUT = 1.0


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with Cluster(replicas=0) as running:
        yield running


@pytest.fixture
def cluster(servers: Cluster) -> Cluster:
    """The Cluster, which each test finds empty and whole."""
    with servers.client() as client:
        client.flushall()
    return servers


@pytest.fixture
def healing(cluster: Cluster) -> Iterator[Cluster]:
    """The same for a test that kills nodes."""
    yield cluster
    cluster.heal()


#: A master that was killed joins its Cluster after two seconds only.
slow = pytest.mark.skipif(not ON_CLUSTER, reason="a part of make cluster-test")


def store_at(url: str) -> Store:
    return Store.at(url, TIMEOUT, PARTITIONS, secret="")


def ask_all(store: Store) -> list[Any]:
    return store.each([("HGET", keys.installation(each), "partitions") for each in range(PARTITIONS)])


def unanswered(store: Store) -> list[int]:
    return [each for each, reply in enumerate(ask_all(store)) if isinstance(reply, Unavailable)]


def held_by(cluster: Cluster, node: Node) -> list[int]:
    return cluster.partitions_of(node, PARTITIONS)


def another(cluster: Cluster, node: Node) -> Node:
    return next(each for each in cluster.nodes if each is not node)


@pytest.mark.parametrize("form", ["redis://{0}", "redis://{0},{1}", "redis+cluster://{1}/", "redis://{2}/0"])
def test_each_form_of_a_url_reaches_every_partition(cluster: Cluster, form: str) -> None:
    store = store_at(form.format(*(node.address for node in cluster.nodes)))
    # Without `prepare` too: Redis may have been away when the process started.
    assert ask_all(store) == ["16"] * PARTITIONS
    assert store.nodes.kind == "cluster"
    assert sorted(store.nodes.addresses()) == sorted(node.address for node in cluster.nodes)


def test_a_map_that_is_wrong_is_put_right_by_the_nodes(cluster: Cluster) -> None:
    store = store_at(cluster.url)
    store.prepare()
    first, *_ = (node.address for node in cluster.nodes)
    store.nodes._set([first] * PARTITIONS)
    assert ask_all(store) == ["16"] * PARTITIONS
    assert store.command("HGET", keys.installation(7), "partitions") == "16"


def test_a_hung_node_costs_the_others_one_time_out_and_no_more(cluster: Cluster) -> None:
    store, hung = store_at(cluster.url), cluster.nodes[1]
    store.prepare()
    mine = held_by(cluster, hung)
    answered: list[float] = []
    ending = threading.Event()

    def keep_asking() -> None:
        name = keys.installation(held_by(cluster, another(cluster, hung))[0])
        while not ending.is_set():
            store.command("HGET", name, "schema")
            answered.append(time.monotonic())

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        wait_until(lambda: answered, "the other thread asks")
        hung.pause()
        assert unanswered(store) == mine
        # From now on, what is for this node fails at once.
        rounds, before = 0, len(answered)
        began = time.monotonic()
        while time.monotonic() - began < TIMEOUT:
            assert unanswered(store) == mine
            rounds += 1
        assert rounds > 1
        assert len(answered) > before
    finally:
        ending.set()
        asking.join()
        hung.resume()
    wait_until(lambda: not unanswered(store), "the node is used again")


def test_a_partition_may_move_while_it_is_used(cluster: Cluster) -> None:
    store = store_at(cluster.url)
    store.prepare()
    source = cluster.master_of(3)
    target = another(cluster, source)
    name = keys.discount(3, "dsc-x")
    store.command("HSET", name, "n", 0)
    asked: list[int] = []
    ending = threading.Event()
    broken: list[BaseException] = []

    def keep_counting() -> None:
        try:
            while not ending.is_set():
                asked.append(store.command("HINCRBY", name, "n", 1))
        except BaseException as error:
            broken.append(error)

    counting = threading.Thread(target=keep_counting)
    counting.start()
    try:
        for one, other in ((source, target), (target, source)):
            _wait_for_more(asked)
            move_by_keys(3, one, other)
            _wait_for_more(asked)
            assert store.nodes.owners[3] == other.address
    finally:
        ending.set()
        counting.join()
    assert not broken
    assert asked == list(range(1, len(asked) + 1))


def _wait_for_more(asked: list[int]) -> None:
    before = len(asked)
    wait_until(lambda: len(asked) > before + 10, "more is counted")


def test_a_host_that_nodes_do_not_announce_is_the_one_that_was_asked(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", "unknown-endpoint")
    try:
        store = store_at(cluster.url)
        store.prepare()
        assert sorted(store.nodes.addresses()) == sorted(node.address for node in cluster.nodes)
        store.nodes._set([cluster.nodes[0].address] * PARTITIONS)
        assert ask_all(store) == ["16"] * PARTITIONS
    finally:
        for node in cluster.nodes:
            node.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")


def create(app: Flask, brand: str) -> str:
    body = {"brand_id": brand, "discount_code": "Winter", "total_count": 3}
    answer = app.test_client().post("/discount", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["id"])


@dataclass
class Half:
    """A service whose Cluster has lost a node.

    Args:
        made: a discount in each partition, by partition.
        brands: its brand.
        lost: the partitions of the node.
    """

    cluster: Cluster
    app: Flask
    brands: dict[int, str]
    made: dict[int, str]
    lost: list[int]

    @property
    def missing(self) -> list[str]:
        return [f"{each:02x}" for each in self.lost]


@pytest.fixture(scope="class")
def half(servers: Cluster) -> Iterator[Half]:
    with servers.client() as client:
        client.flushall()
    app = create_app(Settings(redis_url=servers.url, durability="fast"), store_at(servers.url))
    brands = {keys.partition_of(brand, PARTITIONS): brand for brand in (f"Brand {n}" for n in range(100))}
    made = {partition: create(app, brand) for partition, brand in brands.items()}
    gone = servers.master_of(0)
    whole = app.test_client().get("/discount?limit=100").get_json()
    assert {each["id"] for each in whole["discounts"]} == set(made.values())
    assert "missing" not in whole
    found = Half(servers, app, brands, made, held_by(servers, gone))
    gone.kill()
    yield found
    servers.heal()


class TestWithoutTheNodeOfPartition00:
    def test_the_others_answer(self, half: Half) -> None:
        store = store_at(half.cluster.url)
        assert unanswered(store) == store.nodes.unreachable() == half.lost
        assert store.now() > 0

    def test_a_process_starts_and_is_ready(self, half: Half) -> None:
        there = half.cluster.master_of(next(each for each in half.made if each not in half.lost))
        for seeds in (half.cluster.url, f"redis://{there.address}"):
            late = store_at(seeds)
            late.prepare()
            assert unanswered(late) == half.lost
        ready = half.app.test_client().get("/ready")
        assert (ready.status_code, ready.get_json()) == (200, {"ready": True, "missing": half.missing})

    def test_lists_say_which_partitions_are_missing(self, half: Half) -> None:
        client = half.app.test_client()
        part = client.get("/discount?limit=100").get_json()
        assert part["missing"] == half.missing
        assert {each["id"] for each in part["discounts"]} == {
            made for partition, made in half.made.items() if partition not in half.lost
        }
        user = client.get("/user/Ann/grants").get_json()
        assert (user["grants"], user["missing"]) == ([], half.missing)

    def test_only_its_own_brands_are_refused(self, half: Half) -> None:
        client = half.app.test_client()
        for partition, brand in half.brands.items():
            found = client.get("/discount", query_string={"brand_id": brand})
            assert found.status_code == (503 if partition in half.lost else 200)
            grant = client.post(f"/discount/{half.made[partition]}/grant", json={"user_id": "Bo"})
            assert grant.status_code == (503 if partition in half.lost else 201)

    def test_rates_count_on_another_node_which_all_processes_choose_alike(self, half: Half) -> None:
        user = next(name for name in map(str, range(100)) if keys.partition_of(name, PARTITIONS) in half.lost)
        stores = [store_at(half.cluster.url) for _ in range(2)]
        for store in stores:
            store.prepare()
        one, two = (Rates(store, {"user": "10/hour"}) for store in stores)
        assert spend(one, user) == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -1]
        assert spend(two, user) == [-1] * 12

    def test_work_on_each_partition_leaves_its_own_out(self, half: Half) -> None:
        store = store_at(half.cluster.url)

        def work(partition: int) -> int:
            store.command("GET", keys.trimmed(partition))
            return partition

        assert partitions.do_each(store, work) == [each for each in range(PARTITIONS) if each not in half.lost]


def spend(rates: Rates, user: str) -> list[int]:
    counted = [rates.count("user", user) for _ in range(12)]
    return [each.left for each in counted if each is not None]


def test_a_rate_is_one_for_all_nodes(cluster: Cluster) -> None:
    one, two = (Rates(store_at(cluster.url), {"user": "10/hour"}) for _ in range(2))
    for user in ("Ann", "Bo", "Cy"):
        assert spend(one, user) == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -1]
        assert spend(two, user) == [-1] * 12


@slow
def test_a_node_that_comes_back_is_used_again(healing: Cluster) -> None:
    store, gone = store_at(healing.url), healing.nodes[0]
    store.prepare()
    mine = held_by(healing, gone)
    gone.kill()
    assert unanswered(store) == store.nodes.unreachable() == mine
    assert store.now() > 0
    gone.start()
    wait_until(lambda: not unanswered(store), "the node is used again")
    assert store.nodes.unreachable() == []


@slow
def test_the_service_is_not_ready_once_nothing_is_there(healing: Cluster) -> None:
    store = store_at(healing.url)
    app = create_app(Settings(redis_url=healing.url, durability="fast"), store)
    for node in healing.nodes:
        node.kill()
    assert app.test_client().get("/ready").status_code == 503
    with pytest.raises(Unavailable):
        store.now()


@slow
def test_a_first_start_waits_for_partition_00(healing: Cluster) -> None:
    gone = healing.master_of(0)
    gone.kill()
    store = store_at(healing.url)
    with pytest.raises(Unavailable):
        store.prepare()
    with healing.client() as client:
        names = [keys.installation(each) for each in range(PARTITIONS) if healing.master_of(each) is not gone]
        assert not any(client.exists(name) for name in names)
    gone.start()
    wait_until(lambda: not unanswered(store), "the layout is stored")
