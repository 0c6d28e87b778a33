"""What the service speaks of: ids, discounts, grants."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import shortuuid

from discount.kinds import CodeKind

MAX_TOTAL = 100_000_000

# A discount id carries what a replica needs to name its keys with no look-up: `dsc-`, the partition as two hex
# digits, the power of two of its grant buckets as one base-36 digit, and a short UUID.
_DISCOUNT_ID = re.compile(r"dsc-([0-9a-f]{2})([0-9a-p])[2-9A-HJ-NP-Za-km-z]{22}")

# A bucket of about this many grants is what Redis still keeps packed; see doc/decisions/002-packed-grants.md.
GRANTS_PER_BUCKET = 128
# Where nobody says how many there will be: packed up to a million grants, correct beyond.
UNKNOWN_POWER = 13


Status = Literal["active", "scheduled", "paused", "expired", "sold-out", "closed"]


@dataclass(frozen=True, slots=True)
class DiscountId:
    """A discount id taken apart."""

    text: str
    partition: int
    buckets: int


def make_discount_id(partition: int, total_count: int | None) -> str:
    """A new id for a discount of that partition and size; None where the size is not known."""
    power = UNKNOWN_POWER if total_count is None else ((total_count - 1) // GRANTS_PER_BUCKET).bit_length()
    return f"dsc-{partition:02x}{'0123456789abcdefghijklmnop'[power]}{shortuuid.uuid()}"


def parse_discount_id(text: str) -> DiscountId | None:
    """The parts of an id, or None if this service cannot have made it."""
    match = _DISCOUNT_ID.fullmatch(text)
    if match is None:
        return None
    return DiscountId(text, int(match[1], 16), 1 << int(match[2], 36))


@dataclass(frozen=True, slots=True)
class Discount:
    """An offer of a brand. Times are microseconds since 1970 UTC by the Redis server's clock."""

    id: str
    number: int
    brand_id: str
    discount_code: str
    total_count: int | None
    granted_count: int
    created_at: int
    starts_at: int | None
    expires_at: int | None
    paused: bool
    closed: str
    codes: CodeKind

    @property
    def remaining_count(self) -> int | None:
        """Codes that are still to be had; None without a total."""
        return None if self.total_count is None else self.total_count - self.granted_count

    def status(self, now: int) -> Status:
        """What it is at that time; judged in the same order as the grant script judges."""
        if self.closed:
            return "closed"
        if self.paused:
            return "paused"
        if self.expires_at is not None and now >= self.expires_at:
            return "expired"
        if self.starts_at is not None and now < self.starts_at:
            return "scheduled"
        return "sold-out" if self.remaining_count == 0 else "active"


@dataclass(frozen=True, slots=True)
class Grant:
    """A code handed to a user. `fresh` tells whether this call handed it out."""

    discount_id: str
    user_id: str
    code: str
    granted_at: int
    fresh: bool = False


def to_time(microseconds: int) -> datetime:
    """A moment as an aware datetime in UTC."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def to_text(microseconds: int) -> str:
    """A moment in RFC 3339, UTC, with microseconds: 2026-11-20T10:27:57.202420Z."""
    return to_time(microseconds).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_time(moment: datetime) -> int:
    """An aware datetime as microseconds since 1970 UTC."""
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond
