"""An embedded Redis Cluster: three masters with two replicas each, to try one on a single machine."""

import re
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex

from discount.local.redis_server import Embedded, Server, write_privately
from discount.store.nodes import Nodes
from discount.store.redis_url import read_url
from discount.store.topology import read_nodes

MASTERS = 3
#: With one replica of a shard an answer could wait for none once a node is lost.
REPLICAS = 2
_SLOTS = 16384
_SETTINGS = {
    "bind": "127.0.0.1",
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": "3000",
    "cluster-require-full-coverage": "no",
    "cluster-announce-ip": "127.0.0.1",
    "repl-diskless-sync-delay": "0",
}
_ADDRESS = re.compile(r"^([0-9a-f]{40}) \S+", re.MULTILINE)


class EmbeddedCluster(Embedded):
    """A Cluster whose nodes listen on free ports of this machine, and ask for a password.

    Each node reads the others out of its map. Before each start the ports in the maps are renewed, because other
    programs may have taken those of the last run.
    """

    def __init__(self, folder: Path, pause: Callable[[], None] = lambda: time.sleep(0.02)) -> None:
        super().__init__(folder, pause)
        self._folders = [
            self.folder / "cluster" / f"node-{number}" for number in range(1, MASTERS * (1 + REPLICAS) + 1)
        ]
        self._reserved = ExitStack()
        self._ports: list[int] = []
        self._password = ""

    @property
    def url(self) -> str:
        nodes = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"redis+cluster://:{self._password}@{nodes}/"

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._reserved.close()

    def _start(self, server: str, lock: int) -> None:
        for folder in self._folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Anyone on this machine reaches a port, unlike a socket in a private folder.
        self._password = _keep(self.folder / "cluster" / "password")
        self._ports = [self._reserve() for _ in self._folders]
        buses = [self._reserve() for _ in self._folders]
        names = [_keep(folder / "name") for folder in self._folders]
        addresses = {name: f"127.0.0.1:{port}@{bus}" for name, port, bus in zip(names, self._ports, buses, strict=True)}
        for name, port, bus, folder in zip(names, self._ports, buses, self._folders, strict=True):
            _renew(folder / "nodes.conf", name, addresses)
            write_privately(folder / "redis.conf", f"requirepass {self._password}\nmasterauth {self._password}\n")
            settings = _SETTINGS | {"port": str(port), "cluster-port": str(bus)}
            self._servers.append(Server(server, folder, settings, lock, "redis.conf"))

    def _reserve(self) -> int:
        """Return a port that stays ours while its server starts."""
        holder = self._reserved.enter_context(socket.socket())
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        if not sys.platform.startswith("linux"):
            # Other systems allow no second socket on the port, so there it is merely free at this moment.
            holder.close()
        return port

    def _works(self) -> bool:
        nodes = Nodes(read_url(self.url, 1), 1)
        if not nodes.look():
            return False
        found = read_nodes(nodes)
        return len(found) == len(self._folders) and all(
            each.answers and each.link_up and each.cluster_state == "ok" for each in found
        )

    def _log(self) -> Path:
        ended = (folder for folder, server in zip(self._folders, self._servers, strict=True) if server.ended())
        return next(ended, self._folders[0]) / "redis.log"


def _keep(path: Path) -> str:
    """Return the forty hex digits in a file, which is written at the first start."""
    if not path.exists():
        write_privately(path, token_hex(20))
    return path.read_text(encoding="utf-8")


def _renew(path: Path, name: str, addresses: dict[str, str]) -> None:
    """Write the new addresses into a node's map, and the whole map at the first start."""
    text = path.read_text(encoding="utf-8") if path.exists() else _first_map(name, list(addresses))
    path.write_text(_ADDRESS.sub(lambda row: f"{row[1]} {addresses.get(row[1], ':0@0')}", text), encoding="utf-8")


def _first_map(name: str, names: Sequence[str]) -> str:
    """Return the map of a new Cluster, as a node keeps it; the first nodes are the masters."""
    rows = []
    for index, each in enumerate(names):
        own = "myself," if each == name else ""
        epoch = index % MASTERS + 1
        if index < MASTERS:
            first, last = _SLOTS * index // MASTERS, _SLOTS * (index + 1) // MASTERS - 1
            rows.append(f"{each} :0@0 {own}master - 0 0 {epoch} connected {first}-{last}")
        else:
            rows.append(f"{each} :0@0 {own}slave {names[index % MASTERS]} 0 0 {epoch} connected")
    return "\n".join([*rows, f"vars currentEpoch {MASTERS} lastVoteEpoch 0", ""])
