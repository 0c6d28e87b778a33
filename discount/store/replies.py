"""Replies of Redis in a handier form."""

from collections.abc import Iterator, Sequence


def pairs(reply: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the items of a flat reply in pairs, such as the fields of a hash with their values."""
    return zip(reply[::2], reply[1::2], strict=True)
