"""Coupons as discounts with a shared code, and the original's sentences for refusals."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from typing import Any

from msgspec import UNSET

from discount.api.schemas.common import moment_in
from discount.dialects.numbers import hundredths_in, percent_out
from discount.dialects.schemas.coupons import CountsIn, CouponIn, CouponOut, PersonOut
from discount.domain import code_sequence, model
from discount.domain.code_kinds import CodeKind
from discount.domain.errors import AlreadyRedeemed, CodeTaken, Invalid, LimitReached, NotFound
from discount.domain.model import Author, Caller, Discount
from discount.domain.rules import LIMITS, LimitName, Rule
from discount.services import contacts, discounts, redemptions
from discount.services.checkouts import Checkout
from discount.services.contacts import Contact
from discount.services.discount_lists import DiscountPage
from discount.store.connection import Store

#: The brand that owns all coupons while the service is open, because callers are not identified then.
BRAND = "coupons"
ALL_USED = "Coupon exists, but global count is zero."
NOT_NOW = {
    "expired": "Coupon expired.",
    "paused": "Coupon is paused.",
    "closed": "Coupon is closed.",
    "not_started": "Coupon is not valid yet.",
}
#: The statuses of a discount in which a coupon is not valid.
NOT_VALID = {**NOT_NOW, "scheduled": NOT_NOW["not_started"]}
_COUNTS: dict[str, LimitName] = {
    "global_total_repeat_count": "total",
    "user_total_repeat_count": "per_user",
    "user_daily_repeat_count": "per_user_per_day",
    "user_weekly_repeat_count": "per_user_per_week",
}
# If several limits are reached, the first of these is reported.
_REACHED: dict[LimitName, str] = {
    "per_user": "User total redemption count reached.",
    "per_user_per_week": "User weekly redemption count reached.",
    "per_user_per_day": "User daily redemption count reached.",
    "total": ALL_USED,
}
# The original's sentences for an invalid field, by our own.
_INVALID = {
    ("/expiry_date", "is in the past"): "Expiry date cannot be less than today",
    ("/discount_percentage", "is less than 0"): "Discount Percentage cannot be less than 0",
}
#: The last day of a coupon that never ends.
_NEVER = date(9999, 12, 31)


def brand_of(caller: Caller) -> str:
    """Return the brand that a caller's coupons belong to."""
    return caller.brand_id or BRAND


def create(store: Store, body: CouponIn, brand_id: str, author: Author) -> None:
    """Create a coupon with all counts at 0.

    Raises:
        Invalid, CodeTaken, BrandClosed, QuotaReached
    """
    if not code_sequence.canonical(body.code):
        raise Invalid("/code", "must contain more than spaces and dashes")
    # A known code is refused before the other fields are checked.
    with suppress(NotFound):
        find(store, brand_id, body.code)
        raise CodeTaken()
    expires_at = end_in(body.expiry_date, store.now())
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
        author=author,
    )


def find(store: Store, brand_id: str, code: str) -> Discount:
    """Return a brand's coupon.

    Raises:
        NotFound: The brand has no such coupon, or has removed it.
    """
    with suppress(NotFound):
        discount = discounts.show(store, discounts.id_of_shared(store, brand_id, code))[0]
        if discount.closed != "void":
            return discount
    raise NotFound("Coupon not found")


def check_user(store: Store, brand_id: str, user_id: str) -> None:
    """Refuse a user whom the brand does not know.

    Raises:
        NotFound
    """
    try:
        contacts.show(store, user_id, brand_id=brand_id)
    except NotFound:
        raise NotFound("User not found") from None


def use(store: Store, checkout: Checkout) -> None:
    """Redeem a coupon once.

    Raises:
        LimitReached, AlreadyRedeemed: If several limits are reached, the first in the order of `_REACHED`.
        Expired, Paused, Closed, NotStarted
    """
    try:
        redemptions.redeem(store, checkout)
    except (LimitReached, AlreadyRedeemed) as refused:
        # `redeem` reports the first limit that its script meets; `validate` reports all of them.
        reasons = [refused, *redemptions.validate(store, checkout).reasons]
        reached = {reason.facts["limit"]: reason for reason in reasons if "limit" in reason.facts}
        raise next(reached[limit] for limit in _REACHED if limit in reached) from None


def end_in(text: str, now: int) -> int | None:
    """Return the last microsecond of a coupon's last day; None for a coupon that never ends.

    Raises:
        Invalid: The text is not a date, or the day is past or after 2286-11-20.
    """
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise Invalid("/expiry_date", "is not a date, such as 2026-12-24") from None
    if day == _NEVER:
        return None
    expires_at = moment_in(datetime.combine(day, time.max, UTC), "/expiry_date")
    if expires_at is None or expires_at <= now:
        raise Invalid("/expiry_date", "is in the past")
    return expires_at


def limits_in(body: CountsIn) -> dict[LimitName, int]:
    """Return the limits that a request sets.

    Raises:
        Invalid: It sets none.
    """
    counts = {name: getattr(body, name) for name in _COUNTS}
    limits = {_COUNTS[name]: count for name, count in counts.items() if count is not UNSET}
    if not limits:
        raise Invalid("", f"has none of {', '.join(_COUNTS)}; at least one is needed")
    return limits


def counts_of(discount: Discount) -> dict[str, int | None]:
    """Return a coupon's counts by their names in this dialect."""
    return {name: discount.limits.get(limit) for name, limit in _COUNTS.items()}


def uses_left(discount: Discount) -> int | None:
    """Return how many more uses a coupon has in all; None if they are unlimited."""
    total = discount.limits.get("total")
    return None if total is None else max(0, total - discount.redeemed_count - discount.on_hold_count)


def coupons_in(page: DiscountPage) -> Iterable[CouponOut]:
    """Yield the coupons on a page of discounts, without removed ones."""
    for number, discount in enumerate(page.items, page.first):
        if discount.codes.kind == "shared" and discount.closed != "void":
            yield _coupon_out(number, discount)


def user_out(contact: Contact) -> PersonOut:
    """Return a contact as the dialect shows a user."""
    user_id = int(contact.user_id) if _is_number(contact.user_id) else contact.user_id
    return PersonOut(user_id, contact.name, contact.email)


def invalid_sentence(refused: Any) -> str:
    """Return the sentence for an invalid field: the original's, if it had one."""
    error = refused.facts["errors"][0]
    return _INVALID.get((error.get("pointer"), error["detail"]), str(refused).removeprefix("/"))


def limit_sentence(refused: Any) -> str:
    """Return the original's sentence for a limit that is reached."""
    limit: LimitName = refused.facts["limit"]
    # The original has no other limits.
    return _REACHED.get(limit, ALL_USED)


def _coupon_out(number: int, discount: Discount) -> CouponOut:
    day = _NEVER if discount.expires_at is None else model.to_time(discount.expires_at).date()
    return CouponOut(
        id=number,
        code=discount.codes.code,
        discount_percentage=float(percent_out(discount)),
        expiry_date=format_datetime(datetime.combine(day, time.min, UTC), usegmt=True),
        **counts_of(discount),
        coupons_left=uses_left(discount),
    )


def _is_number(user_id: str) -> bool:
    return user_id.isascii() and user_id.isdecimal() and len(user_id) < 16
