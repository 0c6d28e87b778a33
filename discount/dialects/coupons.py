"""The dialect of coupons with repeat counts: one code for all, used as often as its four counts allow."""

import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal
from email.utils import format_datetime
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from discount import metrics
from discount.api.contract import Contract, ViewResult
from discount.api.inputs import JSON_OR_FORM
from discount.api.schemas.common import (
    ID_PATTERN,
    BrandId,
    Email,
    Often,
    Shape,
    VisibleText,
    moment_in,
)
from discount.api.streaming import json_response
from discount.dialects.error_formats import OF_MESSAGES, MessageOut
from discount.dialects.numbers import hundredths_in, percent_out
from discount.dialects.pages import PageQuery, page_response
from discount.domain import code_sequence, model
from discount.domain.code_kinds import CodeKind
from discount.domain.errors import (
    AlreadyRedeemed,
    CodeTaken,
    Invalid,
    LimitReached,
    NotFound,
)
from discount.domain.model import Caller, Discount
from discount.domain.rules import (
    LIMITS,
    NO_CURRENCY,
    LimitName,
    Order,
    Rule,
)
from discount.mails import check_address
from discount.services import contacts, discounts, redemptions
from discount.services.pagination import read_on
from discount.services.redemptions import Checkout
from discount.store.connection import Store

#: Whose the coupons are while the service is open: nobody is asked who it is.
BRAND = "coupons"
_TAG = "dialect: coupons"
_COUNTS: dict[str, LimitName] = {
    "global_total_repeat_count": "total",
    "user_total_repeat_count": "per_user",
    "user_daily_repeat_count": "per_user_per_day",
    "user_weekly_repeat_count": "per_user_per_week",
}
_ALL_USED = "Coupon exists, but global count is zero."
# In the order in which they are told, where several stand in the way.
_REACHED: dict[LimitName, str] = {
    "per_user": "User total redemption count reached.",
    "per_user_per_week": "User weekly redemption count reached.",
    "per_user_per_day": "User daily redemption count reached.",
    "total": _ALL_USED,
}
_NOT_NOW = {
    "expired": "Coupon expired.",
    "paused": "Coupon is paused.",
    "closed": "Coupon is closed.",
    "not_started": "Coupon is not valid yet.",
}
#: The day that stands for no end at all.
_NEVER = date(9999, 12, 31)
# The original's sentences for what a field cannot be.
_WRONG = {
    ("/expiry_date", "is in the past"): "Expiry date cannot be less than today",
    ("/discount_percentage", "is less than 0"): "Discount Percentage cannot be less than 0",
}
Code = Annotated[str, Meta(min_length=1, max_length=64, pattern=ID_PATTERN, examples=["WELCOME10"])]


Day = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=10,
        description="The last day, in UTC; 9999-12-31 is never.",
        examples=["2280-12-31"],
    ),
]


class CouponIn(msgspec.Struct):
    """A coupon to make; it is good to the end of its last day, in UTC."""

    code: Code
    discount_percentage: Decimal
    expiry_date: Day


class EndIn(msgspec.Struct):
    """The last day on which a coupon is good, in UTC."""

    expiry_date: Day


class CountsIn(msgspec.Struct):
    """How often a coupon may be used: in all, by a user, by a user in a day and in a week."""

    global_total_repeat_count: Often | UnsetType = UNSET
    user_total_repeat_count: Often | UnsetType = UNSET
    user_daily_repeat_count: Often | UnsetType = UNSET
    user_weekly_repeat_count: Often | UnsetType = UNSET


class PersonIn(msgspec.Struct):
    """A user who has no id yet."""

    name: VisibleText
    email_id: Email


class ApplyIn(msgspec.Struct):
    """A user uses a coupon. A user's token acts for its user, and may say whose coupon it is."""

    coupon_code: Annotated[str, Meta(min_length=1)]
    user_id: int | Annotated[str, Meta(min_length=1)] | None = None
    brand_id: BrandId | None = msgspec.field(name="brand", default=None)


class CountsOut(Shape):
    """How often a coupon may be used; null is no limit."""

    coupon: str
    global_total_repeat_count: int | None
    user_total_repeat_count: int | None
    user_daily_repeat_count: int | None
    user_weekly_repeat_count: int | None


