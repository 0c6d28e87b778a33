"""DURABILITY on a Cluster: what was answered survives the loss of one machine; `fast` shows what would be lost."""

from collections.abc import Callable
from functools import partial

import pytest
from flask.testing import FlaskClient
from msgspec import structs

from discount.app import create_app
from discount.config import Settings
from discount.domain.errors import NotYetDurable, Unavailable
from discount.services import discounts, grant_records, grants
from discount.store import keys
from discount.store.connection import Store
from discount.store.durability import Mode
from discount.store.rate_limits import Rates
from tests.chaos import failovers
from tests.chaos.failovers import Found, Granting, judge, make_offer, partition_of
from tests.chaos.worker_processes import SECRET, WorkerProcesses
from tests.support.clusters import Cluster, Node
from tests.support.service import wait_until

#: Answers of a discount before and after a fault.
SOME = 30
TIMEOUT = 1.0


def store_of(cluster: Cluster, mode: Mode) -> Store:
    store = Store.at(cluster.url, TIMEOUT, 16)
    store.set_durability(mode, 1)
    failovers.prepare(store)
    return store


def run(cluster: Cluster, mode: Mode, fault: Callable[[Cluster, int], Node]) -> Found:
    """Grant while a fault takes the master of a partition, and compare all answers with the data."""
    store = store_of(cluster, mode)
    offer = make_offer(store, partition_of_next(cluster))
    with Granting(store, [offer]) as granting:
        granting.wait_for(SOME)
        fault(cluster, partition_of(offer))
        granting.wait_for(SOME)
    cluster.heal()
    return judge(store, granting.answers)


def partition_of_next(cluster: Cluster) -> int:
    """Return a partition of the master with the most replicas: a Cluster may have moved them."""
    masters = cluster.masters()
    return cluster.partitions_of(max(masters, key=lambda each: len(cluster.replicas_of(each))))[0]


@pytest.mark.parametrize("fault", [failovers.lose_replicas_then_host, failovers.partition_with_clients])
def test_fast_loses_answers_and_gives_their_codes_again(
    cluster: Cluster, fault: Callable[[Cluster, int], Node]
) -> None:
    found = run(cluster, "fast", fault)
    assert found.lost, "without losses, the tests of the other modes would prove nothing"
    assert found.doubled


@pytest.mark.parametrize(
    "fault", [failovers.lose_replicas_then_host, failovers.partition_with_clients, failovers.freeze, failovers.kill]
)
def test_replicated_loses_no_answer_and_gives_no_code_twice(
    cluster: Cluster, fault: Callable[[Cluster, int], Node]
) -> None:
    found = run(cluster, "replicated", fault)
    assert (found.lost, found.doubled) == ([], [])


def test_synced_loses_no_answer_when_all_servers_die_at_once() -> None:
    with Cluster(replicas=1, appendfsync="always") as cluster:
        store = store_of(cluster, "synced")
        offer = make_offer(store, 0)
        with Granting(store, [offer]) as granting:
            granting.wait_for(SOME)
            for node in cluster.nodes:
                node.kill()
            cluster.heal()
            granting.wait_for(SOME)
        found = judge(store, granting.answers)
    assert (found.lost, found.doubled) == ([], [])


@pytest.mark.parametrize("where", ["master", "replica"])
def test_synced_waits_for_both_disks(where: str) -> None:
    with Cluster(replicas=1, appendfsync="always") as cluster:
        store = store_of(cluster, "synced")
        offer = make_offer(store, 0)
        grants.grant(store, offer, "Ann")
        master = cluster.master_of(0)
        (replica,) = cluster.replicas_of(master)
        lazy = master if where == "master" else replica
        # Without a sync of its file a server confirms no write, though the other one has it.
        lazy.ask("CONFIG", "SET", "appendfsync", "no")
        with pytest.raises(NotYetDurable):
            grants.grant(store, offer, "Bob")
        lazy.ask("CONFIG", "SET", "appendfsync", "always")
        assert failovers.held_code(store, offer, "Bob")


