"""The verbs of grants: hand a user a code, show who holds what."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from discount.domain import code_kinds, durations, model
from discount.domain.cursors import bad_cursor, make_cursor, read_cursor
from discount.domain.errors import (
    Closed,
    Expired,
    NotFound,
    NotGranted,
    NotStarted,
    Paused,
    Refusal,
    SoldOut,
    Unavailable,
)
from discount.domain.ids import DiscountId
from discount.domain.model import Definition, Grant
from discount.services import (
    code_pools,
    contacts,
    discounts,
    slices,
)
from discount.store import keys
from discount.store.answers import Answer
from discount.store.connection import Store, moment_of
from discount.store.guards import Guard

#: A pool that is empty again after this many refills is being emptied faster than one replica can fill it.
REFILLS = 50
#: Grants sent to Redis together: enough to hide the round trip, few enough to let others in between.
SLICE = 500
#: The same for personal codes, which take longer to make.
PERSONAL_SLICE = 100
#: Discounts looked at in one round trip, when a user's or a brand's are gone through.
CANDIDATES = 100
#: The most of a user's codes that a brand looks at before it grants one.
HELD = 1000
#: Of a user's codes beyond the first eight, so many numbers of discounts stand in one field; held.lua has the same.
PAGE = 100
#: Of those that stand in one field by their code, so many are looked at: the first, and the last beyond ASCII.
ALIKE = 12
BEYOND = 80
#: Open discounts of a brand that are tried before it is said to have no code.
TRIED = 20
#: The most buckets of grants read in one round trip.
BUCKETS = 64
#: The most bits of the map of buckets read in one round trip.
MAP_BITS = 512

#: Fields of a discount, and of the grant script's answer, that say until when its codes are good.
_TERMS = ("expires_at", "valid_for", "timezone", "closed")

_ahead = ThreadPoolExecutor(1, "refill")


@dataclass(frozen=True, slots=True)
class Page:
    """Some grants, and where the next page begins."""

    grants: list[Grant]
    next: str | None


def grant(
    store: Store,
    discount_id: str,
    user_id: str,
    *,
    email: str = "",
    expected_users: str = "*",
    guard: Guard | None = None,
) -> Grant:
    """The user's code of a discount: a new one, or the one held already. One round trip, but for an empty pool.

    Where the code has the user's name in it, one round trip more looks that up.

    Args:
        email: where the brand reaches the user from now on, if this is a new one; empty leaves what is known.

    Raises:
        NotFound, SoldOut, NotStarted, Expired, Paused, Closed
        Unavailable: the pool is being emptied faster than it is filled.
    """
    parsed = discounts.parse_id(store, discount_id)
    for _ in range(REFILLS):
        name = _names(store, parsed, [user_id]).get(user_id, "")
        answer = store.run("grant", *_call(store, parsed, user_id, expected_users, email=email, name=name), guard)
        if answer.status == "refill":
            code_pools.refill(store, discount_id)
        elif answer.status == "template":
            discounts.get_definition(store, discount_id)
        elif answer.status == "changed":
            raise _HoldsMore
        elif answer.status != "clash":
            if answer["low"]:
                # This answer need not wait for the block that later ones will want.
                _ahead.submit(code_pools.refill, store, discount_id, code_pools.BLOCK)
            return _grant_answered(discount_id, user_id, answer, fresh=answer.status == "granted")
    raise Unavailable("The codes of this discount are being taken faster than they are made.")


def grant_many(store: Store, discount_id: str, user_ids: Sequence[str]) -> list[Grant | Refusal]:
    """The same for many users, in order: each user's grant, or why there is none. Not all or nothing.

    Raises:
        NotFound: there is no such discount.
    """
    parsed = discounts.parse_id(store, discount_id)
    kind = discounts.get_definition(store, discount_id).codes.kind
    outcomes: list[Grant | Refusal] = []
    size = PERSONAL_SLICE if kind == "personal" else SLICE
    for first in range(0, len(user_ids), size):
        slices.between()
        some = user_ids[first : first + size]
        if kind == "unique":
            # A slice that finds too few codes is sent once more, whole.
            code_pools.refill(store, discount_id, len(some))
        outcomes += _grant_slice(store, parsed, some)
    return outcomes


def grant_of_brand(store: Store, brand_id: str, user_id: str, *, email: str = "") -> Grant:
    """A code of the brand that the user can use: one held already, or one of an open discount, newest first.

    Of codes held, those that are void, over or used up are passed over, and their discounts with them. The latest
    `HELD` are looked at. Of the brand's newest thousand discounts the first few that are open are tried.

    Raises:
        NotFound: the brand has no discount.
        SoldOut: none of its discounts has a code that the user could use.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    while True:
        text = store.command("HGET", keys.users(partition, user_id), user_id) or ""
        latest = numbers_in(store, partition, user_id, text)[-HELD:]
        held = [each for _, each in held_in(store, partition, latest, user_id, brand_id)]
        for each in _usable(store, partition, held):
            return each
        try:
            passed_over = {each.discount_id for each in held}
            return _grant_from_open(store, brand_id, user_id, numbers=text, email=email, besides=passed_over)
        except _HoldsMore:
            # Another call for this user came between: what it was given is looked at again.
            continue


