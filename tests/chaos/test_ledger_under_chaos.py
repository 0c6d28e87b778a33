"""Redis and the ledger agree, although workers and PostgreSQL die while codes are granted and used."""

from discount.domain import code_kinds
from discount.ledger import schema
from discount.ledger.database import Database
from discount.services import discounts
from discount.store.connection import Store
from tests.chaos.ledger_run import ledger_run
from tests.chaos.worker_processes import WorkerProcesses
from tests.support.postgres import PostgresServer
from tests.support.redis_server import RedisServer


def test_nothing_differs_after_workers_and_postgresql_died(redis_server: RedisServer, store: Store) -> None:
    with PostgresServer() as postgres:
        database = Database(postgres.url)
        schema.upgrade(database)
        made = [
            discounts.create(store, brand_id=brand, discount_code="Sale", total_count=300, kind=code_kinds.unique(300))
            for brand in ("IKEA", "Billo")
        ]
        with WorkerProcesses(redis_server.url, workers=2, ledger_url=postgres.url) as workers:
            workers.await_ready()
            ids = [discount.id for discount, _ in made]
            found = ledger_run(store, database, postgres, workers, ids, seed=1, count=300, kills=2, away=0.5)
        database.engine.dispose()
    assert found.result.differences == []
    assert (found.result.grants, found.result.discounts) == (300, 2)
    assert (found.kills, found.stops) == (1, 1)
