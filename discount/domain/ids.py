"""Ids: each carries its partition, so that keys can be named without a look-up."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Literal
from uuid import UUID, uuid4

import shortuuid

from discount.domain.errors import NotFound

#: The largest total of a discount.
MAX_TOTAL = 100_000_000
#: Grants in one bucket: about as many as Redis still keeps packed; see doc/decisions/002-packed-grants.md.
GRANTS_PER_BUCKET = 128
#: Power of two of the buckets where the total is unknown: packed up to a million grants, correct beyond.
UNKNOWN_POWER = 13

#: The beginning of the names that replace those of forgotten users.
FORGOTTEN = "forgotten-"
#: The prefix of an id: a redemption, a webhook, a delivery.
Prefix = Literal["rdm", "whk", "dlv"]
# After the prefix: the partition as two hex digits, then a digest.
_ID = re.compile(r"(rdm|whk|dlv)-[0-9a-f]{26}")
# A discount's id: the partition as two hex digits, the power of two of its buckets as one base-36 digit, a short UUID.
_DISCOUNT_ID = re.compile(r"dsc-([0-9a-f]{2})([0-9a-p])[2-9A-HJ-NP-Za-km-z]{22}")


@dataclass(frozen=True, slots=True)
class DiscountId:
    """The parts of a discount's id."""

    text: str
    partition: int
    buckets: int


def make_discount_id(partition: int, total_count: int | None, name: str | None = None) -> str:
    """Return an id for a discount of that partition and size; `total_count` is None where the size is unknown.

    The same name always gives the same id, so a discount can be found by its name without a list.
    """
    power = UNKNOWN_POWER if total_count is None else ((total_count - 1) // GRANTS_PER_BUCKET).bit_length()
    number = uuid4() if name is None else UUID(bytes=blake2b(name.encode(), digest_size=16).digest())
    return f"dsc-{partition:02x}{'0123456789abcdefghijklmnop'[power]}{shortuuid.encode(number)}"


# Cached: most calls are for few discounts.
@lru_cache(maxsize=4096)
def parse_discount_id(text: str) -> DiscountId | None:
    """Return the parts of a discount's id; None if this service cannot have made it."""
    match = _DISCOUNT_ID.fullmatch(text)
    if match is None:
        return None
    return DiscountId(text, int(match[1], 16), 1 << int(match[2], 36))


def make_redemption_id(partition: int, brand_id: str, order_id: str, user_id: str | None = None) -> str:
    """Return the id of the redemption of a brand's order. A repeated order gets the same id and finds the first.

    Args:
        user_id: the user, if the user named the order, not the shop: no user can occupy an order of the shop.
    """
    named = f"{len(brand_id)}:{brand_id}:{order_id}"
    # Names of the shop's orders begin with a digit, so the two kinds never collide.
    named = named if user_id is None else f"user:{len(user_id)}:{user_id}:{named}"
    return f"rdm-{partition:02x}{_digest(named)}"


def short_of(redemption_id: str) -> str:
    """Return the sixteen letters by which the lists of a partition name a redemption."""
    return urlsafe_b64encode(bytes.fromhex(redemption_id[6:])).decode()


def redemption_of(partition: int, short: str) -> str:
    """Return the id of a redemption that a list of a partition names."""
    return f"rdm-{partition:02x}{urlsafe_b64decode(short).hex()}"


def make_webhook_id(partition: int, source: str) -> str:
    """Return the id of a webhook. The same source, a request or a discount, gives the same id."""
    return f"whk-{partition:02x}{_digest(source)}"


def make_delivery_id(partition: int, cause: str, target: str) -> str:
    """Return the id of the delivery of a cause to a target: the same each time it is planned."""
    return f"dlv-{partition:02x}{_digest(f'{len(cause)}:{cause}:{target}')}"


def is_id(prefix: Prefix, text: str) -> bool:
    """Return whether this service can have made an id with that prefix."""
    return text.startswith(prefix) and _ID.fullmatch(text) is not None


def partition_of(valid_id: str) -> int:
    """Return the partition that an id of this service carries, whatever its prefix."""
    return int(valid_id[4:6], 16)


def find_partition(prefix: Prefix, text: str, partitions: int, missing: str) -> int:
    """Return the partition of an id that a caller sent.

    Args:
        partitions: how many partitions there are.
        missing: the detail of the refusal.

    Raises:
        NotFound: nothing here can have that id.
    """
    if not is_id(prefix, text) or partition_of(text) >= partitions:
        raise NotFound(missing)
    return partition_of(text)


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=12).hexdigest()
