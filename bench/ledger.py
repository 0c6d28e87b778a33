"""Measure the ledger: what it costs grants, how fast it writes, the size of rows, and how fast a code is found."""

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter

from sqlalchemy import func, select, text

from bench import servers, tables
from discount.domain import code_kinds
from discount.domain.ids import make_discount_id
from discount.domain.model import Grant
from discount.domain.rules import Order
from discount.ledger import schema, writer
from discount.ledger.consumer import Consumer
from discount.ledger.database import Database
from discount.ledger.history import History
from discount.ledger.rows import Batch
from discount.ledger.tables import GRANTS
from discount.services import discounts, grants, redemptions
from discount.services.checkouts import Checkout
from discount.store.connection import Store
from tests.support.postgres import PostgresServer
from tests.support.redis_server import RedisServer

_BRAND = "IKEA"
#: The least rate of grants with a ledger, as a part of the rate without.
BAR = 0.97
#: Rows that the large table gets in one statement.
_TOGETHER = 20_000
_LOOKS = 50


def run(entries: int, rows: int, rounds: int) -> None:
    """Print the tables.

    Args:
        entries: grants and redemptions that are written from the outbox.
        rows: grants among which a code is found.
    """
    _show_grants(rounds)
    _show_rates(entries)
    _show_finds(rows)


def _show_rates(entries: int) -> None:
    found = []
    with _databases() as databases, RedisServer() as redis:
        store = Store.at(redis.url, 30.0, 16)
        _fill(store, entries // 2)
        for name, database in databases.items():
            consumer = Consumer(store, database, name, "bench")
            consumer.open()
            empty, started, count = _size(database), perf_counter(), 0
            while written := consumer.turn():
                count += written
            seconds, size = perf_counter() - started, _size(database) - empty
            # The next database begins at the first entry, too.
            with redis.client() as client:
                client.delete(*client.keys("*:ledger"))
            tables.keep(f"ledger: {name}", rate=count / seconds, bytes=size / count)
            found.append((name, f"{count:,}", f"{count / seconds:,.0f}", f"{size / count:,.0f}"))
    tables.show(
        "Events written into the ledger: half grants, half redemptions, each with its rows, indexes and sums",
        ("database", "events", "events/s", "bytes an event, all tables"),
        found,
    )


def _show_finds(rows: int) -> None:
    found = []
    with _databases() as databases:
        for name, database in databases.items():
            empty = _size(database)
            _insert_grants(database, rows)
            size, history = _size(database) - empty, History(database)
            times = []
            for look in range(_LOOKS):
                number = look * (rows // _LOOKS)
                started = perf_counter()
                (holder,) = history.find_code(_BRAND, f"{number:012d}", 0)
                times.append((perf_counter() - started) * 1000)
                if holder.user_id != f"User {number}":
                    raise RuntimeError(f"{name}: the wrong holder of {number}")
            found.append((name, f"{rows:,}", tables.spread(times, 1), f"{size / rows:,.0f}"))
            tables.keep(f"ledger: find, {name}, {rows}", ms=statistics.median(times), bytes=size / rows)
    tables.show(
        "Find a code of a brand among its grants (min / median / max)",
        ("database", "grants", "ms", "bytes a grant, with indexes"),
        found,
    )


def _show_grants(rounds: int) -> None:
    """Compare the rate of grants beside a worker with a ledger with that beside a worker without."""
    ratios = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for number in range(rounds):
            # Each round has a Redis of its own, and so has its ledger.
            url = f"sqlite:///{folder}/{number}.db"
            schema.upgrade(Database(url))
            sides: list[tuple[str, dict[str, str]]] = [("without", {}), ("with", {"LEDGER_URL": url})]
            rates = {name: _rate(settings) for name, settings in (sides if number % 2 else sides[::-1])}
            ratios.append(rates["with"] / rates["without"])
    tables.keep("ledger: grants with a ledger, of those without", ratio=statistics.median(ratios))
    tables.show(
        f"The rate of grants while a worker writes the ledger, of that with a worker without one; bar {BAR}",
        ("rounds", "ratio (min / median / max)"),
        [(str(rounds), tables.spread(ratios, 2))],
    )


def _rate(settings: dict[str, str], total: int = 10_000) -> float:
    with RedisServer(appendonly="yes", appendfsync="everysec") as redis, servers.worker(redis.url, settings):
        store = Store.at(redis.url, 30.0, 16)
        made = discounts.create(
            store, brand_id=_BRAND, discount_code="x", total_count=total, kind=code_kinds.unique(total)
        )[0]
        started = perf_counter()
        for number in range(total):
            grants.grant(store, made.id, f"User {number}")
        return total / (perf_counter() - started)


def _fill(store: Store, count: int) -> None:
    made = discounts.create(
        store, brand_id=_BRAND, discount_code="x", total_count=count, kind=code_kinds.unique(count)
    )[0]
    for first in range(0, count, 5_000):
        users = [f"User {number}" for number in range(first, min(first + 5_000, count))]
        for each in grants.grant_many(store, made.id, users):
            if isinstance(each, Grant):
                order = Order(f"order {each.user_id}", 10_001, "EUR")
                redemptions.redeem(store, Checkout(each.user_id, each.code, order, discount_id=made.id))


def _insert_grants(database: Database, rows: int) -> None:
    """Write grants straight into the table, as a batch of the outbox would."""
    discount_id = make_discount_id(0, rows)
    for first in range(0, rows, _TOGETHER):
        batch = Batch()
        for number in range(first, min(first + _TOGETHER, rows)):
            user, entry = f"User {number}", f"1764143757202-{number}"
            batch.grants[discount_id, user, entry] = {
                **{"discount_id": discount_id, "user_id": user, "entry_id": entry, "brand_id": _BRAND},
                **{"code": f"{number:012d}", "canonical": f"{number:012d}", "at": 1_764_143_757_202_420 + number},
                **{"metadata": {}, "state": "granted", "revoked_at": None, "reason": "", "next_user_id": None},
            }
        with database.writing() as connection:
            writer.write(connection, batch)
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE grants"))
    with database.reading() as connection:
        if connection.execute(select(func.count()).select_from(GRANTS)).scalar_one() != rows:
            raise RuntimeError("not every grant was written")


def _size(database: Database) -> int:
    with database.reading() as connection:
        if database.is_sqlite:
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()
            return int(pages * connection.execute(text("PRAGMA page_size")).scalar_one())
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())


@contextmanager
def _databases() -> Iterator[dict[str, Database]]:
    """Yield an empty ledger in SQLite and one in PostgreSQL."""
    with ExitStack() as ending:
        folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        found = {"SQLite": Database(f"sqlite:///{folder}/ledger.db")}
        found["PostgreSQL"] = Database(ending.enter_context(PostgresServer()).url)
        for each in found.values():
            schema.upgrade(each)
            ending.callback(each.engine.dispose)
        yield found
