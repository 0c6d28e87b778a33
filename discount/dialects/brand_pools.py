"""The dialect of brand pools: a brand has one pool of codes, of which it makes more, and each user gets one."""

import secrets
from typing import Annotated

import msgspec
from msgspec import Meta

from discount import metrics
from discount.api.contract import Contract, ViewResult
from discount.api.schemas.common import BrandId, Shape, UserId
from discount.dialects.error_formats import OF_ERRORS
from discount.domain import code_sequence
from discount.domain.code_kinds import CodeKind
from discount.services import code_pools, discounts, grants
from discount.store.connection import Store

LETTERS = 10
_TAG = "dialect: brand pools"
_POOL = "brand pool"


class PoolIn(msgspec.Struct):
    """How many codes a brand wants more."""

    brand_id: BrandId = msgspec.field(name="brand")
    number_to_create: Annotated[int, Meta(ge=1, le=1000, examples=[10])]


class CodeOut(Shape):
    """The user's code."""

    discount_code: str


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of brand pools."""
    no_code = ("sold_out", "paused", "expired", "not_started", "closed")
    of_fetching = OF_ERRORS.with_slugs(
        **dict.fromkeys(no_code, (404, "There is no code for this user.")),
        not_found=(404, "There is no such brand."),
    )

    @contract.declare(
        "POST",
        "/v1/discount/create",
        tag=_TAG,
        scopes=("manage",),
        answers={200: list[str]},
        refusals=("brand-closed", "closed", "quota-reached"),
        error_format=OF_ERRORS,
    )
    def create_codes_of_brand(body: PoolIn) -> ViewResult:
        """Make more codes for a brand's pool."""
        return _add(store, body.brand_id, body.number_to_create), 200

    @contract.declare(
        "GET",
        "/v1/discount/fetch/{brand_id}/{user_id}",
        tag=_TAG,
        scopes=("grant",),
        users=True,
        answers={200: CodeOut},
        refusals=("not-found", "sold-out", "paused", "expired", "not-started", "closed", "quota-reached"),
        error_format=of_fetching,
    )
    def fetch_code_of_brand(brand_id: BrandId, user_id: UserId) -> ViewResult:
        """Hand a user a code of a brand's pool: the same one ever after."""
        held = grants.grant(store, discounts.id_of(store, brand_id, _POOL), user_id)
        if held.fresh:
            metrics.GRANTS.inc()
        return CodeOut(held.code), 200


def _add(store: Store, brand_id: str, count: int) -> list[str]:
    discount, _ = discounts.create(
        store,
        brand_id=brand_id,
        discount_code="Brand pool",
        total_count=None,
        kind=CodeKind("imported"),
        name=_POOL,
    )
    fresh: dict[str, None] = {}
    while len(fresh) < count:
        made = [
            "".join(secrets.choice(code_sequence.ALPHABET) for _ in range(LETTERS)) for _ in range(count - len(fresh))
        ]
        # Looked up before, not read from the import's report: that calls an import repeated whose answer was lost.
        known = code_pools.known_codes(store, discount.id, made)
        fresh |= {code: None for code, there in zip(made, known, strict=True) if not there}
    code_pools.import_codes(store, discount.id, enumerate(fresh))
    return list(fresh)
