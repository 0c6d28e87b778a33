"""Grant and redeem codes while workers and PostgreSQL are killed and stopped, then compare Redis with the ledger."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from discount.domain.rules import Order
from discount.ledger.database import Database
from discount.ledger.differences import Result
from discount.ledger.positions import GROUP
from discount.ledger.reconcile import Reconciler
from discount.services import grants, outbox, redemptions
from discount.services.checkouts import Checkout
from discount.store.connection import Store
from tests.chaos.worker_processes import WorkerProcesses
from tests.support.patience import PATIENCE
from tests.support.postgres import PostgresServer
from tests.support.service import wait_until


@dataclass(frozen=True)
class LedgerRun:
    """What was done, and what the comparison found."""

    grants: int
    uses: int
    kills: int
    stops: int
    seconds: float
    result: Result


def ledger_run(
    store: Store,
    database: Database,
    postgres: PostgresServer,
    workers: WorkerProcesses,
    discount_ids: list[str],
    *,
    seed: int,
    count: int,
    kills: int,
    away: float,
    patience: float = PATIENCE,
) -> LedgerRun:
    """Grant `count` codes and use a third of them, with a death in each slice.

    Args:
        away: the seconds for which PostgreSQL is stopped, in every third slice.
    """
    chance, started, stops = random.Random(seed), time.monotonic(), 0
    size = -(-count // (kills + 1))
    with ThreadPoolExecutor(1) as caller:
        for step, first in enumerate(range(0, count, size)):
            stops_postgres, numbers = step % 3 == 1, range(first, min(first + size, count))
            # Codes are granted as long as PostgreSQL is away.
            pause = away / len(numbers) if stops_postgres else 0.0
            calls = caller.submit(_use, store, discount_ids, numbers, pause)
            if stops_postgres:
                postgres.kill()
                time.sleep(away)
                calls.result()
                postgres.start()
                stops += 1
            elif step < kills:
                victim = chance.randrange(len(workers.processes))
                workers.kill(victim)
                calls.result()
                workers.start(victim)
            calls.result()
    wait_until(lambda: _has_read_all(store), "the ledger has read everything", patience)
    reconciler = Reconciler(store, database, time.sleep)
    result = Result()
    for partition in range(store.partitions):
        result.join(reconciler.partition(partition))
    uses = sum(1 for number in range(count) if number % 3 == 0)
    return LedgerRun(count, uses, workers.kills, stops, time.monotonic() - started, result)


def _use(store: Store, discount_ids: list[str], numbers: range, pause: float) -> None:
    for number in numbers:
        time.sleep(pause)
        user, discount_id = f"user {number}", discount_ids[number % len(discount_ids)]
        code = grants.grant(store, discount_id, user).code
        if number % 3 == 0:
            order = Order(f"order {number}", 1000 + number, "EUR")
            used = redemptions.redeem(store, Checkout(user, code, order, discount_id=discount_id))
            if number % 9 == 0:
                redemptions.roll_back(store, used.id)


def _has_read_all(store: Store) -> bool:
    return all(outbox.waiting(store, partition, GROUP) == (0, None) for partition in range(store.partitions))
