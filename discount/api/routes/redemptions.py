"""Routes of redemptions."""

from typing import Any

from msgspec import UNSET

from discount import metrics
from discount.api import problems, texts
from discount.api.contract import Contract, ViewResult
from discount.api.identities import identity_in
from discount.api.schemas.common import UserId, missing_out, moment_in
from discount.api.schemas.customers import customer_in
from discount.api.schemas.limits import LimitsOut
from discount.api.schemas.redemptions import (
    BestOut,
    CodesRedemptionOut,
    CodesValidationOut,
    CodeVerdictOut,
    FittingOut,
    OrderIn,
    Reason,
    RedemptionIn,
    RedemptionOut,
    RedemptionPage,
    RedemptionsOfUserQuery,
    RedemptionsQuery,
    RollbackIn,
    ValidationIn,
    ValidationOut,
    lines_out,
)
from discount.api.streaming import csv_response
from discount.domain import metadata, model
from discount.domain.errors import Invalid, Refusal
from discount.domain.metadata import NO_METADATA
from discount.domain.order_lines import Line, check_lines
from discount.domain.rules import Order, check_currency
from discount.security.signing import Signer
from discount.services import fitting_codes, redemption_lists, redemptions, several_codes
from discount.services.checkouts import Checkout
from discount.services.pagination import Page
from discount.services.verdicts import Verdict
from discount.store.connection import Store
from discount.store.guards import Guard

_NOT_NOW = (
    *("not-found", "not-granted", "revoked", "minimum-amount", "currency-mismatch", "limit-reached"),
    *("lines-missing", "no-line-fits", "minimum-quantity", "not-combinable"),
    *("already-redeemed", "too-many-holds", "not-started", "expired", "paused", "closed", "idempotency-mismatch"),
    "too-many-guesses",
    *("outside-hours", "not-in-audience", "already-granted-elsewhere", "identity-missing"),
)


#: The largest body of a checkout, in bytes: 500 lines fit.
CHECKOUT_BODY = 256 * 1024


