"""The loops of a worker that has a ledger."""

import threading
from collections.abc import Callable
from functools import partial
from math import nan

from discount.config import Settings
from discount.ledger import results, schema
from discount.ledger.consumer import ENTRIES, Consumer
from discount.ledger.database import Database
from discount.ledger.past_redemptions import PastRedemptions, kept
from discount.ledger.row_retention import RowRetention
from discount.ledger.tallies import TallyReader
from discount.store.connection import Store
from discount.worker import metrics
from discount.worker.digests import Digests
from discount.worker.loops import CLEAN, MEASURE, PAUSE, REMIND, Loop
from discount.worker.reconciling import Reconciling
from discount.worker.retention import Retention

#: Seconds between two turns of each kind of periodic work.
RECONCILE = 30.0
TALLY = 5.0
TRIM = 600.0


def build(
    settings: Settings, store: Store, name: str, ending: threading.Event
) -> tuple[list[Loop], Callable[[], None]]:
    """Return the loops, not yet started, and what has to be called after them.

    Args:
        name: a name that no other process uses.
    """
    database = Database(settings.ledger_url)
    consumer = Consumer(store, database, name, settings.secret)
    reader = TallyReader(store, database, lambda: consumer.partitions)
    rows = RowRetention(database, settings.kept_rows)
    let_go = Retention(store, settings.redemption_days, partial(kept, store, PastRedemptions(database)))
    loops = [
        *_writing_loops(store, database, consumer, ending),
        Loop("tallies", reader.turn, ending, every=TALLY, before=partial(schema.check, database)),
        Loop("rows", lambda: rows.turn(store.now()), ending, every=TRIM, before=partial(schema.check, database)),
        Loop("let-go", let_go.turn, ending, every=CLEAN, before=partial(schema.check, database)),
    ]
    if settings.smtp_url:
        digests = Digests(store)
        loops.append(Loop("digests", lambda: digests.turn(store.now()), ending, every=REMIND))
    return loops, consumer.end


def _writing_loops(store: Store, database: Database, consumer: Consumer, ending: threading.Event) -> list[Loop]:
    def write() -> None:
        # A transaction for a few events costs nearly as much as one for hundreds.
        if consumer.turn() < ENTRIES:
            ending.wait(PAUSE)

    def measure() -> None:
        partitions, seconds = consumer.behind()
        metrics.LEDGER_PARTITIONS.set(partitions)
        metrics.LEDGER_BEHIND.set(seconds)
        metrics.LEDGER_LOST.set(len(consumer.lost))
        latest = results.read(store)
        metrics.LEDGER_DIFFERENCES.set(results.joined(latest).count)
        oldest = min((each.at for each in latest.values()), default=None)
        metrics.LEDGER_RECONCILED.set(nan if oldest is None else (store.now() - oldest) / 1_000_000)

    def wait(seconds: float) -> bool:
        comparing.beat()
        return ending.wait(seconds)

    comparing = Loop(
        "reconcile", Reconciling(store, database, lambda: consumer.partitions, wait).turn, ending, every=RECONCILE
    )
    return [
        comparing,
        Loop("ledger", write, ending, before=consumer.open),
        Loop("ledger-measures", measure, ending, every=MEASURE, before=consumer.open_groups),
    ]
