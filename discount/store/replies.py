"""discount.store.replies"""

from collections.abc import Iterator, Sequence


def pairs(reply: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What Redis gives as one flat list, two by two."""
    return zip(reply[::2], reply[1::2], strict=True)