def held_grant(store: Store, discount_id: str, user_id: str) -> Grant:
    """The grant that a user holds of a discount.

    Raises:
        NotFound, NotGranted
    """
    parsed = discounts.parse_id(store, discount_id)
    (brand, *terms), value = store.commands(
        [
            ("HMGET", keys.discount(parsed.partition, discount_id), "brand", *_TERMS),
            ("HGET", _bucket_key(parsed, user_id), user_id),
        ]
    )
    if brand is None:
        raise NotFound(f"There is no discount {discount_id}.")
    if value is None:
        raise NotGranted("The user holds no code of this discount.")
    return _grant(discount_id, user_id, value, terms)


def list_page(store: Store, discount_id: str, *, limit: int = 100, cursor: str | None = None) -> Page:
    """Who holds what of a discount, in an order that stays: a grant that is there throughout is seen exactly once.

    Raises:
        NotFound
        Invalid: the cursor is none of ours.
    """
    start, after = read_cursor(cursor) if cursor else (0, "")
    found: list[Grant] = []
    last = 0
    for bucket, held in _granted(store, discount_id, start, after):
        if len(found) == limit:
            return Page(found, make_cursor(last, found[-1].user_id))
        found.append(held)
        last = bucket
    return Page(found, None)


def list_all(store: Store, discount_id: str) -> Iterator[Grant]:
    """Every grant of a discount, in constant memory.

    Raises:
        NotFound
    """
    return (held for _, held in _granted(store, discount_id, 0, ""))


def list_of_user(
    store: Store, user_id: str, *, brand_id: str | None = None, limit: int = 100, cursor: str | None = None
) -> Page:
    """What a user holds, of one brand or of all; the oldest first within a brand.

    Raises:
        Invalid: the cursor is none of ours.
    """
    first, after = read_cursor(cursor) if cursor else (0, "")
    if not after.isdecimal() and after:
        raise bad_cursor()
    partitions = [each for each in keys.partitions_of(brand_id, store.partitions) if brand_id or each >= first]
    replies = store.commands([("HGET", keys.users(partition, user_id), user_id) for partition in partitions])
    found: list[Grant] = []
    place = (0, 0)
    for partition, reply in zip(partitions, replies, strict=True):
        start = int(after or 0) if partition == first else 0
        numbers = numbers_in(store, partition, user_id, reply)
        for position, held in held_in(store, partition, numbers, user_id, brand_id, start=start):
            if len(found) == limit:
                return Page(found, make_cursor(place[0], str(place[1] + 1)))
            found.append(held)
            place = (partition, position)
    return Page(found, None)


