"""PostgreSQL stops under a running worker: grants go on, the metrics show it, and the ledger catches up."""

from sqlalchemy import text

from discount.domain.errors import Unavailable
from discount.domain.model import Grant
from discount.ledger import schema
from discount.ledger.database import Database
from discount.ledger.figures import Figures
from discount.ledger.tables import EVENTS, GRANTS
from discount.services import grants, outbox, tallies
from discount.store.connection import Store
from tests.chaos.worker_processes import WorkerProcesses
from tests.ledger.test_consumer import count
from tests.services.harness import ServiceHarness
from tests.support.postgres import PostgresServer
from tests.support.redis_server import RedisServer
from tests.support.service import wait_until

BEHIND = "discount_ledger_behind_seconds"
PARTITIONS_BEHIND = "discount_ledger_partitions_behind"
DAY = 86_400_000_000


def empty_ledger(postgres: PostgresServer) -> Database:
    database = Database(postgres.url)
    with database.writing() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    schema.upgrade(database)
    return database


def is_away(figures: Figures, discount_id: str, now: int) -> bool:
    try:
        figures.of_discount(discount_id, "day", now - DAY, now)
    except Unavailable:
        return True
    return False


def grant(store: Store, discount_id: str, first: int, last: int) -> None:
    outcomes = grants.grant_many(store, discount_id, [f"user-{number}" for number in range(first, last)])
    assert all(isinstance(each, Grant) and each.fresh for each in outcomes)


def test_grants_go_on_and_the_ledger_catches_up(
    harness: ServiceHarness, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    database, store = empty_ledger(postgres), harness.store
    store.tallies.start(lambda: None)
    made = harness.create(total=3000)
    figures = Figures(store, database)
    with WorkerProcesses(redis_server.url, workers=1, secret="", ledger_url=postgres.url) as workers:
        workers.await_ready()
        wait_until(lambda: count(database, EVENTS) == 1, "the worker reads")
        postgres.kill()
        try:
            grant(store, made.id, 0, 2500)
            harness.grant(made.id, "user-7")
            tallies.write(store)
            wait_until(lambda: workers.figure(0, BEHIND) > 0, "the worker says how far the ledger is behind")
            assert workers.figure(0, PARTITIONS_BEHIND) == 1
            assert is_away(figures, made.id, harness.now())
            # However long it takes, nothing is let go that the ledger has not read.
            outbox.trim(store, made.partition, -10)
        finally:
            postgres.start()
        grant(store, made.id, 2500, 2600)
        wait_until(lambda: count(database, GRANTS) == 2600, "the ledger has caught up")
        wait_until(lambda: (workers.figure(0, BEHIND), workers.figure(0, PARTITIONS_BEHIND)) == (0, 0), "and says so")
        now = harness.now()
        wait_until(
            lambda: figures.of_discount(made.id, "day", now - DAY, now + 1).total.repeated == 1,
            "what was counted meanwhile is there, too",
        )
    total = figures.of_discount(made.id, "day", now - DAY, now + 1).total
    # The event at 80 percent is one more.
    assert (total.granted, total.counts["discount.running-low"], count(database, EVENTS)) == (2600, 1, 2602)
