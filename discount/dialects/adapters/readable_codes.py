"""Readable codes as discounts with a shared, exclusive code, and their uses as redemptions."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from discount.api.contract import ViewResult
from discount.api.schemas.common import moment_in
from discount.api.streaming import json_response
from discount.dialects.numbers import hundredths_in, percent_out
from discount.dialects.pages import BATCH, PageQuery, list_response, page_response
from discount.dialects.schemas.readable_codes import PercentOut, ReadableCodeIn, ReadableCodeOut, UsageOut
from discount.domain import code_sequence, model
from discount.domain.code_kinds import CodeKind
from discount.domain.cursors import make_cursor
from discount.domain.errors import Forbidden, Invalid, NotFound
from discount.domain.model import Author, Caller, Discount, Grant, Redemption
from discount.domain.rules import Rule
from discount.services import (
    contacts,
    discount_lists,
    discounts,
    exclusive_codes,
    grants,
    redemption_lists,
    redemptions,
    user_grants,
)
from discount.services.pagination import read_pages
from discount.store.connection import Store

#: The most users who are granted a new code within the call that creates it.
MAX_GRANTED = 1000
_DIGEST = re.compile("[0-9a-f]{64}")


def create(store: Store, body: ReadableCodeIn, brand_id: str, author: Author) -> Discount:
    """Claim a code for a brand and create its discount.

    Raises:
        Invalid
        Forbidden: Another brand has the code.
        CodeTaken, BrandClosed, QuotaReached
    """
    percent = _percent_in(body)
    expires_at = moment_in(body.validity, "/validity")
    if not code_sequence.canonical(body.id):
        raise Invalid("/id", "must contain more than spaces and dashes")
    # Checked before the claim, which is never undone.
    if expires_at is None or expires_at <= store.now():
        raise Invalid("/validity", "must be in the future")
    if not exclusive_codes.claim(store, body.id, brand_id):
        raise Forbidden("Another brand has this code.")
    discount, _ = discounts.create(
        store,
        brand_id=brand_id,
        discount_code=body.id,
        total_count=None,
        kind=CodeKind("shared", code=body.id),
        # A discount of 0 percent has no rule.
        rule=Rule(percent=percent or None),
        expires_at=expires_at,
        author=author,
    )
    return discount


def grant_to_contacts(store: Store, discount: Discount) -> None:
    """Grant a new code to users whose e-mail address the brand knows. Each grant sends its user an e-mail."""
    page = contacts.list_page(store, discount.brand_id, limit=MAX_GRANTED)
    grants.grant_many(store, discount.id, [contact.user_id for contact in page.items if contact.email])


def find(store: Store, code: str, caller: Caller) -> Discount:
    """Return the discount of a readable code, which may be given as its SHA-256 digest.

    Raises:
        NotFound: No brand has claimed the code, or another brand than the caller has.
    """
    brand_id = exclusive_codes.find(store, [code])[0]
    if brand_id is None and _DIGEST.fullmatch(code):
        brand_id, code = exclusive_codes.find_by_digest(store, code) or (None, code)
    if brand_id is None or caller.brand_id not in (None, brand_id):
        raise NotFound("There is no such code.")
    return discounts.show(store, discounts.id_of_shared(store, brand_id, code))[0]


def list_codes(store: Store, query: PageQuery, caller: Caller) -> ViewResult:
    """Return the caller's codes: a brand's newest first, a user's oldest grant first within each brand."""
    if caller.user_id is None:
        of_brand = partial(discount_lists.list_page, store, brand_id=caller.brand_id)
        return list_response(query, of_brand, lambda page: map(code_out, _readable_discounts(store, page.items)))
    of_user = partial(user_grants.list_of_user, store, caller.user_id)
    return list_response(query, of_user, lambda page: map(code_out, _granted_discounts(store, page.items)))


def list_uses(store: Store, query: PageQuery, caller: Caller) -> ViewResult:
    """Return the uses of a brand's readable codes; for a user, their own uses of any readable code."""
    if query.whole:
        return json_response(map(usage_out, _all_uses(store, caller)))
    uses, next_cursor = _page_of_uses(store, caller, query)
    return page_response(map(usage_out, uses), next_cursor)


def show_use(store: Store, redemption_id: str) -> Redemption:
    """Return a use of a readable code.

    Raises:
        NotFound: There is no such redemption, it does not count any more, or its code is not a readable one.
    """
    use = redemptions.show(store, redemption_id)
    if use.state != "redeemed" or not list(_readable_uses(store, [use])):
        raise NotFound("There is no such use.")
    return use


