"""The dialect of personal codes: a user's code names the brand, the user and the discount.

It serves clients of an earlier service, which made each code at the request for it; doc/dialects.md lists its calls.
"""

from collections.abc import Callable

from discount import metrics
from discount.api.contract import Contract, ViewResult
from discount.api.gate import TokenHeader
from discount.dialects.error_formats import OF_MESSAGES
from discount.dialects.schemas.personal_codes import (
    PersonalCodeIn,
    PersonalCodeOut,
    PersonalCodesIn,
    PersonalCodesOut,
)
from discount.domain import code_kinds
from discount.domain.code_kinds import CodeKind
from discount.domain.errors import Forbidden
from discount.domain.model import Author, Caller
from discount.services import brands, discounts, grants
from discount.store.connection import Store

OF_BRANDS = TokenHeader("brand_auth_token", "brand_id")
OF_USERS = TokenHeader("user_auth_token", "user_id")
_TAG = "dialect: personal codes"
_NOT_NOW = ("not-started", "expired", "paused", "closed")


def add_routes(contract: Contract, store: Store, check_url: Callable[[str, str], None]) -> None:
    """Declare the operations of personal codes."""
    refused = OF_MESSAGES.with_slugs(
        sold_out=(409, "There are no discount codes left."),
        **{slug.replace("-", "_"): (409, None) for slug in _NOT_NOW},
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
    def create_personal_codes(body: PersonalCodesIn, caller: Caller, author: Author) -> ViewResult:
        """Create a discount whose codes are made as users request them."""
        if caller.brand_id is None:
            raise Forbidden("This call needs a brand's key.")
        if body.webhook_url is not None:
            check_url(body.webhook_url, "/webhook_url")
        return _create(store, body, caller.brand_id, author), 200

    def get_personal_code(body: PersonalCodeIn, caller: Caller) -> ViewResult:
        """Grant a user a code of a discount; the same user always gets the same code."""
        if caller.user_id is None:
            raise Forbidden("This call needs a user's token.")
        grant = grants.grant(store, body.discount_id, caller.user_id)
        if grant.fresh:
            metrics.GRANTS.inc()
        return PersonalCodeOut(grant.code), 200

    def post_for_personal_code(body: PersonalCodeIn, caller: Caller) -> ViewResult:
        """Grant a user a code of a discount, as GET does."""
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


def _create(store: Store, body: PersonalCodesIn, brand_id: str, author: Author) -> PersonalCodesOut:
    brand = brands.read(store, [brand_id])[brand_id]
    # The template holds the brand's name, so that a grant need not read the brand.
    name = code_kinds.as_written(brand.name if brand else "") or code_kinds.as_written(brand_id)
    discount, _ = discounts.create(
        store,
        brand_id=brand_id,
        discount_code=body.name,
        total_count=body.num_codes,
        kind=CodeKind("personal", template=f"{name}-thinks-{{name}}-is-awesome-{{discount}}"),
        webhook=(body.webhook_url, ("code.granted",)) if body.webhook_url else None,
        webhook_body="code",
        author=author,
    )
    return PersonalCodesOut(discount.id, brand_id, discount.discount_code, body.webhook_url or "", body.num_codes)
