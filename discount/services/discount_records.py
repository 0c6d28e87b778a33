"""Discounts as Redis stores them: the fields of a discount's hash."""

import json
from collections.abc import Mapping

from discount.domain import audience, code_kinds, durations, ids, metadata, releases, rules, windows
from discount.domain.model import Discount, Sums
from discount.domain.rules import LIMITS, LimitName
from discount.store import keys
from discount.store.connection import Store
from discount.store.replies import pairs


def read_discounts(store: Store, replies: Mapping[str, list[str]], now: int) -> list[Discount]:
    """Return discounts from their hashes, by id. Holds are counted only where some may be live at `now`."""
    stored = {discount_id: dict(pairs(reply)) for discount_id, reply in replies.items()}
    holding = [each for each, fields in stored.items() if int(fields.get("last_hold", 0)) > now]
    held: dict[str, int] = {}
    if holding:
        names = [keys.holds(ids.partition_of(each), each) for each in holding]
        counts = store.commands([("ZCOUNT", name, f"({now}", "+inf") for name in names])
        held = dict(zip(holding, counts, strict=True))
    return [_discount(each, fields, held.get(each, 0)) for each, fields in stored.items()]


def stored_limits(limits: Mapping[LimitName, int | None]) -> dict[str, str]:
    """Return the fields of limits; empty for no limit."""
    return {f"limit_{name}": "" if value is None else str(value) for name, value in limits.items()}


def stored_time(moment: int | None) -> str:
    """Return a moment as scripts compare it, with 16 digits; empty for none."""
    return "" if moment is None else f"{moment:016d}"


def flat_json(fields: Mapping[str, str]) -> str:
    """Return fields as the JSON list of names and values that scripts read."""
    return json.dumps([part for field in fields.items() for part in field])


def _discount(discount_id: str, fields: Mapping[str, str], on_hold_count: int) -> Discount:
    return Discount(
        id=discount_id,
        number=int(fields["number"]),
        brand_id=fields["brand"],
        discount_code=fields["discount_code"],
        total_count=int(fields["total"]) if "total" in fields else None,
        granted_count=int(fields["granted"]),
        created_at=int(fields["created_at"]),
        starts_at=_read_time(fields.get("starts_at")),
        expires_at=_read_time(fields.get("expires_at")),
        paused="paused" in fields,
        closed=fields.get("closed", ""),
        codes=code_kinds.kind_of(fields),
        rule=rules.rule_of(fields),
        limits=_read_limits(fields),
        timezone=fields.get("timezone", "UTC"),
        valid_for=durations.read(fields["valid_for"]) if "valid_for" in fields else None,
        claim_within=durations.read(fields["claim_within"]) if "claim_within" in fields else None,
        release=releases.read(fields["release"]) if "release" in fields else None,
        waiting_count=int(fields.get("waits", 0)),
        returns_use="keeps_use" not in fields,
        webhook_id=fields.get("webhook"),
        metadata=metadata.read(fields.get("metadata")),
        used_count=int(fields.get("used", 0)),
        redeemed_count=int(fields.get("redeemed", 0)),
        on_hold_count=on_hold_count,
        revoked_count=int(fields.get("revoked", 0)),
        rolled_back_count=int(fields.get("rolled_back", 0)),
        sums={
            name[7:]: Sums(int(value), int(fields.get("discounts:" + name[7:], 0)))
            for name, value in sorted(fields.items())
            if name.startswith("orders:")
        },
        opens=windows.read_hours(fields.get("opens", "")),
        per_identity=int(fields["limit_per_identity"]) if "limit_per_identity" in fields else None,
        audience=audience.read(fields.get("audience", "")),
        budget_caps="budget_caps" in fields,
    )


def _read_limits(fields: Mapping[str, str]) -> Mapping[LimitName, int]:
    limits = {name: int(fields["limit_" + name]) for name in LIMITS if "limit_" + name in fields}
    if "limit_per_identity" in fields:
        limits["per_identity"] = int(fields["limit_per_identity"])
    if "bounded" in fields:
        more = windows.PERIOD_LIMITS
        limits |= {name: int(fields["limit_" + name]) for name in more if "limit_" + name in fields}
        limits |= windows.flat(fields)
    return limits


def _read_time(text: str | None) -> int | None:
    return int(text) if text else None
