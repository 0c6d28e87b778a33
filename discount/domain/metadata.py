"""Metadata: short texts that a caller keeps with a discount, a grant or a redemption."""

import json
from collections.abc import Mapping

Metadata = Mapping[str, str]
NO_METADATA: Metadata = {}
#: The most entries, and the most characters of a name and of a value.
MOST, LONGEST_NAME, LONGEST_VALUE = 20, 40, 200


def write(metadata: Metadata) -> str:
    """Return metadata as text in one line; empty for none."""
    return json.dumps(metadata, ensure_ascii=False, sort_keys=True, separators=(",", ":")) if metadata else ""


def read(text: str | None) -> Metadata:
    """Return metadata from its text."""
    found: Metadata = json.loads(text) if text else NO_METADATA
    return found


def has(metadata: Metadata, wanted: Metadata) -> bool:
    """Return whether metadata has every entry that is wanted."""
    return all(metadata.get(name) == value for name, value in wanted.items())


def with_order(order_id: str, metadata: Metadata, lines: str = "") -> str:
    """Return an order's id as it is stored.

    The metadata of its redemption stands on a second line, and what came off its lines on a third, if there is any.
    """
    if lines:
        return f"{order_id}\n{write(metadata)}\n{lines}"
    return f"{order_id}\n{write(metadata)}" if metadata else order_id


def of_order(stored: str) -> tuple[str, Metadata]:
    """Return an order's id and the metadata of its redemption. No id has a line break."""
    order_id, _, rest = stored.partition("\n")
    return order_id, read(rest.partition("\n")[0])


def lines_of_order(stored: str) -> str:
    """Return the text that says what came off the lines of a stored order; empty without lines."""
    return stored.partition("\n")[2].partition("\n")[2]