def add_routes(contract: Contract, store: Store, signatures: Signer) -> None:
    """Declare the operations of redemptions."""

    @contract.declare(
        "POST",
        "/validation",
        tag="redemptions",
        scopes=("redeem",),
        users=True,
        fast_path=True,
        max_body=CHECKOUT_BODY,
        answers={200: (ValidationOut, CodesValidationOut, FittingOut)},
        refusals=("not-found", "too-many-guesses"),
    )
    def validate_code(
        body: ValidationIn, address: str, language: str, caller: model.Caller, guard: Guard | None
    ) -> ViewResult:
        """Show what codes would take off an order, and why they cannot be redeemed; or, without one, all that fit."""
        checkout = _checkout(body, address, caller, signatures)
        if body.code is UNSET and body.codes is UNSET:
            return _find_fitting(store, body, checkout, guard, language), 200
        if body.codes is not UNSET:
            return _validate_several(store, body, checkout, guard, language), 200
        verdict = redemptions.validate(store, checkout, guard)
        out = ValidationOut(
            valid=not verdict.reasons,
            discount_id=verdict.discount_id,
            discount_amount=verdict.discount_amount,
            amount_to_pay=body.order.amount - verdict.discount_amount,
            left=LimitsOut.of(verdict.left),
            reasons=[_reason(each, language) for each in verdict.reasons],
            lines=lines_out(verdict.lines),
        )
        return out, 200

    @contract.declare(
        "POST",
        "/redemption",
        tag="redemptions",
        scopes=("redeem",),
        users=True,
        fast_path=True,
        max_body=CHECKOUT_BODY,
        answers={201: (RedemptionOut, CodesRedemptionOut), 200: (RedemptionOut, CodesRedemptionOut)},
        refusals=_NOT_NOW,
    )
    def redeem_code(
        body: RedemptionIn, address: str, caller: model.Caller, idempotency_key: str | None, guard: Guard | None
    ) -> ViewResult:
        """Redeem codes for an order: 201 the first time, then 200 with the same answer for the same order."""
        if body.code is UNSET and body.codes is UNSET:
            raise Invalid("/code", "is missing; code or codes is required")
        if body.codes is not UNSET:
            found = several_codes.redeem(
                store,
                _checkout(body, address, caller, signatures),
                body.codes,
                hold_seconds=body.hold_seconds,
                idempotency_key=idempotency_key,
                metadata=body.metadata or NO_METADATA,
                guard=guard,
            )
            made = sum(each.fresh for each in found)
            metrics.REDEMPTIONS.inc(made)
            return CodesRedemptionOut.of(found), 201 if made else 200
        redemption = redemptions.redeem(
            store,
            _checkout(body, address, caller, signatures),
            hold_seconds=body.hold_seconds,
            idempotency_key=idempotency_key,
            metadata=body.metadata or NO_METADATA,
            guard=guard,
        )
        if redemption.fresh:
            metrics.REDEMPTIONS.inc()
        return RedemptionOut.of(redemption), 201 if redemption.fresh else 200

    @contract.declare(
        "GET",
        "/redemption/{redemption_id}",
        tag="redemptions",
        scopes=("read",),
        users=True,
        answers={200: RedemptionOut},
        refusals=("not-found",),
    )
    def show_redemption(redemption_id: str) -> ViewResult:
        """Show a redemption with its state."""
        return RedemptionOut.of(redemptions.show(store, redemption_id)), 200

    @contract.declare(
        "POST",
        "/redemption/{redemption_id}/confirm",
        tag="redemptions",
        scopes=("redeem",),
        users=True,
        answers={200: RedemptionOut},
        refusals=("not-found", "hold-ended"),
    )
    def confirm_redemption(redemption_id: str) -> ViewResult:
        """Confirm a hold, and the holds of all codes of its order: the redemptions become final."""
        return RedemptionOut.of(several_codes.confirm(store, redemption_id)), 200

    @contract.declare(
        "POST",
        "/redemption/{redemption_id}/rollback",
        tag="redemptions",
        scopes=("redeem",),
        body_optional=True,
        answers={200: RedemptionOut},
        refusals=("not-found", "too-late"),
    )
    def roll_back_redemption(redemption_id: str, body: RollbackIn) -> ViewResult:
        """Roll back a redemption, or release a hold. The use returns to the limits, once."""
        roll_back = several_codes.roll_back if body.whole_order else redemptions.roll_back
        return RedemptionOut.of(roll_back(store, redemption_id, body.reason)), 200

    @contract.declare(
        "GET",
        "/discount/{discount_id}/redemptions",
        tag="redemptions",
        scopes=("read",),
        answers={200: RedemptionPage},
        produces=("text/csv",),
        refusals=("not-found",),
    )
    def list_redemptions(discount_id: str, query: RedemptionsQuery) -> ViewResult:
        """List a discount's redemptions, newest first: pages of JSON, or all of them as CSV."""
        if query.format == "csv":
            rows = map(_row, redemption_lists.list_all(store, discount_id, **_filters(query)))
            return csv_response(f"{discount_id}-redemptions", _COLUMNS, rows)
        page = redemption_lists.list_of_discount(
            store, discount_id, limit=query.limit, cursor=query.cursor, **_filters(query)
        )
        return _page(page), 200

    @contract.declare(
        "GET",
        "/user/{user_id}/redemptions",
        tag="redemptions",
        scopes=("read",),
        users=True,
        answers={200: RedemptionPage},
    )
    def list_redemptions_of_user(user_id: UserId, query: RedemptionsOfUserQuery) -> ViewResult:
        """List a user's redemptions, newest first. With a filter, a page can be shorter than its limit."""
        page = redemption_lists.list_of_user(
            store, user_id, brand_id=query.brand_id, limit=query.limit, cursor=query.cursor, **_filters(query)
        )
        return _page(page), 200


