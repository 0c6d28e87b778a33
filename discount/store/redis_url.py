"""REDIS_URL: which servers it names, of which kind they are, and how to connect to them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.connection import ConnectionInterface, parse_url
from redis.driver_info import DriverInfo
from redis.retry import Retry

#: `any` is one server until it says that it belongs to a Cluster.
Kind = Literal["one", "any", "cluster", "sentinel"]

_URL = re.compile(r"(rediss?)(?:\+(cluster|sentinel))?://(?:([^/?#]*)@)?([^/?#@]*)(/[^?#]*)?(\?[^#]*)?")
_NO_LIMIT = 2**31
_PORTS: dict[str, int] = {"sentinel": 26379}
# Who we are, as connections tell Redis. Otherwise each would look the library's version up in its files.
_DRIVER = DriverInfo()


@dataclass(frozen=True, slots=True)
class Target:
    """The servers that REDIS_URL names.

    Args:
        seeds: addresses of Redis servers, or of Sentinels: `host:port`, or the path of a unix socket.
        dial: makes a connection to a Redis server by its address; it is opened by its first command.
        ask: the same for a look at the map: it waits for a short time only. It also reaches Sentinels.
        name: the name under which Sentinels know the primary.
    """

    kind: Kind
    seeds: tuple[str, ...]
    dial: Callable[[str], ConnectionInterface]
    ask: Callable[[str], ConnectionInterface]
    name: str = ""


def read_url(url: str, timeout: float, password: str = "") -> Target:
    """Return what a URL names, without connecting. Each wait for a server ends after `timeout` seconds.

    Args:
        password: used if the URL has none.

    Raises:
        ValueError: says what is wrong with the URL.
    """
    if url.startswith("unix:"):
        options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        address, kind, name = options.get("path", ""), "one", ""
        seeds: tuple[str, ...] = (address,)
    else:
        match = _URL.fullmatch(url)
        if match is None:
            raise ValueError("is not a URL of Redis")
        scheme, kind, user, hosts, path, query = match.groups(default="")
        name = path.strip("/") if kind == "sentinel" else ""
        if kind == "sentinel":
            path = ""
            if not name:
                raise ValueError("the path must be the name of the primary, such as redis+sentinel://host/name")
        before = f"{user}@" if user else ""
        urls = [f"{scheme}://{before}{host}{path}{query}" for host in hosts.split(",")]
        read = [parse_url(each) for each in urls]  # type: ignore[no-untyped-call]
        port = _PORTS.get(kind, 6379)
        seeds = tuple(f"{each.pop('host', 'localhost')}:{each.pop('port', port)}" for each in read)
        options = read[0]
        kind = kind or ("cluster" if len(seeds) > 1 else "any")
        if kind == "cluster" and options.get("db"):
            raise ValueError("a Cluster has no database but 0")
    if password:
        options.setdefault("password", password)
    always = {"decode_responses": True, "protocol": 2, "retry": Retry(NoBackoff(), 0), "driver_info": _DRIVER}
    common = {**always, **options}
    short = min(timeout, 0.5)
    return Target(
        kind,  # type: ignore[arg-type]
        seeds,
        _dialer(common | {"socket_timeout": timeout, "socket_connect_timeout": timeout}),
        _dialer(common | {"socket_timeout": short, "socket_connect_timeout": short}),
        name,
    )


def split(address: str) -> tuple[str, int]:
    """Return the host and the port of an address; the port of a unix socket's path is 0."""
    if address.startswith("/"):
        return address, 0
    host, _, port = address.rpartition(":")
    return host, int(port)


def _dialer(options: dict[str, Any]) -> Callable[[str], ConnectionInterface]:
    pools: dict[str, ConnectionPool] = {}

    def dial(address: str) -> ConnectionInterface:
        pool = pools.get(address)
        if pool is None:
            host, port = split(address)
            where: dict[str, Any] = {"host": host, "port": port} if port else {}
            # The pool only makes connections, and counts those that were closed, too.
            pool = pools[address] = ConnectionPool(**{**options, **where, "max_connections": _NO_LIMIT})
        return pool.make_connection()

    return dial
