"""Lists of grants: a page of a discount's, or all."""

from collections.abc import Iterator
from itertools import islice

from discount.domain.cursors import make_cursor, read_cursor
from discount.domain.errors import NotFound
from discount.domain.ids import DiscountId
from discount.domain.metadata import NO_METADATA, Metadata, has
from discount.domain.model import Grant
from discount.services import discounts
from discount.services.grant_records import BLOCKED, TERMS, read_grant
from discount.services.pagination import Page
from discount.store import keys
from discount.store.connection import Store

#: The most buckets of grants read in one round trip.
BUCKETS = 64
#: The most bits of the map of buckets read in one round trip.
MAP_BITS = 512
#: Grants that one page may examine when it filters; the page can be shorter than its limit.
LOOKED_AT = 1000


def list_page(
    store: Store,
    discount_id: str,
    *,
    limit: int = 100,
    cursor: str | None = None,
    metadata: Metadata = NO_METADATA,
) -> Page[Grant]:
    """Return a page of a discount's grants. The order is fixed: a grant that stays is listed exactly once.

    Args:
        metadata: entries that the grants must have. A page then examines LOOKED_AT grants at most, and can be shorter.

    Raises:
        NotFound
        Invalid: this service did not make the cursor.
    """
    start, after = read_cursor(cursor) if cursor else (0, "")
    found: list[Grant] = []
    last = (0, "")
    for examined, (bucket, held) in enumerate(_granted(store, discount_id, start, after)):
        if len(found) == limit or (metadata and examined == LOOKED_AT):
            return Page(found, make_cursor(*last))
        if has(held.metadata or NO_METADATA, metadata):
            found.append(held)
        last = (bucket, held.user_id)
    return Page(found, None)


def list_all(store: Store, discount_id: str, *, metadata: Metadata = NO_METADATA) -> Iterator[Grant]:
    """Yield every grant of a discount that has these entries of metadata, in constant memory.

    Raises:
        NotFound
    """
    granted = _granted(store, discount_id, 0, "")
    return (held for _, held in granted if has(held.metadata or NO_METADATA, metadata))


def list_notes(store: Store, discount_id: str) -> Iterator[tuple[str, str]]:
    """Yield the users from whom codes of a discount were taken back, each with the stored lines."""
    parsed = discounts.parse_id(store, discount_id)
    for _, field, value in _read_buckets(store, parsed, 0):
        user_id, is_note, _ = field.partition("\n")
        if is_note:
            yield user_id, value


def _granted(store: Store, discount_id: str, start: int, after: str) -> Iterator[tuple[int, Grant]]:
    """Yield grants with their buckets, after a user of a bucket. The discount is looked up at once."""
    parsed = discounts.parse_id(store, discount_id)
    (brand, *terms), bitmap = store.commands(
        [
            ("HMGET", keys.discount(parsed.partition, discount_id), "brand", *TERMS),
            ("BITCOUNT", keys.buckets(parsed.partition, discount_id)),
        ]
    )
    if brand is None:
        raise NotFound(f"There is no discount {discount_id}.")
    if not bitmap:
        return iter(())
    return (
        (bucket, read_grant(discount_id, user_id, value, terms))
        for bucket, user_id, value in _read_buckets(store, parsed, start)
        if value != BLOCKED and "\n" not in user_id and (bucket > start or user_id > after)
    )


def _read_buckets(store: Store, parsed: DiscountId, start: int) -> Iterator[tuple[int, str, str]]:
    """Yield the fields of the buckets that hold a grant, each with its bucket and value, in order."""
    with_grants = occupied(store, parsed, start)
    # A page needs a bucket or two; a longer read fetches more and more at once.
    count = 2
    while buckets := list(islice(with_grants, count)):
        count = min(count * 2, BUCKETS)
        replies = store.commands([("HGETALL", keys.grants(parsed.partition, parsed.text, b)) for b in buckets])
        for bucket, reply in zip(buckets, replies, strict=True):
            for user_id, value in sorted(zip(reply[::2], reply[1::2], strict=True)):
                yield bucket, user_id, value


def occupied(store: Store, parsed: DiscountId, start: int) -> Iterator[int]:
    """Yield the buckets from `start` on that hold a grant, in order."""
    # A large discount with few grants has many empty ones.
    key = keys.buckets(parsed.partition, parsed.text)
    count = 8
    while True:
        found = store.command("BITPOS", key, 1, start // 8)
        if found < 0:
            return
        # BITPOS begins at a whole byte, so it may find a bit before the start.
        first = max(found, start)
        bits = store.commands([("GETBIT", key, first + i) for i in range(count)])
        yield from (first + i for i, bit in enumerate(bits) if bit)
        start = first + count
        count = min(count * 2, MAP_BITS)
