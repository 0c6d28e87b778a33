"""Processes and servers that die while the ledger is written: no row is lost or doubled."""

import multiprocessing
import os
import signal
from typing import Any

import pytest
from sqlalchemy import event, func, select
from structlog.testing import capture_logs

from discount.domain.errors import Unavailable
from discount.ledger import consumer
from discount.ledger.consumer import Consumer
from discount.ledger.database import Database
from discount.ledger.positions import GROUP
from discount.ledger.tables import EVENTS, FIGURES, GRANTS
from discount.services import outbox, users
from discount.store import keys
from discount.store.connection import Store
from tests.ledger.test_consumer import count, read_all
from tests.services.harness import BRANDS, ServiceHarness
from tests.support.patience import PATIENCE
from tests.support.postgres import PostgresServer
from tests.support.redis_server import RedisServer


def grant_many(harness: ServiceHarness, discount_id: str, first: int, last: int) -> None:
    for number in range(first, last):
        harness.grant(discount_id, f"user-{number}")


def figure_of(database: Database, event_type: str) -> int:
    wanted = select(func.sum(FIGURES.c["count"])).where((FIGURES.c.step == "day") & (FIGURES.c.type == event_type))
    with database.reading() as connection:
        return int(connection.execute(wanted).scalar_one())


def write_and_die(redis_url: str, partitions: int, ledger_url: str, last: int) -> None:
    """Write entries until so many statements have changed rows; then die in the middle of the transaction."""
    database, changes = Database(ledger_url), 0

    def count_change(*arguments: Any) -> None:
        nonlocal changes
        changes += arguments[2].startswith(("INSERT", "UPDATE"))
        if changes == last:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(database.engine, "after_cursor_execute", count_change)
    consumer.ENTRIES = 20
    reader = Consumer(Store.at(redis_url, PATIENCE, partitions), database, "one")
    reader.open()
    while reader.turn():
        pass


def test_a_process_that_is_killed_in_a_transaction_loses_and_doubles_nothing(
    harness: ServiceHarness, database: Database, redis_server: RedisServer
) -> None:
    discount = harness.create(total=100).id
    grant_many(harness, discount, 0, 60)
    url = database.url.set(drivername=database.url.get_backend_name()).render_as_string(hide_password=False)
    # In the first transaction, and in a later one.
    for statement in (3, 11):
        arguments = (redis_server.url, harness.store.partitions, url, statement)
        process = multiprocessing.get_context("spawn").Process(target=write_and_die, args=arguments)
        process.start()
        process.join(PATIENCE)
        assert process.exitcode == -signal.SIGKILL
    written = count(database, EVENTS)
    assert 0 < written < 61
    assert written % 20 == 0
    assert read_all(harness, database) == 61 - written
    assert (count(database, EVENTS), count(database, GRANTS)) == (61, 60)
    assert figure_of(database, "code.granted") == 60


def test_while_postgresql_is_away_events_wait_and_are_counted(
    harness: ServiceHarness, database: Database, request: pytest.FixtureRequest
) -> None:
    if database.is_sqlite:
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    discount = harness.create(total=100).id
    reader = Consumer(harness.store, database, "one")
    reader.open()
    assert reader.turn() == 1
    server.kill()
    try:
        grant_many(harness, discount, 0, 30)
        with pytest.raises(Unavailable):
            reader.turn()
        partitions, seconds = reader.behind()
        assert partitions == 1
        assert seconds > 0
    finally:
        server.start()
    grant_many(harness, discount, 30, 40)
    reader.open()
    assert reader.turn() == 40
    assert reader.behind() == (0, 0.0)
    assert (count(database, GRANTS), figure_of(database, "code.granted")) == (40, 40)


def test_entries_are_acknowledged_whose_writer_died_after_its_transaction(
    harness: ServiceHarness, database: Database
) -> None:
    stream = keys.events(harness.create().partition)
    read_all(harness, database)
    harness.redis.xgroup_setid(stream, GROUP, "0")
    reader = Consumer(harness.store, database, "one")
    assert reader.behind()[0] == 1
    reader.open()
    assert reader.turn() == 0
    assert reader.behind()[0] == 0


def test_a_partition_that_is_not_reached_delays_no_other(
    harness: ServiceHarness, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for brand in BRANDS[:3]:
        harness.create(brand=brand)
    with monkeypatch.context() as broken:
        each = harness.store.each

        def without_one(commands: list[tuple[str | int, ...]]) -> list[object]:
            replies = each(commands)
            away = [any("{01}" in str(part) for part in command) for command in commands]
            return [Unavailable("away") if gone else reply for gone, reply in zip(away, replies, strict=True)]

        broken.setattr(harness.store, "each", without_one)
        assert read_all(harness, database) == 2
    assert read_all(harness, database) == 1


def test_what_redis_may_still_lose_is_not_written(
    harness: ServiceHarness, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.create()
    with monkeypatch.context() as unsafe:
        unsafe.setattr(harness.store, "safe_partitions", lambda _: set())
        assert read_all(harness, database) == 0
    assert read_all(harness, database) == 1


def test_a_redis_that_lost_its_last_moment_is_noticed(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=9)
    stream = keys.events(discount.partition)
    harness.grant(discount.id, "ann")
    read_all(harness, database)
    harness.redis.xdel(stream, harness.redis.xrevrange(stream, count=1)[0][0])
    harness.grant(discount.id, "bob")
    reader = Consumer(harness.store, database, "one")
    with capture_logs() as lines:
        reader.open()
        assert reader.turn() == 1
    errors = [each["event"] for each in lines if each["log_level"] == "error"]
    assert errors == ["Redis has lost events that the ledger has", "what Redis had lost is put back"]
    assert reader.lost == set()
    # The outbox went on, and takes no earlier entry: callers learn that some are missing.
    assert outbox.trim(harness.store, discount.partition, 10**6) == 0
    assert harness.redis.get(keys.trimmed(discount.partition)) is not None


def test_events_that_were_trimmed_or_forgotten_are_not_lost(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=9)
    partition = discount.partition
    harness.grant(discount.id, "ann")
    read_all(harness, database)
    users.forget(harness.store, "ann")
    read_all(harness, database)
    outbox.cut_read(harness.store, partition)
    reader = Consumer(harness.store, database, "one")
    reader.open()
    reader.turn()
    assert reader.lost == set()
    outbox.trim(harness.store, partition, -10)
    reader.open()
    reader.turn()
    assert reader.lost == set()
