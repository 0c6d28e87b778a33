"""Routes of discounts."""

from typing import Any

from msgspec import UNSET, structs

from discount.api.contract import Contract, ViewResult
from discount.api.routes.webhooks import CheckUrl
from discount.api.schemas.common import (
    Products,
    brand_in,
    duration_in,
    missing_out,
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
    NewDiscountOut,
)
from discount.api.schemas.limits import LimitsIn
from discount.api.schemas.rules import combines_in
from discount.api.schemas.validity import ReleaseIn
from discount.domain import code_kinds, code_sequence, errors, order_lines
from discount.domain.model import COMMAND, Author, Caller, Discount
from discount.domain.order_lines import NO_SELECTION, Selection
from discount.domain.rules import LIMITS, LimitName, Rule
from discount.domain.windows import PERIOD_LIMITS, Hours, Window
from discount.security.signing import Signer
from discount.services import discount_changes, discount_lists, discounts, webhooks
from discount.store.connection import Store


def add_routes(contract: Contract, store: Store, signatures: Signer, check_url: CheckUrl) -> None:
    """Declare the operations of discounts."""

    @contract.declare(
        "POST",
        "/discount",
        tag="discounts",
        scopes=("manage",),
        answers={201: (DiscountOut, NewDiscountOut)},
        refusals=("idempotency-mismatch", "brand-closed", "code-taken", "quota-reached"),
    )
    def create_discount(body: DiscountIn, idempotency_key: str | None, author: Author) -> ViewResult:
        """Create a discount, its codes and, with `webhook_url`, its own webhook."""
        if body.webhook_url is not None:
            check_url(body.webhook_url, "/webhook_url")
        elif body.webhook_types:
            raise errors.Invalid("/webhook_types", "needs webhook_url")
        discount, now = create_from(store, body, idempotency_key, author=author)
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
        answers={200: (DiscountPage, DiscountPageForUser)},
    )
    def list_discounts(query: DiscountQuery, caller: Caller) -> ViewResult:
        """List discounts, newest first. A page by `status` can be shorter than its limit. A user sees active ones."""
        status = query.status
        if caller.user_id is not None:
            if query.metadata:
                raise errors.Forbidden("A user does not see metadata of discounts.")
            if status not in (None, "active"):
                raise errors.Forbidden("A user sees only active discounts.")
            status = "active"
        page = discount_lists.list_page(
            store,
            brand_id=query.brand_id,
            status=status,
            name=query.name or "",
            metadata=query.metadata,
            limit=query.limit,
            cursor=query.cursor,
        )
        if caller.user_id is not None:
            seen = [DiscountForUser.of(each, page.now) for each in page.items]
            return DiscountPageForUser(seen, page.next, missing_out(page.missing)), 200
        rows = [_discount_out(each, page.now, caller) for each in page.items]
        return DiscountPage(rows, page.next, missing_out(page.missing)), 200

    @contract.declare(
        "GET",
        "/discount/{discount_id}",
        tag="discounts",
        scopes=("admin", "read"),
        users=True,
        answers={200: (DiscountOut, DiscountForUser)},
        refusals=("not-found",),
    )
    def show_discount(discount_id: str, caller: Caller) -> ViewResult:
        """Show a discount with its live counts. A user sees only an active one."""
        discount, now = discounts.show(store, discount_id)
        if caller.user_id is None:
            return _discount_out(discount, now, caller), 200
        if discount.status(now) != "active":
            raise errors.NotFound(f"There is no active discount {discount_id}.")
        return DiscountForUser.of(discount, now), 200

    @contract.declare(
        "PATCH",
        "/discount/{discount_id}",
        tag="discounts",
        scopes=("manage",),
        answers={200: DiscountOut},
        refusals=("not-found", "closed", "below-granted", "code-taken", "quota-reached"),
    )
    def change_discount(discount_id: str, body: DiscountChange, author: Author) -> ViewResult:
        """Pause, resume, rename, extend or resize a discount, or change its limits."""
        changes = {name: value for name, value in structs.asdict(body).items() if value is not UNSET}
        if "limits" in changes:
            given = changes.pop("limits")
            if given.per_identity is not UNSET:
                raise errors.Invalid("/limits/per_identity", "cannot be changed; create another discount instead")
            limits = _limits(given)
            changes |= ({"limits": limits} if limits else {}) | _bounds(given)
        if isinstance(body.release, ReleaseIn):
            changes["release"] = body.release.pace()
        if not changes:
            raise errors.Invalid("", "must name at least one field to change")
        for name in ("starts_at", "expires_at"):
            if name in changes:
                changes[name] = moment_in(changes[name], f"/{name}")
        return DiscountOut.of(*discount_changes.change(store, discount_id, changes, author=author)), 200

    @contract.declare(
        "DELETE",
        "/discount/{discount_id}",
        tag="discounts",
        scopes=("manage",),
        answers={200: DiscountOut},
        refusals=("not-found",),
    )
    def close_discount(discount_id: str, query: CloseQuery, author: Author) -> ViewResult:
        """Close a discount for good. Codes that users hold stay valid unless `granted_codes` is `void`."""
        void = query.granted_codes == "void"
        return DiscountOut.of(*discount_changes.close(store, discount_id, void=void, author=author)), 200