def _checkout(body: ValidationIn, address: str, caller: model.Caller, signatures: Signer) -> Checkout:
    if body.brand_id is None and body.discount_id is None:
        raise Invalid("/brand_id", "is missing; brand_id or discount_id is required")
    if body.code is not UNSET and body.codes is not UNSET:
        raise Invalid("/codes", "cannot be combined with code")
    if body.code is UNSET and body.discount_id is not None:
        raise Invalid("/discount_id", "is for one code; name the brand instead")
    check_currency(body.order.currency, "/order/currency")
    order = Order(body.order.id, body.order.amount, body.order.currency, _lines(body.order) if body.order.lines else ())
    by_user = caller.user_id is not None
    customer, identity = customer_in(body.customer, caller), identity_in(body.identity, signatures)
    code = "" if body.code is UNSET else body.code
    return Checkout(body.user_id, code, order, body.brand_id, body.discount_id, address, by_user, customer, identity)


def _lines(order: OrderIn) -> tuple[Line, ...]:
    lines = tuple(Line(each.id, each.amount, each.quantity, each.sku, each.category) for each in order.lines)
    check_lines(lines, order.amount)
    return lines


def _validate_several(
    store: Store, body: ValidationIn, checkout: Checkout, guard: Guard | None, language: str
) -> CodesValidationOut:
    assert body.codes is not UNSET  # noqa: S101 - the caller looked
    verdict = several_codes.validate(store, checkout, body.codes, guard)
    codes = [_code_verdict(code, each, language) for code, each in zip(body.codes, verdict.verdicts, strict=True)]
    return CodesValidationOut(
        all(each.valid for each in codes),
        verdict.discount_amount,
        checkout.order.amount - verdict.discount_amount,
        codes,
        lines_out(verdict.lines),
    )


def _find_fitting(
    store: Store,
    body: ValidationIn,
    checkout: Checkout,
    guard: Guard | None,
    language: str,
) -> FittingOut:
    # A user sees no codes of the brand but the own ones.
    found = fitting_codes.find(store, checkout, with_shared=not checkout.by_user, guard=guard)
    best = None
    if found.best is not None:
        off = found.best.discount_amount
        best = BestOut(list(found.best.codes), off, body.order.amount - off, lines_out(found.best.lines))
    codes = [_code_verdict(each.code, each.verdict, language) for each in found.codes]
    return FittingOut(codes, best, found.complete)


def _code_verdict(code: str, verdict: Verdict, language: str) -> CodeVerdictOut:
    return CodeVerdictOut(
        code=code,
        valid=not verdict.reasons,
        discount_id=verdict.discount_id,
        discount_amount=verdict.discount_amount,
        left=LimitsOut.of(verdict.left),
        reasons=[_reason(reason, language) for reason in verdict.reasons],
        lines=lines_out(verdict.lines),
    )


def _reason(refusal: Refusal, language: str) -> Reason:
    detail = texts.detail(refusal.detail, language) if refusal.detail != refusal.title else None
    return Reason(
        refusal.slug, texts.title(refusal.slug, refusal.title, language), detail, **problems.members_of(refusal)
    )


_COLUMNS = (
    *("id", "user_id", "code", "state", "order_id", "amount", "currency", "discount_amount", "redeemed_at"),
    *("hold_until", "confirmed_at", "rolled_back_at", "reason", "metadata"),
)


def _row(each: model.Redemption) -> tuple[str, ...]:
    order = each.order
    amounts = (str(order.amount), order.currency, str(each.discount_amount))
    later = (each.hold_until, each.confirmed_at, each.rolled_back_at)
    times = ("" if moment is None else model.to_text(moment) for moment in later)
    return (
        *(each.id, each.user_id, each.code, each.state, order.id, *amounts),
        *(model.to_text(each.redeemed_at), *times, each.reason, metadata.write(each.metadata)),
    )


def _filters(query: RedemptionsQuery | RedemptionsOfUserQuery) -> dict[str, Any]:
    return {
        "state": query.state,
        "since": moment_in(query.since, "since"),
        "until": moment_in(query.until, "until"),
        "metadata": query.metadata,
    }


def _page(page: Page[model.Redemption]) -> RedemptionPage:
    return RedemptionPage([RedemptionOut.of(each) for each in page.items], page.next, missing_out(page.missing))
