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

    A second line has the metadata of its redemption and, behind tabs, what came off its lines, and its redemptions by
    several codes, if there are any.
    """
    # No JSON has a tab: it is escaped.
    more = "\t".join((write(metadata), lines, codes)).rstrip("\t") if lines or codes else write(metadata)
    return f"{order_id}\n{more}" if more else order_id


def of_order(stored: str) -> tuple[str, Metadata]:
    """Return an order's id and the metadata of its redemption. No id has a line break."""
    return stored.partition("\n")[0], read(_part(stored, 0))


def lines_of_order(stored: str) -> str:
    """Return the text that says what came off the lines of a stored order; empty without lines."""
    return _part(stored, 1)


def codes_of_order(stored: str) -> list[str]:
    """Return the ids of all redemptions of a stored order, if it has several codes; else none."""
    return _part(stored, 2).split(" ")[1:]


def others_of_order(stored: str, redemption_id: str) -> list[str]:
    """Return the ids of the other redemptions of a stored order, if it has several codes."""
    return [each for each in codes_of_order(stored) if each != redemption_id]


def more_of_order(stored: str) -> str:
    """Return all that a stored order has behind its metadata; empty for nothing."""
    return stored.partition("\n")[2].partition("\t")[2]


def _part(stored: str, number: int) -> str:
    parts = stored.partition("\n")[2].split("\t")
    return parts[number] if number < len(parts) else ""
