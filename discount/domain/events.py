"""Events: the entries of the outbox, and the envelopes that callers see."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, get_type_hints

import msgspec
from msgspec import UNSET

from discount.domain import definitions, metadata, order_lines
from discount.domain.event_types import TYPES, Envelope
from discount.domain.model import to_time

_EVENT_ID = re.compile(r"evt-([0-9a-f]{2})([0-9]{1,16})-([0-9]{1,20})-[0-9a-f]{8}")
# Names of fields in an entry, where they differ from those of the data.
_STORED = {
    "user_id": "user",
    "redemption_id": "redemption",
    "webhook_id": "webhook",
    "request_id": "request",
    "next_user_id": "next",
    "granted_count": "granted",
    "total_count": "total",
}
#: Fields of an entry that only Redis keeps: addresses, what codes are made with, and long lists.
ONLY_IN_REDIS = ("email", "key", "codes")
_DATA = {name: get_type_hints(kind)["data"] for name, kind in TYPES.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a partition's outbox."""

    partition: int
    entry_id: str
    fields: Mapping[str, str]

    @property
    def event_id(self) -> str:
        """The event's id. It has a digest of the content, because a Redis that lost data may give a new event the same
        entry id. What the ledger does not have is left out, so that a restored entry has the id of before."""
        content = sorted(each for each in self.fields.items() if each[0] not in ONLY_IN_REDIS)
        digest = blake2b(repr(content).encode(), digest_size=4).hexdigest()
        return f"evt-{self.partition:02x}{self.entry_id}-{digest}"


def read_entries(partition: int, reply: Iterable[Any]) -> list[Entry]:
    """Return the entries in a reply of Redis, without deleted ones."""
    return [
        Entry(
            partition,
            entry_id,
            dict(zip(fields[::2], fields[1::2], strict=True)) if isinstance(fields, list) else fields,
        )
        for entry_id, fields in reply
        if fields
    ]


def is_of(row: Sequence[Any], brand_id: str, types: Collection[str]) -> bool:
    """Return whether a row of a reply is a brand's event of one of the types; no types for any. Faster than an entry.

    Every script writes the fields `type`, `at` and `brand` first, in that order.
    """
    fields = row[1]
    return bool(fields) and fields[5] == brand_id and (not types or fields[1] in types)


def parse_event_id(event_id: str) -> tuple[int, str] | None:
    """Return the partition and the entry id of an event; None if this service cannot have made its id."""
    match = _EVENT_ID.fullmatch(event_id)
    # Redis counts the entries of a millisecond in 64 bits.
    return (int(match[1], 16), f"{match[2]}-{match[3]}") if match and int(match[3]) < 1 << 64 else None


def parts(entry_id: str) -> tuple[int, int]:
    """Return the id of an entry as numbers, by which entries are ordered: milliseconds, and a count in them."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def numbers_in(entries: Iterable[Entry]) -> list[str]:
    """Return the short numbers of the discounts that entries refer to."""
    return sorted({entry.fields["number"] for entry in entries if "number" in entry.fields})


def happened_at(fields: Mapping[str, str]) -> int:
    """Return when something happened: what was imported happened before its event, which tells that it is here."""
    return int(fields.get("granted_at") or fields.get("redeemed_at") or fields["at"])


def envelope(entry: Entry, discounts: Mapping[str, str]) -> Envelope:
    """Return an entry as callers see it.

    Args:
        discounts: ids of discounts by short number.
    """
    fields = entry.fields
    kind = fields["type"]
    given = {"discount_id": discounts.get(fields["number"], "") if "number" in fields else None}
    data: dict[str, Any] = {
        name: given[name] if name in given else _value(name, fields) for name in _DATA[kind].__struct_fields__
    }
    data = {name: value for name, value in data.items() if value is not UNSET}
    typed: dict[str, Any] = {"data": msgspec.convert(data, _DATA[kind], strict=False)}
    return TYPES[kind](id=entry.event_id, time=to_time(int(fields["at"])), brand_id=fields["brand"], **typed)


def _value(name: str, fields: Mapping[str, str]) -> Any:
    """Return a field of an event's data from the fields of its entry."""
    if name in _READ:
        return _READ[name](fields)
    return fields.get(_STORED.get(name, name), "")


def _metadata(fields: Mapping[str, str]) -> metadata.Metadata:
    return metadata.of_order(fields["order"])[1] if "order" in fields else metadata.read(fields.get("metadata"))


def _lines(fields: Mapping[str, str]) -> Any:
    return order_lines.read_lines(metadata.lines_of_order(fields.get("order", ""))) or UNSET


# Fields of the data that are more than a text or a number of the entry.
_READ: dict[str, Callable[[Mapping[str, str]], Any]] = {
    "definition": lambda fields: definitions.read(fields.get("definition", "")),
    "before": lambda fields: definitions.read(fields.get("before", "")),
    "after": lambda fields: definitions.read(fields.get("after", "")),
    "hold_until": lambda fields: to_time(int(fields["hold_until"])),
    "order_id": lambda fields: metadata.of_order(fields.get("order", ""))[0],
    "metadata": _metadata,
    "lines": _lines,
    "redeemed_with": lambda fields: metadata.others_of_order(fields.get("order", ""), fields["redemption"]) or UNSET,
    "waited_since": lambda fields: to_time(int(fields["waited"])) if "waited" in fields else None,
    "imported": lambda fields: "imported" in fields or UNSET,
    "granted_at": lambda fields: to_time(int(fields["granted_at"])) if "granted_at" in fields else UNSET,
    "redeemed_at": lambda fields: to_time(int(fields["redeemed_at"])) if "redeemed_at" in fields else UNSET,
    "next_user_id": lambda fields: fields.get("next") or None,
    "reissue": lambda fields: fields.get("reissue") == "1",
}
