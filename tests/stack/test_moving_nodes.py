"""What an operator does with nodes, while grants go on: the recipes of doc/operations.md, with real servers."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from discount.services.grant_records import held_grant
from discount.services.topology import TopologyOut, describe
from discount.store.connection import Store
from discount.store.durability import Durability
from tests.support.clusters import Cluster, Node, valkey
from tests.support.commands import Commands
from tests.support.grants_under_way import PARTITIONS, GrantsUnderWay
from tests.support.needs import need
from tests.support.patience import PATIENCE
from tests.support.ports import Port
from tests.support.redis_server import RedisServer
from tests.support.service import wait_until

ROOT = Path(__file__).parents[2]
IN_CLUSTER: dict[str, str | int] = {
    "cluster_enabled": "yes",
    "cluster_node_timeout": 2000,
    "cluster_require_full_coverage": "no",
    "cluster_announce_ip": "127.0.0.1",
}


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    with Commands() as running:
        yield running


def run(commands: Commands, url: str, *words: str) -> str:
    """Run a command of the service to its end, and return what it printed."""
    done = commands.run(*words, folder=ROOT, environment={"REDIS_URL": url, "DURABILITY": "fast"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def topology(url: str) -> TopologyOut:
    store = Store.at(url, PATIENCE, PARTITIONS)
    store.prepare()
    return describe(store, Durability("fast"))


def shares(url: str) -> list[int]:
    """Return how many partitions each master has, without those that have none: they may become replicas."""
    return sorted(len(node.partitions) for node in topology(url).nodes if node.partitions)


def form(masters: list[Node], replicas: list[Node]) -> str:
    """Run the script that forms a Cluster in deploy/cluster.yml."""
    need("redis-server")
    lists = {
        "MASTERS": " ".join(each.address for each in masters),
        "REPLICAS": " ".join(each.address for each in replicas),
    }
    done = subprocess.run(
        ["sh", str(ROOT / "deploy/redis/form-cluster")],
        check=False,
        env=os.environ | lists,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_one_redis_becomes_a_cluster_and_no_grant_is_lost(commands: Commands) -> None:
    nodes = [Node(number, valkey()) for number in range(4)]
    old, *others = nodes
    masters, replicas = [old, others[0]], others[1:]
    buses = [Port() for _ in nodes]
    try:
        for node in nodes:
            node.configure(each.user for each in nodes)
        old.start()
        with GrantsUnderWay(old.url) as grants:
            grants.await_more()
            old.shutdown()
            for node, bus in zip(nodes, buses, strict=True):
                node.settings |= IN_CLUSTER | {"cluster_port": bus.number}
                node.configure(each.user for each in nodes)
                node.start()
            assert form(masters, replicas).count("becomes a replica") == 2
            assert shares(old.url) == [16]
            grants.await_more()
            run(commands, old.url, "topology", "place", "--run")
            assert shares(old.url) == [8, 8]
            grants.await_more()
        assert grants.repeated, "no call met the restart, so nothing was tried"
        grants.check()
        assert "becomes" not in form(masters, replicas), "the script did something again"
    finally:
        for node in nodes:
            node.stop()
        for bus in buses:
            bus.close()


def test_a_new_shard_takes_its_partitions_and_gives_them_back_while_grants_go_on(commands: Commands) -> None:
    need("redis-server")
    with Cluster(masters=2, replicas=0) as cluster, Port() as bus, ExitStack() as ending:
        idle = Node(9, valkey(), **IN_CLUSTER, cluster_port=bus.number)
        ending.callback(idle.stop)
        # In this Cluster, each node logs in to the others as a user of its own.
        idle.configure(each.user for each in (*cluster.nodes, idle))
        for node in cluster.nodes:
            node.ask("ACL", "SETUSER", idle.user, "on", f">{idle.settings['masterauth']}", "~*", "&*", "+@all")
        idle.start()
        with GrantsUnderWay(cluster.url) as grants:
            grants.await_more()
            assert shares(cluster.url) == [7, 9]
            subprocess.run(
                ["redis-cli", "--cluster", "add-node", idle.address, cluster.nodes[0].address],
                check=True,
                stdout=subprocess.DEVNULL,
                timeout=PATIENCE,
            )
            wait_until(lambda: len(topology(cluster.url).nodes) == 3, "a third node")
            planned = run(commands, cluster.url, "topology", "place")
            assert planned.count("CLUSTER MIGRATESLOTS") == 5
            assert shares(cluster.url) == [7, 9], "it moved what it was to print only"
            run(commands, cluster.url, "topology", "place", "--run")
            assert shares(cluster.url) == [5, 5, 6]
            grants.await_more()
            run(commands, cluster.url, "topology", "place", "--run", "--without", idle.address)
            assert shares(cluster.url) == [8, 8]
            grants.await_more()
        grants.check()


def test_servers_that_cannot_move_a_slot_in_one_step_are_moved_by_the_printed_script(commands: Commands) -> None:
    with Cluster(masters=1, replicas=0, empty=1, executable=need("redis-server")) as cluster:
        with GrantsUnderWay(cluster.url) as grants:
            grants.await_more()
            script = run(commands, cluster.url, "topology", "place")
            if "MIGRATE " in script:
                refused = commands.run(
                    "topology",
                    "place",
                    "--run",
                    folder=ROOT,
                    environment={"REDIS_URL": cluster.url, "DURABILITY": "fast"},
                )
                assert refused.returncode == 1
                assert "in a quiet hour" in refused.stderr
            # It may stop half way, and run again.
            half = script.partition("done\n")[0] + "done\n" if "MIGRATE " in script else ""
            for each in (half, script, script):
                subprocess.run(["sh", "-eu", "-c", each], check=True, timeout=2 * PATIENCE)
            assert shares(cluster.url) == [8, 8]
            grants.await_more()
        grants.check()


def test_a_copy_of_a_running_node_has_all_that_was_answered_before_it() -> None:
    with RedisServer(tcp=True, appendonly="yes") as server, RedisServer(tcp=True, appendonly="yes") as other:
        other.shutdown()
        shutil.rmtree(other.folder / "appendonlydir")
        with GrantsUnderWay(server.url) as grants:
            grants.await_more()
            answered = dict(grants.codes)
            with server.client() as client:
                client.config_set("auto-aof-rewrite-percentage", 0)
                assert client.info("persistence")["aof_rewrite_in_progress"] == 0
            shutil.copytree(server.folder / "appendonlydir", other.folder / "appendonlydir")
            grants.await_more()
        other.start()
        restored = Store.at(other.url, PATIENCE, PARTITIONS)
        for (discount_id, user), code in answered.items():
            assert held_grant(restored, discount_id, user).code == code


def test_a_master_without_enough_replicas_gets_no_partitions(commands: Commands) -> None:
    with Cluster(masters=1, replicas=1, empty=1) as cluster:
        environment = {"REDIS_URL": cluster.url, "DURABILITY": "replicated"}
        refused = commands.run("topology", "place", "--run", folder=ROOT, environment=environment)
        assert refused.returncode == 1
        assert f"{cluster.nodes[1].address} has no replicas" in refused.stderr
        printed = commands.run("topology", folder=ROOT, environment=environment).stdout
        assert "grants nothing once a node of the shard is lost" in printed
        printed = commands.run("topology", "--json", folder=ROOT, environment=environment).stdout
        # The masters are sorted by their addresses, whose ports are random.
        assert sorted(len(each["partitions"]) for each in json.loads(printed)["nodes"]) == [0, 0, 16]