def pages_in(store: Store, partition: int, user_id: str, text: str | None) -> list[list[str]]:
    """The numbers of the discounts in which a user holds a code: the first few, then page by page those beyond.

    Args:
        text: what stands of the user in the users' bucket.
    """
    few, more, beyond = (text or "").partition("+")
    if not more:
        return [few.split()]
    pages = -(-int(beyond.partition("-")[0]) // PAGE)
    replies = store.command("HMGET", keys.users(partition, user_id), *(f"{user_id}\n{n}" for n in range(pages)))
    return [few.split(), *((reply or "").split() for reply in replies)]


def numbers_in(store: Store, partition: int, user_id: str, text: str | None) -> list[str]:
    """The same as one list: the oldest grant first."""
    return [number for page in pages_in(store, partition, user_id, text) for number in page]


def code_fields(user_id: str, brand_id: str, canonical: str) -> list[str]:
    """The fields of a users' bucket that tell of which discounts of a brand a code may be."""
    return [user_id, f"{user_id}\n{brand_id}\n{canonical}", f"{user_id}\n{brand_id}\n"]


def numbers_of_code(replies: Sequence[str | None]) -> list[str]:
    """The numbers of the few discounts that are told of by the fields of a code."""
    few, alike, beyond = (text or "" for text in replies)
    return [*few.partition("+")[0].split(), *alike.split()[:ALIKE], *beyond.split()[-BEYOND:]]


def held_in(
    store: Store, partition: int, numbers: Sequence[str], user_id: str, brand_id: str | None, *, start: int = 0
) -> Iterator[tuple[int, Grant]]:
    """A user's grants by the numbers of the discounts, from a position on, with their positions."""
    for first in range(start, len(numbers), CANDIDATES):
        some = numbers[first : first + CANDIDATES]
        parsed = [discounts.parse_id(store, found) for found in store.command("HMGET", keys.numbers(partition), *some)]
        replies = store.commands(
            [("HMGET", keys.discount(partition, each.text), "brand", *_TERMS) for each in parsed]
            + [("HGET", _bucket_key(each, user_id), user_id) for each in parsed]
        )
        told, values = replies[: len(parsed)], replies[len(parsed) :]
        for position, (each, (brand, *terms), value) in enumerate(zip(parsed, told, values, strict=True), first):
            # A user who is being forgotten may hold it no longer.
            if value is not None and brand_id in (None, brand):
                yield position, _grant(each.text, user_id, value, terms)


#: Answers of the grant script after which the call is made once more.
_AGAIN = ("refill", "template", "clash")


class _HoldsMore(Exception):
    """The user was given another code since the caller looked."""


def _usable(store: Store, partition: int, held: Sequence[Grant]) -> Iterator[Grant]:
    """Those of a user's grants whose code can be used, now or later."""
    for first in range(0, len(held), CANDIDATES):
        some = held[first : first + CANDIDATES]
        asked: list[tuple[str | int, ...]] = [("TIME",)]
        for each in some:
            parsed = discounts.parse_id(store, each.discount_id)
            bucket = keys.grant_bucket(each.user_id, parsed.buckets)
            asked.append(("HMGET", keys.discount(partition, parsed.text), "used", "limit_total", "limit_per_user"))
            asked.append(("HGET", keys.uses(partition, parsed.text, bucket), each.user_id))
        time, *told = store.commands(asked)
        now = moment_of(time)
        for each, (used, of_all, of_user), mine in zip(some, told[::2], told[1::2], strict=True):
            over = each.void or (each.good_until is not None and each.good_until <= now)
            # A user's uses begin with how many there are in all.
            if not over and not _reached(used, of_all) and not _reached((mine or "").partition(" ")[0], of_user):
                yield each


def _reached(used: str | None, limit: str | None) -> bool:
    return limit is not None and int(used or 0) >= int(limit)


def _grant_from_open(
    store: Store, brand_id: str, user_id: str, *, numbers: str, email: str, besides: Collection[str]
) -> Grant:
    wanted = min(discounts.LOOKED_AT, TRIED + len(besides))
    page = discounts.list_page(store, brand_id=brand_id, status="active", limit=wanted)
    others = (each for each in page.discounts if each.id not in besides and not each.used_up)
    for discount in islice(others, TRIED):
        try:
            return grant(store, discount.id, user_id, email=email, expected_users=numbers)
        except (SoldOut, NotStarted, Expired, Paused, Closed):
            # It was open when it was listed; the next one may still be.
            continue
    if not page.discounts and not discounts.list_page(store, brand_id=brand_id, limit=1).discounts:
        raise NotFound(f"The brand {brand_id} has no discount.")
    raise SoldOut("No discount of this brand has a code to give now.")


def _grant_slice(store: Store, parsed: DiscountId, user_ids: Sequence[str]) -> list[Grant | Refusal]:
    answers: dict[str, Answer] = {}
    for _ in range(REFILLS):
        waiting = [user_id for user_id in dict.fromkeys(user_ids) if user_id not in answers]
        if not waiting:
            break
        names = _names(store, parsed, waiting)
        calls = [_call(store, parsed, user_id, "*", name=names.get(user_id, "")) for user_id in waiting]
        latest = store.run_many("grant", calls)
        answers |= {user: answer for user, answer in zip(waiting, latest, strict=True) if answer.status not in _AGAIN}
        statuses = {answer.status for answer in latest}
        if "refill" in statuses:
            code_pools.refill(store, parsed.text, len(user_ids))
        if "template" in statuses:
            discounts.get_definition(store, parsed.text)
    else:
        raise Unavailable("The codes of this discount are being taken faster than they are made.")
    # A user who is in the list twice was given one code, at the first position.
    given: set[str] = set()
    outcomes = []
    for user_id in user_ids:
        answer = answers[user_id]
        fresh = answer.status == "granted" and user_id not in given
        outcomes.append(_outcome(parsed.text, user_id, answer, fresh=fresh))
        given.add(user_id)
    return outcomes


def _outcome(discount_id: str, user_id: str, answer: Answer, *, fresh: bool) -> Grant | Refusal:
    refusal = answer.refusal()
    if isinstance(refusal, NotFound):
        raise NotFound(f"There is no discount {discount_id}.")
    return refusal or _grant_answered(discount_id, user_id, answer, fresh=fresh)


def _grant_answered(discount_id: str, user_id: str, answer: Answer, *, fresh: bool) -> Grant:
    """Return the grant in an answer of the grant script."""
    return _grant(discount_id, user_id, answer["grant"], answer.pick(*_TERMS), fresh=fresh)


def _names(store: Store, parsed: DiscountId, user_ids: Sequence[str]) -> dict[str, str]:
    """What the brand calls users, where their codes of this discount have the name in them; else nothing."""
    definition: Definition | None = store.definitions.get(parsed.text)
    if definition is None or not code_kinds.needs_name(definition.codes):
        return {}
    return contacts.names(store, definition.brand_id, user_ids)


def _call(
    store: Store, parsed: DiscountId, user_id: str, expected_users: str, *, email: str = "", name: str = ""
) -> tuple[list[str], list[str | int]]:
    """Keys and arguments of the grant script."""
    partition, discount_id = parsed.partition, parsed.text
    bucket = keys.grant_bucket(user_id, parsed.buckets)
    names = [
        keys.usage(partition),
        keys.discount(partition, discount_id),
        keys.codes(partition, discount_id),
        keys.grants(partition, discount_id, bucket),
        keys.buckets(partition, discount_id),
        keys.users(partition, user_id),
        keys.events(partition),
    ]
    arguments: list[str | int] = [*store.quotas.arguments, user_id, bucket, expected_users, email]
    definition: Definition | None = store.definitions.get(discount_id)
    if definition is not None and definition.codes.kind == "personal":
        made = code_kinds.candidates(definition.codes, definition.brand_id, user_id, discount_id=discount_id, name=name)
        for code in made:
            digest = code_kinds.digest(code)
            names.append(keys.taken(partition, discount_id, digest % parsed.buckets))
            arguments += [code, "" if code_kinds.always_differs(definition.codes) else digest]
    return names, arguments


def _bucket_key(parsed: DiscountId, user_id: str) -> str:
    return keys.grants(parsed.partition, parsed.text, keys.grant_bucket(user_id, parsed.buckets))


def _granted(store: Store, discount_id: str, start: int, after: str) -> Iterator[tuple[int, Grant]]:
    """Grants with their bucket, from after a user of a bucket on. Looks the discount up at once, reads when asked."""
    parsed = discounts.parse_id(store, discount_id)
    (brand, *terms), bitmap = store.commands(
        [
            ("HMGET", keys.discount(parsed.partition, discount_id), "brand", *_TERMS),
            ("BITCOUNT", keys.buckets(parsed.partition, discount_id)),
        ]
    )
    if brand is None:
        raise NotFound(f"There is no discount {discount_id}.")
    return _read_buckets(store, parsed, start, after, terms) if bitmap else iter(())


def _read_buckets(
    store: Store, parsed: DiscountId, start: int, after: str, terms: Sequence[str | None]
) -> Iterator[tuple[int, Grant]]:
    occupied = _occupied(store, parsed, start)
    # A page needs a bucket or two; whoever reads on gets ever more at once.
    several = 2
    while buckets := list(islice(occupied, several)):
        several = min(several * 2, BUCKETS)
        replies = store.commands([("HGETALL", keys.grants(parsed.partition, parsed.text, b)) for b in buckets])
        for bucket, reply in zip(buckets, replies, strict=True):
            for user_id, value in sorted(zip(reply[::2], reply[1::2], strict=True)):
                if bucket > start or user_id > after:
                    yield bucket, _grant(parsed.text, user_id, value, terms)


def _occupied(store: Store, parsed: DiscountId, start: int) -> Iterator[int]:
    """Buckets that hold a grant, in order: a large discount with few grants has many that do not."""
    key = keys.buckets(parsed.partition, parsed.text)
    several = 8
    while True:
        found = store.command("BITPOS", key, 1, start // 8)
        if found < 0:
            return
        # BITPOS begins with a whole byte, so bits before the start may be found again.
        first = max(found, start)
        bits = store.commands([("GETBIT", key, first + i) for i in range(several)])
        yield from (first + i for i, bit in enumerate(bits) if bit)
        start = first + several
        several = min(several * 2, MAP_BITS)


def _grant(discount_id: str, user_id: str, value: str, terms: Sequence[str | None], *, fresh: bool = False) -> Grant:
    granted_at, _, code = value.partition(" ")
    expires_at, valid_for, zone, closed = terms
    until = model.good_until(
        int(granted_at),
        int(expires_at) if expires_at else None,
        durations.read(valid_for) if valid_for else None,
        zone or "UTC",
    )
    return Grant(discount_id, user_id, code, int(granted_at), fresh, until, closed == "void")
