"""Lists of discounts: a page, newest or oldest first, or all."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from discount.domain import ids
from discount.domain.metadata import NO_METADATA, Metadata, has
from discount.domain.model import Discount
from discount.services.discount_records import read_discounts
from discount.services.discounts import read
from discount.services.pagination import Page, by_id, list_newest, oldest_rows, read_all, read_row_cursor, zsets_of
from discount.store import keys
from discount.store.connection import Store, moment_of

#: Discounts that one page may examine when it filters by status; the page can be shorter than its limit.
LOOKED_AT = 1000


@dataclass(frozen=True, slots=True)
class DiscountPage(Page[Discount]):
    """A page of discounts, and the time by which their status is judged.

    `first` is the number, from 1, of the first item in a list that is read from its oldest entry on.
    """

    now: int = 0
    first: int = 1


def list_page(
    store: Store,
    *,
    brand_id: str | None = None,
    status: str | None = None,
    name: str = "",
    metadata: Metadata = NO_METADATA,
    limit: int = 100,
    cursor: str | None = None,
) -> DiscountPage:
    """Return a page of all discounts, or of a brand's, newest first. With a filter it can be shorter than `limit`.

    Args:
        name: a part of the name, in any case.

    Raises:
        Invalid: this service did not make the cursor.
    """
    partitions = keys.partitions_of(brand_id, store.partitions)
    zsets = [keys.discounts(each) if brand_id is None else keys.brand_discounts(each, brand_id) for each in partitions]
    now = 0

    def read_page(discount_ids: list[str]) -> dict[str, Discount]:
        nonlocal now
        found, now = read(store, discount_ids)
        return {each.id: each for each in found}

    page = list_newest(
        zsets_of(store, zsets),
        by_id(read_page),
        is_id=ids.parse_discount_id,
        limit=limit,
        cursor=cursor,
        keep=lambda each: (
            (status is None or each.status(now) == status)
            and name.casefold() in each.discount_code.casefold()
            and has(each.metadata, metadata)
        ),
        batch=limit if status is None and not metadata and not name else min(1000, max(limit, 100)),
        most_rows=LOOKED_AT,
    )
    return DiscountPage(page.items, page.next, page.missing, now)


def list_all(store: Store, *, brand_id: str | None = None) -> Iterator[Discount]:
    """Yield every discount, or every one of a brand, newest first, in constant memory."""
    return read_all(partial(list_page, store, brand_id=brand_id, limit=LOOKED_AT))


def list_oldest(store: Store, brand_id: str, *, limit: int = LOOKED_AT, cursor: str | None = None) -> DiscountPage:
    """Return a page of a brand's discounts, oldest first.

    Raises:
        Invalid: this service did not make the cursor.
    """
    after = read_row_cursor(cursor, ids.parse_discount_id) if cursor else None
    partition = keys.partition_of(brand_id, store.partitions)
    zset = keys.brand_discounts(partition, brand_id)
    rows, following = oldest_rows(store, zset, after, limit)
    *hashes, before, time = store.commands(
        [("HGETALL", keys.discount(partition, each)) for _, each in rows]
        + [("ZCOUNT", zset, "-inf", after[0] if after else "-inf"), ("TIME",)]
    )
    now = moment_of(time)
    found = read_discounts(store, {each: fields for (_, each), fields in zip(rows, hashes, strict=True)}, now)
    return DiscountPage(found, following, now=now, first=before + 1)
