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
from discount.domain.rules import Rule

#: Codes that are shown.
CODES = 5
#: The amount of the example order, in minor units; more if the rule asks for it.
ORDER = 10_000
_USERS = ("User 1", "ann@example.com", "Zoë", "42", "李雷")


@dataclass(frozen=True, slots=True)
class Preview:
    """Examples of what users would get. `off` comes off an order of `amount`."""

    codes: list[str]
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
    )
    rules.check_rule(rule)
    rules.check_zone(shape.timezone)
    codes = _codes(kind, shape.brand_id or brand_id)
    amount = max(ORDER, rule.minimum_amount or 0)
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
        amount,
        rules.taken_off(rule, amount),
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