class CouponOut(Shape):
    """A coupon, its counts, and how often it can still be used; null is no limit. The date is one of HTTP."""

    id: int
    code: str
    discount_percentage: float
    expiry_date: str
    global_total_repeat_count: int | None
    user_total_repeat_count: int | None
    user_daily_repeat_count: int | None
    user_weekly_repeat_count: int | None
    coupons_left: int | None


class CouponsOut(Shape):
    """All coupons, the oldest first."""

    message: list[CouponOut]


class PersonOut(Shape):
    """A user."""

    id: int | str
    name: str
    email_id: str | None


class PersonsOut(Shape):
    """All users, in the order in which they came."""

    message: list[PersonOut]


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of coupons and of their users."""
    _add_users(contract, store)
    of_dates = OF_MESSAGES.with_slugs(invalid=(400, _wrong))

    @contract.declare(
        "POST",
        "/coupon",
        tag=_TAG,
        scopes=("manage",),
        consumes=JSON_OR_FORM,
        answers={200: MessageOut},
        refusals=("code-taken", "brand-closed", "quota-reached"),
        error_format=of_dates.with_slugs(code_taken=(400, "Coupon Code already exists")),
    )
    def create_coupon(body: CouponIn, caller: Caller) -> ViewResult:
        """Make a coupon; its counts are 0, so nobody may use it yet."""
        _create(store, body, _brand(caller))
        return MessageOut("Coupon created successfully"), 200

    @contract.declare(
        "GET",
        "/coupon",
        tag=_TAG,
        scopes=("read",),
        answers={200: CouponsOut},
        error_format=OF_MESSAGES,
    )
    def list_coupons(query: PageQuery, caller: Caller) -> ViewResult:
        """List all coupons, oldest first; with `limit` or `cursor` a page, which can be shorter than asked for."""
        listed = partial(discounts.list_oldest, store, _brand(caller))
        if query.whole:
            return json_response(read_on(listed, _coupons_in), *_IN_MESSAGE)
        page = listed(limit=query.most, cursor=query.cursor)
        return page_response(_coupons_in(page), page.next, _IN_MESSAGE)

    @contract.declare(
        "PUT",
        "/coupon/{code}/expiry_date",
        tag=_TAG,
        scopes=("manage",),
        consumes=JSON_OR_FORM,
        answers={200: MessageOut},
        refusals=("not-found", "closed"),
        error_format=of_dates.with_slugs(closed=(400, _NOT_NOW["closed"])),
    )
    def change_end(code: str, body: EndIn, caller: Caller) -> ViewResult:
        """Set the last day of a coupon."""
        found = _find(store, code, caller)
        discounts.change(store, found.id, {"expires_at": _end_in(body.expiry_date, store.now())})
        return MessageOut("Coupon expiry date updated"), 200

    @contract.declare(
        "DELETE",
        "/coupon/{code}",
        tag=_TAG,
        scopes=("manage",),
        answers={200: MessageOut},
        refusals=("not-found",),
        error_format=OF_MESSAGES,
    )
    def remove_coupon(code: str, caller: Caller) -> ViewResult:
        """Remove a coupon: nobody uses it again. What was used stays written down."""
        discounts.close(store, _find(store, code, caller).id, void=True)
        return MessageOut("Coupon removed successfully"), 200

    @contract.declare(
        "PUT",
        "/coupon/{code}/repeat_count",
        tag=_TAG,
        scopes=("manage",),
        consumes=JSON_OR_FORM,
        answers={200: MessageOut},
        refusals=("not-found", "closed"),
        error_format=OF_MESSAGES.with_slugs(closed=(400, _NOT_NOW["closed"])),
    )
    def change_counts(code: str, body: CountsIn, caller: Caller) -> ViewResult:
        """Set how often a coupon may be used; what is raised opens at once."""
        found = _find(store, code, caller)
        limits = {limit: getattr(body, name) for name, limit in _COUNTS.items() if getattr(body, name) is not UNSET}
        if not limits:
            raise Invalid("", f"has none of {', '.join(_COUNTS)}")
        discounts.change(store, found.id, {"limits": limits})
        return MessageOut("Coupon repeat counts updated"), 200

    @contract.declare(
        "GET",
        "/coupon/{code}/repeat_count",
        tag=_TAG,
        scopes=("read",),
        answers={200: CountsOut},
        refusals=("not-found",),
        error_format=OF_MESSAGES,
    )
    def show_counts(code: str, caller: Caller) -> ViewResult:
        """Show how often a coupon may be used."""
        found = _find(store, code, caller)
        return CountsOut(coupon=found.codes.code, **_counts_of(found)), 200

    @contract.declare(
        "POST",
        "/coupon/apply",
        tag=_TAG,
        scopes=("redeem",),
        users=True,
        consumes=JSON_OR_FORM,
        answers={200: MessageOut},
        refusals=("not-found", *(word.replace("_", "-") for word in _NOT_NOW), "limit-reached", "already-redeemed"),
        error_format=OF_MESSAGES.with_slugs(
            **{word: (400, sentence) for word, sentence in _NOT_NOW.items()},
            **dict.fromkeys(("limit_reached", "already_redeemed"), (400, _reached)),
        ),
    )
    def apply_coupon(body: ApplyIn, caller: Caller, address: str) -> ViewResult:
        """Use a coupon once: a brand for one of its users, or a user for itself."""
        if body.user_id is None:
            raise Invalid("/user_id", "is missing")
        found = _find_of(store, body.brand_id or _brand(caller), body.coupon_code)
        user_id = str(body.user_id)
        _check_user(store, found.brand_id, user_id)
        # Each use is an order of its own, and nobody says of how much.
        order = Order(f"use-{secrets.token_hex(16)}", 0, NO_CURRENCY)
        attempt = Checkout(user_id, body.coupon_code, order, found.brand_id, found.id, address)
        _use(store, attempt)
        metrics.REDEMPTIONS.inc()
        return MessageOut("Successfully coupon applied."), 200

    @contract.declare(
        "GET",
        "/coupon/{code}/status",
        tag=_TAG,
        scopes=("read",),
        answers={200: MessageOut, 403: MessageOut},
        refusals=("not-found",),
        error_format=OF_MESSAGES.bare_for(MessageOut | str, "not-found"),
    )
    def show_status_of_coupon(code: str, caller: Caller) -> ViewResult:
        """Tell whether a coupon can be used."""
        found = _find(store, code, caller)
        if _left(found) == 0:
            return MessageOut(_ALL_USED), 403
        status = found.status(store.now())
        if status in _NOT_VALID:
            return MessageOut(_NOT_VALID[status]), 403
        return MessageOut("Valid coupon"), 200


def _add_users(contract: Contract, store: Store) -> None:
    @contract.declare(
        "POST",
        "/user",
        tag=_TAG,
        scopes=("manage",),
        consumes=JSON_OR_FORM,
        answers={200: MessageOut},
        refusals=("address-taken",),
        error_format=OF_MESSAGES.with_slugs(address_taken=(400, "User with the same email id exists")).bare_for(
            MessageOut | str, "address-taken"
        ),
    )
    def enrol_user(body: PersonIn, caller: Caller) -> ViewResult:
        """Give a user the next id, from 1."""
        check_address(body.email_id, "/email_id")
        contacts.enrol(store, _brand(caller), name=body.name, email=body.email_id)
        return MessageOut("User created successfully"), 200

    @contract.declare(
        "GET",
        "/user",
        tag=_TAG,
        scopes=("read",),
        answers={200: PersonsOut},
        error_format=OF_MESSAGES,
    )
    def list_users(query: PageQuery, caller: Caller) -> ViewResult:
        """List all users, in the order in which they came; with `limit` or `cursor` a page."""
        listed = partial(contacts.list_page, store, _brand(caller))
        if query.whole:
            return json_response(read_on(partial(listed, limit=1000), _persons_in), *_IN_MESSAGE)
        page = listed(limit=query.most, cursor=query.cursor)
        return page_response(_persons_in(page), page.next, _IN_MESSAGE)


_IN_MESSAGE = (b'{"message":[', b"]}")
_NOT_VALID = {**_NOT_NOW, "scheduled": _NOT_NOW["not_started"]}


def _brand(caller: Caller) -> str:
    return caller.brand_id or BRAND


def _create(store: Store, body: CouponIn, brand_id: str) -> None:
    if not code_sequence.canonical(body.code):
        raise Invalid("/code", "has nothing but blanks and dashes")
    _refuse_known(store, brand_id, body.code)
    expires_at = _end_in(body.expiry_date, store.now())
    if body.discount_percentage.is_finite() and body.discount_percentage < 0:
        raise Invalid("/discount_percentage", "is less than 0")
    percent = hundredths_in(body.discount_percentage, "/discount_percentage", 10_000)
    discounts.create(
        store,
        brand_id=brand_id,
        discount_code=body.code,
        total_count=None,
        kind=CodeKind("shared", code=body.code),
        rule=Rule(percent=percent or None),
        limits=dict.fromkeys(LIMITS, 0),
        expires_at=expires_at,
    )


def _refuse_known(store: Store, brand_id: str, code: str) -> None:
    """Refuse a code that the brand has, before anything else of a new coupon is looked at."""
    with suppress(NotFound):
        _find_of(store, brand_id, code)
        raise CodeTaken()


def _end_in(text: str, now: int) -> int | None:
    """When a coupon ends whose last day is given; None for never."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise Invalid("/expiry_date", "is not a date, as 2026-12-24 is") from None
    if day == _NEVER:
        return None
    expires_at = moment_in(datetime.combine(day, time.max, UTC), "/expiry_date")
    if expires_at is None or expires_at <= now:
        raise Invalid("/expiry_date", "is in the past")
    return expires_at


