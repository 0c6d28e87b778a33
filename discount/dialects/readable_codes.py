"""The dialect of readable codes: a brand makes a code that all may use, each user once, and every use is written down.

A code is its own address, so among all brands there is one of a name.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from discount import metrics
from discount.api.contract import Contract, ViewResult
from discount.api.schemas.common import (
    ID_PATTERN,
    BrandId,
    Moment,
    Shape,
    UserId,
    moment_in,
)
from discount.api.streaming import json_response
from discount.dialects.error_formats import OF_DETAILS
from discount.dialects.numbers import hundredths_in, percent_out
from discount.dialects.pages import PageQuery, page_response
from discount.domain import code_sequence, model
from discount.domain.code_kinds import CodeKind
from discount.domain.cursors import make_cursor
from discount.domain.errors import Forbidden, Invalid, NotFound
from discount.domain.model import (
    Caller,
    Discount,
    Grant,
    Redemption,
)
from discount.domain.rules import (
    MAX_AMOUNT,
    NO_CURRENCY,
    Order,
    Rule,
)
from discount.services import (
    contacts,
    discounts,
    exclusive_codes,
    grants,
    redemptions,
)
from discount.services.pagination import read_on
from discount.services.redemptions import Checkout
from discount.store.connection import Store

#: Users that are told of a new code: as many as may be granted it within the call that makes it.
TOLD = 1000
_TAG = "dialect: readable codes"
_AT_ONCE = 500
_DIGEST = re.compile("[0-9a-f]{64}")
_NOT_NOW = ("expired", "not-started", "paused", "closed", "limit-reached", "already-redeemed")
CodeId = Annotated[str, Meta(min_length=1, max_length=64, pattern=ID_PATTERN, examples=["AHMED2022BILLO"])]


class PercentIn(msgspec.Struct):
    """What comes off, in percent."""

    discount: Decimal


class ReadableCodeIn(msgspec.Struct, kw_only=True):
    """A code to make: what comes off is `discount` in percent, or stands in `rule`."""

    id: CodeId
    discount: Decimal | None = None
    rule: PercentIn | None = None
    validity: Moment
    brand_id: BrandId | None = msgspec.field(name="brand", default=None)


class PercentOut(Shape):
    """What comes off, in percent."""

    id: str
    brand: str
    discount: int | float


class ReadableCodeOut(Shape):
    """A code, what it takes off, and until when."""

    id: str
    rule: PercentOut
    validity: datetime | None


class UsageIn(msgspec.Struct, kw_only=True):
    """A user uses a code; `amount` is what is being paid for."""

    discount_code: Annotated[str, Meta(min_length=1, max_length=200)]
    user_id: UserId | None = msgspec.field(name="user", default=None)
    amount: Decimal | None = None


class UsageOut(Shape, omit_defaults=True):
    """A use of a code; with what was left to pay, where an amount was given."""

    id: str
    discount_code: str
    user: str
    time: Moment
    amount: str = ""
    reduced_amount: str = ""


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of readable codes."""

    @contract.declare(
        "POST",
        "/api/v1/discountcode/",
        tag=_TAG,
        # It hands the code out, too.
        scopes=("manage", "grant"),
        every_scope=True,
        answers={201: ReadableCodeOut},
        refusals=("code-taken", "brand-closed", "forbidden", "quota-reached"),
        error_format=OF_DETAILS,
    )
    def create_readable_code(body: ReadableCodeIn) -> ViewResult:
        """Make a code that every user may use once."""
        if body.brand_id is None:
            raise Invalid("/brand", "is missing")
        created = _create(store, body, body.brand_id)
        _tell_users(store, created)
        return _code_out(created), 201

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
        """List the caller's codes: a brand's newest first, a user's as it was granted them."""
        if caller.user_id is None:
            listed = partial(discounts.list_page, store, brand_id=caller.brand_id)
            return _listed(query, listed, lambda page: _claimed(store, page.discounts))
        held = partial(grants.list_of_user, store, caller.user_id)
        return _listed(query, held, lambda page: _granted(store, page.grants))

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
        """Show a code, by itself or by its SHA-256: of its lower-case letters without blanks and dashes, as hex."""
        return _code_out(_find(store, code, caller)), 200

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
        """Write down that a user uses a code, once."""
        if body.user_id is None:
            raise Invalid("/user", "is missing")
        amount = hundredths_in(body.amount, "/amount", MAX_AMOUNT) if body.amount is not None else None
        found = _find(store, body.discount_code, caller)
        # An order of its own: the limit of one use refuses what the same user asks again.
        order = Order(f"use-{secrets.token_hex(16)}", amount or 0, NO_CURRENCY)
        attempt = Checkout(body.user_id, body.discount_code, order, found.brand_id, found.id, address)
        done = redemptions.redeem(store, attempt)
        metrics.REDEMPTIONS.inc()
        return _usage_out(done, with_amount=amount is not None), 201

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
        """List the uses of the caller's codes, or a user's own."""
        if query.whole:
            return json_response(map(_usage_out, _uses_of(store, caller)))
        uses, following = _page_of_uses(store, caller, query)
        return page_response(map(_usage_out, uses), following)

    def show_use_of_readable_code(redemption_id: str) -> ViewResult:
        """Show a use of the caller's codes, or a user's own."""
        use = redemptions.show(store, redemption_id)
        if use.state != "redeemed" or exclusive_codes.find(store, [use.code])[0] != use.brand_id:
            raise NotFound("There is no such use.")
        return _usage_out(use), 200

    def show_use_by_its_older_address(redemption_id: str) -> ViewResult:
        """Show a use, as at the address with a version."""
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


