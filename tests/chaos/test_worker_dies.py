"""Every event arrives at least once, although workers are killed and receivers fail."""

from discount.services import outbox
from discount.store import keys
from discount.store.connection import Store
from tests.chaos.chaos_run import chaos_run
from tests.chaos.receiver import Receiver
from tests.chaos.worker_processes import WorkerProcesses, make_offer
from tests.support.redis_server import RedisServer
from tests.support.service import wait_until


def test_every_event_arrives_while_workers_are_killed(
    redis_server: RedisServer, store: Store, receiver: Receiver
) -> None:
    receiver.behave(0.33)
    offers = [make_offer(store, receiver, "any", brand, 400) for brand in ("IKEA", "Billo")]
    with WorkerProcesses(redis_server.url, workers=3) as workers:
        workers.await_ready()
        found = chaos_run(redis_server, workers, receiver, offers, seed=1, grants=400, kills=5)
    assert found.events == 400 + 2
    assert found.kills == 5
    assert found.repeated >= 100, "calls that went wrong were made again"


def test_another_worker_plans_the_events_that_a_dead_worker_had_read(
    redis_server: RedisServer, store: Store, receiver: Receiver
) -> None:
    offer = make_offer(store, receiver, "ok", "IKEA", 100)
    offer.grant([f"user {number}" for number in range(50)])
    stream = keys.events(keys.partition_of("IKEA", 16))
    # The state after a worker was killed between reading an event and planning its deliveries.
    store.run("open_group", [stream], [outbox.GROUP])
    read = store.command("XREADGROUP", "GROUP", outbox.GROUP, "gone", "COUNT", 1000, "STREAMS", stream, ">")
    assert len(read[0][1]) == 51
    # A call that was given up would come again.
    with WorkerProcesses(redis_server.url, workers=2, webhook_timeout=60):
        wait_until(lambda: receiver.counts()["IKEA"] == 51, "what the dead worker had read")
        wait_until(lambda: outbox.waiting(store, keys.partition_of("IKEA", 16)) == (0, None), "nothing is left unsaid")