def _wrong(refused: Any) -> str:
    """The sentence of a field that cannot be accepted: the original's, where it had one."""
    wrong = refused.facts["errors"][0]
    return _WRONG.get((wrong.get("pointer"), wrong["detail"]), str(refused).removeprefix("/"))


def _find(store: Store, code: str, caller: Caller) -> Discount:
    return _find_of(store, _brand(caller), code)


def _find_of(store: Store, brand_id: str, code: str) -> Discount:
    """A coupon of a brand, unless it was removed."""
    with suppress(NotFound):
        found = discounts.show(store, discounts.id_of_shared(store, brand_id, code))[0]
        if found.closed != "void":
            return found
    raise NotFound("Coupon not found")


def _check_user(store: Store, brand_id: str, user_id: str) -> None:
    try:
        contacts.show(store, user_id, brand_id=brand_id)
    except NotFound:
        raise NotFound("User not found") from None


def _use(store: Store, attempt: Checkout) -> None:
    try:
        redemptions.redeem(store, attempt)
    except (LimitReached, AlreadyRedeemed) as refused:
        # The first that stands in the way is told natively; here, the one that the user is nearest to.
        reasons = [refused, *redemptions.validate(store, attempt).reasons]
        reached = {each.facts["limit"]: each for each in reasons if "limit" in each.facts}
        raise next(reached[limit] for limit in _REACHED if limit in reached) from None


