"""Shapes of codes that are moved in from another service."""

from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta

from discount.api.schemas.codes import ImportedLine
from discount.api.schemas.common import Amount, Currency, Moment, Shape, UserId, moment_in
from discount.api.schemas.redemptions import OrderId
from discount.domain import reasons, rules
from discount.domain.errors import Invalid
from discount.services import moved_codes
from discount.services.moved_codes import MovedCode


class MoveQuery(Shape):
    tell: Annotated[bool, Meta(description="Send webhooks and e-mails for what is moved in.")] = False


class MovedRow(Shape):
    """A row of the file. A row with an order, or with a time of its use, is one use unless it says how many."""

    code: str = ""
    user_id: UserId | None = None
    granted_at: Moment | None = None
    uses: Annotated[int, Meta(ge=0, le=moved_codes.MOST_USES)] | None = None
    redeemed_at: Moment | None = None
    order_id: OrderId | None = None
    amount: Amount | None = None
    currency: Currency | None = None
    discount_amount: Amount | None = None


#: The columns that a file may have.
COLUMNS = MovedRow.__struct_fields__


class MovedOut(Shape):
    """The result of moving in: granted and waiting codes, counted uses, lines that changed nothing, and refused lines.

    `lines` has the first hundred lines that were refused.
    """

    discount_id: str
    granted_count: int
    waiting_count: int
    used_count: int
    repeated_count: int
    bad_count: int
    lines: list[ImportedLine]

    @classmethod
    def of(cls, discount_id: str, report: moved_codes.Report) -> "MovedOut":
        lines = [ImportedLine(each.line, each.reason) for each in report.lines]
        return cls(
            discount_id,
            report.granted_count,
            report.waiting_count,
            report.used_count,
            report.repeated_count,
            report.bad_count,
            lines,
        )


def moved_code(cells: dict[str, str] | str) -> MovedCode | str:
    """Return a row of the file, or why it cannot be read."""
    if isinstance(cells, str):
        return cells
    try:
        row = msgspec.convert(cells, MovedRow, strict=False)
    except msgspec.ValidationError as error:
        pointer, reason = reasons.explain(error, MovedRow, cells, text=True)
        return f"{pointer.lstrip('/')} {reason}"
    try:
        return _checked(row)
    except Invalid as refusal:
        # Its sentence names the column, too.
        return refusal.detail.rstrip(".")


def _checked(row: MovedRow) -> MovedCode:
    names = [name for name in ("order_id", "redeemed_at") if getattr(row, name) is not None]
    uses = row.uses if row.uses is not None else int(bool(names))
    of_one = [name for name in ("order_id", "amount", "discount_amount") if getattr(row, name) is not None]
    if of_one and uses != 1:
        raise Invalid(of_one[0], "is for a row with one use; give each order a row of its own")
    if uses == 0 and names:
        raise Invalid(names[0], "is given without a use")
    if (row.discount_amount or 0) > (row.amount or 0):
        raise Invalid("discount_amount", "is more than the amount")
    if row.currency is not None:
        _check_currency(row.currency)
    elif row.amount:
        raise Invalid("currency", "is missing: an amount needs a currency")
    return MovedCode(
        code=row.code,
        user_id=row.user_id or "",
        granted_at=moment_in(row.granted_at, "granted_at"),
        uses=uses,
        redeemed_at=moment_in(row.redeemed_at, "redeemed_at"),
        order_id=row.order_id or "",
        amount=row.amount or 0,
        currency=row.currency or "",
        discount_amount=row.discount_amount or 0,
    )


@lru_cache(maxsize=256)
def _check_currency(code: str) -> None:
    rules.check_currency(code, "currency")
