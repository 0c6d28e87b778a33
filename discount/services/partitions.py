"""Work on every partition, though some of them cannot be reached."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from discount.domain.errors import Unavailable
from discount.store.connection import Store
from discount.store.exchanges import Command

T = TypeVar("T")


def ask_each(
    store: Store, command: Callable[[int], Command], partitions: Iterable[int] | None = None
) -> tuple[dict[int, Any], list[int]]:
    """Return the replies of partitions to a command, and the partitions that could not be asked.

    Args:
        command: makes the command for a partition.
        partitions: all by default.

    Raises:
        Unavailable: none of them could be asked.
    """
    asked = list(range(store.partitions) if partitions is None else partitions)
    replies = store.each([command(partition) for partition in asked])
    found = {
        partition: reply for partition, reply in zip(asked, replies, strict=True) if not isinstance(reply, Unavailable)
    }
    if asked and not found:
        raise replies[0]
    return found, [partition for partition in asked if partition not in found]


def do_each(store: Store, work: Callable[[int], T]) -> list[T]:
    """Do some work for each partition, and return the results; partitions that cannot be reached are left out.

    Raises:
        Unavailable: none of them can be reached.
    """
    results: list[T] = []
    refusal: Unavailable | None = None
    for partition in range(store.partitions):
        try:
            results.append(work(partition))
        except Unavailable as error:
            refusal = error
            if store.nodes.only is not None:
                # There is no other node.
                break
    if refusal is not None and not results:
        raise refusal
    return results
