"""The rows that entries of the outbox lead to, folded so that each row is written once a batch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from discount.domain.code_sequence import canonical
from discount.domain.events import Entry

Row = dict[str, Any]

#: The steps of figures, in microseconds.
STEPS = {"minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}
_STATES = {
    "code.redeemed": "redeemed",
    "redemption.held": "held",
    "redemption.released": "released",
    "redemption.rolled-back": "rolled-back",
}


@dataclass(slots=True)
class Batch:
    """The rows of some entries of one partition.

    Attributes:
        redemptions: rows by id that replace any earlier row of this id.
        changed_redemptions: values by id that are set in the earlier row.
    """

    events: list[Row] = field(default_factory=list)
    discounts: dict[str, Row] = field(default_factory=dict)
    grants: dict[tuple[str, str], Row] = field(default_factory=dict)
    redemptions: dict[str, Row] = field(default_factory=dict)
    changed_redemptions: dict[str, Row] = field(default_factory=dict)
    figures: dict[tuple[Any, ...], Row] = field(default_factory=dict)


def rows_of(entries: Iterable[Entry], discount_ids: Mapping[str, str]) -> Batch:
    """Return the rows of entries in their order.

    Args:
        discount_ids: discount ids by discount number.
    """
    batch = Batch()
    for entry in entries:
        discount_id = discount_ids.get(entry.fields.get("number", ""), "")
        _add_event(batch, entry, discount_id)
        if discount_id:
            _add_figures(batch, entry, discount_id)
        handler = _HANDLERS.get(entry.fields["type"])
        if handler is not None:
            handler(batch, entry, discount_id)
    return batch


def _add_event(batch: Batch, entry: Entry, discount_id: str) -> None:
    fields = dict(entry.fields)
    batch.events.append(
        {
            "partition": entry.partition,
            "entry_id": entry.entry_id,
            "event_id": entry.event_id,
            "at": int(fields["at"]),
            "type": fields["type"],
            "brand_id": fields["brand"],
            "discount_id": discount_id,
            "user_id": fields.get("user", ""),
            "fields": fields,
        }
    )


def _add_figures(batch: Batch, entry: Entry, discount_id: str) -> None:
    fields = entry.fields
    at, kind, currency = int(fields["at"]), fields["type"], fields.get("currency", "")
    for step, size in STEPS.items():
        key = (discount_id, step, at - at % size, kind, currency)
        row = batch.figures.get(key)
        if row is None:
            row = dict(zip(("discount_id", "step", "at", "type", "currency"), key, strict=True))
            row |= {"brand_id": fields["brand"], "count": 0, "amount": 0, "discount_amount": 0}
            batch.figures[key] = row
        row["count"] += 1
        row["amount"] += int(fields.get("amount", 0))
        row["discount_amount"] += int(fields.get("discount_amount", 0))


def _create_discount(batch: Batch, entry: Entry, discount_id: str) -> None:
    fields = entry.fields
    batch.discounts[discount_id] = {
        "id": discount_id,
        "partition": entry.partition,
        "number": int(fields["number"]),
        "brand_id": fields["brand"],
        "created_at": int(fields["at"]),
        "definition": {},
    }


def _grant(batch: Batch, entry: Entry, discount_id: str) -> None:
    fields = entry.fields
    batch.grants[discount_id, fields["user"]] = {
        "discount_id": discount_id,
        "user_id": fields["user"],
        "brand_id": fields["brand"],
        "code": fields["code"],
        "canonical": canonical(fields["code"]),
        "at": int(fields["at"]),
        "event_id": entry.event_id,
        "exclusive_code": fields["code"],
    }


def _redeem(batch: Batch, entry: Entry, discount_id: str) -> None:
    """Begin a redemption. A confirmed hold is followed by such an event too, of the same time, and has begun before."""
    fields = entry.fields
    known = batch.redemptions.get(fields["redemption"]) or batch.changed_redemptions.get(fields["redemption"], {})
    if known.get("confirmed_at") == int(fields["at"]):
        return
    batch.changed_redemptions.pop(fields["redemption"], None)
    batch.redemptions[fields["redemption"]] = {
        "id": fields["redemption"],
        "discount_id": discount_id,
        "brand_id": fields["brand"],
        "user_id": fields["user"],
        "code": fields["code"],
        "canonical": canonical(fields["code"]),
        "order_id": fields.get("order", ""),
        "amount": int(fields["amount"]),
        "currency": fields["currency"],
        "discount_amount": int(fields["discount_amount"]),
        "state": _STATES[fields["type"]],
        "redeemed_at": int(fields["at"]),
        "hold_until": int(fields["hold_until"]) if "hold_until" in fields else None,
        "confirmed_at": None,
        "rolled_back_at": None,
        "reason": "",
    }


def _end(batch: Batch, entry: Entry, _discount_id: str) -> None:
    fields = entry.fields
    values = {
        "state": _STATES[fields["type"]],
        "rolled_back_at": int(fields["at"]),
        "reason": fields.get("reason", ""),
    }
    _change(batch, fields["redemption"], values)


def _confirm(batch: Batch, entry: Entry, _discount_id: str) -> None:
    values = {"state": "redeemed", "confirmed_at": int(entry.fields["at"])}
    _change(batch, entry.fields["redemption"], values)


def _change(batch: Batch, redemption_id: str, values: Row) -> None:
    begun = batch.redemptions.get(redemption_id)
    if begun is not None:
        begun |= values
    else:
        batch.changed_redemptions[redemption_id] = batch.changed_redemptions.get(redemption_id, {}) | values


_HANDLERS = {
    "discount.created": _create_discount,
    "code.granted": _grant,
    "code.redeemed": _redeem,
    "redemption.held": _redeem,
    "redemption.confirmed": _confirm,
    "redemption.released": _end,
    "redemption.rolled-back": _end,
}
