"""The state of each node, and moves of partitions from one node to another.

Only operators ask for it: calls of the service read the map alone. It needs a user who may read the settings of nodes,
and for moves one who may change the Cluster.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from redis.exceptions import ResponseError

from discount.store.nodes import Nodes
from discount.store.redis_url import split

#: The oldest servers that move a slot in one step.
_ATOMIC = {"valkey": (9, 0), "redis": (8, 4)}


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica as its master sees it."""

    address: str
    is_online: bool
    #: Bytes that it has not confirmed, and seconds since it confirmed anything.
    lag_bytes: int
    lag_seconds: int


@dataclass(frozen=True, slots=True)
class Node:
    """The state of a node, as it reports it. All but the address is empty if it does not answer.

    `name` is its id in a Cluster. `fsync` is empty if the user may not read settings.
    """

    address: str
    answers: bool = False
    name: str = ""
    role: Literal["master", "replica", ""] = ""
    master: str = ""
    server: str = ""
    version: tuple[int, ...] = ()
    keys: int = 0
    memory: int = 0
    memory_limit: int = 0
    eviction: str = ""
    link_up: bool = True
    replicas: tuple[Replica, ...] = ()
    append_only: bool = False
    fsync: str = ""
    #: The partitions that it serves, with the number of keys of each in a Cluster.
    partitions: Mapping[int, int | None] = field(default_factory=dict)
    cluster_state: str = ""
    #: `yes` if no partition is served while one of them is not.
    full_coverage: str = ""
    #: Slots that an unfinished move has left open.
    open_slots: tuple[int, ...] = ()

    @property
    def moves_atomically(self) -> bool:
        """Return whether the node can hand over a slot in one step."""
        return self.version >= _ATOMIC.get(self.server, (10**6,))


def read_nodes(nodes: Nodes) -> list[Node]:
    """Return every node that any other one knows, masters first.

    Args:
        nodes: it has looked at the map already.
    """
    known = _known_in_cluster(nodes) if nodes.kind == "cluster" else _known_to_primary(nodes)
    found = [_read(nodes, address, name) for address, name in known.items()]
    return sorted(found, key=lambda node: (node.role != "master", node.master, _sortable(node.address)))


def slot_of(nodes: Nodes, partition: int) -> int:
    """Return the slot of a partition."""
    return nodes.slots[partition]


class MoveError(Exception):
    """A move that did not succeed. The message is one line that says why."""


