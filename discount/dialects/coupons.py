"""The dialect of coupons with repeat counts: one code for everyone, used as often as its four counts allow.

It serves clients of an earlier coupon service; doc/dialects.md lists its calls.
"""

import secrets
from functools import partial

from discount import metrics
from discount.api.contract import Contract, ViewResult
from discount.api.inputs import JSON_OR_FORM
from discount.dialects.adapters import coupons
from discount.dialects.adapters.coupons import ALL_USED, NOT_NOW, NOT_VALID, brand_of
from discount.dialects.error_formats import OF_MESSAGES, MessageOut
from discount.dialects.pages import PageQuery, list_response
from discount.dialects.schemas.coupons import (
    ApplyIn,
    CountsIn,
    CountsOut,
    CouponIn,
    CouponsOut,
    EndIn,
    PersonIn,
    PersonsOut,
)
from discount.domain.errors import Invalid
from discount.domain.model import Author, Caller
from discount.domain.rules import NO_CURRENCY, Order
from discount.mails import check_address
from discount.services import contacts, discount_changes, discount_lists
from discount.services.checkouts import Checkout
from discount.store.connection import Store

_TAG = "dialect: coupons"
_IN_MESSAGE = (b'{"message":[', b"]}")


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of coupons and of their users."""
    _add_users(contract, store)
    of_dates = OF_MESSAGES.with_slugs(invalid=(400, coupons.invalid_sentence))

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
    def create_coupon(body: CouponIn, caller: Caller, author: Author) -> ViewResult:
        """Create a coupon. Its counts are 0, so it cannot be used yet."""
        coupons.create(store, body, brand_of(caller), author)
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
        """List all coupons, oldest first; with `limit` or `cursor` one page, which may be shorter than `limit`."""
        list_page = partial(discount_lists.list_oldest, store, brand_of(caller))
        return list_response(query, list_page, coupons.coupons_in, _IN_MESSAGE)

    @contract.declare(
        "PUT",
        "/coupon/{code}/expiry_date",
        tag=_TAG,
        scopes=("manage",),
        consumes=JSON_OR_FORM,
        answers={200: MessageOut},
        refusals=("not-found", "closed"),
        error_format=of_dates.with_slugs(closed=(400, NOT_NOW["closed"])),
    )
    def change_end(code: str, body: EndIn, caller: Caller, author: Author) -> ViewResult:
        """Set the last day of a coupon."""
        coupon = coupons.find(store, brand_of(caller), code)
        expires_at = coupons.end_in(body.expiry_date, store.now())
        discount_changes.change(store, coupon.id, {"expires_at": expires_at}, author=author)
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
    def remove_coupon(code: str, caller: Caller, author: Author) -> ViewResult:
        """Remove a coupon for good. Its past uses stay on record."""
        discount_changes.close(store, coupons.find(store, brand_of(caller), code).id, void=True, author=author)
        return MessageOut("Coupon removed successfully"), 200

    @contract.declare(
        "PUT",
        "/coupon/{code}/repeat_count",
        tag=_TAG,
        scopes=("manage",),
        consumes=JSON_OR_FORM,
        answers={200: MessageOut},
        refusals=("not-found", "closed"),
        error_format=OF_MESSAGES.with_slugs(closed=(400, NOT_NOW["closed"])),
    )
    def change_counts(code: str, body: CountsIn, caller: Caller, author: Author) -> ViewResult:
        """Set how often a coupon may be used, effective at once."""
        coupon = coupons.find(store, brand_of(caller), code)
        discount_changes.change(store, coupon.id, {"limits": coupons.limits_in(body)}, author=author)
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
        coupon = coupons.find(store, brand_of(caller), code)
        return CountsOut(coupon=coupon.codes.code, **coupons.counts_of(coupon)), 200

    @contract.declare(
        "POST",
        "/coupon/apply",
        tag=_TAG,
        scopes=("redeem",),
        users=True,
        consumes=JSON_OR_FORM,
        answers={200: MessageOut},
        refusals=("not-found", *(name.replace("_", "-") for name in NOT_NOW), "limit-reached", "already-redeemed"),
        error_format=OF_MESSAGES.with_slugs(
            **{name: (400, sentence) for name, sentence in NOT_NOW.items()},
            **dict.fromkeys(("limit_reached", "already_redeemed"), (400, coupons.limit_sentence)),
        ),
    )
    def apply_coupon(body: ApplyIn, caller: Caller, address: str) -> ViewResult:
        """Use a coupon once: a brand for one of its users, or a user for themselves."""
        if body.user_id is None:
            raise Invalid("/user_id", "is missing")
        coupon = coupons.find(store, body.brand_id or brand_of(caller), body.coupon_code)
        user_id = str(body.user_id)
        coupons.check_user(store, coupon.brand_id, user_id)
        # The original names neither an order nor an amount: each use becomes a new order of 0.
        order = Order(f"use-{secrets.token_hex(16)}", 0, NO_CURRENCY)
        coupons.use(store, Checkout(user_id, body.coupon_code, order, coupon.brand_id, coupon.id, address))
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
        """Show whether a coupon can be used."""
        coupon = coupons.find(store, brand_of(caller), code)
        if coupons.uses_left(coupon) == 0:
            return MessageOut(ALL_USED), 403
        status = coupon.status(store.now())
        if status in NOT_VALID:
            return MessageOut(NOT_VALID[status]), 403
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
        """Create a user with the next free number as id, starting at 1."""
        check_address(body.email_id, "/email_id")
        contacts.enrol(store, brand_of(caller), name=body.name, email=body.email_id)
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
        """List all users in order of creation; with `limit` or `cursor` one page."""
        list_page = partial(contacts.list_page, store, brand_of(caller))
        return list_response(query, list_page, lambda page: map(coupons.user_out, page.items), _IN_MESSAGE)
