"""discount.api.schemas.redemptions"""

from typing import Annotated, Literal

from msgspec import Meta

from discount.api.schemas.common import (
    ID_PATTERN,
    Amount,
    BrandId,
    Currency,
    ListQuery,
    Moment,
    Remark,
    Shape,
    UserId,
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
        description="The order, by the shop's own id; one order redeems one code.",
        examples=["checkout-1001"],
    ),
]


class OrderShape(Shape):
    """What is being paid for."""

    id: OrderId
    amount: Amount
    currency: Currency


class ValidationIn(Shape, kw_only=True):
    """A code at a checkout: `brand_id` or `discount_id`, or both."""

    brand_id: BrandId | None = None
    discount_id: str | None = None
    user_id: UserId
    # What no code can be is a wrong one, as any other.
    code: Annotated[
        str, Meta(min_length=1, max_length=200, description="As typed: case, blanks and dashes do not matter.")
    ]
    order: OrderShape


class RedemptionIn(ValidationIn, kw_only=True):
    """A code to be used, or with `hold_seconds` to be reserved for that long."""

    hold_seconds: Annotated[int, Meta(ge=1, le=86_400)] | None = None


class RollbackIn(Shape):
    """Why a use is undone."""

    reason: Remark = ""


class Reason(Shape, omit_defaults=True):
    """Something that stands in the way, by the word of its problem."""

    word: str
    title: str
    detail: str | None = None
    limit: str | None = None
    opens_at: Moment | None = None
    starts_at: Moment | None = None
    expires_at: Moment | None = None
    minimum_amount: int | None = None
    currency: str | None = None


class ValidationOut(Shape):
    """What would come off, and all that stands in the way; nothing is counted."""

    valid: bool
    discount_id: str | None
    discount_amount: int
    amount_to_pay: int
    left: LimitsOut
    reasons: list[Reason]


class RedemptionOut(Shape):
    """A use of a code. `left` is what is left of each limit now, null where there is none; in a list, and in the
    answer to a repeat, it is what was left after the use."""

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

    @classmethod
    def of(cls, found: model.Redemption) -> "RedemptionOut":
        return cls(
            id=found.id,
            discount_id=found.discount_id,
            brand_id=found.brand_id,
            user_id=found.user_id,
            code=found.code,
            state=found.state,
            order=OrderShape(found.order.id, found.order.amount, found.order.currency),
            discount_amount=found.discount_amount,
            amount_to_pay=found.order.amount - found.discount_amount,
            left=LimitsOut.of(found.left),
            redeemed_at=model.to_time(found.redeemed_at),
            hold_until=moment_out(found.hold_until),
            confirmed_at=moment_out(found.confirmed_at),
            rolled_back_at=moment_out(found.rolled_back_at),
            reason=found.reason,
        )


class RedemptionPage(Shape):
    """Redemptions, newest first, and the cursor of the next page."""

    redemptions: list[RedemptionOut]
    next: str | None


class RedemptionsOfUserQuery(ListQuery):
    state: State | None = None
    since: Moment | None = None
    until: Moment | None = None
    brand_id: BrandId | None = None


class RedemptionsQuery(ListQuery):
    state: State | None = None
    since: Moment | None = None
    until: Moment | None = None
    format: Annotated[Literal["json", "csv"], Meta(description="csv streams all redemptions at once.")] = "json"
