"""Grant codes while workers are killed and a third of the webhook calls fail: `make chaos`.

It fails if an event does not arrive, arrives otherwise than it was, or if something is left to be done.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench.tables import show
from discount.services import contacts
from tests.chaos.chaos_run import Figures, chaos_run, store_at
from tests.chaos.receiver import Receiver
from tests.chaos.sink import Sink
from tests.chaos.worker_processes import WorkerProcesses, make_offer
from tests.support.redis_server import RedisServer

#: Seconds after which a delivery that has not arrived counts as lost.
PATIENCE = 240.0
FAULTS = 0.33


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grants", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="seed of a run to repeat")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}, {FAULTS:.0%} of the calls answered 500, not at all, half, or not after they were taken")
    rows = []
    for title, restarts in (("workers are killed", False), ("Redis is killed, too", True)):
        found, mails = _storm(chosen.grants, chosen.kills, chosen.seed, restarts=restarts)
        figures = (found.events, found.deliveries, found.calls, found.repeated, found.twice)
        killed = f"{found.kills} ({found.kills_in_planning})"
        rows.append([title, *(f"{figure:,}" for figure in figures), killed, f"{mails:,}", f"{found.seconds:,.0f}"])
    show(
        f"{chosen.grants:,} grants, three workers",
        (
            "",
            "events",
            "deliveries",
            "calls",
            "repeated",
            "after a 200",
            "kills (in planning)",
            "e-mails",
            "seconds",
        ),
        rows,
    )


def _storm(grants: int, kills: int, seed: int, *, restarts: bool) -> tuple[Figures, int]:
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisServer(appendonly="yes", appendfsync="always") as server,
        Receiver(seed=seed, faults=FAULTS) as receiver,
        Sink(Path(folder)) as sink,
    ):
        store = store_at(server)
        offers = [make_offer(store, receiver, "any", f"brand-{number}", grants) for number in range(8)]
        # One user in twenty has an e-mail address.
        reached = {}
        for number in range(0, grants, 20):
            offer = offers[number % (-(-grants // (kills + 1))) % len(offers)]
            reached[f"user{number}@example.org"] = (offer, f"user {number}")
            contacts.put(store, f"user {number}", brand_id=offer.brand_id, email=f"user{number}@example.org")

        def restart() -> None:
            if restarts:
                server.kill()
                server.start()

        with WorkerProcesses(server.url, workers=3, smtp_url=sink.url) as workers:
            workers.await_ready()
            found = chaos_run(
                server,
                workers,
                receiver,
                offers,
                seed=seed,
                grants=grants,
                kills=kills,
                midway=restart,
                patience=PATIENCE,
            )
        mails = sink.mails()
        assert {mail.to for mail in mails} == set(reached), "every user with an address was told"
        for mail in mails:
            offer, user = reached[mail.to]
            assert mail.names(offer.code_of(user)), f"{mail.to} was told another code"
        return found, len(mails)


if __name__ == "__main__":
    main()
