"""Grant codes while workers are killed and calls fail, then check that every event has arrived."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from discount.services import outbox
from discount.store import keys
from discount.store.connection import Store
from tests.chaos.receiver import Receiver
from tests.chaos.worker_processes import Offer, WorkerProcesses
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.service import wait_until


@dataclass(frozen=True)
class Figures:
    """The figures of a run. `repeated` counts calls after an event's first one, `twice` those after a good answer."""

    events: int
    deliveries: int
    calls: int
    repeated: int
    twice: int
    kills: int
    kills_in_planning: int
    seconds: float


def kill_while_it_calls(workers: WorkerProcesses, receiver: Receiver, chance: random.Random) -> None:
    """Kill a random worker once some more calls have come, and start another in its place."""
    victim = chance.randrange(len(workers.processes))
    wanted = receiver.counts().total() + chance.randrange(60)
    until = time.monotonic() + 1.0
    # Some are killed before they do anything, some after all is done.
    while receiver.counts().total() < wanted and time.monotonic() < until:
        time.sleep(0.01)
    workers.kill(victim)
    workers.start(victim)


def kill_while_it_plans(workers: WorkerProcesses, server: RedisServer) -> bool:
    """Kill a worker that is planning events; return whether there was one within a second."""
    until = time.monotonic() + 1.0
    with server.client() as client:
        while time.monotonic() < until:
            for partition in range(16):
                for consumer in client.xpending(keys.events(partition), outbox.GROUP)["consumers"]:
                    victim = workers.number_of(int(consumer["name"].split("-")[-2]))
                    if victim is not None:
                        workers.kill(victim)
                        workers.start(victim)
                        return True
    return False


def open_work(server: RedisServer, offers: Sequence[Offer]) -> list[str]:
    """Return the events, lanes and deliveries that are not done yet."""
    with server.client() as client:
        names = list(client.scan_iter("{*}:*", count=10_000))
        left = [name for name in names if name.split(":")[1] in ("lane", "lanes", "leases")]
        for name in names:
            if name.endswith("}:events"):
                groups = [(each["pending"], each["lag"]) for each in client.xinfo_groups(name)]
                left += [] if groups == [(0, 0)] else [f"{name} {groups}"]
    if not left:
        left = [f"{each.id} {each.state}" for offer in offers for each in offer.deliveries() if each.state == "waiting"]
    return left


def await_end(
    server: RedisServer, offers: Sequence[Offer], workers: WorkerProcesses, patience: float = PATIENCE
) -> None:
    """Wait until every event is planned and every delivery is made."""
    left: list[str] = []

    def done() -> bool:
        left[:] = open_work(server, offers)
        return not left

    try:
        wait_until(done, "all is delivered", patience)
    except TimeoutError:
        raise AssertionError(
            f"{len(left)} are left, such as {left[:5]}; the workers' log:\n{workers.log()[-3000:]}"
        ) from None


def check_arrived(receiver: Receiver, offers: Sequence[Offer]) -> tuple[int, int, int]:
    """Check that all events arrived unchanged and signed; return the numbers of events, deliveries and calls."""
    calls = receiver.calls()
    assert {each.name for each in calls} == {offer.brand_id for offer in offers}
    assert [each for each in calls if not each.verified] == []
    events = made = 0
    for offer in offers:
        bodies = offer.event_bodies()
        own = [each for each in calls if each.name == offer.brand_id]
        # A repeated call has the same body, so its digest is the same.
        assert {(each.id, each.digest) for each in own} == set(bodies.items())
        assert {each.id for each in own if each.answer == "200"} == set(bodies)
        found = [each for each in offer.deliveries() if each.kind == "webhook"]
        assert sorted(each.event_id for each in found) == sorted(bodies)
        assert {each.state for each in found} == {"delivered"}
        events += len(bodies)
        made += len(found)
    return events, made, len(calls)


def chaos_run(
    server: RedisServer,
    workers: WorkerProcesses,
    receiver: Receiver,
    offers: Sequence[Offer],
    *,
    seed: int,
    grants: int,
    kills: int,
    midway: Callable[[], None] = lambda: None,
    patience: float = PATIENCE,
) -> Figures:
    """Grant codes in slices, and kill a worker during each. `midway` is called after half of the kills."""
    started = time.monotonic()
    chance = random.Random(seed)
    users = [f"user {number}" for number in range(grants)]
    size = -(-grants // (kills + 1))
    in_planning = 0
    with ThreadPoolExecutor(1) as granter:
        for step, first in enumerate(range(0, grants, size)):
            granting = granter.submit(_grant, offers, users[first : first + size])
            killed = step % 2 == 0 and step < kills and kill_while_it_plans(workers, server)
            in_planning += killed
            granting.result()
            if step == kills // 2:
                midway()
            if step < kills and not killed:
                kill_while_it_calls(workers, receiver, chance)
    await_end(server, offers, workers, patience)
    events, made, calls = check_arrived(receiver, offers)
    well = sum(each.answer == "200" for each in receiver.calls())
    granted = [each for offer in offers for each in offer.deliveries() if each.type == "code.granted"]
    assert len([each for each in granted if each.kind == "webhook"]) == grants
    return Figures(
        events, made, calls, calls - events, well - events, workers.kills, in_planning, time.monotonic() - started
    )


def _grant(offers: Sequence[Offer], users: Sequence[str]) -> None:
    for number, offer in enumerate(offers):
        offer.grant(users[number :: len(offers)])


def store_at(server: RedisServer) -> Store:
    """Return a store on that Redis, for the test's own calls of services."""
    store = Store.at(server.url, 20.0, 16)
    store.prepare()
    return store
