"""The dialect of brand pools: a brand adds codes to its one pool, and each user gets one of them.

It serves clients of an earlier service, which had one pool per brand; doc/dialects.md lists its calls.
"""

import secrets

from discount import metrics
from discount.api.contract import Contract, ViewResult
from discount.api.schemas.common import BrandId, UserId
from discount.dialects.error_formats import OF_ERRORS
from discount.dialects.schemas.brand_pools import CodeOut, PoolIn
from discount.domain import code_sequence
from discount.domain.code_kinds import CodeKind
from discount.domain.model import Author
from discount.services import code_pools, discounts, grants
from discount.store.connection import Store

#: Characters in a code.
LENGTH = 10
_TAG = "dialect: brand pools"
_POOL = "brand pool"


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
    def create_codes_of_brand(body: PoolIn, author: Author) -> ViewResult:
        """Add new codes to a brand's pool."""
        return _add_codes(store, body.brand_id, body.number_to_create, author), 200

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
        """Grant a user a code of a brand's pool; the same user always gets the same code."""
        grant = grants.grant(store, discounts.id_of(store, brand_id, _POOL), user_id)
        if grant.fresh:
            metrics.GRANTS.inc()
        return CodeOut(grant.code), 200


def _add_codes(store: Store, brand_id: str, count: int, author: Author) -> list[str]:
    """Create the brand's discount if it has none yet, and return the codes that were added to it."""
    discount, _ = discounts.create(
        store,
        brand_id=brand_id,
        discount_code="Brand pool",
        total_count=None,
        kind=CodeKind("imported"),
        name=_POOL,
        author=author,
    )
    # A dict drops repeated codes and keeps their order.
    added: dict[str, None] = {}
    while len(added) < count:
        codes = [_random_code() for _ in range(count - len(added))]
        # Looked up before the import: its report counts new codes as repeated if Redis's first answer was lost.
        known = code_pools.known_codes(store, discount.id, codes)
        added |= {code: None for code, is_known in zip(codes, known, strict=True) if not is_known}
    code_pools.import_codes(store, discount.id, enumerate(added), author=author)
    return list(added)


def _random_code() -> str:
    return "".join(secrets.choice(code_sequence.ALPHABET) for _ in range(LENGTH))
