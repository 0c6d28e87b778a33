"""Shapes of the coupons dialect."""

from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from discount.api.schemas.common import ID_PATTERN, BrandId, Email, Often, Shape, VisibleText

Code = Annotated[str, Meta(min_length=1, max_length=64, pattern=ID_PATTERN, examples=["WELCOME10"])]
Day = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=10,
        description="The last valid day, in UTC; 9999-12-31 means that the coupon never ends.",
        examples=["2280-12-31"],
    ),
]


class CouponIn(msgspec.Struct):
    """A coupon to create. It is valid to the end of its last day, in UTC."""

    code: Code
    discount_percentage: Decimal
    expiry_date: Day


class EndIn(msgspec.Struct):
    """The last day on which a coupon is valid, in UTC."""

    expiry_date: Day


class CountsIn(msgspec.Struct):
    """The limits of a coupon: in all, per user, per user and day, per user and week."""

    global_total_repeat_count: Often | UnsetType = UNSET
    user_total_repeat_count: Often | UnsetType = UNSET
    user_daily_repeat_count: Often | UnsetType = UNSET
    user_weekly_repeat_count: Often | UnsetType = UNSET


class PersonIn(msgspec.Struct):
    """A user to create."""

    name: VisibleText
    email_id: Email


class ApplyIn(msgspec.Struct):
    """A use of a coupon. A user's token needs no `user_id`, and may name the coupon's brand."""

    coupon_code: Annotated[str, Meta(min_length=1)]
    user_id: int | Annotated[str, Meta(min_length=1)] | None = None
    brand_id: BrandId | None = msgspec.field(name="brand", default=None)


class CountsOut(Shape):
    """The limits of a coupon; null means no limit."""

    coupon: str
    global_total_repeat_count: int | None
    user_total_repeat_count: int | None
    user_daily_repeat_count: int | None
    user_weekly_repeat_count: int | None


class CouponOut(Shape):
    """A coupon, its counts and its remaining uses; null means no limit. The date has HTTP's format."""

    id: int
    code: str
    discount_percentage: float
    expiry_date: str
    global_total_repeat_count: int | None
    user_total_repeat_count: int | None
    user_daily_repeat_count: int | None
    user_weekly_repeat_count: int | None
    coupons_left: int | None


class CouponsOut(Shape):
    """All coupons, oldest first."""

    message: list[CouponOut]


class PersonOut(Shape):
    """A user."""

    id: int | str
    name: str
    email_id: str | None


class PersonsOut(Shape):
    """All users, in order of creation."""

    message: list[PersonOut]
