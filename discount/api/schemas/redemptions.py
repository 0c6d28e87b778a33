"""Shapes of validations and redemptions."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from discount.api.schemas.common import (
    ID_PATTERN,
    Amount,
    BrandId,
    Currency,
    CustomerIn,
    IdentityIn,
    ListQuery,
    Metadata,
    Missing,
    Moment,
    Remark,
    Shape,
    UserId,
    Wanted,
    moment_out,
)
from discount.api.schemas.discounts import LimitsOut
from discount.domain import model

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


class ValidationIn(Shape, kw_only=True):
    """A code at a checkout: `brand_id` or `discount_id`, or both."""

    brand_id: BrandId | None = None
    discount_id: str | None = None
    user_id: UserId
    # No pattern: a text that cannot be a code counts as a wrong code.
    code: Annotated[
        str,
        Meta(min_length=1, max_length=200, description="As typed. Case, blanks and dashes do not matter."),
    ]
    order: OrderShape
    customer: CustomerIn | None = None
    identity: IdentityIn | None = None


class RedemptionIn(ValidationIn, kw_only=True):
    """A code to redeem or, with `hold_seconds`, to reserve for that many seconds."""

    hold_seconds: Annotated[int, Meta(ge=1, le=86_400)] | None = None
    metadata: Metadata | None = None


class RollbackIn(Shape):
    """Why a redemption is rolled back."""

    reason: Remark = ""


class Reason(Shape, omit_defaults=True):
    """A reason why a code cannot be redeemed. `word` is the slug of its problem."""

    word: str
    title: str
    detail: str | None = None
    limit: str | None = None
    opens_at: Moment | None = None
    starts_at: Moment | None = None
    expires_at: Moment | None = None
    minimum_amount: int | None = None
    currency: str | None = None
    most: int | None = None
    left: int | None = None
    period: str | None = None
    condition: str | None = None
    part: str | None = None
    least: int | None = None
    stated: int | None = None


class ValidationOut(Shape):
    """The amount that a code would take off, and every reason why it cannot be redeemed."""

    valid: bool
    discount_id: str | None
    discount_amount: int
    amount_to_pay: int
    left: LimitsOut
    reasons: list[Reason]


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
