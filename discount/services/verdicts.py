"""Verdicts on codes at a checkout, read from answers of the redeem script."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from discount.domain import windows
from discount.domain.errors import BY_SLUG, IdempotencyMismatch, Refusal
from discount.domain.model import Definition
from discount.domain.order_lines import share
from discount.domain.rules import LimitName, Order
from discount.services import checkouts
from discount.services.checkouts import PreparedCheckout
from discount.store.answers import Answer

_decode_left: Callable[[str], Mapping[LimitName, int]] = msgspec.json.Decoder().decode


class Verdict(Struct, frozen=True):
    """The outcome of a validation: what would come off, what is left of each limit, and all reasons against it.

    `discount_amount` is 0 where the rule takes nothing off this order, or the code is wrong.
    """

    discount_id: str | None
    discount_amount: int
    left: Mapping[LimitName, int]
    reasons: list[Refusal]
    #: What would come off each line of the order, by the line's id; empty without lines.
    lines: Mapping[str, int] = {}


def verdict_of(prepared: PreparedCheckout, answer: Answer) -> Verdict:
    """Return what the script's answer to a check says."""
    order = prepared.checkout.order
    found = read_reasons(answer["reasons"], prepared.definition)
    if answer.status == "refused":
        return Verdict(None, 0, {}, found, off_by_id(order, ()))
    # The terms of an order that was redeemed are not judged again, so its mismatch comes first.
    mismatches = [each for each in found if isinstance(each, IdempotencyMismatch)]
    reasons = mismatches + prepared.refusals + prepared.outside + found[len(mismatches) :]
    amount = 0 if prepared.refusals else int(answer["taken"])
    lines = off_by_id(order, share(amount, prepared.off_lines))
    return Verdict(prepared.discount.text, amount, read_left(answer["left"]), reasons, lines)


def read_reasons(text: str, definition: Definition) -> list[Refusal]:
    """Return the reasons of the script: each has a slug and its facts."""
    reasons: list[Refusal] = []
    for reason in msgspec.json.decode(text):
        slug = reason.pop("slug")
        if "month" in reason:
            reason["opens_at"] = windows.end_of_month(reason.pop("month"), definition.timezone)
        if slug == "not-granted":
            reasons.append(checkouts.wrong_code())
        elif slug == "idempotency-mismatch":
            reasons.append(IdempotencyMismatch(_mismatch(reason.get("differs", []))))
        else:
            reasons.append(BY_SLUG[slug](**reason))
    return reasons


def off_by_id(order: Order, off: Sequence[int]) -> Mapping[str, int]:
    """Return what comes off each line of an order by the line's id; nothing where no amounts are given."""
    if not order.lines:
        return {}
    return {line.id: taken for line, taken in zip(order.lines, off or [0] * len(order.lines), strict=True)}


def _mismatch(differs: list[str]) -> str:
    if not differs:
        return "This Idempotency-Key was used with another request."
    return f"This order was used with another {', '.join(differs)}."


def read_left(text: str) -> Mapping[LimitName, int]:
    """Return what is left of each limit, from a script's answer."""
    # An empty table of Lua is a list to some encoders.
    return _decode_left(text) or {}
