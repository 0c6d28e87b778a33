"""Grant and redeem codes while workers and PostgreSQL are killed and stopped: `make chaos`.

It fails if Redis and the ledger differ afterwards.
"""

import argparse
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench.tables import show
from discount.domain import code_kinds
from discount.ledger import schema
from discount.ledger.database import Database
from discount.services import discounts
from tests.chaos.chaos_run import store_at
from tests.chaos.ledger_run import ledger_run
from tests.chaos.worker_processes import WorkerProcesses
from tests.support.postgres import PostgresServer
from tests.support.redis_server import RedisServer

#: Seconds after which the ledger must have read everything.
PATIENCE = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grants", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--away", type=float, default=60.0, help="seconds for which PostgreSQL is stopped, each time")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="seed of a run to repeat")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}")
    with RedisServer(appendonly="yes") as server, PostgresServer() as postgres:
        store, database = store_at(server), Database(postgres.url)
        schema.upgrade(database)
        kind = code_kinds.unique(chosen.grants)
        ids = [
            discounts.create(
                store, brand_id=f"brand-{number}", discount_code="Sale", total_count=chosen.grants, kind=kind
            )[0].id
            for number in range(8)
        ]
        with WorkerProcesses(server.url, workers=3, ledger_url=postgres.url) as workers:
            workers.await_ready()
            found = ledger_run(
                store,
                database,
                postgres,
                workers,
                ids,
                seed=chosen.seed,
                count=chosen.grants,
                kills=chosen.kills,
                away=chosen.away,
                patience=PATIENCE,
            )
        database.engine.dispose()
    show(
        "workers and PostgreSQL die under grants and uses",
        ("grants", "uses", "workers killed", "PostgreSQL stopped", "grants compared", "differences", "seconds"),
        [
            [
                *(f"{figure:,}" for figure in (found.grants, found.uses, found.kills, found.stops)),
                *(f"{figure:,}" for figure in (found.result.grants, found.result.count)),
                f"{found.seconds:,.0f}",
            ]
        ],
    )
    for each in found.result.differences:
        print(each)
    sys.exit(1 if found.result.count else 0)


if __name__ == "__main__":
    main()
