"""Real Redis servers that let nobody in without TLS and a password: a Cluster, and a primary with a Sentinel.

    with LockedCluster(authority, rules) as cluster:
        cluster.url                         # rediss://USER@..., without the password

    with LockedSentinel(authority, rules) as servers:
        servers.url
        servers.primary.kill()

The service's user USER has the rules that are given, and PASSWORD. The default user is off, and no server has a port
without TLS. So whatever connects does so over TLS, and has said who it is. The servers reach each other likewise.
"""

from collections.abc import Sequence

from tests.support.certificates import Authority
from tests.support.clusters import SLOTS, Node, Together
from tests.support.needs import need
from tests.support.ports import Port
from tests.support.service import wait_until

USER = "discount"
PASSWORD = "p/ss:w@rd?"
#: The user that the servers log in to each other as, and that the tests are.
ADMIN = "admin"
ADMIN_PASSWORD = "password-of-the-admin"
NAME = "main"


class LockedNode(Node):
    """A server that has a port for TLS alone.

    Args:
        rules: those of the service's user, without its password.
    """

    def __init__(self, number: int, authority: Authority, rules: Sequence[str], **settings: str | int) -> None:
        pem, self._root = str(authority.server_file("127.0.0.1")), authority.root_file()
        tls: dict[str, str | int] = {"tls_cert_file": pem, "tls_key_file": pem, "tls_ca_cert_file": str(self._root)}
        tls |= {"tls_auth_clients": "no", "tls_replication": "yes", "masterauth": ADMIN_PASSWORD}
        super().__init__(number, need("redis-server"), **(tls | settings))
        self.settings |= {"port": 0, "tls_port": self.port}
        self.user = ADMIN
        self._rules = rules

    @property
    def url(self) -> str:
        return f"rediss://{ADMIN}:{ADMIN_PASSWORD}@{self.address}/0?ssl_ca_certs={self._root}"

    @property
    def users(self) -> list[str]:
        """The lines of its configuration about users."""
        return [
            "user default off",
            f"user {ADMIN} on >{ADMIN_PASSWORD} ~* &* +@all",
            f"user {USER} on >{PASSWORD} {' '.join(self._rules)}",
        ]

    def launch(self) -> None:
        if not self.configuration.exists():
            self.configure(())
            with self.configuration.open("a") as file:
                file.write("\n".join(self.users) + "\n")
        super().launch()


class _Sentinel(LockedNode):
    """A Sentinel of a primary and a replica; it decides alone."""

    def watch(self, primary: Node, replica: Node) -> None:
        settings = {name: each for name, each in self.settings.items() if name.startswith("tls_")}
        lines = [f"{name.replace('_', '-')} {each}" for name, each in settings.items()]
        lines += ["port 0", "bind 127.0.0.1", f"dir {self.folder}", f"sentinel myid {self.name}", *self.users]
        lines += [
            f"sentinel monitor {NAME} 127.0.0.1 {primary.port} 1",
            f"sentinel down-after-milliseconds {NAME} 500",
            f"sentinel failover-timeout {NAME} 3000",
            f"sentinel auth-user {NAME} {ADMIN}",
            f"sentinel auth-pass {NAME} {ADMIN_PASSWORD}",
            f"sentinel known-replica {NAME} 127.0.0.1 {replica.port}",
        ]
        self.configuration.write_text("\n".join(lines) + "\n")

    def _command(self) -> list[str]:
        return [*super()._command(), "--sentinel"]


class _Locked(Together):
    """Servers whose address has the user, and the file of the authority."""

    #: Without the password.
    url: str

    def __init__(self, authority: Authority, nodes: Sequence[LockedNode], scheme: str, path: str) -> None:
        self.nodes = nodes
        hosts = nodes[-1].address
        self.url = f"{scheme}://{USER}@{hosts}/{path}?ssl_ca_certs={authority.root_file()}"


class LockedCluster(_Locked):
    """A Cluster of two masters."""

    def __init__(self, authority: Authority, rules: Sequence[str]) -> None:
        self._buses = [Port(), Port()]
        nodes = [
            LockedNode(number, authority, rules, cluster_enabled="yes", tls_cluster="yes", cluster_port=bus.number)
            for number, bus in enumerate(self._buses)
        ]
        super().__init__(authority, nodes, "rediss", "")

    def start(self) -> None:
        super().start()
        one, two = self.nodes
        for node, first, last in ((one, 0, SLOTS // 2 - 1), (two, SLOTS // 2, SLOTS - 1)):
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", node.number + 1)
        one.ask("CLUSTER", "MEET", "127.0.0.1", two.port, self._buses[1].number)
        for node in self.nodes:
            wait_until(lambda node=node: _is_whole(node), f"{node} knows all slots")  # type: ignore[misc]

    def stop(self) -> None:
        super().stop()
        for bus in self._buses:
            bus.close()


class LockedSentinel(_Locked):
    """A primary, its replica, and a Sentinel, which is asked to log in as well."""

    #: Sentinel has other commands than Redis.
    RULES = ("-@all", "+@connection", "+sentinel|master")

    def __init__(self, authority: Authority, rules: Sequence[str]) -> None:
        self.primary, self.replica = (LockedNode(number, authority, rules) for number in range(2))
        self._sentinel = _Sentinel(2, authority, self.RULES)
        super().__init__(authority, [self.primary, self.replica, self._sentinel], "rediss+sentinel", NAME)

    def start(self) -> None:
        self.replica.settings["replicaof"] = f"127.0.0.1 {self.primary.port}"
        self._sentinel.watch(self.primary, self.replica)
        super().start()
        wait_until(lambda: self.replica.info("replication").get("master_link_status") == "up", "the replica has all")


def _is_whole(node: Node) -> bool:
    state = str(node.ask("CLUSTER", "INFO"))
    return "cluster_state:ok" in state and f"cluster_slots_ok:{SLOTS}" in state
