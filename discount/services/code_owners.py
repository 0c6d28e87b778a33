"""The service of codes that nobody holds: find the discounts of a brand that have a code."""

from discount.domain import code_kinds
from discount.domain.code_sequence import Sequence, canonical
from discount.domain.model import Discount
from discount.services import discount_lists, discounts
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command


def discounts_with(store: Store, brand_id: str, code: str) -> list[Discount]:
    """Return the discounts of a brand that have a code, in any spelling: granted, in the pool, or yet to be made.

    The brand's newest `discounts.LOOKED_AT` are looked at. A personal code is made with its grant, so it is not found.
    """
    page = discount_lists.list_page(store, brand_id=brand_id, limit=discount_lists.LOOKED_AT)
    asked = [each for each in page.items if each.codes.kind in ("unique", "imported")]
    replies = iter(store.commands([_question(store, each, code) for each in asked]))
    found = []
    for each in page.items:
        if each.codes.kind == "shared":
            has_code = canonical(each.codes.code) == canonical(code)
        elif each.codes.kind == "unique":
            counter = Sequence(next(replies), each.codes.pattern, each.codes.alphabet).counter(code)
            has_code = counter is not None and counter < (each.total_count or 0)
        else:
            has_code = each.codes.kind == "imported" and bool(next(replies))
        if has_code:
            found.append(each)
    return found


def _question(store: Store, discount: Discount, code: str) -> Command:
    """Return the command that asks for the key of a discount's codes, or whether an imported code is one of them."""
    if discount.codes.kind == "unique":
        return "HGET", keys.discount(discount.partition, discount.id), "key"
    digest = code_kinds.digest(code)
    bucket = digest % discounts.parse_id(store, discount.id).buckets
    return "SISMEMBER", keys.taken(discount.partition, discount.id, bucket), str(digest)
