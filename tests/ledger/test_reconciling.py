"""The worker reconciles hour by hour, and keeps what it found."""

from structlog.testing import capture_logs

from discount.ledger import results
from discount.ledger.consumer import Consumer
from discount.ledger.database import Database
from discount.store import keys
from discount.worker.reconciling import EVERY, Reconciling
from tests.ledger.test_consumer import read_all
from tests.services.harness import ServiceHarness


def test_partitions_are_compared_once_an_hour_and_their_results_kept(
    harness: ServiceHarness, database: Database
) -> None:
    discount = harness.create(total=5)
    harness.grant(discount.id, "ann")
    read_all(harness, database, "one")
    owned = [discount.partition, (discount.partition + 1) % harness.store.partitions]
    reconciling = Reconciling(harness.store, database, lambda: owned, lambda _: False)
    assert reconciling.turn() == 2
    assert reconciling.turn() == 0
    harness.redis.hincrby(keys.discount(discount.partition, discount.id), "orders:EUR", 1)
    for partition, result in results.read(harness.store).items():
        result.at -= EVERY
        results.save(harness.store, partition, result)
    with capture_logs() as lines:
        assert reconciling.turn() == 2
    kept = results.read(harness.store)
    assert (set(kept), kept[discount.partition].count, results.joined(kept).discounts) == (set(owned), 1, 1)
    assert [each["discounts"] for each in lines if each["event"] == "Redis and the ledger differ"] == [[discount.id]]


def test_a_worker_that_ends_stops_between_two_slices(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=5)
    harness.grant(discount.id, "ann")
    read_all(harness, database, "one")
    waits = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return True

    assert Reconciling(harness.store, database, lambda: [discount.partition], wait).turn() == 0
    assert len(waits) == 1
    assert results.read(harness.store) == {}


def test_a_worker_compares_what_it_writes(harness: ServiceHarness, database: Database) -> None:
    harness.create(total=5)
    consumer = Consumer(harness.store, database, "one")
    consumer.open()
    consumer.turn()
    assert list(consumer.partitions) == list(range(harness.store.partitions))