class Moving:
    """The move of a partition in one step, which its servers make by themselves.

    Raises:
        MoveError: a server refused it.
    """

    def __init__(self, nodes: Nodes, partition: int, source: Node, target: Node) -> None:
        self._nodes = nodes
        self._slot = slot_of(nodes, partition)
        self._source, self._target = source, target
        self._task = self._start()

    def is_done(self) -> bool:
        """Return whether the target has the partition.

        Raises:
            MoveError: the servers gave it up.
        """
        if self._source.server == "valkey":
            jobs = [_pairs(each) for each in self._ask(self._source, "CLUSTER", "GETSLOTMIGRATIONS")]
            ours = f"{self._slot}-{self._slot}"
            # The newest job comes first.
            job = next((each for each in jobs if each["slot_ranges"] == ours and each["operation"] == "EXPORT"), {})
            state, reason = job.get("state", ""), job.get("message", "")
        else:
            reply = self._ask(self._target, "CLUSTER", "MIGRATION", "STATUS", "ID", self._task)
            job = _pairs(reply[0]) if reply else {}
            state, reason = job.get("state", ""), job.get("last_error", "")
        if state in ("failed", "cancelled", "canceled"):
            raise MoveError(f"the move {state}: {reason or 'the server gives no reason'}")
        return state in ("success", "completed")

    def _start(self) -> str:
        slot = str(self._slot)
        if self._source.server == "valkey":
            command = ("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self._target.name)
            return str(self._ask(self._source, *command))
        return str(self._ask(self._target, "CLUSTER", "MIGRATION", "IMPORT", slot, slot))

    def _ask(self, node: Node, *command: str) -> Any:
        replies = self._nodes.ask(node.address, command)
        if replies is None:
            raise MoveError(f"{node.address} does not answer")
        if isinstance(replies[0], ResponseError):
            raise MoveError(f"{node.address} refused: {replies[0]}")
        return replies[0]


def _known_in_cluster(nodes: Nodes) -> dict[str, str]:
    """Return the address of each node of a Cluster, with its id."""
    known: dict[str, str] = {}
    for address in nodes.addresses():
        for row in _rows(nodes, address):
            # A node that has joined anew leaves its old id behind, without an address.
            if "noaddr" not in row[2] and "handshake" not in row[2]:
                known.setdefault(_address_in(row, address), row[0])
        if known:
            break
    return known or dict.fromkeys(nodes.addresses(), "")


def _known_to_primary(nodes: Nodes) -> dict[str, str]:
    """Return the addresses of one Redis, or of the Sentinels' primary, and of its replicas."""
    primary = nodes.owners[0]
    known = {primary: ""}
    replies = nodes.ask(primary, ("INFO", "replication"))
    if replies and not isinstance(replies[0], ResponseError):
        known |= {each.address: "" for each in _replicas(_facts(replies[0]), primary)}
    for sentinel in nodes.target.seeds if nodes.kind == "sentinel" else ():
        # The Sentinels also know replicas that are down.
        replies = nodes.ask(sentinel, ("SENTINEL", "REPLICAS", nodes.target.name))
        if replies and not isinstance(replies[0], ResponseError):
            rows = map(_pairs, replies[0])
            return known | {nodes.address(each["ip"], int(each["port"]), sentinel): "" for each in rows}
    return known


def _read(nodes: Nodes, address: str, name: str) -> Node:
    in_cluster = nodes.kind == "cluster"
    commands: list[tuple[str, ...]] = [("INFO",), ("CONFIG", "GET", "appendfsync")]
    if in_cluster:
        commands += [("CLUSTER", "INFO"), ("CLUSTER", "NODES"), ("CONFIG", "GET", "cluster-require-full-coverage")]
    replies = nodes.ask(address, *commands)
    if replies is None or isinstance(replies[0], ResponseError):
        return Node(address, name=name)
    facts = _facts(replies[0])
    # In its first moments, INFO calls a replica of a Cluster a master.
    is_master = facts["role"] == "master" and not (in_cluster and "myself,slave" in str(replies[3]))
    has_master = "master_host" in facts
    master = nodes.address(facts["master_host"], int(facts["master_port"]), address) if has_master else ""
    server = facts.get("server_name", "redis")
    version = facts.get(f"{server}_version", facts.get("redis_version", ""))
    state, coverage = "", ""
    open_slots: tuple[int, ...] = ()
    if in_cluster:
        state = "" if isinstance(replies[2], ResponseError) else _facts(replies[2])["cluster_state"]
        open_slots = () if isinstance(replies[3], ResponseError) else _open_slots(replies[3])
        coverage = _setting(replies[4])
    return Node(
        address,
        answers=True,
        name=name,
        role="master" if is_master else "replica",
        master=master,
        server=server,
        version=tuple(int(each) for each in re.findall(r"\d+", version)[:3]),
        keys=int(re.search(r"^keys=(\d+)", facts.get("db0", "keys=0"))[1]),  # type: ignore[index]
        memory=int(facts["used_memory"]),
        memory_limit=int(facts["maxmemory"]),
        eviction=facts["maxmemory_policy"],
        link_up=is_master or facts.get("master_link_status") == "up",
        replicas=tuple(_replicas(facts, address)),
        append_only=facts["aof_enabled"] == "1",
        fsync=_setting(replies[1]),
        partitions=_partitions(nodes, address) if is_master else {},
        cluster_state=state,
        full_coverage=coverage,
        open_slots=open_slots,
    )


def _partitions(nodes: Nodes, address: str) -> dict[int, int | None]:
    """Return a node's partitions, with the keys of each in a Cluster."""
    partitions = nodes.partitions_of(address)
    if nodes.kind != "cluster" or not partitions:
        return dict.fromkeys(partitions)
    counts = nodes.ask(address, *(("CLUSTER", "COUNTKEYSINSLOT", str(slot_of(nodes, each))) for each in partitions))
    numbers = [None if isinstance(each, ResponseError) else int(each) for each in counts or [None] * len(partitions)]
    return dict(zip(partitions, numbers, strict=True))


def _replicas(facts: Mapping[str, str], address: str) -> list[Replica]:
    """Return the replicas in a master's INFO."""
    found = []
    for number in range(int(facts.get("connected_slaves", 0))):
        each = dict(part.split("=", 1) for part in facts[f"slave{number}"].split(","))
        behind = int(facts["master_repl_offset"]) - int(each["offset"])
        host = f"{split(address)[0] if each['ip'] in ('', '?') else each['ip']}:{each['port']}"
        found.append(Replica(host, each["state"] == "online", behind, int(each["lag"])))
    return found


def _rows(nodes: Nodes, address: str) -> list[list[str]]:
    """Return the rows of CLUSTER NODES."""
    replies = nodes.ask(address, ("CLUSTER", "NODES"))
    if replies is None or isinstance(replies[0], ResponseError):
        return []
    return [line.split(" ") for line in replies[0].splitlines()]


def _address_in(row: Sequence[str], seen_from: str) -> str:
    """Return the address in a row of CLUSTER NODES, which begins like `host:port@bus`."""
    host, _, port = row[1].partition("@")[0].rpartition(":")
    return Nodes.address(host, int(port), seen_from)


def _open_slots(text: str) -> tuple[int, ...]:
    own = next(line for line in text.splitlines() if "myself" in line)
    return tuple(int(each) for each in re.findall(r"\[(\d+)-[<>]-", own))


def _facts(text: str) -> dict[str, str]:
    """Return the lines `name:value` of INFO."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _setting(reply: Any) -> str:
    """Return the value in a reply to CONFIG GET; empty if there is none."""
    return "" if isinstance(reply, ResponseError) or not reply else str(reply[1])


def _pairs(reply: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _sortable(address: str) -> tuple[list[int], str]:
    return [int(each) for each in re.findall(r"\d+", address)], address
