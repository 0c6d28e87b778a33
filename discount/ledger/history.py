"""Answers from the ledger: holders of a code, and changes of discounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, func, literal, select, tuple_

from discount.domain import events
from discount.domain.code_sequence import canonical
from discount.domain.errors import Invalid, NoLedger
from discount.domain.events import Entry, envelope
from discount.domain.metadata import lines_of_order, others_of_order
from discount.domain.model import Redemption
from discount.domain.order_lines import read_lines
from discount.domain.rules import Order
from discount.ledger.database import Database
from discount.ledger.tables import CHANGES, EVENTS, GRANTS, REDEMPTIONS
from discount.services.pagination import Page
from discount.services.redemption_records import read_left, state_at

#: The most holders of one code that are shown, and the most redemptions and events of each.
MOST_HOLDERS, MOST_REDEMPTIONS, MOST_EVENTS = 20, 100, 200


@dataclass(frozen=True, slots=True)
class PastEvent:
    """An event, with the data that its envelope has."""

    id: str
    type: str
    at: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Holder:
    """A user who was granted a code, and what happened with it since.

    Attributes:
        state: `granted`, or where the code went when it was taken back: `void`, `pool` or `next`.
        redeemed: uses that stand.
    """

    discount_id: str
    user_id: str
    code: str
    granted_at: int
    state: str
    revoked_at: int | None
    reason: str
    next_user_id: str | None
    redeemed: int
    redemptions: list[Redemption]
    events: list[PastEvent]


@dataclass(frozen=True, slots=True)
class PastChange:
    """A change of a discount, with its time and author; `id` is that of the event."""

    id: str
    type: str
    at: int
    discount_id: str
    by: str
    request_id: str
    before: dict[str, Any]
    after: dict[str, Any]


class History:
    """The past, from the ledger.

    Args:
        database: None if the service has no ledger.
    """

    def __init__(self, database: Database | None) -> None:
        self._database = database

    @classmethod
    def at(cls, url: str) -> "History":
        """Return the history in the database of a URL, without connecting; an empty URL is no ledger.

        Raises:
            LedgerError: the URL cannot be used.
        """
        return cls(Database(url) if url else None)

    @property
    def database(self) -> Database:
        """The database of the ledger.

        Raises:
            NoLedger
        """
        if self._database is None:
            raise NoLedger
        return self._database

    def find_code(self, brand_id: str, code: str, now: int) -> list[Holder]:
        """Return the users who were granted a code of a brand, in any spelling, newest first.

        Args:
            now: the time by which states are judged.

        Raises:
            NoLedger, Unavailable
        """
        wanted = select(GRANTS).where((GRANTS.c.brand_id == brand_id) & (GRANTS.c.canonical == canonical(code)))
        with self.database.reading() as connection:
            # An expression: an index by time would lead through all grants of the brand.
            rows = connection.execute(wanted.order_by((GRANTS.c.at + 0).desc()).limit(MOST_HOLDERS)).all()
            return [_holder(connection, row, now) for row in rows]

    def list_changes(
        self, brand_id: str, *, discount_id: str | None, since: int, until: int, after: str | None, limit: int
    ) -> Page[PastChange]:
        """Return a page of the changes of a brand's discounts from `since` to before `until`, newest first.

        Args:
            discount_id: None for all discounts of the brand.
            after: the last change of the page before.

        Raises:
            Invalid: `after` is not a change of this brand.
            NoLedger, Unavailable
        """
        columns = CHANGES.c
        wanted = select(CHANGES).where((columns.brand_id == brand_id) & (columns.at >= since) & (columns.at < until))
        if discount_id is not None:
            wanted = wanted.where(columns.discount_id == discount_id)
        order = (columns.at, columns.partition, columns.entry_id)
        with self.database.reading() as connection:
            if after is not None:
                partition, entry_id = events.parse_event_id(after) or (-1, "")
                last = (columns.partition == partition) & (columns.entry_id == entry_id)
                of_last = select(columns.at).where(last & (columns.brand_id == brand_id))
                at = connection.execute(of_last).scalar_one_or_none()
                if at is None:
                    raise Invalid("after", "is not a change of this brand")
                wanted = wanted.where(tuple_(*order) < tuple_(literal(at), literal(partition), literal(entry_id)))
            rows = connection.execute(wanted.order_by(*(each.desc() for each in order)).limit(limit + 1)).all()
        found = [
            PastChange(
                row.event_id, row.type, row.at, row.discount_id, row.author, row.request_id, row.before, row.after
            )
            for row in rows[:limit]
        ]
        return Page(found, found[-1].id if len(rows) > limit else None)


def _holder(connection: Connection, row: Any, now: int) -> Holder:
    of_user = (REDEMPTIONS.c.user_id == row.user_id) & (REDEMPTIONS.c.discount_id == row.discount_id)
    # After a revocation the user may have been granted another code of the discount.
    of_user &= REDEMPTIONS.c.canonical == row.canonical
    uses = connection.execute(
        select(REDEMPTIONS).where(of_user).order_by((REDEMPTIONS.c.redeemed_at + 0).desc()).limit(MOST_REDEMPTIONS)
    )
    standing = select(func.count()).select_from(REDEMPTIONS).where(of_user & (REDEMPTIONS.c.state == "redeemed"))
    about = (EVENTS.c.user_id == row.user_id) & (EVENTS.c.discount_id == row.discount_id)
    happened = connection.execute(select(EVENTS).where(about).order_by(EVENTS.c.at).limit(MOST_EVENTS))
    return Holder(
        row.discount_id,
        row.user_id,
        row.code,
        row.at,
        row.state,
        row.revoked_at,
        row.reason,
        row.next_user_id,
        connection.execute(standing).scalar_one(),
        read_redemptions(uses.all(), now),
        [
            _past_event(each, row.discount_id)
            for each in happened
            if canonical(each.fields.get("code", row.code)) == row.canonical
        ],
    )


def _past_event(row: Any, discount_id: str) -> PastEvent:
    entry = Entry(row.partition, row.entry_id, row.fields)
    data = envelope(entry, {row.fields.get("number", ""): discount_id}).data  # type: ignore[attr-defined]
    return PastEvent(row.event_id, row.type, row.at, msgspec.to_builtins(data))


def read_redemptions(rows: Sequence[Any], now: int) -> list[Redemption]:
    """Return the redemptions in rows of the table. A hold that ends at `now` or before is shown as released."""
    return [
        Redemption(
            id=row.id,
            discount_id=row.discount_id,
            brand_id=row.brand_id,
            user_id=row.user_id,
            code=row.code,
            state=state_at(row.state, row.hold_until, now),
            order=Order(row.order_id, row.amount, row.currency),
            discount_amount=row.discount_amount,
            left=read_left(row.left_after),
            redeemed_at=row.redeemed_at,
            hold_until=row.hold_until,
            confirmed_at=row.confirmed_at,
            rolled_back_at=row.rolled_back_at,
            reason=row.reason,
            metadata=row.metadata,
            lines=read_lines(lines_of_order(f"\n\t{row.more}")),
            redeemed_with=tuple(others_of_order(f"\n\t{row.more}", row.id)),
        )
        for row in rows
    ]
