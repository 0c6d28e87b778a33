"""A worker that is asked to end, and a worker that hangs."""

import threading
from functools import partial

import pytest

from discount.config import Settings
from discount.store.connection import Store
from discount.worker import loops as worker_loops
from discount.worker import service
from discount.worker.loops import Loop
from tests.chaos.chaos_run import await_end, check_arrived
from tests.chaos.receiver import Receiver
from tests.chaos.worker_processes import WorkerProcesses, make_offer
from tests.support.redis_server import RedisServer
from tests.support.service import Reply, ask, wait_until


def test_a_stopping_worker_finishes_its_calls(redis_server: RedisServer, store: Store, receiver: Receiver) -> None:
    offer = make_offer(store, receiver, "late", "IKEA", 1000)
    offer.grant([f"user {number}" for number in range(100)])
    with WorkerProcesses(redis_server.url, workers=1, webhook_timeout=30) as workers:
        for _ in range(2):
            workers.await_ready()
            wait_until(partial(has_come, receiver, receiver.counts()["IKEA"] + 5), "calls under way")
            assert workers.terminate(0) == 0
            with redis_server.client() as client:
                assert list(client.scan_iter("{*}:leases")) == [], "no lane is left for others to wait for"
            delivered = [each for each in offer.deliveries() if each.state == "delivered"]
            assert len(delivered) == receiver.counts()["IKEA"], "no call that was made is open"
            workers.start(0)
        receiver.turn("IKEA", "ok")
        await_end(redis_server, [offer], workers)
    assert check_arrived(receiver, [offer]) == (101, 101, 101), "none twice"


def has_come(receiver: Receiver, count: int) -> bool:
    return receiver.counts()["IKEA"] >= count


def test_a_worker_shows_its_health_and_metrics(redis_server: RedisServer) -> None:
    with WorkerProcesses(redis_server.url, workers=1) as workers:
        workers.await_ready()
        assert workers.get(0, "/healthy") == (200, "OK")
        assert workers.get(0, "/ready") == (200, "OK")
        assert workers.get(0, "/elsewhere")[0] == 404
        status, text = workers.get(0, "/metrics")
        assert status == 200
        for name in ("discount_events_waiting", "discount_events_oldest_seconds", "discount_brands_due"):
            assert f"\n{name} 0.0\n" in text
        assert "discount_redis_round_trips_total" in text


@pytest.mark.parametrize("hangs", [True, False], ids=["waits for ever", "fails every time"])
def test_a_worker_whose_loop_is_stuck_is_not_ready(monkeypatch: pytest.MonkeyPatch, hangs: bool) -> None:
    ending, stuck = threading.Event(), threading.Event()

    def turn() -> None:
        if hangs:
            stuck.wait()
        raise ValueError

    loops = [Loop("stuck", turn, ending), Loop("other", lambda: None, ending, every=0.01)]
    with service._status_server(Settings(worker_port=0), loops) as figures:
        url = f"http://127.0.0.1:{figures.server_port}"
        for loop in loops:
            loop.start()
        assert (ask(url, "GET", "/ready").status, ask(url, "GET", "/healthy").status) == (200, 200)
        monkeypatch.setattr(worker_loops, "HANGS", 0.5)
        reply = wait_until(lambda: not_ready(url), "it is not ready")
        ending.set()
        stuck.set()
    assert reply.raw == b"stuck", "it says which"


def not_ready(url: str) -> Reply | None:
    reply = ask(url, "GET", "/ready")
    return reply if reply.status == 503 and b" " not in reply.raw else None
