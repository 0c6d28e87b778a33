"""Shapes of the brand-pools dialect."""

from typing import Annotated

import msgspec
from msgspec import Meta

from discount.api.schemas.common import BrandId, Shape


class PoolIn(msgspec.Struct):
    """The number of codes to add to a brand's pool."""

    brand_id: BrandId = msgspec.field(name="brand")
    number_to_create: Annotated[int, Meta(ge=1, le=1000, examples=[10])]


class CodeOut(Shape):
    """The user's code."""

    discount_code: str
