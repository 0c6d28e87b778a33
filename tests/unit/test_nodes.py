"""The map of nodes, from what servers and Sentinels say about it."""

import unittest
from collections.abc import Mapping
from typing import Any

from redis.crc import key_slot
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError

from discount.store.nodes import Nodes
from discount.store.redis_url import Kind, Target

OK = "cluster_state:ok\r\ncluster_slots_assigned:16384"
#: The slots of the first partitions.
SLOTS = [key_slot(f"{{{partition:02x}}}:x".encode()) for partition in range(4)]


class _Server:
    """A connection to a server that answers commands by their first words; without words it cannot be reached."""

    def __init__(self, replies: Mapping[str, Any]) -> None:
        self._replies = replies
        self._asked: list[str] = []

    def send_packed_command(self, command: list[bytes], check_health: bool = True) -> None:
        del check_health
        if not self._replies:
            raise ConnectionLost
        text = command[0].decode().split("\r\n")
        self._asked += [f"{text[n]} {text[n + 2]}" for n, word in enumerate(text) if word in ("CLUSTER", "SENTINEL")]

    def read_response(self) -> Any:
        reply = self._replies[self._asked.pop(0)]
        if isinstance(reply, Exception):
            raise reply
        return reply

    def disconnect(self) -> None:
        self._asked.clear()


def nodes(kind: Kind, servers: Mapping[str, Mapping[str, Any]], partitions: int = 4, name: str = "") -> Nodes:
    def ask(address: str) -> Any:
        return _Server(servers.get(address, {}))

    return Nodes(Target(kind, tuple(servers), ask, ask, name), partitions)


def row(slot: int, host: str | None, port: int) -> list[Any]:
    return [slot, slot, [host, port, "id", []], ["replica", 1, "id", []]]


def cluster(*hosts: tuple[str | None, int], info: Any = OK) -> dict[str, Any]:
    rows = [row(SLOTS[partition], *host) for partition, host in enumerate(hosts)]
    return {"CLUSTER SLOTS": rows, "CLUSTER INFO": info}


def master(host: str, port: int, epoch: int) -> dict[str, Any]:
    return {"SENTINEL MASTER": ["name", "main", "ip", host, "port", str(port), "config-epoch", str(epoch)]}


class Cluster(unittest.TestCase):
    def test_each_partition_has_the_node_of_its_slot(self) -> None:
        found = nodes("cluster", {"seed:1": cluster(("a", 1), ("b", 2), ("a", 1))})
        self.assertTrue(found.look())
        self.assertEqual((found.owners, found.only), (["a:1", "b:2", "a:1", ""], None))
        self.assertEqual((found.addresses(), found.partitions_of("a:1")), (["a:1", "b:2"], [0, 2]))
        self.assertEqual(found.unreachable(), [3])

    def test_a_host_that_is_not_announced_is_the_one_that_was_asked(self) -> None:
        for host in (None, "", "?"):
            with self.subTest(host):
                found = nodes("cluster", {"seed:1": cluster((host, 7), ("b", 2))})
                found.look()
                self.assertEqual(found.owners[:2], ["seed:7", "b:2"])

    def test_the_next_seed_is_asked_if_one_does_not_answer(self) -> None:
        found = nodes("cluster", {"gone:1": {}, "seed:1": cluster(("a", 1))})
        self.assertTrue(found.look())
        self.assertEqual(found.owners[0], "a:1")

    def test_a_node_that_is_cut_off_is_believed_only_if_no_other_answers(self) -> None:
        alone = cluster(("old", 1), info="cluster_state:fail")
        for servers, owner in (
            ({"cut:1": alone, "seed:1": cluster(("new", 1))}, "new:1"),
            ({"cut:1": alone, "gone:1": {}}, "old:1"),
        ):
            found = nodes("cluster", servers)
            found.look()
            self.assertEqual(found.owners[0], owner)

    def test_a_server_that_does_not_tell_its_state_is_believed(self) -> None:
        found = nodes("cluster", {"seed:1": cluster(("a", 1), info=ResponseError("NOPERM"))})
        self.assertTrue(found.look())

    def test_without_an_answer_the_map_stays(self) -> None:
        found = nodes("cluster", {"gone:1": {}})
        self.assertEqual((found.look(), found.owners[0], found.is_known), (False, "gone:1", False))

    def test_one_node_with_all_partitions_is_the_only_one(self) -> None:
        found = nodes("any", {"seed:1": cluster(("a", 1))}, 1)
        found.look()
        self.assertEqual((found.kind, found.only), ("cluster", "a:1"))


class OneServer(unittest.TestCase):
    def test_a_server_without_a_cluster_is_one(self) -> None:
        disabled = ResponseError("This instance has cluster support disabled")
        found = nodes("any", {"seed:1": {"CLUSTER SLOTS": disabled, "CLUSTER INFO": disabled}})
        self.assertTrue(found.look())
        self.assertEqual((found.kind, found.only, found.is_known), ("one", "seed:1", True))

    def test_a_server_that_does_not_answer_may_be_anything(self) -> None:
        found = nodes("any", {"seed:1": {}})
        self.assertEqual((found.look(), found.kind), (False, "any"))


class Sentinels(unittest.TestCase):
    def test_all_partitions_have_the_primary(self) -> None:
        found = nodes("sentinel", {"s:1": master("a", 1, 0), "s:2": master("a", 1, 0)}, name="main")
        self.assertTrue(found.look())
        self.assertEqual((found.owners, found.only), (["a:1"] * 4, "a:1"))

    def test_the_newest_epoch_counts(self) -> None:
        servers = {"s:1": master("old", 1, 3), "s:2": master("new", 1, 4), "s:3": {}, "s:4": {}}
        for _ in range(10):
            found = nodes("sentinel", servers, name="main")
            found.look()
            self.assertEqual(found.owners[0], "new:1")

    def test_a_sentinel_is_never_used_as_a_redis(self) -> None:
        found = nodes("sentinel", {"s:1": {}, "s:2": {"SENTINEL MASTER": ResponseError("No such master")}}, name="main")
        self.assertFalse(found.look())
        self.assertEqual((found.addresses(), found.only, found.unreachable()), ([], None, [0, 1, 2, 3]))


class Alternatives(unittest.TestCase):
    def test_each_node_has_one_and_those_that_are_away_come_last(self) -> None:
        found = nodes("cluster", {"seed:1": cluster(("a", 1), ("b", 2), ("a", 1), ("c", 3))})
        found.look()
        self.assertEqual(found.alternatives(1), [1, 2, 3])
        self.assertEqual(found.alternatives(3), [3, 0, 1])
        found.away["b:2"] = 0
        self.assertEqual(found.alternatives(1), [2, 3, 1])


class Reports(unittest.TestCase):
    def test_what_cannot_be_reached_is_reported_at_first_and_at_each_change(self) -> None:
        found = nodes("cluster", {"seed:1": cluster(("a", 1), ("b", 2), ("a", 1), ("c", 3))})
        found.look()
        reported: list[list[int]] = []
        found.report_to(reported.append)
        found.look_soon = lambda: None  # type: ignore[method-assign]
        for _ in range(2):
            found.lose("a:1")
        found._set(["b:2"] * 4)
        self.assertEqual(reported, [[], [0, 2], []])
