"""The dialect of personal codes: a user's code names the brand, the user and the discount."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from discount import metrics
from discount.api.contract import Contract, ViewResult
from discount.api.gate import TokenHeader
from discount.api.schemas.common import Shape
from discount.api.schemas.discounts import DiscountCode
from discount.api.schemas.webhooks import WebhookUrl
from discount.dialects.error_formats import OF_MESSAGES
from discount.domain import code_kinds
from discount.domain.code_kinds import CodeKind
from discount.domain.errors import Forbidden
from discount.domain.ids import MAX_TOTAL
from discount.domain.model import Caller
from discount.services import brands, discounts, grants
from discount.store.connection import Store

OF_BRANDS = TokenHeader("brand_auth_token", "brand_id")
OF_USERS = TokenHeader("user_auth_token", "user_id")
_TAG = "dialect: personal codes"
_NOT_NOW = ("not-started", "expired", "paused", "closed")


class PersonalCodesIn(msgspec.Struct):
    """A discount to make; `num_codes` is how many users can get a code, and 0 is none."""

    name: DiscountCode
    num_codes: Annotated[int, Meta(ge=0, le=MAX_TOTAL, examples=[100])] = 0
    webhook_url: WebhookUrl | None = None


class PersonalCodesOut(Shape):
    """A discount; `webhook_url` is empty where there is none."""

    id: str
    brand_id: str
    name: str
    webhook_url: str
    num_codes: int


class PersonalCodeIn(msgspec.Struct):
    """Which discount the user wants a code of."""

    discount_id: str


class PersonalCodeOut(Shape):
    """The user's code."""

    code: str = msgspec.field(name="discount-code")


def add_routes(contract: Contract, store: Store, check_url: Callable[[str, str], None]) -> None:
    """Declare the operations of personal codes."""
    refused = OF_MESSAGES.with_slugs(
        sold_out=(409, "There are no discount codes left."),
        **{word.replace("-", "_"): (409, None) for word in _NOT_NOW},
    )

    @contract.declare(
        "POST",
        "/create-discount-codes",
        tag=_TAG,
        scopes=("manage",),
        header=OF_BRANDS,
        answers={200: PersonalCodesOut},
        refusals=("brand-closed",),
        error_format=refused,
    )
    def create_personal_codes(body: PersonalCodesIn, caller: Caller) -> ViewResult:
        """Make a discount whose codes are made when users ask for them."""
        if caller.brand_id is None:
            raise Forbidden("A discount is made with a brand's key.")
        if body.webhook_url is not None:
            check_url(body.webhook_url, "/webhook_url")
        return _create(store, body, caller.brand_id), 200

    def get_personal_code(body: PersonalCodeIn, caller: Caller) -> ViewResult:
        """Hand a user its code of a discount: the same one ever after."""
        if caller.user_id is None:
            raise Forbidden("A code is handed out for a user's token.")
        held = grants.grant(store, body.discount_id, caller.user_id)
        if held.fresh:
            metrics.GRANTS.inc()
        return PersonalCodeOut(held.code), 200

    def post_for_personal_code(body: PersonalCodeIn, caller: Caller) -> ViewResult:
        """Hand a user its code of a discount, as GET does."""
        return get_personal_code(body, caller)

    for method, view in (("GET", get_personal_code), ("POST", post_for_personal_code)):
        contract.declare(
            method,
            "/get-discount-code",
            tag=_TAG,
            scopes=("grant",),
            users=True,
            header=OF_USERS,
            answers={200: PersonalCodeOut},
            refusals=("not-found", "sold-out", *_NOT_NOW),
            error_format=refused,
        )(view)


def _create(store: Store, body: PersonalCodesIn, brand_id: str) -> PersonalCodesOut:
    brand = brands.read(store, [brand_id])[brand_id]
    # What the brand is called stands in the template, so that it costs no look at each grant.
    name = code_kinds.as_written(brand.name if brand else "") or code_kinds.as_written(brand_id)
    discount, _ = discounts.create(
        store,
        brand_id=brand_id,
        discount_code=body.name,
        total_count=body.num_codes,
        kind=CodeKind("personal", template=f"{name}-thinks-{{name}}-is-awesome-{{discount}}"),
        webhook=(body.webhook_url, ("code.granted",)) if body.webhook_url else None,
        webhook_body="code",
    )
    return PersonalCodesOut(discount.id, brand_id, discount.discount_code, body.webhook_url or "", body.num_codes)
