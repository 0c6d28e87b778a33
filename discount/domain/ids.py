"""discount.domain.ids"""

import re
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID, uuid4

import shortuuid

MAX_TOTAL = 100_000_000


# A discount id carries what a replica needs to name its keys with no look-up: `dsc-`, the partition as two hex
# digits, the power of two of its grant buckets as one base-36 digit, and a short UUID.
_REDEMPTION_ID = re.compile(r"rdm-([0-9a-f]{2})[0-9a-f]{24}")


_WEBHOOK_ID = re.compile(r"whk-([0-9a-f]{2})[0-9a-f]{24}")


_DELIVERY_ID = re.compile(r"dlv-([0-9a-f]{2})[0-9a-f]{24}")


_DISCOUNT_ID = re.compile(r"dsc-([0-9a-f]{2})([0-9a-p])[2-9A-HJ-NP-Za-km-z]{22}")


# A bucket of about this many grants is what Redis still keeps packed; see doc/decisions/002-packed-grants.md.
GRANTS_PER_BUCKET = 128


# Where nobody says how many there will be: packed up to a million grants, correct beyond.
UNKNOWN_POWER = 13


@dataclass(frozen=True, slots=True)
class DiscountId:
    """A discount id taken apart."""

    text: str
    partition: int
    buckets: int


def make_discount_id(partition: int, total_count: int | None, name: str | None = None) -> str:
    """A new id for a discount of that partition and size; None where the size is not known.

    With a name the id is always the same one, so that who knows the name needs no list to find the discount.
    """
    power = UNKNOWN_POWER if total_count is None else ((total_count - 1) // GRANTS_PER_BUCKET).bit_length()
    number = uuid4() if name is None else UUID(bytes=blake2b(name.encode(), digest_size=16).digest())
    return f"dsc-{partition:02x}{'0123456789abcdefghijklmnop'[power]}{shortuuid.encode(number)}"


def parse_discount_id(text: str) -> DiscountId | None:
    """The parts of an id, or None if this service cannot have made it."""
    match = _DISCOUNT_ID.fullmatch(text)
    if match is None:
        return None
    return DiscountId(text, int(match[1], 16), 1 << int(match[2], 36))


def make_redemption_id(partition: int, brand_id: str, order_id: str, user_id: str | None = None) -> str:
    """The id of what a brand's order redeems: one order, one id, so that a repeat finds the first.

    `user_id` is for an order that the user names, not the shop: so no user can take an order of the shop's.
    """
    named = f"{len(brand_id)}:{brand_id}:{order_id}"
    # Other names begin with a digit, so the two kinds never meet.
    named = named if user_id is None else f"user:{len(user_id)}:{user_id}:{named}"
    return f"rdm-{partition:02x}{_digest(named)}"


def redemption_partition(text: str) -> int | None:
    """The partition of a redemption's id, or None if this service cannot have made it."""
    match = _REDEMPTION_ID.fullmatch(text)
    return int(match[1], 16) if match else None


def make_webhook_id(partition: int, what: str) -> str:
    """The id of a webhook: of the same request or discount, the same."""
    return f"whk-{partition:02x}{_digest(what)}"


def webhook_partition(text: str) -> int | None:
    """The partition of a webhook's id, or None if this service cannot have made it."""
    match = _WEBHOOK_ID.fullmatch(text)
    return int(match[1], 16) if match else None


def make_delivery_id(partition: int, cause: str, target: str) -> str:
    """The id of what a cause owes to a target: planned again, it is the same."""
    return f"dlv-{partition:02x}{_digest(f'{len(cause)}:{cause}:{target}')}"


def delivery_partition(text: str) -> int | None:
    """The partition of a delivery's id, or None if this service cannot have made it."""
    match = _DELIVERY_ID.fullmatch(text)
    return int(match[1], 16) if match else None


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=12).hexdigest()
