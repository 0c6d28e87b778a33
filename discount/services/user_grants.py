"""The codes that a user holds, of all discounts of a partition.

A user's field in the users' bucket lists the short numbers of these discounts. The ninth and all that follow are kept
in further fields: by page, and by brand and code.
"""

from collections.abc import Iterator, Sequence

from discount.domain.cursors import bad_cursor, make_cursor, read_cursor
from discount.domain.metadata import NO_METADATA, Metadata, has
from discount.domain.model import Grant
from discount.services import discounts, grant_lists, grant_records
from discount.services.pagination import Page
from discount.services.partitions import ask_each
from discount.store import keys
from discount.store.connection import Store

#: Discounts looked up in one round trip.
CANDIDATES = 100
#: Numbers of discounts in one page of a user's field; held.lua has the same.
PAGE = 100
#: Discounts examined of those kept under a code: the first ones, and the last ones if the code goes beyond ASCII.
ALIKE = 12
BEYOND = 80


def list_of_user(
    store: Store,
    user_id: str,
    *,
    brand_id: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
    metadata: Metadata = NO_METADATA,
) -> Page[Grant]:
    """Return a page of a user's grants, of one brand or of all; the oldest first within a brand.

    Raises:
        Invalid: this service did not make the cursor.
    """
    first, after = read_cursor(cursor) if cursor else (0, "")
    if not after.isdecimal() and after:
        raise bad_cursor()
    partitions = [each for each in keys.partitions_of(brand_id, store.partitions) if brand_id or each >= first]
    replies, missing = ask_each(store, lambda each: ("HGET", keys.users(each, user_id), user_id), partitions)
    found: list[Grant] = []
    last = (0, 0)
    examined = 0
    for partition, reply in replies.items():
        start = int(after or 0) if partition == first else 0
        numbers = numbers_in(store, partition, user_id, reply)
        for position, held in held_in(store, partition, numbers, user_id, brand_id, start=start):
            if len(found) == limit or (metadata and examined == grant_lists.LOOKED_AT):
                return Page(found, make_cursor(last[0], str(last[1] + 1)), tuple(missing))
            examined += 1
            if has(held.metadata or NO_METADATA, metadata):
                found.append(held)
            last = (partition, position)
    return Page(found, None, tuple(missing))


def pages_in(store: Store, partition: int, user_id: str, text: str | None) -> list[list[str]]:
    """Return the numbers of the discounts in which a user holds a code: the first few, then page by page the others.

    Args:
        text: the user's field in the users' bucket.
    """
    few, more, beyond = (text or "").partition("+")
    if not more:
        return [few.split()]
    pages = -(-int(beyond.partition("-")[0]) // PAGE)
    replies = store.command("HMGET", keys.users(partition, user_id), *(f"{user_id}\n{n}" for n in range(pages)))
    return [few.split(), *((reply or "").split() for reply in replies)]


def numbers_in(store: Store, partition: int, user_id: str, text: str | None) -> list[str]:
    """Return the numbers of `pages_in` as one list, the oldest grant first."""
    return [number for page in pages_in(store, partition, user_id, text) for number in page]


def discounts_with_traces(store: Store, partition: int, user_id: str) -> list[str]:
    """Return the ids of the discounts that know the user although the user holds no code of them.

    A code was taken back, or a shared code was used without a grant.
    """
    numbers = (store.command("HGET", keys.users(partition, user_id), traces_field(user_id)) or "").split()
    return store.command("HMGET", keys.numbers(partition), *numbers) if numbers else []


def traces_field(user_id: str) -> str:
    """Return the field of the users' bucket that lists the discounts of `discounts_with_traces`."""
    return f"{user_id}\n~"


def code_fields(user_id: str, brand_id: str, canonical: str) -> list[str]:
    """Return the fields of the users' bucket that list the discounts of a brand to which a code may belong."""
    return [user_id, f"{user_id}\n{brand_id}\n{canonical}", f"{user_id}\n{brand_id}\n"]


def numbers_of_code(replies: Sequence[str | None]) -> list[str]:
    """Return the numbers of discounts in the values of `code_fields`; few enough to examine each."""
    few, alike, beyond = (text or "" for text in replies)
    return [*few.partition("+")[0].split(), *alike.split()[:ALIKE], *beyond.split()[-BEYOND:]]


def held_in(
    store: Store, partition: int, numbers: Sequence[str], user_id: str, brand_id: str | None, *, start: int = 0
) -> Iterator[tuple[int, Grant]]:
    """Yield a user's grants in the discounts with these numbers, from a position on, each with its position."""
    for first in range(start, len(numbers), CANDIDATES):
        batch = numbers[first : first + CANDIDATES]
        parsed = [discounts.parse_id(store, found) for found in store.command("HMGET", keys.numbers(partition), *batch)]
        replies = store.commands(
            [("HMGET", keys.discount(partition, each.text), "brand", *grant_records.TERMS) for each in parsed]
            + [("HGET", grant_records.bucket_key(each, user_id), user_id) for each in parsed]
        )
        terms_of, values = replies[: len(parsed)], replies[len(parsed) :]
        for position, (each, (brand, *terms), value) in enumerate(zip(parsed, terms_of, values, strict=True), first):
            # No value: the user is being forgotten at this moment.
            if value not in (None, grant_records.BLOCKED) and brand_id in (None, brand):
                yield position, grant_records.read_grant(each.text, user_id, value, terms)
