"""The nodes of Redis and what is wrong with them, and an even placement of the partitions."""

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from discount.domain.errors import Unavailable
from discount.domain.placement import Move, plan_moves
from discount.store import keys, replicas, topology
from discount.store.connection import Store
from discount.store.durability import Durability, Mode
from discount.store.topology import Node, Replica

#: Of the memory that a node may use, the share from which it is nearly full.
NEARLY_FULL = 0.85
#: Bytes that a replica may be behind.
MOST_LAG = 16 * 1024 * 1024


class NodeOut(Struct, frozen=True):
    """One node: its part, its data, and how far a replica is behind its master."""

    address: str
    answers: bool
    role: str
    master: str
    server: str
    partitions: list[int]
    keys: int
    memory_bytes: int
    memory_limit_bytes: int
    lag_bytes: int | None
    lag_seconds: int | None
    #: `off`, or how often its append-only file is forced to the disk.
    disk: str


class PartitionOut(Struct, frozen=True):
    """One partition: its node, its keys (in a Cluster) and its discounts."""

    partition: int
    node: str
    keys: int | None
    discounts: int | None


class TopologyOut(Struct, frozen=True):
    """All nodes and partitions, and what is wrong with them, in sentences."""

    kind: Literal["one", "sentinel", "cluster"]
    durability: str
    durability_replicas: int
    nodes: list[NodeOut]
    partitions: list[PartitionOut]
    problems: list[str]


def describe(store: Store, durability: Durability) -> TopologyOut:
    """Return the nodes and the partitions, and what is wrong."""
    mode, waited = _mode(store, durability)
    nodes = topology.read_nodes(store.nodes)
    owners = store.nodes.owners
    counted = {partition: count for node in nodes for partition, count in node.partitions.items()}
    discounts = store.each([("ZCARD", keys.discounts(each)) for each in range(store.partitions)])
    return TopologyOut(
        "one" if store.nodes.kind == "any" else store.nodes.kind,
        mode,
        waited,
        [_shown(node, nodes) for node in nodes],
        [
            PartitionOut(each, owners[each], counted.get(each), None if isinstance(count, Unavailable) else count)
            for each, count in enumerate(discounts)
        ],
        list(problems(nodes, owners, mode, waited)),
    )


def problems(nodes: Sequence[Node], owners: Sequence[str], mode: Mode, waited: int) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong.

    Args:
        owners: the address of the node of each partition.
        waited: the replicas that an answer waits for; 0 in the mode `fast`.
    """
    lost = [f"{partition:02x}" for partition, owner in enumerate(owners) if not _serves(owner, nodes)]
    if lost:
        yield f"No node serves {'partition' if len(lost) == 1 else 'partitions'} {', '.join(lost)}."
    for node in nodes:
        yield from _problems_of(node, mode)
    for master in _masters(nodes):
        if master.partitions:
            yield from _problems_of_shard(master, nodes, waited)
    masters = _masters(nodes)
    if not lost and len(masters) > 1 and plan_moves(owners, [each.address for each in masters]):
        yield "The partitions are not placed evenly; `discount topology place` says how to."


def plan(store: Store, durability: Durability, without: Sequence[str] = ()) -> tuple[list[Move], dict[str, Node]]:
    """Return the fewest moves to an even placement, and the masters by address.

    Args:
        without: addresses of nodes that are to have no partition.

    Raises:
        MoveError: there are no nodes to choose from, not all of them can be seen, or one lacks replicas.
    """
    _, waited = _mode(store, durability)
    nodes = topology.read_nodes(store.nodes)
    owners = store.nodes.owners
    if store.nodes.kind != "cluster":
        raise topology.MoveError("only a Cluster has partitions on several nodes")
    hidden = [f"{each:02x}" for each, owner in enumerate(owners) if not _serves(owner, nodes)]
    if hidden:
        raise topology.MoveError(f"no node serves partition {hidden[0]}; first bring its node back")
    masters = {each.address: each for each in _masters(nodes)}
    unknown = [each for each in without if each not in masters]
    if unknown:
        raise topology.MoveError(f"{unknown[0]} is no master; the masters are {', '.join(masters)}")
    chosen = [each for each in masters if each not in without]
    if not chosen:
        raise topology.MoveError("one node at least must have partitions")
    poor = [each for each in chosen if len(_online(masters[each])) < waited]
    if poor:
        raise topology.MoveError(
            f"{poor[0]} has {replicas.in_words(len(_online(masters[poor[0]])))}, and each answer waits for {waited}:"
            " its partitions would grant nothing. Add replicas first, or leave it out with --without"
        )
    return plan_moves(owners, chosen), masters


def _mode(store: Store, durability: Durability) -> tuple[Mode, int]:
    """Return the mode, and the replicas that an answer waits for."""
    mode = durability.mode(store.nodes.kind)
    return mode, 0 if mode == "fast" else durability.replicas


def _online(master: Node) -> list[Replica]:
    return [each for each in master.replicas if each.is_online]


def _masters(nodes: Sequence[Node]) -> list[Node]:
    return [each for each in nodes if each.role == "master"]


def _serves(owner: str, nodes: Sequence[Node]) -> bool:
    return any(each.address == owner and each.role == "master" for each in nodes)


def _problems_of(node: Node, mode: Mode) -> Iterator[str]:
    if not node.answers:
        yield f"{node.address} does not answer."
        return
    if node.cluster_state not in ("", "ok"):
        yield f"{node.address} says that the Cluster has failed."
    if not node.link_up:
        yield f"{node.address} gets no data from {node.master or 'its master'}."
    if not node.append_only:
        yield f"{node.address} writes no append-only file; set `appendonly yes`."
    elif mode == "synced" and node.fsync not in ("", "always"):
        yield f"{node.address} does not wait for its disk; set `appendfsync always`."
    if node.eviction != "noeviction":
        yield f"{node.address} throws data away when it is full; set `maxmemory-policy noeviction`."
    if node.full_coverage == "yes":
        yield f"{node.address} stops all partitions if one is lost; set `cluster-require-full-coverage no`."
    if node.memory_limit and node.memory > NEARLY_FULL * node.memory_limit:
        yield f"{node.address} is nearly full: it uses {100 * node.memory // node.memory_limit} % of its memory."
    for slot in node.open_slots:
        yield f"{node.address} has not finished a move of slot {slot}; see `redis-cli --cluster fix`."


def _problems_of_shard(master: Node, nodes: Sequence[Node], waited: int) -> Iterator[str]:
    online = _online(master)
    finding = f"{master.address} has {replicas.in_words(len(online))}, and each answer waits for {waited}"
    if len(online) < waited:
        yield f"{finding}: it grants nothing."
    elif waited and len(online) == waited:
        yield f"{finding}: it grants nothing once a node of the shard is lost. Add a replica."
    elif not online and len(nodes) > 1:
        yield f"{master.address} has no replica: its data is lost with it."
    for each in online:
        if each.lag_bytes > MOST_LAG:
            yield f"{each.address} is {each.lag_bytes // 1_000_000} MB behind {master.address}."


def _shown(node: Node, nodes: Sequence[Node]) -> NodeOut:
    seen = next((each for other in nodes for each in other.replicas if each.address == node.address), None)
    return NodeOut(
        node.address,
        node.answers,
        node.role,
        node.master,
        " ".join([node.server, ".".join(map(str, node.version))]).strip(),
        list(node.partitions),
        node.keys,
        node.memory,
        node.memory_limit,
        seen.lag_bytes if seen else None,
        seen.lag_seconds if seen else None,
        "" if not node.answers else (node.fsync or "on") if node.append_only else "off",
    )
