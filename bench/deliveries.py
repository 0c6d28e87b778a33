"""Measure how many events one worker delivers to a receiver on the same machine that answers at once."""

import sys
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench.tables import show
from tests.chaos.chaos_run import await_end, check_arrived, store_at
from tests.chaos.receiver import Receiver
from tests.chaos.worker_processes import Offer, WorkerProcesses, make_offer
from tests.support.redis_server import RedisServer


def run(events: int) -> None:
    """Measure once with all events of one brand, and once with them spread over sixteen brands."""
    rows = [_measure(events, brands) for brands in (1, 16)]
    show(
        f"Delivering {events:,} events, one worker",
        ("brands", "events/s", "CPU per event, worker (ms)", "commands per event, Redis"),
        rows,
    )


def _measure(events: int, brands: int) -> tuple[str, str, str, str]:
    with RedisServer() as server, Receiver() as receiver:
        store = store_at(server)
        offers = [make_offer(store, receiver, "ok", f"brand-{number}", events) for number in range(brands)]
        for offer in offers:
            _grant(offer, events // brands)
        with server.client() as client:
            before = client.info("stats")["total_commands_processed"]
            with WorkerProcesses(server.url, workers=1, webhook_timeout=10) as workers:
                started = time.monotonic()
                _await_calls(receiver, events // brands * brands + brands)
                seconds = time.monotonic() - started
                process = workers.processes[0]
                assert process is not None
                spent = psutil.Process(process.pid).cpu_times()
                asked = client.info("stats")["total_commands_processed"] - before
                await_end(server, offers, workers)
        made, _, _ = check_arrived(receiver, offers)
    return (
        str(brands),
        f"{made / seconds:,.0f}",
        f"{(spent.user + spent.system) / made * 1000:.2f}",
        f"{asked / made:.1f}",
    )


def _grant(offer: Offer, count: int) -> None:
    offer.grant([f"user {number}" for number in range(count)])


def _await_calls(receiver: Receiver, count: int) -> None:
    until = time.monotonic() + 600
    while receiver.counts().total() < count:
        if time.monotonic() > until:
            raise TimeoutError(f"{receiver.counts().total()} of {count} events were delivered")
        time.sleep(0.05)


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)
