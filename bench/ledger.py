"""Measure the ledger: what it costs grants, how fast it writes, the size of rows, and how fast a code is found."""

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter, sleep
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, func, select, text

from bench import load, over_http, servers, tables
from discount.domain import code_kinds
from discount.domain.ids import make_discount_id
from discount.domain.model import Grant
from discount.domain.rules import Order
from discount.ledger import positions, schema, writer
from discount.ledger.consumer import Consumer
from discount.ledger.database import Database
from discount.ledger.history import History
from discount.ledger.restore import Restore
from discount.ledger.rows import Batch
from discount.ledger.tables import GRANTS
from discount.security.sealing import Sealer
from discount.security.signing import Signer
from discount.services import discounts, grants, outbox, redemptions
from discount.services.checkouts import Checkout
from discount.store import keys
from discount.store.connection import Store
from tests.support.postgres import PostgresServer
from tests.support.redis_server import RedisServer

_BRAND = "IKEA"
#: The least rate of grants with a ledger, as a part of the rate without.
BAR = 0.97
#: Rows that the large table gets in one statement.
_TOGETHER = 20_000
_LOOKS = 50
#: The most grants of SQLite: it is for one machine, and has no COPY.
_MOST_OF_SQLITE = 1_000_000


PARTS = ("grants", "rates", "restores", "finds")


