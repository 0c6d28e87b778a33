"""The types of events in doc/events.md, made from their shapes."""

import inspect
import json
import re

import msgspec

from discount.domain import events
from discount.domain.event_types import TYPES
from discount.domain.events import Entry

_PARTS = re.compile(r"(?<=<!-- types -->\n).*(?=<!-- end of types -->)", re.DOTALL)
_DEFINITION = [
    *("discount_code", "Christmas 2026 discount", "total", "100", "kind", "unique", "pattern", "####-####-####"),
    *("alphabet", "23456789ABCDEFGHJKMNPQRSTUVWXYZ", "percent", "1000", "limit_per_user", "1"),
    *("expires_at", "1798758000000000", "metadata", '{"channel":"spring-mail"}'),
]
# An entry of the outbox with the fields of all types.
_FIELDS = {
    "at": "1795248947478078",
    "brand": "IKEA",
    "number": "1",
    "user": "User 1",
    "code": "79RD-WVMK-E2NG",
    "redemption": "rdm-0c3f9a1b2c4d5e6f708192a3b4",
    "amount": "5000",
    "currency": "EUR",
    "discount_amount": "500",
    "limit": "total",
    "percent": "80",
    "granted": "80",
    "total": "100",
    "hold_until": "1795249247478078",
    "order": "checkout-1001",
    "by": "key:03fhxp81cyde",
    "request": "5f0c8a1e9b7d4c26",
    "first": "1",
    "count": "500",
    "place": "3",
    "waited": "1795247000000000",
    "back": "next",
    "next": "User 2",
    "reissue": "",
    "definition": json.dumps(_DEFINITION),
    "before": json.dumps(["paused", "", "limit_per_user", "1"]),
    "after": json.dumps(["paused", "1", "limit_per_user", "2"]),
    "webhook": "whk-0c3f9a1b2c4d5e6f708192a3b4",
}
_REASONS = {
    "code.revoked": "given by mistake",
    "redemption.rolled-back": "returned",
    "redemption.released": "cancelled",
    "webhook.disabled": "failing",
}
_DISCOUNTS = {"1": "dsc-0c05qtUGiDSAmByonEQYXesRh"}


def describe() -> str:
    """Return each type with its meaning and an example."""
    return "".join(
        f"\n### `{name}`\n\n{inspect.getdoc(kind)}\n\n```json\n{_example(name)}\n```\n" for name, kind in TYPES.items()
    )


def renew(page: str) -> str:
    """Return the page with its types renewed."""
    return _PARTS.sub(lambda _: describe() + "\n", page)


def _example(name: str) -> str:
    fields = _FIELDS | {"type": name, "reason": _REASONS.get(name, "")}
    event = events.envelope(Entry(12, "1795248947478-0", fields), _DISCOUNTS)
    return msgspec.json.format(msgspec.json.encode(event), indent=2).decode()
