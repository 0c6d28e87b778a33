"""The rows that entries of the outbox lead to, folded so that each row is written once a batch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from discount.domain import definitions, metadata
from discount.domain.code_sequence import canonical
from discount.domain.events import ONLY_IN_REDIS, Entry, happened_at

Row = dict[str, Any]

#: The steps of figures, in microseconds.
STEPS = {"minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}
_STATES = {
    "code.redeemed": "redeemed",
    "redemption.held": "held",
}


@dataclass(slots=True)
class Batch:
    """The rows of some entries of one partition.

    Attributes:
        grants: rows by discount, user and entry.
        held: entries of `grants` by discount and user, if the user still holds the code.
        revoked: values by discount and user that are set in the earlier row of the code that the user holds.
        redemptions: rows by id.
        replaced_redemptions: earlier rows, by id and time: holds that had ended when the order was redeemed again.
        changed_redemptions: values by id that are set in the latest row.
    """

    events: list[Row] = field(default_factory=list)
    discounts: dict[str, Row] = field(default_factory=dict)
    changes: list[Row] = field(default_factory=list)
    imports: list[Row] = field(default_factory=list)
    grants: dict[tuple[str, str, str], Row] = field(default_factory=dict)
    held: dict[tuple[str, str], str] = field(default_factory=dict)
    revoked: dict[tuple[str, str], Row] = field(default_factory=dict)
    redemptions: dict[str, Row] = field(default_factory=dict)
    replaced_redemptions: list[Row] = field(default_factory=list)
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
            add_figures(batch, entry, discount_id)
        handler = _HANDLERS.get(entry.fields["type"])
        if handler is not None:
            handler(batch, entry, discount_id)
    return batch


def _add_event(batch: Batch, entry: Entry, discount_id: str) -> None:
    fields = {name: value for name, value in entry.fields.items() if name not in ONLY_IN_REDIS}
    if fields["type"] == "user.forgotten":
        fields["user"] = fields.get("nobody", "")
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
            "next_user_id": fields.get("next") or None,
            "fields": fields,
        }
    )


def add_figures(batch: Batch, entry: Entry, discount_id: str) -> None:
    """Count an entry in the figures of its discount."""
    fields = entry.fields
    at, kind, currency = happened_at(fields), fields["type"], fields.get("currency", "")
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
    definition = _settings(fields.get("definition", ""))
    batch.discounts[discount_id] = {
        "id": discount_id,
        "partition": entry.partition,
        "number": int(fields["number"]),
        "brand_id": fields["brand"],
        "created_at": int(fields["at"]),
        "definition": definition,
        "key": fields.get("key") or None,
    }
    _add_change(batch, entry, discount_id, {}, definition)


def _change_discount(batch: Batch, entry: Entry, discount_id: str) -> None:
    before, after = (_settings(entry.fields.get(name, "")) for name in ("before", "after"))
    _add_change(batch, entry, discount_id, before, after)


def _import(batch: Batch, entry: Entry, discount_id: str) -> None:
    fields = entry.fields
    _add_import(batch, entry, discount_id, fields["codes"])
    numbers = {"first": int(fields["first"]), "count": int(fields["count"])}
    _add_change(batch, entry, discount_id, {}, numbers)


def _add_import(batch: Batch, entry: Entry, discount_id: str, codes: str) -> None:
    fields = entry.fields
    batch.imports.append(
        {
            "partition": entry.partition,
            "entry_id": entry.entry_id,
            "at": int(fields["at"]),
            "brand_id": fields["brand"],
            "discount_id": discount_id,
            "first": int(fields["first"]),
            "count": int(fields["count"]),
            "codes": codes,
        }
    )


def _add_change(batch: Batch, entry: Entry, discount_id: str, before: Row, after: Row) -> None:
    fields = entry.fields
    batch.changes.append(
        {
            "partition": entry.partition,
            "entry_id": entry.entry_id,
            "event_id": entry.event_id,
            "at": int(fields["at"]),
            "type": fields["type"],
            "brand_id": fields["brand"],
            "discount_id": discount_id,
            "author": fields.get("by", ""),
            "request_id": fields.get("request", ""),
            "before": before,
            "after": after,
        }
    )


def _settings(text: str) -> Row:
    found: Row = msgspec.to_builtins(definitions.read(text))
    return found


def _grant(batch: Batch, entry: Entry, discount_id: str) -> None:
    fields = entry.fields
    if "first" in fields:
        # It was moved in, and is one code more.
        _add_import(batch, entry, discount_id, fields["code"])
    batch.held[discount_id, fields["user"]] = entry.entry_id
    batch.grants[discount_id, fields["user"], entry.entry_id] = {
        "discount_id": discount_id,
        "user_id": fields["user"],
        "entry_id": entry.entry_id,
        "brand_id": fields["brand"],
        "code": fields["code"],
        "canonical": canonical(fields["code"]),
        "at": happened_at(fields),
        "metadata": dict(metadata.read(fields.get("metadata"))),
        "state": "granted",
        "revoked_at": None,
        "reason": "",
        "next_user_id": None,
    }


def _revoke(batch: Batch, entry: Entry, discount_id: str) -> None:
    """End a grant. An event that only lets the user have another code finds none that is still granted."""
    fields = entry.fields
    values = {
        "state": fields["back"],
        "revoked_at": int(fields["at"]),
        "reason": fields["reason"],
        "next_user_id": fields["next"] or None,
    }
    holder = discount_id, fields["user"]
    if holder in batch.held:
        batch.grants[*holder, batch.held.pop(holder)] |= values
    else:
        batch.revoked.setdefault(holder, values)


def _redeem(batch: Batch, entry: Entry, discount_id: str) -> None:
    """Begin a redemption. A confirmed hold is followed by such an event too, and has begun before."""
    fields = entry.fields
    if "held_at" in fields:
        return
    if "earlier_at" in fields:
        batch.replaced_redemptions.append({"id": fields["redemption"], "redeemed_at": int(fields["earlier_at"])})
    batch.changed_redemptions.pop(fields["redemption"], None)
    order_id, of_redemption = metadata.of_order(fields.get("order", ""))
    batch.redemptions[fields["redemption"]] = {
        "id": fields["redemption"],
        "discount_id": discount_id,
        "brand_id": fields["brand"],
        "user_id": fields["user"],
        "code": fields["code"],
        "canonical": canonical(fields["code"]),
        "order_id": order_id,
        "amount": int(fields["amount"]),
        "currency": fields["currency"],
        "discount_amount": int(fields["discount_amount"]),
        "state": _STATES[fields["type"]],
        "redeemed_at": happened_at(fields),
        "hold_until": int(fields["hold_until"]) if "hold_until" in fields else None,
        "confirmed_at": None,
        "rolled_back_at": None,
        "reason": "",
        "metadata": dict(of_redemption),
        "more": metadata.more_of_order(fields.get("order", "")),
        "left_after": fields.get("left", ""),
    }


def _end(batch: Batch, entry: Entry, _discount_id: str) -> None:
    fields = entry.fields
    values: Row = {"state": "released"}
    if "undone" in fields:
        values = {"state": "rolled-back", "rolled_back_at": int(fields["at"]), "reason": fields.get("reason", "")}
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
    "discount.changed": _change_discount,
    "discount.closed": _change_discount,
    "codes.imported": _import,
    "code.granted": _grant,
    "code.revoked": _revoke,
    "code.redeemed": _redeem,
    "redemption.held": _redeem,
    "redemption.confirmed": _confirm,
    "redemption.released": _end,
    "redemption.rolled-back": _end,
}
