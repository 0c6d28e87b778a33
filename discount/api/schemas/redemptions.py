"""Shapes of validations and redemptions."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from discount.api.schemas.common import (
    ID_PATTERN,
    NAME_PATTERN,
    Amount,
    BrandId,
    Category,
    Currency,
    ListQuery,
    Metadata,
    Missing,
    Moment,
    Remark,
    Shape,
    Sku,
    UserId,
    Wanted,
    moment_out,
)
from discount.api.schemas.customers import CustomerIn, IdentityIn
from discount.api.schemas.limits import LimitsOut
from discount.api.schemas.problems import Facts
from discount.domain import model, order_lines
from discount.domain.combinations import MOST_CODES
from discount.domain.order_lines import add_lines

State = Literal["held", "redeemed", "rolled-back", "released"]


OrderId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=ID_PATTERN,
        description="The shop's own id of the order. One order redeems one code.",
        examples=["checkout-1001"],
    ),
]


class OrderShape(Shape):
    """The order to pay."""

    id: OrderId
    amount: Amount
    currency: Currency


LineId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=order_lines.LONGEST,
        pattern=NAME_PATTERN,
        description="The shop's own id of the line; each is given once.",
        examples=["1"],
    ),
]


class LineIn(Shape):
    """A line of an order. `amount` is the price of all its pieces."""

    id: LineId
    amount: Amount
    quantity: Annotated[int, Meta(ge=1, le=order_lines.MOST_PIECES, description="Its pieces.")] = 1
    sku: Sku | None = None
    category: Category | None = None


Lines = Annotated[
    list[LineIn],
    Meta(max_length=order_lines.MOST_LINES, description="They add up to the order's amount; delivery is a line, too."),
]


class OrderIn(OrderShape):
    """The order to pay, with its lines if the discount is for some of them."""

    lines: Lines = msgspec.field(default_factory=list)


class LineOut(Shape):
    """The amount that comes off a line of an order."""

    id: str
    discount_amount: int


LinesOut = Annotated[list[LineOut] | UnsetType, Meta(description="What comes off each line, if the order has lines.")]


def lines_out(lines: Mapping[str, int]) -> list[LineOut] | UnsetType:
    """Return what comes off each line."""
    return [LineOut(line_id, amount) for line_id, amount in lines.items()] if lines else UNSET


# No pattern: a text that cannot be a code counts as a wrong code.
TypedCode = Annotated[
    str,
    Meta(min_length=1, max_length=200, description="As typed. Case, blanks and dashes do not matter."),
]


class ValidationIn(Shape, kw_only=True):
    """A code at a checkout, with `brand_id` or `discount_id`, or both; or several codes, with `brand_id`.

    A validation without a code asks for all codes that fit.
    """

    brand_id: BrandId | None = None
    discount_id: str | None = None
    user_id: UserId
    code: TypedCode | UnsetType = UNSET
    codes: (
        Annotated[
            list[TypedCode],
            Meta(min_length=1, max_length=MOST_CODES, description="In place of `code`: all of them, or none."),
        ]
        | UnsetType
    ) = UNSET
    order: OrderIn
    customer: CustomerIn | None = None
    identity: IdentityIn | None = None


class RedemptionIn(ValidationIn, kw_only=True):
    """Codes to redeem or, with `hold_seconds`, to reserve for that many seconds."""

    hold_seconds: Annotated[int, Meta(ge=1, le=86_400)] | None = None
    metadata: Metadata | None = None


class RollbackIn(Shape):
    """The reason of a rollback, and whether the other redemptions of the order are rolled back, too."""

    reason: Remark = ""
    whole_order: Annotated[bool, Meta(description="Roll back the redemptions of all codes of the order.")] = False


class Reason(Facts, omit_defaults=True, forbid_unknown_fields=True):
    """A reason why a code cannot be redeemed. `word` is the slug of its problem."""

    word: str
    title: str
    detail: str | None = None


class ValidationOut(Shape):
    """The amount that a code would take off, and every reason why it cannot be redeemed."""

    valid: bool
    discount_id: str | None
    discount_amount: int
    amount_to_pay: int
    left: LimitsOut
    reasons: list[Reason]
    lines: LinesOut = UNSET


class CodeVerdictOut(Shape, kw_only=True):
    """The amount that one of several codes would take off besides the others, and all reasons against it."""

    code: str
    valid: bool
    discount_id: str | None
    discount_amount: int
    left: LimitsOut
    reasons: list[Reason]
    lines: LinesOut = UNSET


class BestOut(Shape):
    """The codes that take the most off the order together, in the sequence in which to send them."""

    codes: list[str]
    discount_amount: int
    amount_to_pay: int
    lines: LinesOut = UNSET


class FittingOut(Shape):
    """The codes that fit an order, best first. Each is shown with what it takes off alone."""

    codes: list[CodeVerdictOut]
    best: Annotated[BestOut | None, Meta(description="Of the eight best codes; null if no code fits.")]
    complete: Annotated[bool, Meta(description="Whether all codes were looked at, and not only the newest.")]


class CodesValidationOut(Shape):
    """The amount that several codes would take off together. The order is valid if each of them is."""

    valid: bool
    discount_amount: int
    amount_to_pay: int
    codes: list[CodeVerdictOut]
    lines: LinesOut = UNSET


class RedemptionOut(Shape):
    """A use of a code. `left` is what is left of each limit now, null without a limit.

    In a list, and in the answer to a repeated request, it is what was left after the redemption.
    """

    id: Annotated[str, Meta(examples=["rdm-0c3f9d0e6a1b2c4d5e6f708192"])]
    discount_id: str
    brand_id: str
    user_id: str
    code: str
    state: State
    order: OrderShape
    discount_amount: int
    amount_to_pay: int
    left: LimitsOut
    redeemed_at: Moment
    hold_until: Moment | None
    confirmed_at: Moment | None
    rolled_back_at: Moment | None
    reason: str
    metadata: Metadata | UnsetType = UNSET
    lines: LinesOut = UNSET
    redeemed_with: Annotated[
        list[str] | UnsetType, Meta(description="Ids of the order's other redemptions, if it has several codes.")
    ] = UNSET

    @classmethod
    def of(cls, redemption: model.Redemption) -> "RedemptionOut":
        order = redemption.order
        # By position, which costs half as much.
        return cls(
            redemption.id,
            redemption.discount_id,
            redemption.brand_id,
            redemption.user_id,
            redemption.code,
            redemption.state,
            OrderShape(order.id, order.amount, order.currency),
            redemption.discount_amount,
            order.amount - redemption.discount_amount,
            LimitsOut.of(redemption.left),
            model.to_time(redemption.redeemed_at),
            moment_out(redemption.hold_until),
            moment_out(redemption.confirmed_at),
            moment_out(redemption.rolled_back_at),
            redemption.reason,
            dict(redemption.metadata) if redemption.metadata else UNSET,
            lines_out(redemption.lines),
            list(redemption.redeemed_with) if redemption.redeemed_with else UNSET,
        )


class CodesRedemptionOut(Shape):
    """The uses of several codes for one order, one for each code. `lines` are what all of them take off."""

    user_id: str
    brand_id: str
    order: OrderShape
    discount_amount: int
    amount_to_pay: int
    redemptions: list[RedemptionOut]
    lines: LinesOut = UNSET

    @classmethod
    def of(cls, found: Sequence[model.Redemption]) -> "CodesRedemptionOut":
        order, off = found[0].order, sum(each.discount_amount for each in found)
        return cls(
            found[0].user_id,
            found[0].brand_id,
            OrderShape(order.id, order.amount, order.currency),
            off,
            order.amount - off,
            [RedemptionOut.of(each) for each in found],
            lines_out(add_lines([each.lines for each in found])),
        )


class RedemptionPage(Shape):
    """Redemptions, newest first, and the cursor of the next page."""

    redemptions: list[RedemptionOut]
    next: str | None
    missing: Missing = UNSET


class RedemptionsOfUserQuery(ListQuery):
    state: State | None = None
    since: Moment | None = None
    until: Moment | None = None
    brand_id: BrandId | None = None
    metadata: Wanted = msgspec.field(default_factory=dict)


class RedemptionsQuery(ListQuery):
    state: State | None = None
    since: Moment | None = None
    until: Moment | None = None
    format: Annotated[Literal["json", "csv"], Meta(description="csv streams all redemptions at once.")] = "json"
    metadata: Wanted = msgspec.field(default_factory=dict)
