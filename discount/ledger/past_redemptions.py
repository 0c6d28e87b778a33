"""Redemptions that Redis has let go, and which of its old ones it may let go."""

from collections.abc import Sequence

from sqlalchemy import Select, select

from discount.domain.model import Redemption
from discount.ledger.database import Database
from discount.ledger.history import read_redemptions
from discount.ledger.tables import REDEMPTIONS
from discount.services import redemption_records
from discount.services.redemption_lists import Old
from discount.store.connection import Store

#: Rows that are read by their ids in one statement.
TOGETHER = 500
#: Later than any moment: what is only in the ledger is so old that each hold has ended.
_EVER = 2**62


class PastRedemptions:
    """Redemptions read from the ledger, as Redis had them (`discount.domain.past.Past`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, redemption_ids: Sequence[str]) -> list[Redemption]:
        """Return the latest redemption of each id that is known."""
        found = {each.id: each for each in self.read_all(redemption_ids)}
        return list(found.values())

    def read_all(self, redemption_ids: Sequence[str]) -> list[Redemption]:
        """Return every redemption of some ids, the oldest first: an order may be used again once Redis let it go."""
        found: list[Redemption] = []
        for first in range(0, len(redemption_ids), TOGETHER):
            some = redemption_ids[first : first + TOGETHER]
            found += self._read(select(REDEMPTIONS).where(REDEMPTIONS.c.id.in_(some)))
        return sorted(found, key=lambda each: each.redeemed_at)

    def of_discount(self, discount_id: str, since: int, until: int, most: int) -> list[Redemption]:
        """Return a discount's redemptions from `since` to `until`, both included, newest first."""
        of_discount = select(REDEMPTIONS).where(REDEMPTIONS.c.discount_id == discount_id)
        return self._newest(of_discount, since, until, most)

    def of_user(self, user_id: str, brand_id: str | None, since: int, until: int, most: int) -> list[Redemption]:
        """Return a user's redemptions, of one brand or of all, as `of_discount` does."""
        of_user = select(REDEMPTIONS).where(REDEMPTIONS.c.user_id == user_id)
        if brand_id is not None:
            of_user = of_user.where(REDEMPTIONS.c.brand_id == brand_id)
        return self._newest(of_user, since, until, most)

    def _newest(self, wanted: "Select[tuple[object, ...]]", since: int, until: int, most: int) -> list[Redemption]:
        columns = REDEMPTIONS.c
        between = wanted.where((columns.redeemed_at >= since) & (columns.redeemed_at <= until))
        return self._read(between.order_by(columns.redeemed_at.desc(), columns.id.desc()).limit(most))

    def _read(self, wanted: "Select[tuple[object, ...]]") -> list[Redemption]:
        with self._database.reading() as connection:
            return read_redemptions(connection.execute(wanted).all(), _EVER)


def kept(store: Store, past: PastRedemptions, old: list[Old]) -> list[Old]:
    """Return those of some old redemptions that the ledger has exactly as Redis has them.

    Those are also returned that Redis only lists, since their orders were redeemed again.
    """
    known = {(each.id, each.redeemed_at): each for each in past.read_all([each.id for each in old])}
    return [each for each in old if _is_moved(each) or _read(store, each) == known.get((each.id, each.at))]


def _is_moved(old: Old) -> bool:
    return old.record is None or old.record.at != old.at


def _read(store: Store, old: Old) -> Redemption | None:
    record = old.record
    return None if record is None else redemption_records.redemption_of(store, old.id, record, _EVER)
