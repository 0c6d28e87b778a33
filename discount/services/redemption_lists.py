"""Lists of redemptions, of a discount or of a user, and the removal of old ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from discount.domain import ids
from discount.domain.metadata import NO_METADATA, Metadata, has
from discount.domain.model import Redemption, RedemptionState
from discount.services import discounts, redemption_records, redemptions
from discount.services.pagination import Page, Row, list_newest, read_all
from discount.services.redemption_records import Record
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
    discounts.parse_id(store, discount_id)
    discounts.get_definition(store, discount_id)
    return _list(store, discount_id=discount_id, **filters)


def list_of_user(store: Store, user_id: str, *, brand_id: str | None = None, **filters: Any) -> Page[Redemption]:
    """Return the redemptions of a user, of one brand or of all, newest first.

    Args:
        filters: `state`, `since` and `until` in microseconds since 1970 UTC, `metadata`, `limit`, `cursor`.

    Raises:
        Invalid: this service did not make the cursor.
    """
    return _list(store, brand_id=brand_id, user_id=user_id, **filters)


def list_all(store: Store, discount_id: str, **filters: Any) -> Iterator[Redemption]:
    """Yield every redemption of a discount, newest first, in constant memory; filters as for `list_of_user`.

    Raises:
        NotFound
    """
    return read_all(partial(list_of_discount, store, discount_id, limit=LOOKED_AT, **filters))


def list_all_of_user(store: Store, user_id: str, **filters: Any) -> Iterator[Redemption]:
    """Yield every redemption of a user, newest first, in constant memory; filters as for `list_of_user`."""
    return read_all(partial(list_of_user, store, user_id, limit=LOOKED_AT, **filters))


@dataclass(frozen=True, slots=True)
class Old:
    """A place in a discount's list from before some moment. `record` is None if the order was redeemed again since."""

    at: int
    id: str
    record: Record | None


def list_old(store: Store, discount_id: str, since: int, before: int, most: int) -> list[Old]:
    """Return a discount's redemptions from `since` to before a moment, the oldest first.

    Args:
        since, before: microseconds since 1970 UTC.
        most: how many to return.
    """
    rows = redemption_records.oldest_of_discount(store, discount_id, since, before, most)
    records = redemption_records.read(store, [each for _, each in rows]).records
    return [Old(at, each, records.get(each)) for at, each in rows]


def drop(store: Store, discount_id: str, old: Sequence[Old], *, let_go: bool = False) -> int:
    """Take redemptions of a discount out of Redis, and return how many were taken.

    Counts, sums and what users have used of their limits stay. So do holds that have not ended, and redemptions that
    changed since they were listed. A removed order may be redeemed again.

    Args:
        let_go: the ledger has them, and answers for them from now on.
    """
    parsed = discounts.parse_id(store, discount_id)
    if not old:
        return 0
    number = store.command("HGET", keys.discount(parsed.partition, discount_id), "number")
    calls = []
    for each in old:
        user = each.record.user_id if each.record is not None else ""
        bucket = keys.grant_bucket(user, parsed.buckets)
        names = [
            *keys.records(each.id),
            keys.redemptions(parsed.partition, discount_id),
            keys.more_redemptions(parsed.partition, discount_id),
            keys.user_redemptions(parsed.partition, user),
            keys.holds(parsed.partition, discount_id),
            keys.uses(parsed.partition, discount_id, bucket),
            keys.grants(parsed.partition, discount_id, bucket),
            keys.users(parsed.partition, user),
            keys.let_go(parsed.partition),
        ]
        text = each.record.text if each.record is not None else ""
        trace = "" if user.startswith(ids.FORGOTTEN) else "1"
        calls.append((names, [each.id, number, f"{each.at:016d}", text, trace, "1" if let_go else ""]))
    answers = (
        answer
        for first in range(0, len(calls), _DROPPED)
        for answer in store.run_many("drop", calls[first : first + _DROPPED])
    )
    return sum(answer.status == "dropped" for answer in answers)


def _list(
    store: Store,
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
    source = _Source(store, discount_id, user_id, brand_id, since or 0)

    def is_wanted(each: Redemption) -> bool:
        return state in (None, each.state) and brand_id in (None, each.brand_id) and has(each.metadata, metadata)

    return list_newest(
        source.read_sets,
        source.read,
        is_id=partial(ids.is_id, "rdm"),
        limit=limit,
        cursor=cursor,
        keep=is_wanted,
        most_rows=LOOKED_AT,
        until=until,
    )


class _Source:
    """The redemptions of a discount or of a user: those in Redis, and those that the ledger answers for."""

    def __init__(
        self, store: Store, discount_id: str | None, user_id: str | None, brand_id: str | None, since: int
    ) -> None:
        self._store = store
        self._discount_id = discount_id
        self._user_id = user_id
        self._brand_id = brand_id
        self._since = since
        self._past: dict[Row, Redemption] = {}

    def read_sets(self, until: int | None, most: int) -> tuple[list[list[Row]], list[int]]:
        missing: list[int] = []
        if self._discount_id is not None:
            sets, let_go = redemption_records.rows_of_discount(self._store, self._discount_id, self._since, until, most)
        else:
            partitions = keys.partitions_of(self._brand_id, self._store.partitions)
            user_id = self._user_id or ""
            sets, let_go, missing = redemption_records.rows_of_user(
                self._store, user_id, partitions, since=self._since, until=until, most=most
            )
        newest_gone = max(let_go.values(), default=0)
        if newest_gone >= self._since and self._store.past is not None and newest_gone:
            last = newest_gone if until is None else min(until, newest_gone)
            # Redis has enough that is newer.
            if sum(at > last for rows in sets for at, _ in rows) < most:
                sets.append(self._read_past(last, most))
        return sets, missing

    def _read_past(self, until: int, most: int) -> list[Row]:
        past = self._store.past
        assert past is not None  # noqa: S101 - the caller has looked
        if self._discount_id is not None:
            found = past.of_discount(self._discount_id, self._since, until, most)
        else:
            found = past.of_user(self._user_id or "", self._brand_id, self._since, until, most)
        rows = {(each.redeemed_at, each.id): each for each in found}
        self._past |= rows
        return list(rows)

    def read(self, rows: list[Row]) -> dict[Row, Redemption | None]:
        """Return redemptions by row.

        Once its hold has ended, an order may be redeemed by another user or with another discount. It is listed at
        its old place as well, and is shown only where it is now.
        """
        found, let_go = redemptions.read(self._store, [row_id for _, row_id in rows])
        gone = [row_id for _, row_id in rows if row_id not in found]
        if gone and let_go and self._store.past is not None:
            # Let go since the rows were read.
            known = {(each.redeemed_at, each.id) for each in self._past.values()}
            late = [row for row in rows if row[1] in set(gone) and row not in known]
            for each in self._store.past.read([row_id for _, row_id in late]) if late else ():
                self._past[each.redeemed_at, each.id] = each
        items: dict[Row, Redemption | None] = {}
        for row in rows:
            live = found.get(row[1])
            item = live if live is not None and live.redeemed_at == row[0] else self._past.get(row)
            items[row] = item if item is not None and self._is_of_list(item) else None
        return items

    def _is_of_list(self, item: Redemption) -> bool:
        return self._discount_id in (None, item.discount_id) and self._user_id in (None, item.user_id)
