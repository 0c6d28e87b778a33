"""Settings of a discount as its events have them, read from the fields that Redis stores."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from discount.domain import metadata, releases
from discount.domain.audience import Audience
from discount.domain.audience import read as read_audience
from discount.domain.model import to_time
from discount.domain.windows import Hours, read_budget, read_hours, read_windows


class CodesData(msgspec.Struct, omit_defaults=True):
    """The kind of a discount's codes and what they are made from."""

    kind: str
    pattern: str = ""
    alphabet: str = ""
    template: str = ""
    code: str = ""


class ReleaseData(msgspec.Struct):
    """The pace at which codes are released: so many a minute, from a time on."""

    at: datetime
    per_minute: int


class SettingsData(msgspec.Struct, omit_defaults=True):
    """Settings of a discount. In a definition, what is left out is not set; in a change, it did not change.

    Times are RFC 3339, amounts in minor units, `percent_off` is in percent. Null is no value or no limit.
    """

    discount_code: str | UnsetType = UNSET
    total_count: int | None | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    starts_at: datetime | None | UnsetType = UNSET
    expires_at: datetime | None | UnsetType = UNSET
    valid_for: str | UnsetType = UNSET
    percent_off: float | UnsetType = UNSET
    amount_off: int | UnsetType = UNSET
    currency: str | UnsetType = UNSET
    minimum_amount: int | UnsetType = UNSET
    maximum_discount: int | UnsetType = UNSET
    applies_to: dict[str, list[str]] | UnsetType = UNSET
    except_: dict[str, list[str]] | UnsetType = msgspec.field(default=UNSET, name="except")
    minimum_quantity: int | UnsetType = UNSET
    per: str | UnsetType = UNSET
    cheapest_lines: int | UnsetType = UNSET
    dearest_lines: int | UnsetType = UNSET
    combines: list[str] | UnsetType = UNSET
    limits: dict[str, int | None] | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    claim_within: str | UnsetType = UNSET
    release: ReleaseData | None | UnsetType = UNSET
    returns_use: bool | UnsetType = UNSET
    codes: CodesData | UnsetType = UNSET
    webhook_id: str | UnsetType = UNSET
    closed: str | None | UnsetType = UNSET
    windows: dict[str, int] | UnsetType = UNSET
    amount: dict[str, int] | UnsetType = UNSET
    budget_caps: bool | UnsetType = UNSET
    opens: tuple[Hours, ...] | UnsetType = UNSET
    audience: Audience | None | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET


def _number(value: str) -> int | None:
    return int(value) if value else None


def _moment(value: str) -> datetime | None:
    return to_time(int(value)) if value else None


def _release(value: str) -> ReleaseData | None:
    found = releases.read(value) if value else None
    return ReleaseData(to_time(found.at), found.per_minute) if found else None


def _same(value: str) -> str:
    return value


_CODES = CodesData.__struct_fields__
_LIMIT = "limit_"
# Stored fields: the setting's name, and how it is read.
_READ: dict[str, tuple[str, Callable[[str], Any]]] = {
    **{name: (name, _same) for name in ("discount_code", "valid_for", "claim_within", "currency", "timezone")},
    **{name: (name, _number) for name in ("amount_off", "minimum_amount", "maximum_discount")},
    **{name: (name, _number) for name in ("minimum_quantity", "cheapest_lines", "dearest_lines")},
    "applies_to": ("applies_to", json.loads),
    "except": ("except_", json.loads),
    "per": ("per", _same),
    "combines": ("combines", str.split),
    **{name: (name, _moment) for name in ("starts_at", "expires_at")},
    "total": ("total_count", _number),
    "percent": ("percent_off", lambda value: int(value) / 100),
    "paused": ("paused", bool),
    "keeps_use": ("returns_use", lambda value: not value),
    "closed": ("closed", lambda value: value or None),
    "webhook": ("webhook_id", _same),
    "release": ("release", _release),
    "windows": ("windows", read_windows),
    "budget": ("amount", read_budget),
    "budget_caps": ("budget_caps", bool),
    "opens": ("opens", read_hours),
    "audience": ("audience", read_audience),
    "metadata": ("metadata", lambda value: dict(metadata.read(value))),
}


def read(text: str) -> SettingsData:
    """Return settings from the names and values in turn, as scripts write them; an empty value is none."""
    flat: list[str] = json.loads(text) if text else []
    return settings_of(dict(zip(flat[::2], flat[1::2], strict=True)))


def settings_of(stored: Mapping[str, str]) -> SettingsData:
    """Return settings from stored fields."""
    found = SettingsData()
    for name, value in stored.items():
        if name in _READ:
            setting, of = _READ[name]
            setattr(found, setting, of(value))
    codes = {name: stored[name] for name in _CODES if name in stored}
    if codes:
        found.codes = CodesData(**codes)
    limits = {name.removeprefix(_LIMIT): _number(value) for name, value in stored.items() if name.startswith(_LIMIT)}
    if limits:
        found.limits = limits
    return found
