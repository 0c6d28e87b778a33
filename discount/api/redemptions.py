"""Routes of redemptions."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from discount import metrics, model, redemptions
from discount.api import problems
from discount.api.contract import Contract, Outcome
from discount.api.schemas import (
    ID_PATTERN,
    Amount,
    BrandId,
    Currency,
    LimitsOut,
    ListQuery,
    Moment,
    Remark,
    Shape,
    UserId,
    moment_in,
    moment_out,
)
from discount.api.tables import csv_response
from discount.errors import Invalid, Refusal
from discount.redemptions import Attempt
from discount.rules import Order, check_currency
from discount.store import Store
from discount.store.guards import Guard

_NOT_NOW = (
    *("not-found", "not-granted", "minimum-amount", "currency-mismatch", "limit-reached", "already-redeemed"),
    *("too-many-holds", "not-started", "expired", "paused", "closed", "idempotency-mismatch", "too-many-guesses"),
)
State = Literal["held", "redeemed", "rolled-back", "released"]


OrderId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=ID_PATTERN,
        description="The order, by the shop's own id; one order redeems one code.",
        examples=["checkout-1001"],
    ),
]


class OrderShape(Shape):
    """What is being paid for."""

    id: OrderId
    amount: Amount
    currency: Currency


class ValidationIn(Shape, kw_only=True):
    """A code at a checkout: `brand_id` or `discount_id`, or both."""

    brand_id: BrandId | None = None
    discount_id: str | None = None
    user_id: UserId
    # What no code can be is a wrong one, as any other.
    code: Annotated[
        str, Meta(min_length=1, max_length=200, description="As typed: case, blanks and dashes do not matter.")
    ]
    order: OrderShape


class RedemptionIn(ValidationIn, kw_only=True):
    """A code to be used, or with `hold_seconds` to be reserved for that long."""

    hold_seconds: Annotated[int, Meta(ge=1, le=86_400)] | None = None


class RollbackIn(Shape):
    """Why a use is undone."""

    reason: Remark = ""


class Reason(Shape, omit_defaults=True):
    """Something that stands in the way, by the word of its problem."""

    word: str
    title: str
    detail: str | None = None
    limit: str | None = None
    opens_at: Moment | None = None
    starts_at: Moment | None = None
    expires_at: Moment | None = None
    minimum_amount: int | None = None
    currency: str | None = None


class ValidationOut(Shape):
    """What would come off, and all that stands in the way; nothing is counted."""

    valid: bool
    discount_id: str | None
    discount_amount: int
    amount_to_pay: int
    left: LimitsOut
    reasons: list[Reason]


class RedemptionOut(Shape):
    """A use of a code. `left` is what is left of each limit now, null where there is none; in a list, and in the
    answer to a repeat, it is what was left after the use."""

    id: Annotated[str, Meta(examples=["rdm-0c3f9d0e6a1b2c4d5e6f708192"])]
    discount_id: str
    brand_id: str
    user_id: str
    code: str
    state: State
    order: OrderShape
    discount_amount: int
    amount_to_pay: int
    left: LimitsOut
    redeemed_at: Moment
    hold_until: Moment | None
    confirmed_at: Moment | None
    rolled_back_at: Moment | None
    reason: str

    @classmethod
    def of(cls, found: model.Redemption) -> "RedemptionOut":
        return cls(
            id=found.id,
            discount_id=found.discount_id,
            brand_id=found.brand_id,
            user_id=found.user_id,
            code=found.code,
            state=found.state,
            order=OrderShape(found.order.id, found.order.amount, found.order.currency),
            discount_amount=found.discount_amount,
            amount_to_pay=found.order.amount - found.discount_amount,
            left=LimitsOut.of(found.left),
            redeemed_at=model.to_time(found.redeemed_at),
            hold_until=moment_out(found.hold_until),
            confirmed_at=moment_out(found.confirmed_at),
            rolled_back_at=moment_out(found.rolled_back_at),
            reason=found.reason,
        )


class RedemptionPage(Shape):
    """Redemptions, newest first, and the cursor of the next page."""

    redemptions: list[RedemptionOut]
    next: str | None


class RedemptionsOfUserQuery(ListQuery):
    state: State | None = None
    since: Moment | None = None
    until: Moment | None = None
    brand_id: BrandId | None = None


class RedemptionsQuery(ListQuery):
    state: State | None = None
    since: Moment | None = None
    until: Moment | None = None
    format: Annotated[Literal["json", "csv"], Meta(description="csv streams all redemptions at once.")] = "json"


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of redemptions."""

    @contract.declare(
        "POST",
        "/validation",
        tag="redemptions",
        scopes=("redeem",),
        users=True,
        hot=True,
        address=True,
        caller=True,
        body=ValidationIn,
        answers={200: ValidationOut},
        refusals=("not-found", "too-many-guesses"),
    )
    def validate_code(body: ValidationIn, address: str, caller: model.Caller, guard: Guard | None) -> Outcome:
        """Tell what a code would take off an order, and all that stands in the way."""
        verdict = redemptions.validate(store, _attempt(body, address, caller), guard)
        told = ValidationOut(
            valid=not verdict.reasons,
            discount_id=verdict.discount_id,
            discount_amount=verdict.discount_amount,
            amount_to_pay=body.order.amount - verdict.discount_amount,
            left=LimitsOut.of(verdict.left),
            reasons=[_reason(each) for each in verdict.reasons],
        )
        return told, 200

    @contract.declare(
        "POST",
        "/redemption",
        tag="redemptions",
        scopes=("redeem",),
        users=True,
        hot=True,
        address=True,
        caller=True,
        body=RedemptionIn,
        idempotent=True,
        answers={201: RedemptionOut, 200: RedemptionOut},
        refusals=_NOT_NOW,
    )
    def redeem_code(
        body: RedemptionIn, address: str, caller: model.Caller, idempotency_key: str | None, guard: Guard | None
    ) -> Outcome:
        """Use a code for an order: 201 the first time, 200 with the same answer for the same order after that."""
        done = redemptions.redeem(
            store,
            _attempt(body, address, caller),
            hold_seconds=body.hold_seconds,
            idempotency_key=idempotency_key,
            guard=guard,
        )
        if done.fresh:
            metrics.REDEMPTIONS.inc()
        return RedemptionOut.of(done), 201 if done.fresh else 200

    @contract.declare(
        "GET",
        "/redemption/<redemption_id>",
        tag="redemptions",
        scopes=("read",),
        users=True,
        answers={200: RedemptionOut},
        refusals=("not-found",),
    )
    def show_redemption(redemption_id: str) -> Outcome:
        """Show a redemption with its state."""
        return RedemptionOut.of(redemptions.show(store, redemption_id)), 200

    @contract.declare(
        "POST",
        "/redemption/<redemption_id>/confirm",
        tag="redemptions",
        scopes=("redeem",),
        users=True,
        answers={200: RedemptionOut},
        refusals=("not-found", "hold-ended"),
    )
    def confirm_redemption(redemption_id: str) -> Outcome:
        """Make a held use final."""
        return RedemptionOut.of(redemptions.confirm(store, redemption_id)), 200

    @contract.declare(
        "POST",
        "/redemption/<redemption_id>/rollback",
        tag="redemptions",
        scopes=("redeem",),
        body=RollbackIn,
        bare=True,
        answers={200: RedemptionOut},
        refusals=("not-found",),
    )
    def roll_back_redemption(redemption_id: str, body: RollbackIn) -> Outcome:
        """Undo a use or give a hold up: it comes back to the limits, once."""
        return RedemptionOut.of(redemptions.roll_back(store, redemption_id, body.reason)), 200

    @contract.declare(
        "GET",
        "/discount/<discount_id>/redemptions",
        tag="redemptions",
        scopes=("read",),
        query=RedemptionsQuery,
        answers={200: RedemptionPage},
        also=("text/csv",),
        refusals=("not-found",),
    )
    def list_redemptions(discount_id: str, query: RedemptionsQuery) -> Outcome:
        """List a discount's redemptions, newest first: pages of JSON, or everything as CSV."""
        if query.format == "csv":
            found = redemptions.list_all(store, discount_id, **_filters(query))
            return csv_response(f"{discount_id}-redemptions", _COLUMNS, map(_row, found))
        page = redemptions.list_of_discount(
            store, discount_id, limit=query.limit, cursor=query.cursor, **_filters(query)
        )
        return _page(page), 200

    @contract.declare(
        "GET",
        "/user/<user_id>/redemptions",
        tag="redemptions",
        scopes=("read",),
        users=True,
        path_types={"user_id": UserId},
        query=RedemptionsOfUserQuery,
        answers={200: RedemptionPage},
    )
    def list_redemptions_of_user(user_id: str, query: RedemptionsOfUserQuery) -> Outcome:
        """List a user's redemptions, newest first; with a filter a page can be shorter than its limit."""
        page = redemptions.list_of_user(
            store, user_id, brand_id=query.brand_id, limit=query.limit, cursor=query.cursor, **_filters(query)
        )
        return _page(page), 200


