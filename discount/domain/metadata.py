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


def with_order(order_id: str, metadata: Metadata) -> str:
    """Return an order's id as it is stored: with the metadata of its redemption on a second line, if there is any."""
    return f"{order_id}\n{write(metadata)}" if metadata else order_id


def of_order(stored: str) -> tuple[str, Metadata]:
    """Return an order's id and the metadata of its redemption. No id has a line break."""
    order_id, _, text = stored.partition("\n")
    return order_id, read(text)
