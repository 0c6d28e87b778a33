"""The result of a reconciliation as people and programs see it."""

from datetime import datetime

import msgspec

from discount.domain.model import to_time
from discount.ledger.differences import Result


class DifferenceOut(msgspec.Struct):
    """A fact that Redis and the ledger tell differently, or that contradicts itself."""

    discount_id: str
    check: str
    subject: str
    redis: str
    ledger: str
    repaired: bool


class ReconciliationOut(msgspec.Struct):
    """The result of a comparison, with the first differences.

    `unknown_count` are discounts from before the ledger began.

    `places` are the last entries of the outboxes that the ledger had when it was compared, by partition.
    """

    time: datetime
    discount_count: int
    grant_count: int
    unknown_count: int
    difference_count: int
    repaired_count: int
    places: dict[str, str]
    differences: list[DifferenceOut]


def reconciliation(result: Result) -> ReconciliationOut:
    """Return a result in its shape."""
    return ReconciliationOut(
        to_time(result.at),
        result.discounts,
        result.grants,
        result.unknown,
        result.count,
        result.repaired,
        result.places,
        [
            DifferenceOut(each.discount_id, each.check, each.subject, each.redis, each.ledger, each.repaired)
            for each in result.differences
        ],
    )
