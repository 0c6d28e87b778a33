"""A Cluster of three real servers: every form of its URL, nodes that die, hang and come back, and one that moves."""

import threading
import time
from collections.abc import Iterator
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
from tests.support.clusters import Cluster, Node
from tests.support.service import wait_until

PARTITIONS = 16
#: Seconds that an exchange may take; a hung node costs that much once.
TIMEOUT = 1.0


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with Cluster(replicas=0) as running:
        yield running


@pytest.fixture
def cluster(servers: Cluster) -> Iterator[Cluster]:
    """The Cluster, empty at first, and whole again at the end."""
    with servers.client() as client:
        client.flushall()
    yield servers
    servers.heal()


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


def test_a_dead_node_takes_only_its_own_partitions_away(cluster: Cluster) -> None:
    store, gone = store_at(cluster.url), cluster.nodes[0]
    store.prepare()
    mine = held_by(cluster, gone)
    gone.kill()
    assert unanswered(store) == store.nodes.unreachable() == mine
    assert store.now() > 0
    gone.start()
    wait_until(lambda: not unanswered(store), "the node is used again")
    assert store.nodes.unreachable() == []


@pytest.mark.parametrize("lost", [0, 5], ids=["with partition 00", "without partition 00"])
def test_a_process_starts_while_a_node_is_away(cluster: Cluster, lost: int) -> None:
    store_at(cluster.url).prepare()
    gone = cluster.master_of(lost)
    mine = held_by(cluster, gone)
    gone.kill()
    late = store_at(f"redis://{gone.address},{another(cluster, gone).address}")
    late.prepare()
    assert unanswered(late) == mine
    app = create_app(Settings(redis_url=cluster.url), late)
    ready = app.test_client().get("/ready")
    assert (ready.status_code, ready.get_json()) == (200, {"ready": True, "missing": [f"{each:02x}" for each in mine]})


def test_the_service_is_not_ready_once_nothing_is_there(cluster: Cluster) -> None:
    store = store_at(cluster.url)
    app = create_app(Settings(redis_url=cluster.url), store)
    for node in cluster.nodes:
        node.kill()
    assert app.test_client().get("/ready").status_code == 503
    with pytest.raises(Unavailable):
        store.now()


def test_a_first_start_waits_for_partition_00(cluster: Cluster) -> None:
    gone = cluster.master_of(0)
    gone.kill()
    store = store_at(cluster.url)
    with pytest.raises(Unavailable):
        store.prepare()
    with cluster.client() as client:
        names = [keys.installation(each) for each in range(PARTITIONS) if cluster.master_of(each) is not gone]
        assert not any(client.exists(name) for name in names)
    gone.start()
    wait_until(lambda: not unanswered(store), "the layout is stored")


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


def test_lists_say_which_partitions_are_missing(cluster: Cluster) -> None:
    app = create_app(Settings(redis_url=cluster.url), store_at(cluster.url))
    client = app.test_client()
    brands = {keys.partition_of(brand, PARTITIONS): brand for brand in (f"Brand {n}" for n in range(100))}
    made = {partition: create(app, brand) for partition, brand in brands.items()}
    assert len(made) == PARTITIONS
    whole = client.get("/discount?limit=100").get_json()
    assert {each["id"] for each in whole["discounts"]} == set(made.values())
    assert "missing" not in whole
    gone = cluster.nodes[2]
    mine = held_by(cluster, gone)
    gone.kill()
    part = client.get("/discount?limit=100").get_json()
    assert part["missing"] == [f"{each:02x}" for each in mine]
    assert {each["id"] for each in part["discounts"]} == {made[each] for each in made if each not in mine}
    user = client.get("/user/Ann/grants").get_json()
    assert (user["grants"], user["missing"]) == ([], part["missing"])
    for partition, brand in brands.items():
        status = 503 if partition in mine else 200
        assert client.get("/discount", query_string={"brand_id": brand}).status_code == status
        grant = client.post(f"/discount/{made[partition]}/grant", json={"user_id": "Ann"})
        assert grant.status_code == (503 if partition in mine else 201)


def create(app: Flask, brand: str) -> str:
    body = {"brand_id": brand, "discount_code": "Winter", "total_count": 3}
    answer = app.test_client().post("/discount", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["id"])


def test_a_rate_is_one_for_all_nodes_and_counts_on_while_one_is_away(cluster: Cluster) -> None:
    def spend(rates: Rates) -> list[int]:
        counted = [rates.count("user", "Ann") for _ in range(12)]
        return [each.left for each in counted if each is not None]

    limits = {"user": "10/hour"}
    one, two = (Rates(store_at(cluster.url), limits) for _ in range(2))
    assert spend(one) == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -1]
    assert spend(two) == [-1] * 12
    cluster.master_of(keys.partition_of("Ann", PARTITIONS)).kill()
    # A new window on another node, which all processes choose alike.
    assert spend(one) == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -1]
    assert spend(two) == [-1] * 12


def test_work_on_each_partition_leaves_those_out_that_are_away(cluster: Cluster) -> None:
    store, gone = store_at(cluster.url), cluster.nodes[0]
    store.prepare()
    mine = held_by(cluster, gone)
    gone.kill()

    def work(partition: int) -> int:
        store.command("GET", keys.trimmed(partition))
        return partition

    assert partitions.do_each(store, work) == [each for each in range(PARTITIONS) if each not in mine]


def test_a_partition_may_move_while_it_is_used(cluster: Cluster) -> None:
    store = store_at(cluster.url)
    store.prepare()
    source = cluster.master_of(3)
    target = another(cluster, source)
    slot = source.ask("CLUSTER", "KEYSLOT", keys.installation(3))
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
            _migrate(slot, one, other)
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


def _migrate(slot: int, source: Node, target: Node) -> None:
    """Move a slot as redis-cli does: key by key, with both nodes knowing that it moves."""
    ids = {node: node.ask("CLUSTER", "MYID") for node in (source, target)}
    assert target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source]) == "OK"
    assert source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target]) == "OK"
    while names := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
        for name in names:
            assert source.ask("MIGRATE", "127.0.0.1", target.port, name, 0, 5000)
    for node in (target, source):
        assert node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[target]) == "OK"


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
