"""A Cluster and Sentinels that take TLS only, and nobody without a password."""

from pathlib import Path

import pytest

from discount.domain.errors import Unavailable
from discount.services import grants
from discount.services.topology import describe
from discount.store.connection import Store
from discount.store.durability import Durability
from tests.chaos.failovers import brand_in, make_offer
from tests.stack.test_redis_rules import rules
from tests.support.certificates import Authority
from tests.support.locked_servers import ADMIN, ADMIN_PASSWORD, PASSWORD, USER, LockedCluster, LockedSentinel
from tests.support.patience import PATIENCE
from tests.support.service import Service, ask, create, wait_until

PARTITIONS = 16
#: The rules that doc/operations.md gives, behind the user's name and password.
RULES = rules()[3:]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def store_at(url: str, password: str) -> Store:
    return Store.at(url, PATIENCE, PARTITIONS, password=password)


def test_a_cluster_is_used_over_tls_by_a_user_whose_password_is_in_a_file(authority: Authority, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    with LockedCluster(authority, RULES) as cluster:
        with Service(cluster.url, replicas=1, redis_password_file=str(secret), durability="fast") as service:
            base = service.urls[0]
            for partition in range(PARTITIONS):
                offer = create(base, 3, brand_in(partition))
                assert ask(base, "POST", f"/discount/{offer}/grant", {"user_id": "Ann"}).status == 201
            assert ask(base, "GET", "/discount?limit=100").json.keys() == {"discounts", "next"}
            assert PASSWORD not in service.log(0)
        for wrong in (cluster.url.partition("?")[0], cluster.url.replace(f"{USER}@", "")):
            with pytest.raises(Unavailable):
                store_at(wrong, PASSWORD).prepare()
        with pytest.raises(Unavailable):
            store_at(cluster.url, "a guess").prepare()
        assert [each for node in cluster.nodes for each in node.ask("ACL", "LOG") if "auth" not in each] == []
        of_admin = store_at(cluster.url.replace(f"{USER}@", f"{ADMIN}@"), ADMIN_PASSWORD)
        of_admin.prepare()
        shown = describe(of_admin, Durability("fast"))
        assert [(each.address, each.answers, each.disk) for each in shown.nodes] == [
            (address, True, "everysec") for address in sorted(node.address for node in cluster.nodes)
        ]
        assert sum(len(each.partitions) for each in shown.nodes) == PARTITIONS


def test_sentinels_are_asked_over_tls_for_the_primary_and_for_the_next_one(authority: Authority) -> None:
    with LockedSentinel(authority, RULES) as servers:
        store = store_at(servers.url, PASSWORD)
        store.set_durability("replicated", 1)
        store.prepare()
        offer = make_offer(store, 0)
        code = grants.grant(store, offer, "Ann").code
        with pytest.raises(Unavailable):
            store_at(servers.url, "a guess").prepare()
        servers.primary.kill()
        # The only replica is the primary now, and has none.
        store.set_durability("fast", 1)

        def ask_again() -> str:
            try:
                return grants.grant(store, offer, "Ann").code
            except Unavailable:
                return ""

        assert wait_until(ask_again, "the next primary answers") == code
        assert grants.grant(store, offer, "Bob").fresh