def _create(store: Store, body: ReadableCodeIn, brand_id: str) -> Discount:
    percent = _percent(body)
    expires_at = moment_in(body.validity, "/validity")
    if not code_sequence.canonical(body.id):
        raise Invalid("/id", "has nothing but blanks and dashes")
    # Before the claim, which would stay.
    if expires_at is None or expires_at <= store.now():
        raise Invalid("/validity", "is not in the future")
    if not exclusive_codes.claim(store, body.id, brand_id):
        raise Forbidden("Another brand has this code.")
    created, _ = discounts.create(
        store,
        brand_id=brand_id,
        discount_code=body.id,
        total_count=None,
        kind=CodeKind("shared", code=body.id),
        # A rule that takes nothing off is none.
        rule=Rule(percent=percent or None),
        expires_at=expires_at,
    )
    return created


def _tell_users(store: Store, created: Discount) -> None:
    """Grant a new code to the users whose addresses the brand knows: of a grant they are told."""
    page = contacts.list_page(store, created.brand_id, limit=TOLD)
    grants.grant_many(store, created.id, [each.user_id for each in page.contacts if each.email])


def _find(store: Store, code: str, caller: Caller) -> Discount:
    """The discount of a code that a brand has claimed.

    Raises:
        NotFound: there is none, or it is another brand's than the caller.
    """
    brand_id = exclusive_codes.find(store, [code])[0]
    if brand_id is None and _DIGEST.fullmatch(code):
        brand_id, code = exclusive_codes.find_by_digest(store, code) or (None, code)
    if brand_id is None or caller.brand_id not in (None, brand_id):
        raise NotFound("There is no such code.")
    return discounts.show(store, discounts.id_of_shared(store, brand_id, code))[0]


def _listed(query: PageQuery, listed: Callable[..., Any], codes_in: Callable[..., list[Discount]]) -> ViewResult:
    """A list of codes, whole or a page of it; what is on a page but no readable code is left out."""
    if query.whole:
        return json_response(map(_code_out, read_on(partial(listed, limit=_AT_ONCE), codes_in)))
    page = listed(limit=query.most, cursor=query.cursor)
    return page_response(map(_code_out, codes_in(page)), page.next)


