"""The replicas that each node has: whether its answers can be made safe, also once a machine is lost."""

import re
from collections.abc import Iterator

from redis import RedisError

from discount.store.nodes import Nodes

_ONLINE = re.compile(r"^slave\d+:.*\bstate=online\b", re.MULTILINE)


def spare_replicas(nodes: Nodes) -> dict[str, int]:
    """Return how many replicas each node has more than an answer waits for; empty in the mode `fast`.

    A node that does not answer, or does not tell this user, is left out.
    """
    if nodes.durability.mode(nodes.kind) == "fast":
        return {}
    found = {}
    for address in nodes.addresses():
        replies = nodes.ask(address, ("INFO", "replication"))
        if replies is not None and not isinstance(replies[0], RedisError):
            found[address] = len(_ONLINE.findall(replies[0])) - nodes.durability.replicas
    return found


def problems(nodes: Nodes) -> Iterator[str]:
    """Yield a sentence for each node whose answers cannot be made safe, now or after the next death."""
    waited = nodes.durability.replicas
    for address, spare in spare_replicas(nodes).items():
        finding = f"{address} has {in_words(waited + spare)}, and DURABILITY_REPLICAS is {waited}"
        if spare < 0:
            yield f"{finding}: it grants nothing."
        elif spare == 0:
            yield f"{finding}: it grants nothing once a node of the shard is lost. Add a replica."
    if nodes.durability.mode(nodes.kind) != "synced":
        return
    for address in nodes.addresses():
        replies = nodes.ask(address, ("CONFIG", "GET", "appendfsync"))
        # Not every user may read settings.
        if replies and not isinstance(replies[0], RedisError) and replies[0][1:] != ["always"]:
            yield f"{address} does not wait for its disk, and DURABILITY is synced; set `appendfsync always`."


def in_words(count: int) -> str:
    """Return a number of replicas in words."""
    return f"{count or 'no'} replica{'' if count == 1 else 's'}"
