"""Fields of forms as bodies of requests: money, times and empty fields as people write them."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from iso4217 import Currency

from discount.domain import rules
from discount.domain.errors import Invalid


def nested(form: Mapping[str, str], *names: str) -> dict[str, Any]:
    """Return the named fields that are not empty; `codes.kind` is the field `kind` of the object `codes`."""
    found: dict[str, Any] = {}
    for name in names:
        if name in form:
            *parents, last = name.split(".")
            place = found
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = form[name]
    return found


def money(text: str, currency: str, field: str) -> int:
    """Return an amount in minor units, written with a decimal point or a decimal comma.

    Raises:
        Invalid: it is not an amount, or has more decimals than the currency.
    """
    exponent = _exponent(currency)
    match = re.fullmatch(r"(\d{1,12})(?:[.,](\d+))?", re.sub(r"[ \u00a0\u202f']", "", text))
    if match is None:
        raise Invalid(field, "is not an amount, such as 12.50")
    decimals = match[2] or ""
    if len(decimals) > exponent:
        raise Invalid(field, f"has more decimals than {currency} has" if exponent else f"is in {currency}: no decimals")
    return int(match[1] + decimals.ljust(exponent, "0"))


def plain_money(minor: int, currency: str) -> str:
    """Return an amount as a field of a form shows it: 12.50."""
    exponent = _exponent(currency)
    whole, rest = divmod(minor, 10**exponent)
    return f"{whole}.{rest:0{exponent}d}" if exponent else str(whole)


def moment(text: str, zone: str, field: str) -> str:
    """Return a local time of a form, such as 2026-12-24T18:00, as RFC 3339 with the offset of the zone.

    Raises:
        Invalid
    """
    rules.check_zone(zone)
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(field, "is not a time, such as 2026-12-24T18:00") from None
    if local.tzinfo is None:
        local = local.replace(tzinfo=ZoneInfo(zone))
    try:
        return local.isoformat()
    except (ValueError, OverflowError):
        raise Invalid(field, "is not a time, such as 2026-12-24T18:00") from None


def plain_moment(time: datetime | None, zone: str) -> str:
    """Return a time as a field of a form shows it: to the minute, or to the millisecond if it is no whole minute."""
    if time is None:
        return ""
    local = time.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return local.isoformat(timespec="milliseconds" if local.second or local.microsecond else "minutes")


def pack(texts: Mapping[str, str]) -> str:
    """Return texts as one text, for a field that nobody sees."""
    return json.dumps({name: value for name, value in texts.items() if value}, ensure_ascii=False)


def unpack(text: str) -> dict[str, str]:
    """Return the texts in a text of `pack`.

    Raises:
        Invalid: a browser did not send back what the form had.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise Invalid("was", "is not what the form had; load the page again")
    return found


def _exponent(currency: str) -> int:
    rules.check_currency(currency, "/currency")
    return Currency(currency).exponent or 0