def _reached(refused: Any) -> str:
    limit: LimitName = refused.facts["limit"]
    return _REACHED[limit]


def _counts_of(discount: Discount) -> dict[str, int | None]:
    return {name: discount.limits.get(limit) for name, limit in _COUNTS.items()}


def _left(discount: Discount) -> int | None:
    most = discount.limits.get("total")
    return None if most is None else max(0, most - discount.redeemed_count - discount.on_hold_count)


def _coupons_in(page: discounts.Page) -> Iterable[CouponOut]:
    for number, each in enumerate(page.discounts, page.first):
        if each.codes.kind == "shared" and each.closed != "void":
            yield _coupon_out(number, each)


def _coupon_out(number: int, discount: Discount) -> CouponOut:
    day = _NEVER if discount.expires_at is None else model.to_time(discount.expires_at).date()
    return CouponOut(
        id=number,
        code=discount.codes.code,
        discount_percentage=float(percent_out(discount)),
        expiry_date=format_datetime(datetime.combine(day, time.min, UTC), usegmt=True),
        **_counts_of(discount),
        coupons_left=_left(discount),
    )


def _persons_in(page: contacts.Page) -> Iterable[PersonOut]:
    for each in page.contacts:
        yield PersonOut(int(each.user_id) if _is_number(each.user_id) else each.user_id, each.name, each.email)


def _is_number(user_id: str) -> bool:
    return user_id.isascii() and user_id.isdecimal() and len(user_id) < 16