def _attempt(body: ValidationIn, address: str, caller: model.Caller) -> Attempt:
    if body.brand_id is None and body.discount_id is None:
        raise Invalid("/brand_id", "is missing, and so is discount_id")
    check_currency(body.order.currency, "/order/currency")
    order = Order(body.order.id, body.order.amount, body.order.currency)
    by_user = caller.user_id is not None
    return Attempt(body.user_id, body.code, order, body.brand_id, body.discount_id, address, by_user)


def _reason(refusal: Refusal) -> Reason:
    detail = refusal.detail if refusal.detail != refusal.title else None
    return Reason(refusal.word, refusal.title, detail, **problems.members_of(refusal))


_COLUMNS = (
    *("id", "user_id", "code", "state", "order_id", "amount", "currency", "discount_amount", "redeemed_at"),
    *("hold_until", "confirmed_at", "rolled_back_at", "reason"),
)


def _row(each: model.Redemption) -> tuple[str, ...]:
    order = each.order
    amounts = (str(order.amount), order.currency, str(each.discount_amount))
    later = (each.hold_until, each.confirmed_at, each.rolled_back_at)
    times = ("" if moment is None else model.to_text(moment) for moment in later)
    return (
        *(each.id, each.user_id, each.code, each.state, order.id, *amounts),
        *(model.to_text(each.redeemed_at), *times, each.reason),
    )


def _filters(query: RedemptionsQuery | RedemptionsOfUserQuery) -> dict[str, Any]:
    return {
        "state": query.state,
        "since": moment_in(query.since, "since"),
        "until": moment_in(query.until, "until"),
    }


def _page(page: redemptions.Page) -> RedemptionPage:
    return RedemptionPage([RedemptionOut.of(each) for each in page.redemptions], page.next)
