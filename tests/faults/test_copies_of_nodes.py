"""Nodes of a Cluster are copied while they run, and restored: the recipes of doc/operations.md."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from discount.services.grant_records import held_grant
from discount.services.grants import grant
from discount.store.connection import Store
from tests.stack.test_moving_nodes import form
from tests.support.clusters import Cluster, Node
from tests.support.fixtures import ON_CLUSTER
from tests.support.grants_under_way import PARTITIONS, GrantsUnderWay
from tests.support.patience import PATIENCE
from tests.support.service import wait_until

pytestmark = pytest.mark.skipif(not ON_CLUSTER, reason="a part of make cluster-test")
#: What a node has in its folder: its data, and what it knows of the Cluster.
PARTS = ("appendonlydir", "nodes.conf")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    # The two masters that live are the majority.
    with Cluster(masters=3, replicas=1) as running:
        yield running


def copy(node: Node, to: Path) -> None:
    """Copy a node while it runs."""
    node.ask("CONFIG", "SET", "auto-aof-rewrite-percentage", 0)
    wait_until(lambda: node.info("persistence")["aof_rewrite_in_progress"] == 0, "its file is not being rewritten")
    shutil.copytree(node.folder / "appendonlydir", to / "appendonlydir")
    shutil.copy(node.folder / "nodes.conf", to)
    node.ask("CONFIG", "SET", "auto-aof-rewrite-percentage", 100)


def lose(node: Node) -> None:
    """Kill a node, and lose its disk."""
    node.kill()
    shutil.rmtree(node.folder / "appendonlydir")
    (node.folder / "nodes.conf").unlink()


def restore(node: Node, copied: Path) -> None:
    """Start a node whose disk was lost on a copy."""
    shutil.copytree(copied, node.folder, dirs_exist_ok=True)
    node.start()


def check(url: str, answered: dict[tuple[str, str], str]) -> None:
    """Check that each of these users has the code that was answered."""
    store = Store.at(url, PATIENCE, PARTITIONS)
    store.prepare()
    for (discount_id, user), code in answered.items():
        assert held_grant(store, discount_id, user).code == code


def test_a_shard_that_lost_all_its_disks_goes_on_from_a_copy_of_its_master(cluster: Cluster, tmp_path: Path) -> None:
    master = cluster.master_of(0)
    (replica,) = cluster.replicas_of(master)
    alive, *others = (each for each in cluster.masters() if each is not master)
    with GrantsUnderWay(cluster.url) as grants:
        grants.await_more()
        answered = dict(grants.codes)
        copy(master, tmp_path)
        # The copy is of a node that is the master no more.
        replica.ask("CLUSTER", "FAILOVER")
        cluster.await_new_master(master, 0)
        grants.await_more()
    for node in (master, replica):
        lose(node)
    restore(master, tmp_path)
    wait_until(lambda: "myself,slave" in str(master.ask("CLUSTER", "NODES")), "it knows who had its slots last")
    served = cluster.partitions_of(alive)
    there = next(each for each in grants.discounts if int(each[4:6], 16) in served)
    store = Store.at(cluster.url, PATIENCE, PARTITIONS)
    store.prepare()
    assert grant(store, there, "while a shard is gone").fresh
    assert master.ask("CLUSTER", "FAILOVER", "TAKEOVER") == "OK"
    wait_until(lambda: cluster.master_of(0, alive) is master, "the others know that it has its slots")
    cluster.await_health([master, alive, *others])
    check(cluster.url, answered)
    replica.start()
    assert "becomes a replica" in form([master, alive, *others], [replica])
    wait_until(lambda: cluster.replicas_of(master) == [replica], "it has a replica again")


def test_a_cluster_that_lost_everything_is_restored_from_copies_of_its_masters(
    cluster: Cluster, tmp_path: Path
) -> None:
    masters = cluster.masters()
    copies = {node: tmp_path / node.name for node in masters}
    with GrantsUnderWay(cluster.url) as grants:
        grants.await_more()
        answered = dict(grants.codes)
        for node, folder in copies.items():
            folder.mkdir()
            copy(node, folder)
        grants.await_more()
    for node in cluster.nodes:
        lose(node)
    for node, folder in copies.items():
        restore(node, folder)
    replicas = [node for node in cluster.nodes if node not in masters]
    for node in replicas:
        node.start()
    assert form(masters, replicas).count("becomes a replica") == len(replicas)
    cluster.await_health()
    check(cluster.url, answered)
