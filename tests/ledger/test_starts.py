"""After a start of Redis nothing is changed before the ledger has put back what was lost; no code is given twice."""

import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from discount.domain.errors import NotFound, Restoring, Unavailable
from discount.domain.rules import Order
from discount.ledger import positions, schema
from discount.ledger.consumer import Consumer
from discount.ledger.database import Database
from discount.ledger.reconcile import Reconciler
from discount.services import discounts, grants, redemptions
from discount.services.checkouts import Checkout
from discount.store import starts
from discount.store.connection import Store
from tests.services.harness import PARTITIONS, UNIQUE, ServiceHarness
from tests.support import history
from tests.support.clusters import Cluster
from tests.support.fixtures import ON_CLUSTER
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.service import wait_until

#: How often the file is cut; `make chaos` says 20.
CUTS = int(os.environ.get("CUTS", "2"))


_SAVED: dict[str, Any] = {"appendonly": "yes", "appendfsync": "everysec", "auto_aof_rewrite_percentage": 0}


@pytest.fixture
def server() -> Iterator[RedisServer | Cluster]:
    with Cluster(replicas=0, **_SAVED) if ON_CLUSTER else RedisServer(**_SAVED) as running:
        yield running


def node_of(server: RedisServer | Cluster, partition: int) -> RedisServer:
    """Return the node that has a partition."""
    return server.master_of(partition) if isinstance(server, Cluster) else server


def start(server: RedisServer | Cluster, node: RedisServer) -> None:
    """Start a node again, and wait until it serves its partitions."""
    node.start()
    if isinstance(server, Cluster):
        server.await_health()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path}/ledger.db")
    schema.upgrade(found)
    yield found
    found.engine.dispose()


def app_store(server: RedisServer | Cluster, ledger: Database) -> Store:
    """Return a store as the app has it."""
    store = Store.at(server.url, PATIENCE, PARTITIONS)
    store.watch_starts(partial(positions.find_whole, store, ledger))
    store.prepare()
    return store


def worker(server: RedisServer | Cluster, ledger: Database) -> Consumer:
    store = Store.at(server.url, PATIENCE, PARTITIONS)
    store.prepare()
    consumer = Consumer(store, ledger, f"worker-{random.random()}")
    consumer.open()
    return consumer


def read_all(consumer: Consumer) -> None:
    while consumer.turn():
        pass


def file_of(node: RedisServer) -> Path:
    (found,) = (node.folder / "appendonlydir").glob("*.incr.aof")
    return found


def test_an_empty_redis_and_an_empty_ledger_are_served_at_once(server: RedisServer | Cluster, ledger: Database) -> None:
    store = app_store(server, ledger)
    assert store.starts is not None
    assert store.starts.restoring == frozenset()
    made = discounts.create(store, brand_id="IKEA", discount_code="Sale", total_count=9, kind=UNIQUE)[0]
    assert grants.grant(store, made.id, "ann").fresh


def test_a_start_that_lost_nothing_is_served_after_one_look(server: RedisServer | Cluster, ledger: Database) -> None:
    store, consumer = app_store(server, ledger), worker(server, ledger)
    made = discounts.create(store, brand_id="IKEA", discount_code="Sale", total_count=9, kind=UNIQUE)[0]
    code = grants.grant(store, made.id, "ann").code
    read_all(consumer)
    node = node_of(server, made.partition)
    node.shutdown()
    start(server, node)

    def granted() -> str:
        try:
            return grants.grant(store, made.id, "ann").code
        except Unavailable:
            return ""

    # No worker takes part.
    assert wait_until(granted, "the start was compared") == code


def test_the_first_change_after_a_start_waits_for_the_look_and_is_not_refused(
    server: RedisServer | Cluster, ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "COMPARING", PATIENCE)
    store, consumer = app_store(server, ledger), worker(server, ledger)
    made = discounts.create(store, brand_id="IKEA", discount_code="Sale", total_count=9, kind=UNIQUE)[0]
    read_all(consumer)
    node = node_of(server, made.partition)
    node.shutdown()
    start(server, node)
    refused = list[Unavailable]()

    def granted() -> str:
        try:
            return grants.grant(store, made.id, "ann").code
        except Unavailable as error:
            # The connection of before the start is found dead once.
            refused.append(error)
            return ""

    assert wait_until(granted, "the start was compared")
    assert not [error for error in refused if isinstance(error, Restoring)]


def test_a_redis_that_was_emptied_takes_no_changes_before_it_is_restored(
    server: RedisServer | Cluster, ledger: Database
) -> None:
    store, consumer = app_store(server, ledger), worker(server, ledger)
    assert store.starts is not None
    made = discounts.create(store, brand_id="IKEA", discount_code="Sale", total_count=9, kind=UNIQUE)[0]
    read_all(consumer)
    server.client().flushall()
    store.starts.look()
    with pytest.raises(Restoring):
        discounts.create(store, brand_id="IKEA", discount_code="Sale", total_count=9, kind=UNIQUE)
    with pytest.raises(NotFound):
        discounts.show(store, made.id)


@pytest.mark.parametrize("cut", range(CUTS))
def test_no_code_that_the_ledger_had_read_is_given_twice_after_a_power_cut(
    server: RedisServer | Cluster, ledger: Database, cut: int
) -> None:
    chance = random.Random(cut)
    store, consumer = app_store(server, ledger), worker(server, ledger)
    made = discounts.create(
        store, brand_id="IKEA", discount_code="Sale", total_count=5000, kind=UNIQUE, limits={"per_user": 1}
    )[0]
    codes: dict[str, str] = {}

    def use(store: Store, number: int) -> None:
        user = f"user {number}"
        codes[user] = grants.grant(store, made.id, user).code
        if number % 3 == 0:
            checkout = Checkout(user, codes[user], Order(f"order {number}", 1000, "EUR"), discount_id=made.id)
            redemptions.redeem(store, checkout)

    for number in range(40):
        use(store, number)
    node = node_of(server, made.partition)
    first = file_of(node).stat().st_size
    for number in range(40, 120):
        use(store, number)
    # The file ends with a grant, so that each cut loses one.
    last = file_of(node).stat().st_size
    read_all(consumer)
    node.kill()
    with file_of(node).open("r+b") as file:
        file.truncate(chance.randrange(first, last))
    start(server, node)
    kept = history.granted(server.client(), made.id)
    assert 40 <= kept < 120
    fresh = app_store(server, ledger)
    for each in (store, fresh):
        # The first call finds the connection lost; none gets a code.
        with pytest.raises(Unavailable):
            grants.grant(each, made.id, "new")
        with pytest.raises(Restoring):
            grants.grant(each, made.id, "new")
        assert discounts.show(each, made.id)[0].granted_count == kept
    read_all(worker(server, ledger))
    for each in (store, fresh):
        assert each.starts is not None
        each.starts.look()
        for user, code in codes.items():
            found = grants.grant(each, made.id, user)
            assert (found.code, found.fresh) == (code, False)
    assert grants.grant(fresh, made.id, "new").code not in codes.values()
    assert discounts.show(fresh, made.id)[0].used_count == 40
    after = worker(server, ledger)
    read_all(after)
    harness = ServiceHarness(fresh, server.client())
    assert Reconciler(harness.store, ledger, lambda _: None).partition(made.partition).differences == []
