"""A mail server that is away for a while loses no e-mail."""

import socket
from pathlib import Path

from discount.domain.model import Delivery
from discount.services import contacts
from discount.store.connection import Store
from tests.chaos.chaos_run import await_end
from tests.chaos.receiver import Receiver
from tests.chaos.sink import Sink
from tests.chaos.worker_processes import Offer, WorkerProcesses, make_offer
from tests.support.redis_server import RedisServer
from tests.support.service import wait_until


def test_failed_attempts_do_not_count_against_the_daily_quota(
    redis_server: RedisServer, store: Store, receiver: Receiver, tmp_path: Path
) -> None:
    offer = make_offer(store, receiver, "ok", "IKEA", 100)
    users = [f"user {number}" for number in range(10)]
    for user in users:
        contacts.put(store, user, brand_id="IKEA", email="family@example.org")
    offer.grant(users)
    away = socket.socket()
    away.bind(("127.0.0.1", 0))
    port = away.getsockname()[1]
    with away, WorkerProcesses(redis_server.url, workers=1, smtp_url=f"smtp+plain://127.0.0.1:{port}") as workers:
        wait_until(lambda: fewest_tries(offer) > 5, "more than 50 tries in all")
        away.close()
        with Sink(tmp_path, port) as sink:
            await_end(redis_server, [offer], workers)
            assert len(sink.mails()) == 10
    assert {each.state for each in mails(offer)} == {"delivered"}


def mails(offer: Offer) -> list[Delivery]:
    return [each for each in offer.deliveries() if each.kind == "email"]


def fewest_tries(offer: Offer) -> int:
    return min((each.attempts for each in mails(offer)), default=0)
