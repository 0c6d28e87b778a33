"""The dialect of readable codes: every user may use a brand's code once, and every use is recorded.

It serves clients of an earlier service, which logged the uses of codes; doc/dialects.md lists its calls.
A code's address does not name its brand, so only one brand can have a code.
"""

import secrets

from discount import metrics
from discount.api.contract import Contract, ViewResult
from discount.dialects.adapters import readable_codes
from discount.dialects.error_formats import OF_DETAILS
from discount.dialects.numbers import hundredths_in
from discount.dialects.pages import PageQuery
from discount.dialects.schemas.readable_codes import ReadableCodeIn, ReadableCodeOut, UsageIn, UsageOut
from discount.domain.errors import Invalid
from discount.domain.model import Author, Caller
from discount.domain.rules import MAX_AMOUNT, NO_CURRENCY, Order
from discount.services import redemptions
from discount.services.checkouts import Checkout
from discount.store.connection import Store

_TAG = "dialect: readable codes"


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of readable codes."""

    @contract.declare(
        "POST",
        "/api/v1/discountcode/",
        tag=_TAG,
        # The call also grants the code to users.
        scopes=("manage", "grant"),
        every_scope=True,
        answers={201: ReadableCodeOut},
        refusals=("code-taken", "brand-closed", "forbidden", "quota-reached"),
        error_format=OF_DETAILS,
    )
    def create_readable_code(body: ReadableCodeIn, author: Author) -> ViewResult:
        """Create a code that every user may use once."""
        if body.brand_id is None:
            raise Invalid("/brand", "is missing")
        discount = readable_codes.create(store, body, body.brand_id, author)
        readable_codes.grant_to_contacts(store, discount)
        return readable_codes.code_out(discount), 201

    @contract.declare(
        "GET",
        "/api/v1/discountcode/",
        tag=_TAG,
        scopes=("read",),
        users=True,
        answers={200: list[ReadableCodeOut]},
        error_format=OF_DETAILS,
    )
    def list_readable_codes(query: PageQuery, caller: Caller) -> ViewResult:
        """List the caller's codes: a brand's newest first, a user's oldest grant first within each brand."""
        return readable_codes.list_codes(store, query, caller)

    @contract.declare(
        "GET",
        "/api/v1/discountcode/{code}/",
        tag=_TAG,
        scopes=("read",),
        users=True,
        answers={200: ReadableCodeOut},
        refusals=("not-found",),
        error_format=OF_DETAILS,
    )
    def show_readable_code(code: str, caller: Caller) -> ViewResult:
        """Show a code, by its text or by the SHA-256 in hex of its text in lower case without spaces and dashes."""
        return readable_codes.code_out(readable_codes.find(store, code, caller)), 200

    @contract.declare(
        "POST",
        "/api/v1/discountcodeusage/",
        tag=_TAG,
        scopes=("redeem",),
        users=True,
        answers={201: UsageOut},
        refusals=(
            "not-found",
            *("expired", "paused", "closed", "limit-reached", "already-redeemed", "too-many-guesses"),
        ),
        error_format=OF_DETAILS,
    )
    def use_readable_code(body: UsageIn, caller: Caller, address: str) -> ViewResult:
        """Record that a user uses a code. Each user may use it once."""
        if body.user_id is None:
            raise Invalid("/user", "is missing")
        amount = hundredths_in(body.amount, "/amount", MAX_AMOUNT) if body.amount is not None else None
        discount = readable_codes.find(store, body.discount_code, caller)
        # The original names no order, so each use is a new one. A second use is refused by the limit per user.
        order = Order(f"use-{secrets.token_hex(16)}", amount or 0, NO_CURRENCY)
        checkout = Checkout(body.user_id, body.discount_code, order, discount.brand_id, discount.id, address)
        use = redemptions.redeem(store, checkout)
        metrics.REDEMPTIONS.inc()
        return readable_codes.usage_out(use, with_amount=amount is not None), 201

    @contract.declare(
        "GET",
        "/api/v1/discountcodeusage/",
        tag=_TAG,
        scopes=("read",),
        users=True,
        answers={200: list[UsageOut]},
        error_format=OF_DETAILS,
    )
    def list_uses_of_readable_codes(query: PageQuery, caller: Caller) -> ViewResult:
        """List the uses of a brand's codes, or a user's own uses."""
        return readable_codes.list_uses(store, query, caller)

    def show_use_of_readable_code(redemption_id: str) -> ViewResult:
        """Show a use of a brand's code, or a user's own use."""
        return readable_codes.usage_out(readable_codes.show_use(store, redemption_id)), 200

    def show_use_by_its_older_address(redemption_id: str) -> ViewResult:
        """Show a use; the same as at the address with a version."""
        return show_use_of_readable_code(redemption_id)

    for version, view in (("/v1", show_use_of_readable_code), ("", show_use_by_its_older_address)):
        contract.declare(
            "GET",
            f"/api{version}/discountcodeusage/{{redemption_id}}/",
            tag=_TAG,
            scopes=("read",),
            users=True,
            answers={200: UsageOut},
            refusals=("not-found",),
            error_format=OF_DETAILS,
        )(view)
