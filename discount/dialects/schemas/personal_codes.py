"""Shapes of the personal-codes dialect."""

from typing import Annotated

import msgspec
from msgspec import Meta

from discount.api.schemas.common import Shape
from discount.api.schemas.discounts import DiscountCode
from discount.api.schemas.webhooks import WebhookUrl
from discount.domain.ids import MAX_TOTAL


class PersonalCodesIn(msgspec.Struct):
    """A discount to create; `num_codes` is how many users can get a code."""

    name: DiscountCode
    num_codes: Annotated[int, Meta(ge=0, le=MAX_TOTAL, examples=[100])] = 0
    webhook_url: WebhookUrl | None = None


class PersonalCodesOut(Shape):
    """A discount; `webhook_url` is empty if it has no webhook."""

    id: str
    brand_id: str
    name: str
    webhook_url: str
    num_codes: int


class PersonalCodeIn(msgspec.Struct):
    """The discount of which the user wants a code."""

    discount_id: str


class PersonalCodeOut(Shape):
    """The user's code."""

    code: str = msgspec.field(name="discount-code")
