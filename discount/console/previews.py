"""Previews of a discount: codes, the rule on an example order and the e-mail, before it is made."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import UNSET, structs

from discount import mails
from discount.api.inputs import read_fields
from discount.api.schemas.common import moment_in, percent_in
from discount.api.schemas.discounts import DiscountIn
from discount.domain import code_kinds, code_sequence, rules
from discount.domain.code_kinds import CodeKind
from discount.domain.model import to_time
from discount.domain.order_lines import ANY, NO_SELECTION, Line, Products, Selection
from discount.domain.rules import Order, Rule

#: Codes that are shown.
CODES = 5
#: The amount of the example order, in minor units; more if the rule asks for it.
ORDER = 10_000
#: The shares of its lines, in per cent.
_SHARES = (50, 30, 20)
_USERS = ("User 1", "ann@example.com", "Zoë", "42", "李雷")


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """A line of the example order: a product that the rule names, or another one if `name` is empty."""

    name: str
    quantity: int
    amount: int
    off: int


@dataclass(frozen=True, slots=True)
class Preview:
    """Examples of what users would get. `off` comes off an order of `amount`, with lines if the rule needs them."""

    codes: list[str]
    lines: list[PreviewLine]
    amount: int
    off: int
    currency: str
    subject: str
    mail: str


def preview(body: Mapping[str, Any], brand_id: str, locale: str) -> Preview:
    """Return examples for the body of a new discount. Nothing is made.

    Raises:
        Invalid: the body would be refused.
    """
    shape: DiscountIn = read_fields(body, DiscountIn)
    given = {name: value for name, value in structs.asdict(shape.codes).items() if value is not UNSET}
    kind = code_kinds.make(given.pop("kind"), shape.total_count, given)
    rule = Rule(
        percent=percent_in(shape.percent_off),
        amount_off=shape.amount_off,
        currency=shape.currency,
        minimum_amount=shape.minimum_amount,
        maximum_discount=shape.maximum_discount,
        selection=_selection(shape),
    )
    rules.check_rule(rule)
    rules.check_zone(shape.timezone)
    codes = _codes(kind, shape.brand_id or brand_id)
    amount = max(ORDER, rule.minimum_amount or 0)
    lines = _lines(rule, amount)
    ends = moment_in(shape.expires_at, "/expires_at")
    # What only a grant has, such as the time to claim the code, is left out.
    facts: dict[str, Any] = dict.fromkeys(mails.FACTS["code-granted"]) | {
        "brand_name": shape.brand_id or brand_id,
        "discount_name": shape.discount_code,
        "code": codes[0] if codes else "…",
        "rule": rule,
        "valid_until": None if ends is None else to_time(ends).astimezone(ZoneInfo(shape.timezone)),
        "for_all": kind.kind == "shared",
    }
    message = mails.write(
        "code-granted",
        mails.Recipient("user@example.com", "User 1", locale),
        facts,
        sender="discounts@example.com",
        message_id="<preview@example.com>",
        date=datetime.now(UTC),
    )
    plain = message.get_body(("plain",))
    return Preview(
        codes,
        lines,
        amount,
        sum(each.off for each in lines) if lines else rules.taken_off(rule, amount),
        rule.currency or rules.NO_CURRENCY,
        str(message["Subject"]),
        "" if plain is None else str(plain.get_content()).strip(),
    )


def _codes(kind: CodeKind, brand_id: str) -> list[str]:
    if kind.kind == "unique":
        sequence = code_sequence.Sequence(code_sequence.make_key(), kind.pattern, kind.alphabet)
        return sequence.codes(secrets.randbelow(1000), min(CODES, sequence.size))
    if kind.kind == "personal":
        made = (code_kinds.candidates(kind, brand_id, user, discount_id="dsc-…")[0] for user in _USERS)
        return [code.replace("{seq}", str(number)) for number, code in enumerate(made, 1)]
    return [kind.code] if kind.kind == "shared" else []


def _selection(shape: DiscountIn) -> Selection | None:
    found = Selection(
        _products(shape.applies_to),
        _products(shape.except_),
        shape.minimum_quantity,
        shape.per == "line",
        shape.cheapest_lines,
        shape.dearest_lines,
    )
    return None if found == NO_SELECTION else found


def _products(given: Any) -> Products | None:
    return None if given is None else Products(tuple(given.skus), tuple(given.categories))


def _lines(rule: Rule, amount: int) -> list[PreviewLine]:
    """Return the lines of the example order: two of what the rule is for, and one of what it is not for."""
    selection = rule.selection
    if selection is None:
        return []
    wanted, excluded = _examples(selection.applies_to), _examples(selection.excluded)
    given = [*(wanted or [("", {})])[:2], *(excluded or [("", {})])[:1]]
    if len(given) < len(_SHARES):
        given.insert(1, given[0])
    # The first line has the pieces that the rule asks for.
    pieces = [max(1, (selection.minimum_quantity or 1) - 1), 1, 1]
    amounts = [amount * share // 100 for share in _SHARES]
    amounts[0] += amount - sum(amounts)
    lines = [
        Line(str(n), each, quantity, **products)
        for n, (each, quantity, (_, products)) in enumerate(zip(amounts, pieces, given, strict=True))
    ]
    order = Order("", amount, rule.currency or rules.NO_CURRENCY, tuple(lines))
    off = [0] * len(lines) if rules.refusals_of(rule, order) else rules.taken_off_lines(rule, lines, amounts)
    return [
        PreviewLine(name, line.quantity, line.amount, taken)
        for (name, _), line, taken in zip(given, lines, off, strict=True)
    ]


def _examples(products: Products | None) -> list[tuple[str, dict[str, str]]]:
    """Return products by the names of a rule, each as a part of a line."""
    if products is None:
        return []
    by_kind = [("sku", each) for each in products.skus] + [("category", each) for each in products.categories]
    return [(_example(entry), {kind: _example(entry)}) for kind, entry in by_kind]


def _example(entry: str) -> str:
    return entry.removesuffix(ANY) + "1" if entry.endswith(ANY) else entry
