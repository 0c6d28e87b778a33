"""A grant of any discount of a brand: a code that the user holds already, or one of an open discount."""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any

from discount.domain.audience import Customer
from discount.domain.errors import (
    AlreadyGrantedElsewhere,
    Closed,
    Expired,
    IdentityMissing,
    NotFound,
    NotInAudience,
    NotReleased,
    NotStarted,
    OthersWait,
    Paused,
    Revoked,
    SoldOut,
)
from discount.domain.identity import Identity
from discount.domain.metadata import NO_METADATA, Metadata
from discount.domain.model import Grant
from discount.services import discount_lists, discounts, grants, user_grants
from discount.store import keys
from discount.store.connection import Store, moment_of

#: The most of a user's codes that are examined before a new one is granted: the latest.
HELD = 1000
#: Open discounts that are tried before the brand counts as sold out.
TRIED = 20


# Refusals of one discount after which the next one is tried.
_NOT_FROM_THIS = (
    *(SoldOut, NotReleased, OthersWait, NotStarted, Expired, Paused, Closed, Revoked),
    *(NotInAudience, AlreadyGrantedElsewhere, IdentityMissing),
)


def grant_of_brand(
    store: Store,
    brand_id: str,
    user_id: str,
    *,
    email: str = "",
    metadata: Metadata = NO_METADATA,
    customer: Customer | None = None,
    identity: Identity | None = None,
) -> Grant:
    """Return a code of the brand that the user can use: one held already, or one of an open discount, newest first.

    A held code that is void, expired or used up is passed over, and so is its discount. The latest `HELD` codes are
    examined. The first `TRIED` open discounts among the brand's newest thousand are tried.

    Raises:
        NotFound: the brand has no discount.
        SoldOut: no discount of the brand has a code that the user could use.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    while True:
        text = store.command("HGET", keys.users(partition, user_id), user_id) or ""
        latest = user_grants.numbers_in(store, partition, user_id, text)[-HELD:]
        held = [each for _, each in user_grants.held_in(store, partition, latest, user_id, brand_id)]
        for each in _usable(store, partition, held):
            return each
        try:
            passed_over = {each.discount_id for each in held}
            return _grant_from_open(
                store,
                brand_id,
                user_id,
                numbers=text,
                besides=passed_over,
                email=email,
                metadata=metadata,
                customer=customer,
                identity=identity,
            )
        except grants.HoldsMore:
            # Another call granted this user a code in between; it may be usable.
            continue


def _usable(store: Store, partition: int, held: Sequence[Grant]) -> Iterator[Grant]:
    """Yield those of a user's grants that can be used, now or later."""
    for first in range(0, len(held), user_grants.CANDIDATES):
        batch = held[first : first + user_grants.CANDIDATES]
        commands: list[tuple[str | int, ...]] = [("TIME",)]
        for each in batch:
            parsed = discounts.parse_id(store, each.discount_id)
            bucket = keys.grant_bucket(each.user_id, parsed.buckets)
            commands.append(("HMGET", keys.discount(partition, parsed.text), "used", "limit_total", "limit_per_user"))
            commands.append(("HGET", keys.uses(partition, parsed.text, bucket), each.user_id))
        time, *replies = store.commands(commands)
        now = moment_of(time)
        for each, (used, total, per_user), uses in zip(batch, replies[::2], replies[1::2], strict=True):
            over = each.void or (each.good_until is not None and each.good_until <= now)
            # The stored uses of a user begin with their total.
            if not over and not _reached(used, total) and not _reached((uses or "").partition(" ")[0], per_user):
                yield each


def _reached(used: str | None, limit: str | None) -> bool:
    return limit is not None and int(used or 0) >= int(limit)


def _grant_from_open(
    store: Store, brand_id: str, user_id: str, *, numbers: str, besides: Collection[str], **given: Any
) -> Grant:
    wanted = min(discount_lists.LOOKED_AT, TRIED + len(besides))
    page = discount_lists.list_page(store, brand_id=brand_id, status="active", limit=wanted)
    others = (each for each in page.items if each.id not in besides and not each.used_up)
    serves = True
    for discount in islice(others, TRIED):
        try:
            return grants.grant(store, discount.id, user_id, expected_users=numbers, serves=serves, **given)
        except _NOT_FROM_THIS as refusal:
            # The discount was open when it was listed; the next one may still be. Serving several lists takes too long.
            serves = serves and not isinstance(refusal, OthersWait)
    if not page.items and not discount_lists.list_page(store, brand_id=brand_id, limit=1).items:
        raise NotFound(f"The brand {brand_id} has no discount.")
    raise SoldOut("No discount of this brand has a code to give now.")
