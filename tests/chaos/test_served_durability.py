"""DURABILITY in the service as it runs: grants and checkouts wait in a loop's connection, other calls in threads'."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.chaos import failovers
from tests.support import history
from tests.support.clusters import Cluster, Node, move_by_keys
from tests.support.load import drive, grant_call
from tests.support.service import (  # noqa: F401
    Reply,
    Service,
    ask,
    create,
    pytest_runtest_makereport,
    wait_until,
)

#: Long enough that something can happen while a call waits for its replicas, which is nearly half of it.
TIMEOUT = 4


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    with Cluster(replicas=1) as cluster:
        yield cluster


@pytest.fixture
def cluster(servers: Cluster) -> Iterator[Cluster]:
    yield servers
    servers.heal()


@pytest.fixture(scope="module")
def service(servers: Cluster) -> Iterator[Service]:
    with Service(servers.url, replicas=2, redis_timeout=TIMEOUT) as running:
        yield running


def replica_of(cluster: Cluster, partition: int) -> Node:
    (found,) = cluster.replicas_of(cluster.master_of(partition))
    return found


def grant(base: str, offer: str, user: str) -> Reply:
    return ask(base, "POST", f"/discount/{offer}/grant", {"user_id": user})


def code_of(base: str, offer: str, user: str) -> str | None:
    """Return the code with which a grant is answered; None while it is refused."""
    answer = grant(base, offer, user)
    assert answer.status in (200, 201, 503), answer.raw
    return str(answer.json["code"]) if answer.status != 503 else None


def test_no_process_shows_a_code_until_a_replica_has_it(cluster: Cluster, service: Service) -> None:
    one, other = service.urls
    brand = failovers.brand_in(0)
    offer = create(one, 9, brand)
    code = grant(one, offer, "Ann").json["code"]
    checkout = {"discount_id": offer, "user_id": "Ann", "code": code}
    order = {"id": "of before", "amount": 100, "currency": "EUR"}
    redeemed = ask(one, "POST", "/redemption", {**checkout, "order": order}).json["id"]
    replica = replica_of(cluster, 0)
    cluster.cut_replication(replica)
    first = grant(one, offer, "Bob")
    assert (first.status, first.slug) == (503, "not-yet-durable")
    calls = [
        (base, *each)
        for base in service.urls
        for each in failovers.calls_that_show(offer, brand, code, redeemed)
        for _ in range(2)
    ]
    with ThreadPoolExecutor(len(calls)) as pool:
        answers = list(pool.map(lambda each: ask(*each), calls))
    for call, answer in zip(calls, answers, strict=True):
        assert (answer.status, answer.slug, answer.headers["Retry-After"]) == (503, "not-yet-durable", "1"), call
    assert ask(other, "GET", f"/discount/{offer}").json["granted_count"] >= 2, "the grants stand"
    cluster.restore_replication(replica)
    codes = [wait_until(partial(code_of, base, offer, "Bob"), "Bob's code is safe") for base in (other, one)]
    assert codes[0] == codes[1]
    assert code_of(other, offer, "Ann") == code


def test_a_partition_moves_while_a_call_waits_for_its_replicas(cluster: Cluster, service: Service) -> None:
    base, partition = service.urls[0], 1
    offer = create(base, 100, failovers.brand_in(partition))
    # On a busy computer, the move may take longer than the wait.
    for number in range(10):
        bob, cid = f"Bob {number}", f"Cid {number}"
        first, second, was_waiting = move_while_waiting(cluster, base, offer, bob, cid)
        assert (first.status, first.slug) == (503, "not-yet-durable")
        if was_waiting:
            break
    assert was_waiting, "the partition always moved too late to show anything"
    assert second.status == 201, second.raw
    assert code_of(base, offer, cid) == second.json["code"]
    assert wait_until(partial(code_of, base, offer, bob), "Bob's code is safe") != second.json["code"]
    assert ask(base, "GET", f"/discount/{offer}").json["granted_count"] == 2 * (number + 1)


def move_while_waiting(cluster: Cluster, base: str, offer: str, bob: str, cid: str) -> tuple[Reply, Reply, bool]:
    """Move a partition while Bob's grant waits for its replicas, and Cid's behind it; return both answers.

    The third value is whether the partition had moved before Bob's wait was over.
    """
    partition = failovers.partition_of(offer)
    replica = replica_of(cluster, partition)
    cluster.cut_replication(replica)
    with ThreadPoolExecutor(2) as pool:
        pending = pool.submit(grant, base, offer, bob)
        wait_until(lambda: failovers.stored_grant(cluster, offer, bob), "Bob's grant is stored, and waits")
        # It is sent once Bob's wait is over, and finds that the partition has moved.
        behind = pool.submit(grant, base, offer, cid)
        failovers.move(cluster, partition)
        was_waiting = not pending.done()
        answers = pending.result(), behind.result()
    cluster.restore_replication(replica)
    return *answers, was_waiting


def test_a_partition_that_moves_key_by_key_gives_each_caller_a_safe_code(cluster: Cluster, service: Service) -> None:
    base, partition = service.urls[0], 2
    offer = create(base, 10_000, failovers.brand_in(partition))
    assert grant(base, offer, "Ann").status == 201
    answers: list[tuple[str, str]] = []
    ending = threading.Event()

    def keep_granting(number: int) -> None:
        for user in (f"user {number} {each}" for each in range(10_000)):
            code = wait_until(partial(code_of, base, offer, user), "a code")
            answers.append((user, code))
            if ending.is_set():
                return

    source = cluster.master_of(partition)
    target = next(each for each in cluster.masters() if each is not source)
    with ThreadPoolExecutor(4) as pool:
        running: list[Future[None]] = [pool.submit(keep_granting, number) for number in range(4)]
        try:
            for one, two in ((source, target), (target, source)):
                await_more(answers)
                move_by_keys(partition, one, two)
                await_more(answers)
        finally:
            ending.set()
        for each in running:
            each.result()
    assert len({code for _, code in answers}) == len(answers)
    assert all(code_of(base, offer, user) == code for user, code in answers[-20:])


def await_more(answers: list[Any]) -> None:
    before = len(answers)
    wait_until(lambda: len(answers) > before + 10, "more is granted")


def test_calls_that_share_a_wait_are_answered_together_or_not_at_all(cluster: Cluster, service: Service) -> None:
    users = [f"user {number}" for number in range(100)]
    base = service.urls[0]
    offer = create(base, 1000, failovers.brand_in(0))
    before = drive([base], [grant_call(offer, user) for user in users[:50]])
    assert {each.status for each in before} == {201}
    replicas = cluster.replicas_of(cluster.master_of(0))
    for replica in replicas:
        cluster.cut_replication(replica)
    during = drive([base], [grant_call(offer, user) for user in users])
    assert {(each.status, each.slug) for each in during} == {(503, "not-yet-durable")}
    assert ask(base, "GET", f"/discount/{offer}").json["granted_count"] == 100, "the grants stand"
    for replica in replicas:
        cluster.restore_replication(replica)
    after = drive([base], [grant_call(offer, user) for user in users], retries=100)
    assert {each.status for each in after} == {200}
    with cluster.client() as plain:
        history.check(plain, base, offer, [*before, *during, *after])