def create_from(
    store: Store, body: DiscountIn, idempotency_key: str | None = None, *, author: Author = COMMAND
) -> tuple[Discount, int]:
    """Create a discount from a request, and return it with the time.

    Raises:
        Invalid, and the refusals of `discounts.create` and `code_kinds.make`.
    """
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
            selection=_selection(body),
            combines=combines_in(body.combines),
        ),
        limits=discounts.ONCE | _limits(body.limits),
        timezone=body.timezone,
        valid_for=duration_in(body.valid_for, "valid_for"),
        claim_within=duration_in(body.claim_within, "claim_within"),
        release=None if body.release is None else body.release.pace(),
        returns_use=body.returns_use,
        starts_at=moment_in(body.starts_at, "/starts_at"),
        expires_at=moment_in(body.expires_at, "/expires_at"),
        webhook=(body.webhook_url, body.webhook_types) if body.webhook_url else None,
        idempotency_key=idempotency_key,
        metadata=body.metadata,
        bounds=_bounds(body.limits),
        audience=None if body.audience is None else body.audience.read(),
        opens=[Hours(tuple(each.days), each.from_, each.to) for each in body.opens],
        author=author,
    )


def _discount_out(discount: Discount, now: int, caller: Caller) -> DiscountOut:
    out = DiscountOut.of(discount, now)
    if "admin" in caller.scopes:
        # The admin does not see a shared code. Two dialects name a discount after its code, so the name goes, too.
        if out.codes.code and code_sequence.canonical(out.codes.code) == code_sequence.canonical(out.discount_code):
            out.discount_code = ""
        out.codes.code = ""
    return out


def _selection(body: DiscountIn) -> Selection | None:
    found = Selection(
        _products(body.applies_to),
        _products(body.except_),
        body.minimum_quantity,
        body.per == "line",
        body.cheapest_lines,
        body.dearest_lines,
    )
    return None if found == NO_SELECTION else found


def _products(given: Products | None) -> order_lines.Products | None:
    return None if given is None else order_lines.Products(tuple(given.skus), tuple(given.categories))


def _limits(given: LimitsIn) -> dict[LimitName, int | None]:
    return {
        name: getattr(given, name)
        for name in (*LIMITS, *PERIOD_LIMITS, "per_identity")
        if getattr(given, name) is not UNSET
    }


def _bounds(given: LimitsIn) -> dict[str, Any]:
    """Return those of windows, amount and budget_caps that are given."""
    found: dict[str, Any] = {}
    if given.windows is not UNSET:
        found["windows"] = [Window(each.period, each.per_user) for each in given.windows or ()]
    if given.amount is not UNSET:
        found["amount"] = given.amount
    if given.budget_caps is not UNSET:
        found["budget_caps"] = given.budget_caps
    return found
