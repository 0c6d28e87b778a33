"""Repeats and refusals of a running service, answered by its hot workers, reach the figures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from discount.ledger import schema
from discount.ledger.consumer import Consumer
from discount.ledger.database import Database
from discount.ledger.tallies import TallyReader
from discount.services import tallies
from discount.store.connection import Store
from tests.support import history
from tests.support.load import drive, grant_call
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, create, wait_until

PARTITIONS = 16


def counted(store: Store) -> dict[str, int]:
    """Return what waits in Redis for the ledger, by word."""
    found: dict[str, int] = {}
    for partition in range(PARTITIONS):
        for each in tallies.read(store, partition):
            found[each.word] = found.get(each.word, 0) + each.count
    return found


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of its own: what other tests count must not be in the figures."""
    with RedisServer() as server:
        yield server


def test_refusals_of_all_processes_are_in_the_figures(server: RedisServer, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    database, store = Database(url), Store.at(server.url, PATIENCE, PARTITIONS)
    schema.upgrade(database)
    with Service(server.url, replicas=2, workers=2, ledger_url=url) as service:
        discount_id = create(service.urls[0], 100)
        calls = [grant_call(discount_id, f"user {number}") for number in range(120) for _ in range(2)]
        answers = drive(service.urls, calls)
        assert history.statuses(answers) == {(201, ""): 100, (200, ""): 100, (409, "sold-out"): 40}
        wanted = {tallies.REPEATED: 100, f"{tallies.NO_GRANT}sold-out": 40}
        wait_until(lambda: counted(store) == wanted, "each process has written what it counted")
        # A process that is ended writes what it still has.
        refused = {"user_id": "late"}
        assert ask(service.urls[0], "POST", f"/discount/{discount_id}/grant", refused).status == 409
        service.terminate(0)
        service.wait(0)
        assert counted(store)[f"{tallies.NO_GRANT}sold-out"] == 41
        consumer = Consumer(store, database, "test")
        consumer.open()
        while consumer.turn():
            pass
        TallyReader(store, database, lambda: consumer.partitions).turn()
        total = ask(service.urls[1], "GET", f"/discount/{discount_id}/figures").json["total"]
    assert (total["granted"], total["repeated"], total["refused_grants"]) == (100, 100, {"sold-out": 41})
