"""Differences between Redis and the ledger, the comparison of a discount, and the result of a reconciliation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args

from discount.domain.ids import DiscountId

Check = Literal["total", "grants", "codes", "pool", "index", "uses", "sums", "figures"]
CHECKS: tuple[Check, ...] = get_args(Check)
#: The most differences of one result that are listed; all are counted.
LISTED = 100
#: Repairs a difference, and returns whether it could.
Repair = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact about a discount that Redis and the ledger tell differently, or that contradicts itself.

    Args:
        subject: a counter, a user, a code or a currency.
    """

    discount_id: str
    check: Check
    subject: str
    redis: str
    ledger: str
    repaired: bool = False


@dataclass(slots=True)
class Result:
    """The result of a reconciliation.

    Attributes:
        at: when it ended, in microseconds since 1970 UTC.
        places: by partition, the last entry that the ledger had when the comparison began.
        unknown: discounts that were created before the ledger began, which are not compared.
        count: how many differences were found and not repaired.
    """

    at: int = 0
    places: dict[str, str] = field(default_factory=dict)
    discounts: int = 0
    grants: int = 0
    unknown: int = 0
    count: int = 0
    repaired: int = 0
    differences: list[Difference] = field(default_factory=list)

    def add(self, difference: Difference) -> None:
        """Count a difference, and list it unless there are too many."""
        if difference.repaired:
            self.repaired += 1
        else:
            self.count += 1
        if len(self.differences) < LISTED:
            self.differences.append(difference)

    def join(self, other: "Result") -> None:
        """Add the result of another part."""
        self.at = max(self.at, other.at)
        self.places |= other.places
        self.discounts += other.discounts
        self.grants += other.grants
        self.unknown += other.unknown
        self.count += other.count
        self.repaired += other.repaired
        self.differences += other.differences[: LISTED - len(self.differences)]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of one discount.

    Args:
        repairs: whether differences are repaired where one side is certain to be right.
    """

    parsed: DiscountId
    brand_id: str
    number: str
    kind: str
    timezone: str
    keeps_uses: bool
    result: Result
    repairs: bool

    def note(self, check: Check, subject: str, found: tuple[object, object], fix: Repair | None = None) -> None:
        """Note a difference, and repair it if that is wanted and can be done.

        Args:
            found: what Redis has, and what the ledger has.
        """
        repaired = self.repairs and fix is not None and fix()
        redis, ledger = ("none" if each is None else str(each) for each in found)
        self.result.add(Difference(self.parsed.text, check, subject, redis, ledger, repaired))