def _claimed(store: Store, several: Sequence[Discount]) -> list[Discount]:
    """Those of some discounts whose code is a readable one."""
    shared = [each for each in several if each.codes.kind == "shared"]
    owners = exclusive_codes.find(store, [each.codes.code for each in shared])
    return [each for each, owner in zip(shared, owners, strict=True) if owner == each.brand_id]


def _granted(store: Store, several: Sequence[Grant]) -> list[Discount]:
    """The readable codes among what a user was granted."""
    owners = exclusive_codes.find(store, [each.code for each in several])
    owned = [each for each, owner in zip(several, owners, strict=True) if owner is not None]
    return _claimed(store, [discounts.show(store, each.discount_id)[0] for each in owned])


def _uses_of(store: Store, caller: Caller) -> Iterator[Redemption]:
    """The standing uses of the caller's codes; of a user, its own uses of anybody's."""
    if caller.user_id is None:
        listed = partial(discounts.list_page, store, brand_id=caller.brand_id, limit=_AT_ONCE)
        for each in read_on(listed, lambda page: _claimed(store, page.discounts)):
            yield from redemptions.list_all(store, each.id, state="redeemed")
        return
    mine = redemptions.list_all_of_user(store, caller.user_id, state="redeemed")
    while some := list(islice(mine, _AT_ONCE)):
        yield from _of_readable(store, some)


def _of_readable(store: Store, several: Sequence[Redemption]) -> Iterator[Redemption]:
    """Those of some uses that are of readable codes."""
    owners = exclusive_codes.find(store, [each.code for each in several])
    return (each for each, owner in zip(several, owners, strict=True) if owner == each.brand_id)


def _page_of_uses(store: Store, caller: Caller, query: PageQuery) -> tuple[list[Redemption], str | None]:
    """Some of these uses, and a cursor: a place among the codes, and one among the uses of the next code."""
    if caller.user_id is not None:
        mine = redemptions.list_of_user(store, caller.user_id, state="redeemed", limit=query.most, cursor=query.cursor)
        return list(_of_readable(store, mine.redemptions)), mine.next
    place, _, within = (query.cursor or "").partition(".")
    found: list[Redemption] = []
    page = discounts.list_page(store, brand_id=caller.brand_id, limit=query.most, cursor=place or None)
    for each in _claimed(store, page.discounts):
        left = query.most - len(found)
        if not left:
            return found, f"{place}."
        uses = redemptions.list_of_discount(store, each.id, state="redeemed", limit=left, cursor=within or None)
        found += uses.redemptions
        if uses.next is not None:
            return found, f"{place}.{uses.next}"
        place, within = make_cursor(each.created_at, each.id), ""
    return found, page.next and f"{page.next}."


def _percent(body: ReadableCodeIn) -> int:
    of_rule = None if body.rule is None else body.rule.discount
    given = of_rule if body.discount is None else body.discount
    if given is None:
        raise Invalid("/discount", "is missing")
    if of_rule not in (None, given):
        raise Invalid("/discount", "is not what the rule says")
    return hundredths_in(given, "/discount", 10_000)


def _decimal(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02}"


def _code_out(discount: Discount) -> ReadableCodeOut:
    until = None if discount.expires_at is None else model.to_time(discount.expires_at)
    return ReadableCodeOut(
        discount.codes.code, PercentOut(discount.id, discount.brand_id, percent_out(discount)), until
    )


def _usage_out(use: Redemption, *, with_amount: bool = False) -> UsageOut:
    told = UsageOut(use.id, use.code, use.user_id, model.to_time(use.redeemed_at))
    if with_amount or use.order.amount:
        told.amount = _decimal(use.order.amount)
        told.reduced_amount = _decimal(use.order.amount - use.discount_amount)
    return told
