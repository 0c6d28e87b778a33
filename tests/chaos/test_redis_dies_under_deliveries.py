"""Redis is killed and started again: what it kept is delivered, and the workers continue by themselves."""

from pathlib import Path

from discount.services import contacts
from discount.store.connection import Store
from tests.chaos.chaos_run import await_end, chaos_run, store_at
from tests.chaos.receiver import Receiver
from tests.chaos.sink import Sink
from tests.chaos.worker_processes import WorkerProcesses, make_offer
from tests.support.redis_server import RedisServer


def test_every_event_and_every_mail_arrives_while_redis_is_killed(
    redis_server: RedisServer, store: Store, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.behave(0.33)
    offer = make_offer(store, receiver, "any", "IKEA", 200)
    reached = {f"user {number}": f"user{number}@example.org" for number in range(0, 200, 4)}
    for user, address in reached.items():
        contacts.put(store, user, brand_id="IKEA", email=address)

    def restart() -> None:
        redis_server.kill()
        redis_server.start()

    with Sink(tmp_path) as sink, WorkerProcesses(redis_server.url, workers=2, smtp_url=sink.url) as workers:
        workers.await_ready()
        found = chaos_run(redis_server, workers, receiver, [offer], seed=2, grants=200, kills=2, midway=restart)
        mails = sink.mails()
    assert found.events == 200 + 4
    codes = {address: offer.code_of(user) for user, address in reached.items()}
    assert {mail.to for mail in mails} == set(codes)
    assert [mail for mail in mails if not mail.names(codes[mail.to])] == []
    assert len({mail.message_id for mail in mails}) == len(codes), "a repeated e-mail is known by its id"


def test_a_redis_that_comes_back_empty_is_worked_on_again(receiver: Receiver) -> None:
    with RedisServer() as server, WorkerProcesses(server.url, workers=1) as workers:
        for brand in ("IKEA", "Billo"):
            offer = make_offer(store_at(server), receiver, "ok", brand, 10)
            offer.grant(["User 1"])
            await_end(server, [offer], workers)
            server.kill()
            server.start()
        assert receiver.counts() == {"IKEA": 2, "Billo": 2}