def code_out(discount: Discount) -> ReadableCodeOut:
    """Return a code in its shape."""
    until = None if discount.expires_at is None else model.to_time(discount.expires_at)
    percent = PercentOut(discount.id, discount.brand_id, percent_out(discount))
    return ReadableCodeOut(discount.codes.code, percent, until)


def usage_out(use: Redemption, *, with_amount: bool = False) -> UsageOut:
    """Return a use in its shape, with an amount of 0 only if `with_amount` is set."""
    usage = UsageOut(use.id, use.code, use.user_id, model.to_time(use.redeemed_at))
    if with_amount or use.order.amount:
        usage.amount = _decimal_out(use.order.amount)
        usage.reduced_amount = _decimal_out(use.order.amount - use.discount_amount)
    return usage


def _readable_discounts(store: Store, candidates: Sequence[Discount]) -> list[Discount]:
    """Return the discounts whose code is a readable one of their brand."""
    shared = [discount for discount in candidates if discount.codes.kind == "shared"]
    owners = exclusive_codes.find(store, [discount.codes.code for discount in shared])
    return [discount for discount, owner in zip(shared, owners, strict=True) if owner == discount.brand_id]


def _granted_discounts(store: Store, held: Sequence[Grant]) -> list[Discount]:
    """Return the discounts of the readable codes among some grants."""
    owners = exclusive_codes.find(store, [grant.code for grant in held])
    claimed = [grant for grant, owner in zip(held, owners, strict=True) if owner is not None]
    return _readable_discounts(store, [discounts.show(store, grant.discount_id)[0] for grant in claimed])


def _all_uses(store: Store, caller: Caller) -> Iterator[Redemption]:
    if caller.user_id is None:
        list_page = partial(discount_lists.list_page, store, brand_id=caller.brand_id, limit=BATCH)
        for page in read_pages(list_page):
            for discount in _readable_discounts(store, page.items):
                yield from redemption_lists.list_all(store, discount.id, state="redeemed")
        return
    of_user = redemption_lists.list_all_of_user(store, caller.user_id, state="redeemed")
    while batch := list(islice(of_user, BATCH)):
        yield from _readable_uses(store, batch)


def _readable_uses(store: Store, uses: Sequence[Redemption]) -> Iterator[Redemption]:
    """Yield the uses of readable codes."""
    owners = exclusive_codes.find(store, [use.code for use in uses])
    return (use for use, owner in zip(uses, owners, strict=True) if owner == use.brand_id)


def _page_of_uses(store: Store, caller: Caller, query: PageQuery) -> tuple[list[Redemption], str | None]:
    """Return one page of uses and the cursor of the next.

    A brand's cursor has two parts: the cursor of the last finished code, and the one in the next code's uses.
    """
    if caller.user_id is not None:
        of_user = redemption_lists.list_of_user(
            store, caller.user_id, state="redeemed", limit=query.page_size, cursor=query.cursor
        )
        return list(_readable_uses(store, of_user.items)), of_user.next
    code_cursor, _, use_cursor = (query.cursor or "").partition(".")
    uses: list[Redemption] = []
    page = discount_lists.list_page(store, brand_id=caller.brand_id, limit=query.page_size, cursor=code_cursor or None)
    for discount in _readable_discounts(store, page.items):
        left = query.page_size - len(uses)
        if not left:
            return uses, f"{code_cursor}."
        of_code = redemption_lists.list_of_discount(
            store, discount.id, state="redeemed", limit=left, cursor=use_cursor or None
        )
        uses += of_code.items
        if of_code.next is not None:
            return uses, f"{code_cursor}.{of_code.next}"
        code_cursor, use_cursor = make_cursor(discount.created_at, discount.id), ""
    return uses, page.next and f"{page.next}."


def _percent_in(body: ReadableCodeIn) -> int:
    """Return the percentage of a request in hundredths."""
    of_rule = None if body.rule is None else body.rule.discount
    percent = of_rule if body.discount is None else body.discount
    if percent is None:
        raise Invalid("/discount", "is missing")
    if of_rule not in (None, percent):
        raise Invalid("/discount", "must be the same as in the rule")
    return hundredths_in(percent, "/discount", 10_000)


def _decimal_out(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02}"
