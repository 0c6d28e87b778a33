"""An even placement of partitions on nodes, and the fewest moves that lead to it."""

from collections.abc import Sequence
from typing import NamedTuple


class Move(NamedTuple):
    """One partition that is to change its node."""

    partition: int
    source: str
    target: str


def plan_moves(owners: Sequence[str], nodes: Sequence[str]) -> list[Move]:
    """Return the fewest moves after which no node has two partitions more than another.

    Args:
        owners: the node of each partition; one that is not in `nodes` is emptied.
        nodes: the nodes that may have partitions, each once, at least one.
    """
    held: dict[str, list[int]] = {node: [] for node in nodes}
    for partition, owner in enumerate(owners):
        held.setdefault(owner, []).append(partition)
    least, larger = divmod(len(owners), len(nodes))
    # The fullest nodes keep the larger shares, because then they give away least.
    by_size = sorted(nodes, key=lambda node: -len(held[node]))
    shares = {node: least + (index < larger) for index, node in enumerate(by_size)}
    free = [(partition, node) for node, partitions in held.items() for partition in partitions[shares.get(node, 0) :]]
    takers = [node for node in nodes for _ in range(shares[node] - len(held[node]))]
    return [Move(partition, source, target) for (partition, source), target in zip(free, takers, strict=True)]
