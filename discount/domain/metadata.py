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


def with_order(order_id: str, metadata: Metadata, lines: str = "", codes: str = "") -> str:
    """Return an order's id as it is stored.

    Further lines have the metadata of its redemption, what came off its lines, and its redemptions by several codes, if
    there are any.
    """
    if codes:
        return f"{order_id}\n{write(metadata)}\n{lines}\n{codes}"
    if lines:
        return f"{order_id}\n{write(metadata)}\n{lines}"
    return f"{order_id}\n{write(metadata)}" if metadata else order_id


def of_order(stored: str) -> tuple[str, Metadata]:
    """Return an order's id and the metadata of its redemption. No id has a line break."""
    order_id, _, rest = stored.partition("\n")
    return order_id, read(rest.partition("\n")[0])


def lines_of_order(stored: str) -> str:
    """Return the text that says what came off the lines of a stored order; empty without lines."""
    return _part(stored, 2)


def codes_of_order(stored: str) -> list[str]:
    """Return the ids of all redemptions of a stored order, if it has several codes; else none."""
    return _part(stored, 3).split(" ")[1:]


def others_of_order(stored: str, redemption_id: str) -> list[str]:
    """Return the ids of the other redemptions of a stored order, if it has several codes."""
    return [each for each in codes_of_order(stored) if each != redemption_id]


def _part(stored: str, number: int) -> str:
    parts = stored.split("\n")
    return parts[number] if number < len(parts) else ""
