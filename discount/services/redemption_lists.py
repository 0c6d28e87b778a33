"""Lists of redemptions, of a discount or of a user, and the removal of old ones."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from discount.domain import ids
from discount.domain.metadata import NO_METADATA, Metadata, has
from discount.domain.model import Redemption, RedemptionState
from discount.services import discounts, redemptions
from discount.services.pagination import Page, list_newest, read_all
from discount.store import keys
from discount.store.connection import Store

#: Redemptions that one page may examine when it filters by state; the page can be shorter than its limit.
LOOKED_AT = 1000
# Redemptions removed in one round trip.
_DROPPED = 100


def list_of_discount(store: Store, discount_id: str, **filters: Any) -> Page[Redemption]:
    """Return the redemptions of a discount, newest first; filters as for `list_of_user`.

    Raises:
        NotFound
        Invalid: this service did not make the cursor.
    """
    parsed = discounts.parse_id(store, discount_id)
    discounts.get_definition(store, discount_id)
    return _list(store, [keys.redemptions(parsed.partition, discount_id)], discount_id=discount_id, **filters)


def list_of_user(store: Store, user_id: str, *, brand_id: str | None = None, **filters: Any) -> Page[Redemption]:
    """Return the redemptions of a user, of one brand or of all, newest first.

    Args:
        filters: `state`, `since` and `until` in microseconds since 1970 UTC, `metadata`, `limit`, `cursor`.

    Raises:
        Invalid: this service did not make the cursor.
    """
    partitions = keys.partitions_of(brand_id, store.partitions)
    zsets = [keys.user_redemptions(each, user_id) for each in partitions]
    return _list(store, zsets, brand_id=brand_id, user_id=user_id, **filters)


def list_all(store: Store, discount_id: str, **filters: Any) -> Iterator[Redemption]:
    """Yield every redemption of a discount, newest first, in constant memory; filters as for `list_of_user`.

    Raises:
        NotFound
    """
    return read_all(partial(list_of_discount, store, discount_id, limit=LOOKED_AT, **filters))


def list_all_of_user(store: Store, user_id: str, **filters: Any) -> Iterator[Redemption]:
    """Yield every redemption of a user, newest first, in constant memory; filters as for `list_of_user`."""
    return read_all(partial(list_of_user, store, user_id, limit=LOOKED_AT, **filters))


def drop(store: Store, discount_id: str, before: int, most: int) -> int:
    """Remove a discount's redemptions from before a moment, the oldest first, and return how many were removed.

    Counts, sums and what users have used of their limits stay. Holds that have not ended are kept. A removed order may
    be redeemed again.

    Args:
        before: microseconds since 1970 UTC.
        most: how many to examine.
    """
    parsed = discounts.parse_id(store, discount_id)
    listed = keys.redemptions(parsed.partition, discount_id)
    holds = keys.holds(parsed.partition, discount_id)
    old = store.command("ZRANGEBYSCORE", listed, "-inf", f"({before}", "LIMIT", 0, most)
    done = 0
    for first in range(0, len(old), _DROPPED):
        batch = old[first : first + _DROPPED]
        records = [keys.redemption(parsed.partition, each) for each in batch]
        *replies, number = store.commands(
            [("HGET", each, "user") for each in records]
            + [("HGET", keys.discount(parsed.partition, discount_id), "number")]
        )
        users = [user or "" for user in replies]
        calls = [
            (
                [record, listed, keys.user_redemptions(parsed.partition, user), holds, *_traces(parsed, user)],
                [redemption_id, discount_id, user, before, "" if user.startswith(ids.FORGOTTEN) else number or ""],
            )
            for redemption_id, record, user in zip(batch, records, users, strict=True)
        ]
        done += sum(answer.status == "dropped" for answer in store.run_many("drop", calls))
    return done


def _traces(parsed: ids.DiscountId, user_id: str) -> list[str]:
    """Return the keys by which a use is found once its redemption is gone."""
    bucket = keys.grant_bucket(user_id, parsed.buckets)
    return [
        keys.uses(parsed.partition, parsed.text, bucket),
        keys.grants(parsed.partition, parsed.text, bucket),
        keys.users(parsed.partition, user_id),
    ]


def _list(
    store: Store,
    zsets: list[str],
    *,
    brand_id: str | None = None,
    discount_id: str | None = None,
    user_id: str | None = None,
    state: RedemptionState | None = None,
    since: int | None = None,
    until: int | None = None,
    metadata: Metadata = NO_METADATA,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Redemption]:
    def is_wanted(each: Redemption) -> bool:
        # Once its hold has ended, an order may be redeemed by another user or with another discount, and both list it.
        return (
            state in (None, each.state)
            and brand_id in (None, each.brand_id)
            and discount_id in (None, each.discount_id)
            and user_id in (None, each.user_id)
            and has(each.metadata, metadata)
        )

    return list_newest(
        store,
        zsets,
        partial(redemptions.read, store),
        is_id=partial(ids.is_id, "rdm"),
        limit=limit,
        cursor=cursor,
        keep=is_wanted,
        most_rows=LOOKED_AT,
        since=since,
        until=until,
    )