def run(entries: int, rows: int, rounds: int, parts: Sequence[str] = PARTS) -> None:
    """Print the tables.

    Args:
        entries: grants and redemptions that are written from the outbox.
        rows: grants among which a code is found.
    """
    if "grants" in parts:
        _show_grants(rounds, max(1_000, entries // 10))
    if "rates" in parts:
        _show_rates(entries)
    if "restores" in parts:
        _show_restores(entries)
    if "finds" in parts:
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


def _show_finds(wanted: int) -> None:
    found = []
    with _databases() as databases:
        for name, database in databases.items():
            rows = min(wanted, _MOST_OF_SQLITE) if database.is_sqlite else wanted
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


class _Side:
    """The service with its worker on a Redis of its own, as `make run` starts it."""

    def __init__(self, started: ExitStack, ledger_url: str, total: int) -> None:
        self._redis = started.enter_context(RedisServer(appendonly="yes", appendfsync="everysec"))
        self.store = Store.at(self._redis.url, 30.0, 16)
        settings = {"REDIS_URL": self._redis.url, "LEDGER_URL": ledger_url, "AUTH": "open"}
        self.port, self._master = started.enter_context(
            servers.gunicorn("discount.app:create_app()", 2, 4, settings | {"LOG_LEVEL": "warning"})
        )
        self._worker = started.enter_context(servers.worker(self._redis.url, settings))
        self._has_ledger = bool(ledger_url)
        self.discount_id = over_http.create_discount(self.store, total)
        self.rates: list[float] = []
        self.cpu: dict[str, list[float]] = {"app": [], "worker": [], "Redis": []}
        self.behind: list[float] = []

    def round(self, turn: int, requests: int) -> None:
        """Send grants of new users, and wait until the worker has done all that follows. The first round warms up."""
        sent = over_http.grant_requests(self.discount_id, range(turn * requests, (turn + 1) * requests))
        before = self._used()
        done = load.drive(self.port, sent, 32)
        if set(done.statuses) != {201}:
            raise RuntimeError(f"answers: {dict(done.statuses)}")
        since = perf_counter()
        while any(self._waiting(group) for group in (outbox.GROUP, *([positions.GROUP] * self._has_ledger))):
            sleep(0.01)
        after = self._used()
        if turn:
            self.rates.append(done.rate)
            self.behind.append(perf_counter() - since)
            for name, seconds in after.items():
                self.cpu[name].append((seconds - before[name]) / len(sent) * 1e6)

    def _used(self) -> dict[str, float]:
        with self._redis.client() as client:
            told = client.info("cpu")
        of_redis = float(told["used_cpu_user"]) + float(told["used_cpu_sys"])
        return {
            "app": servers.cpu_of_workers(self._master),
            "worker": servers.cpu_of(self._worker),
            "Redis": of_redis,
        }

    def _waiting(self, group: str) -> bool:
        partition = keys.partition_of(over_http.BRAND, 16)
        return outbox.waiting(self.store, partition, group) != (0, None)


def _show_grants(rounds: int, requests: int) -> None:
    """Compare grants over HTTP beside a worker that writes a ledger with those beside a worker without one."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as started:
        url = f"sqlite:///{folder}/ledger.db"
        schema.upgrade(Database(url))
        total = requests * (rounds + 1)
        sides = {"without": _Side(started, "", total), "with": _Side(started, url, total)}
        for turn in range(rounds + 1):
            for each in list(sides.values())[:: 1 if turn % 2 else -1]:
                each.round(turn, requests)
    ratios = [one / other for one, other in zip(sides["with"].rates, sides["without"].rates, strict=True)]
    tables.keep("ledger: grants with a ledger, of those without", ratio=statistics.median(ratios))
    for name, side in sides.items():
        tables.keep(f"ledger: CPU of a grant {name}", **{each: statistics.median(us) for each, us in side.cpu.items()})
    tables.show(
        f"Grants over HTTP beside a worker, {rounds} rounds of {requests:,} in turn (min / median / max)",
        ("ledger", "grants/s", *(f"us of CPU a grant: {each}" for each in sides["with"].cpu), "s until all is done"),
        [
            (
                name,
                tables.spread(side.rates),
                *(tables.spread(us) for us in side.cpu.values()),
                tables.spread(side.behind, 1),
            )
            for name, side in sides.items()
        ],
    )
    tables.show(
        f"The rate with the ledger, of that without in the same round; bar {BAR}",
        ("rounds", "ratio (min / median / max)"),
        [(str(rounds), tables.spread(ratios, 2))],
    )


def _show_restores(entries: int) -> None:
    """Measure how fast an empty Redis is rebuilt."""
    found = []
    with _databases() as databases, RedisServer(appendonly="yes", appendfsync="everysec") as redis:
        for name, database in databases.items():
            store = Store.at(redis.url, 30.0, 16)
            with redis.client() as client:
                client.flushall()
            store.prepare()
            _fill(store, entries // 2)
            consumer = Consumer(store, database, name, "bench")
            consumer.open()
            while consumer.turn():
                pass
            with redis.client() as client:
                client.flushall()
            store = Store.at(redis.url, 30.0, 16)
            store.prepare()
            restore = Restore(store, database, Sealer(Signer(store, "bench")), 7 * 86_400)
            started, count = perf_counter(), 0
            for partition in restore.begin():
                done = restore.partition(partition)
                if done.refused:
                    raise RuntimeError(f"refused: {done.refused[:3]}")
                count += done.entries
            rate = count / (perf_counter() - started)
            tables.keep(f"ledger: restore, {name}", rate=rate)
            found.append((name, f"{count:,}", f"{rate:,.0f}"))
    tables.show("An empty Redis is restored: half grants, half redemptions", ("database", "events", "events/s"), found)


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
    """Write grants straight into the table, as a batch of the outbox would; its indexes are made afterwards."""
    discount_id = make_discount_id(0, rows)
    with database.writing() as connection:
        for each in GRANTS.indexes:
            each.drop(connection)
        if database.is_sqlite:
            _insert(connection, discount_id, rows)
        else:
            connection.execute(text("ALTER TABLE grants DROP CONSTRAINT grants_pkey"))
            _copy(connection, discount_id, rows)
            connection.execute(text("ALTER TABLE grants ADD PRIMARY KEY (discount_id, user_id, entry_id)"))
        for each in GRANTS.indexes:
            each.create(connection)
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE grants"))
    with database.reading() as connection:
        if connection.execute(select(func.count()).select_from(GRANTS)).scalar_one() != rows:
            raise RuntimeError("not every grant was written")


def _insert(connection: Connection, discount_id: str, rows: int) -> None:
    for first in range(0, rows, _TOGETHER):
        batch = Batch()
        for number in range(first, min(first + _TOGETHER, rows)):
            user, entry = f"User {number}", f"1764143757202-{number}"
            batch.grants[discount_id, user, entry] = {
                **{"discount_id": discount_id, "user_id": user, "entry_id": entry, "brand_id": _BRAND},
                **{"code": f"{number:012d}", "canonical": f"{number:012d}", "at": 1_764_143_757_202_420 + number},
                **{"metadata": {}, "state": "granted", "revoked_at": None, "reason": "", "next_user_id": None},
            }
        writer.write(connection, batch)


def _copy(connection: Connection, discount_id: str, rows: int) -> None:
    names = ("discount_id", "user_id", "entry_id", "brand_id", "code", "canonical", "at", "metadata", "state", "reason")
    statement = sql.SQL("COPY grants ({}) FROM STDIN").format(sql.SQL(", ").join(map(sql.Identifier, names)))
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for first in range(0, rows, _TOGETHER):
            copy.write(
                "".join(
                    f"{discount_id}\tUser {number}\t1764143757202-{number}\t{_BRAND}\t{number:012d}\t{number:012d}"
                    f"\t{1_764_143_757_202_420 + number}\t{{}}\tgranted\t\n"
                    for number in range(first, min(first + _TOGETHER, rows))
                )
            )


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
