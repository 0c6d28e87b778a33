"""Routes of discounts."""

from msgspec import UNSET, structs

from discount.api.contract import Contract, ViewResult
from discount.api.routes.webhooks import CheckUrl
from discount.api.schemas.common import (
    brand_in,
    duration_in,
    moment_in,
    percent_in,
)
from discount.api.schemas.discounts import (
    CloseQuery,
    DiscountChange,
    DiscountForUser,
    DiscountIn,
    DiscountOut,
    DiscountPage,
    DiscountPageForUser,
    DiscountQuery,
    LimitsIn,
    NewDiscountOut,
)
from discount.domain import code_kinds, code_sequence, errors
from discount.domain.model import Caller, Discount
from discount.domain.rules import LIMITS, LimitName, Rule
from discount.security.signing import Signer
from discount.services import discounts, webhooks
from discount.store.connection import Store


def add_routes(contract: Contract, store: Store, signatures: Signer, check_url: CheckUrl) -> None:
    """Declare the operations of discounts."""

    @contract.declare(
        "POST",
        "/discount",
        tag="discounts",
        scopes=("manage",),
        body=DiscountIn,
        idempotent=True,
        answers={201: (DiscountOut, NewDiscountOut)},
        refusals=("idempotency-mismatch", "brand-closed", "code-taken", "quota-reached"),
    )
    def create_discount(body: DiscountIn, idempotency_key: str | None) -> ViewResult:
        """Create a discount with its codes, and a webhook of its own, if it is to have one."""
        if body.webhook_url is not None:
            check_url(body.webhook_url, "/webhook_url")
        elif body.webhook_types:
            raise errors.Invalid("/webhook_types", "is of no use without webhook_url")
        discount, now = create_from(store, body, idempotency_key)
        webhook = webhooks.read(store, [discount.webhook_id])[discount.webhook_id] if discount.webhook_id else None
        if webhook is None:
            return DiscountOut.of(discount, now), 201
        secret = signatures.webhook_secret(webhook.id, webhook.version)
        return NewDiscountOut.of(discount, now, webhook_secret=secret), 201

    @contract.declare(
        "GET",
        "/discount",
        tag="discounts",
        scopes=("admin", "read"),
        users=True,
        query=DiscountQuery,
        caller=True,
        answers={200: (DiscountPage, DiscountPageForUser)},
    )
    def list_discounts(query: DiscountQuery, caller: Caller) -> ViewResult:
        """List discounts, newest first; with a status a page can be shorter than its limit. A user sees open ones."""
        status = query.status
        if caller.user_id is not None:
            if status not in (None, "active"):
                raise errors.Forbidden("A user sees discounts that are active.")
            status = "active"
        page = discounts.list_page(
            store, brand_id=query.brand_id, status=status, limit=query.limit, cursor=query.cursor
        )
        if caller.user_id is not None:
            told = [DiscountForUser.of(each, page.now) for each in page.items]
            return DiscountPageForUser(discounts=told, next=page.next), 200
        return DiscountPage(discounts=[_told(each, page.now, caller) for each in page.items], next=page.next), 200

    @contract.declare(
        "GET",
        "/discount/<discount_id>",
        tag="discounts",
        scopes=("admin", "read"),
        users=True,
        caller=True,
        answers={200: (DiscountOut, DiscountForUser)},
        refusals=("not-found",),
    )
    def show_discount(discount_id: str, caller: Caller) -> ViewResult:
        """Show a discount with its live counts. A user sees one that is open."""
        discount, now = discounts.show(store, discount_id)
        if caller.user_id is None:
            return _told(discount, now, caller), 200
        if discount.status(now) != "active":
            raise errors.NotFound(f"There is no discount {discount_id} that is active.")
        return DiscountForUser.of(discount, now), 200

    @contract.declare(
        "PATCH",
        "/discount/<discount_id>",
        tag="discounts",
        scopes=("manage",),
        body=DiscountChange,
        answers={200: DiscountOut},
        refusals=("not-found", "closed", "below-granted", "code-taken", "quota-reached"),
    )
    def change_discount(discount_id: str, body: DiscountChange) -> ViewResult:
        """Pause, resume, rename, extend or resize a discount, or change its limits."""
        changes = {name: value for name, value in structs.asdict(body).items() if value is not UNSET}
        if "limits" in changes:
            limits = _limits(changes.pop("limits"))
            changes |= {"limits": limits} if limits else {}
        if not changes:
            raise errors.Invalid("", "has nothing to change")
        for name in ("starts_at", "expires_at"):
            if name in changes:
                changes[name] = moment_in(changes[name], f"/{name}")
        return DiscountOut.of(*discounts.change(store, discount_id, changes)), 200

    @contract.declare(
        "DELETE",
        "/discount/<discount_id>",
        tag="discounts",
        scopes=("manage",),
        query=CloseQuery,
        answers={200: DiscountOut},
        refusals=("not-found",),
    )
    def close_discount(discount_id: str, query: CloseQuery) -> ViewResult:
        """Close a discount for good; codes that users hold stay good unless told otherwise."""
        return DiscountOut.of(*discounts.close(store, discount_id, void=query.granted_codes == "void")), 200


def create_from(store: Store, body: DiscountIn, idempotency_key: str | None = None) -> tuple[Discount, int]:
    """A new discount as asked for; what it raises is what `discounts.create` and `kinds.make` raise."""
    given = {name: value for name, value in structs.asdict(body.codes).items() if value is not UNSET}
    return discounts.create(
        store,
        brand_id=brand_in(body.brand_id, "/brand_id"),
        discount_code=body.discount_code,
        total_count=body.total_count,
        kind=code_kinds.make(given.pop("kind"), body.total_count, given),
        rule=Rule(
            percent=percent_in(body.percent_off),
            amount_off=body.amount_off,
            currency=body.currency,
            minimum_amount=body.minimum_amount,
            maximum_discount=body.maximum_discount,
        ),
        limits=discounts.ONCE | _limits(body.limits),
        timezone=body.timezone,
        valid_for=duration_in(body.valid_for, "valid_for"),
        returns_use=body.returns_use,
        starts_at=moment_in(body.starts_at, "/starts_at"),
        expires_at=moment_in(body.expires_at, "/expires_at"),
        webhook=(body.webhook_url, body.webhook_types) if body.webhook_url else None,
        idempotency_key=idempotency_key,
    )


def _told(discount: Discount, now: int, caller: Caller) -> DiscountOut:
    told = DiscountOut.of(discount, now)
    if "admin" in caller.scopes:
        # An operator helps with what a discount is set to and how it goes; its code is the brand's alone. Clients of
        # earlier services name a discount as its code.
        if told.codes.code and code_sequence.canonical(told.codes.code) == code_sequence.canonical(told.discount_code):
            told.discount_code = ""
        told.codes.code = ""
    return told


def _limits(given: LimitsIn) -> dict[LimitName, int | None]:
    return {name: getattr(given, name) for name in LIMITS if getattr(given, name) is not UNSET}