def test_a_full_redis_shows_no_code_that_is_not_safe(cluster: Cluster) -> None:
    store = store_of(cluster, "replicated")
    offer = make_offer(store, 0)
    grants.grant(store, offer, "Ann")
    master = cluster.master_of(0)
    master.ask("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(Unavailable):
        grants.grant(store, offer, "Bob")
    # The mark is a write, too.
    with pytest.raises(NotYetDurable):
        grant_records.held_grant(store, offer, "Ann")
    assert discounts.show(store, offer)[0].granted_count == 1
    master.ask("CONFIG", "SET", "maxmemory", 0)
    assert failovers.held_code(store, offer, "Bob") is None
    assert failovers.held_code(store, offer, "Ann")


def test_synced_shows_no_code_until_a_replica_has_it() -> None:
    with Cluster(replicas=1, appendfsync="always") as cluster:
        store_of(cluster, "synced")
        settings = Settings(redis_url=cluster.url, redis_timeout=0.4, durability="synced")
        # Two apps have connections of their own.
        clients = [create_app(settings).test_client() for _ in range(2)]
        brand = failovers.brand_in(0)
        made = clients[0].post(
            "/discount", json={"brand_id": brand, "discount_code": "Sale", "total_count": 9, "percent_off": 10}
        )
        offer = made.get_json()["id"]
        first = clients[0].post(f"/discount/{offer}/grant", json={"user_id": "Ann"})
        assert (made.status_code, first.status_code) == (201, 201)
        code = first.get_json()["code"]
        checkout = {"discount_id": offer, "user_id": "Ann", "code": code}
        order = {"id": "of before", "amount": 100, "currency": "EUR"}
        redeemed = clients[0].post("/redemption", json={**checkout, "order": order}).get_json()["id"]
        (replica,) = cluster.replicas_of(cluster.master_of(0))
        cluster.cut_replication(replica)
        for method, path, body in failovers.calls_that_show(offer, brand, code, redeemed):
            for client in clients:
                answer = client.open(path, method=method, json=body)
                assert answer.status_code == 503, (method, path, answer.text)
                assert (answer.get_json(force=True)["type"], answer.headers["Retry-After"]) == (
                    "/problems/not-yet-durable",
                    "1",
                )
        # A call that shows no code does not wait, and no replica is taken out of service.
        assert clients[1].get(f"/discount/{offer}").get_json()["granted_count"] == 2
        assert clients[1].get("/ready").status_code == 200
        stands = failovers.stored_grant(cluster, offer, "Bob")
        cluster.restore_replication(replica)
        codes = [wait_until(partial(code_of, client, offer, "Bob"), "Bob's code is safe") for client in clients]
        assert codes == [stands, stands], "the code of the first call"
        assert code_of(clients[1], offer, "Ann") == code


def code_of(client: FlaskClient, offer: str, user: str) -> str | None:
    """Return the code with which a grant is answered; None while it is not yet durable."""
    answer = client.post(f"/discount/{offer}/grant", json={"user_id": user})
    assert answer.status_code in (200, 503), answer.text
    return str(answer.get_json()["code"]) if answer.status_code == 200 else None


def test_requests_are_limited_while_no_replica_confirms(cluster: Cluster) -> None:
    store = store_of(cluster, "replicated")
    partition = keys.partition_of("Ann", 16)
    for replica in cluster.replicas_of(cluster.master_of(partition)):
        cluster.cut_replication(replica)
    rates = Rates(store, {"user": "3/hour"})
    assert [each.left for each in (rates.count("user", "Ann") for _ in range(5)) if each] == [2, 1, 0, -1, -1]
    assert store.safe_partitions([partition]) == set(), "nothing else is safe here"


def test_too_few_replicas_are_said_at_the_start_and_in_a_metric(capsys: pytest.CaptureFixture[str]) -> None:
    with Cluster(replicas=1) as cluster, WorkerProcesses(cluster.url, workers=1) as workers:
        settings = Settings(redis_url=cluster.url, secret=SECRET)
        create_app(settings)
        master = cluster.master_of(0)
        said = f"{master.address} has 1 replica, and DURABILITY_REPLICAS is 1: it grants nothing once a node"
        assert said in capsys.readouterr().err
        workers.await_ready()
        assert said in workers.log()
        wait_until(lambda: workers.figure(0, "discount_redis_spare_replicas") == 0, "none to spare")
        cluster.replicas_of(master)[0].kill()
        wait_until(lambda: workers.figure(0, "discount_redis_spare_replicas") == -1, "one is missing")
        create_app(settings)
        assert f"{master.address} has no replicas, and DURABILITY_REPLICAS is 1: it grants nothing." in (
            capsys.readouterr().err
        )
        create_app(structs.replace(settings, durability="fast"))
        assert "made safe" not in capsys.readouterr().err
