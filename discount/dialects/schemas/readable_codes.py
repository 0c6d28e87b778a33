"""Shapes of the readable-codes dialect."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from discount.api.schemas.common import ID_PATTERN, BrandId, Moment, Shape, UserId

CodeId = Annotated[str, Meta(min_length=1, max_length=64, pattern=ID_PATTERN, examples=["AHMED2022BILLO"])]


class PercentIn(msgspec.Struct):
    """A rule: the percentage that the code takes off."""

    discount: Decimal


class ReadableCodeIn(msgspec.Struct, kw_only=True):
    """A code to create; the percentage that it takes off is `discount`, or in `rule`."""

    id: CodeId
    discount: Decimal | None = None
    rule: PercentIn | None = None
    validity: Moment
    brand_id: BrandId | None = msgspec.field(name="brand", default=None)


class PercentOut(Shape):
    """A rule: the percentage that a brand's code takes off."""

    id: str
    brand: str
    discount: int | float


class ReadableCodeOut(Shape):
    """A code, its rule, and the end of its validity."""

    id: str
    rule: PercentOut
    validity: datetime | None


class UsageIn(msgspec.Struct, kw_only=True):
    """A use of a code; `amount` is the price before the discount."""

    discount_code: Annotated[str, Meta(min_length=1, max_length=200)]
    user_id: UserId | None = msgspec.field(name="user", default=None)
    amount: Decimal | None = None


class UsageOut(Shape, omit_defaults=True):
    """A recorded use; it has both amounts, before and after the discount, if the request had one."""

    id: str
    discount_code: str
    user: str
    time: Moment
    amount: str = ""
    reduced_amount: str = ""
