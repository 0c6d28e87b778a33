"""`discount topology` on one Redis, and on a primary that Sentinels watch."""

from discount.services.topology import TopologyOut, describe
from discount.store.connection import Store
from discount.store.durability import Durability
from tests.support.clusters import Sentinels
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer


def shown(url: str) -> TopologyOut:
    store = Store.at(url, PATIENCE, 16)
    store.prepare()
    return describe(store, Durability())


def test_one_redis_is_one_node_with_all_partitions() -> None:
    with RedisServer(appendonly="yes") as server:
        found = shown(server.url)
        assert (found.kind, found.durability, found.problems) == ("one", "fast", [])
        assert [node.partitions for node in found.nodes] == [list(range(16))]
        with server.client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        assert "throws data away" in shown(server.url).problems[0]


def test_a_replica_that_sentinels_miss_is_shown() -> None:
    with Sentinels(replicas=2) as sentinels:
        found = shown(sentinels.url)
        assert (found.kind, found.durability, found.problems) == ("sentinel", "replicated", [])
        assert [node.role for node in found.nodes] == ["master", "replica", "replica"]
        lost = sentinels.nodes[2]
        lost.kill()
        assert f"{lost.address} does not answer." in shown(sentinels.url).problems
