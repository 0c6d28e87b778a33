"""`discount topology`: the problems that it finds, and how it moves partitions."""

import unittest
from dataclasses import replace
from unittest.mock import patch

from discount.cli.topology import one_step, step_by_step
from discount.services.topology import problems
from discount.store.durability import Mode
from discount.store.nodes import Nodes
from discount.store.redis_url import read_url
from discount.store.topology import Node, Replica, read_nodes

FIRST, SECOND = "10.0.0.1:6379", "10.0.0.2:6379"
HEALTHY = Node(
    FIRST,
    answers=True,
    name="a" * 40,
    role="master",
    server="valkey",
    version=(9, 1, 2),
    memory=10,
    memory_limit=100,
    eviction="noeviction",
    replicas=(Replica("10.0.0.3:6379", True, 0, 0), Replica("10.0.0.4:6379", True, 0, 0)),
    append_only=True,
    fsync="everysec",
    partitions={0: 1, 1: 1},
    cluster_state="ok",
    full_coverage="no",
)


def problems_of(
    *nodes: Node, owners: tuple[str, ...] = (FIRST, FIRST), mode: Mode = "replicated", waited: int = 1
) -> str:
    return "\n".join(problems(nodes, owners, mode, waited))


class Problems(unittest.TestCase):
    def test_nothing_is_wrong_with_a_healthy_shard(self) -> None:
        self.assertEqual(problems_of(HEALTHY), "")

    def test_each_thing_that_is_wrong_with_a_node_has_a_sentence(self) -> None:
        for wrong, expected in (
            (replace(HEALTHY, append_only=False), "writes no append-only file"),
            (replace(HEALTHY, eviction="allkeys-lru"), "maxmemory-policy noeviction"),
            (replace(HEALTHY, full_coverage="yes"), "cluster-require-full-coverage no"),
            (replace(HEALTHY, memory=90), "nearly full: it uses 90 %"),
            (replace(HEALTHY, cluster_state="fail"), "says that the Cluster has failed"),
            (replace(HEALTHY, open_slots=(933,)), "has not finished a move of slot 933"),
        ):
            with self.subTest(expected):
                self.assertIn(expected, problems_of(wrong))
                self.assertEqual(problems_of(wrong).count("\n"), 0)

    def test_a_node_that_does_not_answer_and_its_partitions_are_named(self) -> None:
        text = problems_of(Node(FIRST), owners=(FIRST, ""))
        self.assertIn("No node serves partitions 00, 01.", text)
        self.assertIn(f"{FIRST} does not answer.", text)

    def test_an_answer_that_waits_for_all_replicas_cannot_lose_one(self) -> None:
        one = replace(HEALTHY, replicas=HEALTHY.replicas[:1])
        self.assertIn("grants nothing once a node of the shard is lost", problems_of(one))
        self.assertIn(
            "has no replicas, and each answer waits for 1: it grants nothing.", problems_of(replace(one, replicas=()))
        )
        self.assertEqual(problems_of(one, mode="fast", waited=0), "")

    def test_a_replica_that_lags_or_is_cut_off_is_named(self) -> None:
        behind = replace(HEALTHY, replicas=(HEALTHY.replicas[0], replace(HEALTHY.replicas[1], lag_bytes=50_000_000)))
        self.assertIn("10.0.0.4:6379 is 50 MB behind", problems_of(behind))
        replica = replace(HEALTHY, address=SECOND, role="replica", master=FIRST, link_up=False, partitions={})
        self.assertIn(f"{SECOND} gets no data from {FIRST}.", problems_of(HEALTHY, replica))

    def test_synced_needs_a_disk_that_is_waited_for(self) -> None:
        self.assertIn("appendfsync always", problems_of(HEALTHY, mode="synced"))
        self.assertEqual(problems_of(replace(HEALTHY, fsync="always"), mode="synced"), "")

    def test_an_uneven_placement_is_named(self) -> None:
        empty = replace(HEALTHY, address=SECOND, partitions={})
        self.assertIn("not placed evenly", problems_of(HEALTHY, empty))
        self.assertEqual(problems_of(HEALTHY, replace(empty, partitions={1: 1}), owners=(FIRST, SECOND)), "")


class Reading(unittest.TestCase):
    def test_a_replica_that_has_just_started_is_no_master(self) -> None:
        """Until its first look at the others, it is a replica in its map only."""
        nodes = Nodes(read_url(f"redis+cluster://{FIRST},{SECOND}/", 1.0), 1)
        nodes.kind, nodes.owners = "cluster", [FIRST]
        info = "role:master\r\nredis_version:7.0.15\r\nused_memory:1\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"
        info += "aof_enabled:1\r\nconnected_slaves:0\r\n"
        rows = f"{'a' * 40} {FIRST}@1 {{}}master - 0 0 1 connected 0-16383\n"
        rows += f"{'b' * 40} {SECOND}@1 {{}}slave {'a' * 40} 0 0 1 connected\n"
        maps = {FIRST: rows.format("myself,", ""), SECOND: rows.format("", "myself,")}
        replies = {"INFO": info, "CONFIG": ["", ""], "CLUSTER INFO": "cluster_state:ok", "CLUSTER COUNTKEYSINSLOT": 0}

        def ask(address: str, *commands: tuple[str, ...]) -> list[object]:
            known = replies | {"CLUSTER NODES": maps[address]}
            return [known[" ".join(words[:2]) if words[0] == "CLUSTER" else words[0]] for words in commands]

        with patch.object(nodes, "ask", ask):
            master, replica = read_nodes(nodes)
        self.assertEqual((master.role, master.link_up), ("master", True))
        self.assertEqual((replica.role, replica.link_up), ("replica", False))
        self.assertIn(f"{SECOND} gets no data from its master.", problems_of(master, replica))


class Moves(unittest.TestCase):
    def test_servers_that_move_a_slot_in_one_step_are_distinguished(self) -> None:
        for server, version, atomic in (
            ("valkey", (9, 0, 0), True),
            ("valkey", (8, 1, 4), False),
            ("redis", (8, 4, 0), True),
            ("redis", (8, 2, 9), False),
            ("", (), False),
        ):
            with self.subTest(server, version=version):
                node = replace(HEALTHY, server=server, version=version)
                self.assertEqual(node.moves_atomically, atomic)

    def test_valkey_sends_a_slot_and_redis_fetches_it(self) -> None:
        target = replace(HEALTHY, address=SECOND, name="b" * 40)
        self.assertEqual(
            one_step(933, HEALTHY, target),
            f"redis-cli -e -h 10.0.0.1 -p 6379 CLUSTER MIGRATESLOTS SLOTSRANGE 933 933 NODE {'b' * 40}",
        )
        redis = replace(HEALTHY, server="redis", version=(8, 4, 0))
        self.assertEqual(
            one_step(933, redis, target), "redis-cli -e -h 10.0.0.2 -p 6379 CLUSTER MIGRATION IMPORT 933 933"
        )

    def test_the_script_for_older_servers_gives_the_slot_to_the_target_first(self) -> None:
        target = replace(HEALTHY, address=SECOND, name="b" * 40)
        lines = [line for line in step_by_step(933, HEALTHY, target).splitlines() if "SETSLOT" in line]
        self.assertEqual([line.split()[3] for line in lines], ["10.0.0.2", "10.0.0.1"] * 2)
