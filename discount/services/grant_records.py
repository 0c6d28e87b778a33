"""Grants as Redis stores them: a user's field in a bucket of a discount."""

from collections.abc import Sequence

from discount.domain import durations, model
from discount.domain.errors import NotFound, NotGranted
from discount.domain.ids import DiscountId
from discount.domain.metadata import read
from discount.domain.model import Grant
from discount.services import discounts
from discount.store import keys
from discount.store.connection import Store

#: The value of a user whose code was taken back, and who is granted no other one.
BLOCKED = "-"
#: Fields of a discount, and of the grant script's answer, that decide how long its codes are good.
TERMS = ("expires_at", "valid_for", "timezone", "closed", "claim_within")


def held_grant(store: Store, discount_id: str, user_id: str) -> Grant:
    """Return the grant that a user holds of a discount.

    Raises:
        NotFound, NotGranted
    """
    parsed = discounts.parse_id(store, discount_id)
    (brand, *terms), value = store.commands(
        [
            ("HMGET", keys.discount(parsed.partition, discount_id), "brand", *TERMS),
            ("HGET", bucket_key(parsed, user_id), user_id),
        ]
    )
    if brand is None:
        raise NotFound(f"There is no discount {discount_id}.")
    if value is None or value == BLOCKED:
        raise NotGranted("The user holds no code of this discount.")
    return read_grant(discount_id, user_id, value, terms)


def bucket_key(parsed: DiscountId, user_id: str) -> str:
    """Return the key of the bucket of a discount that holds a user's grant."""
    return keys.grants(parsed.partition, parsed.text, keys.grant_bucket(user_id, parsed.buckets))


def read_grant(
    discount_id: str, user_id: str, value: str, terms: Sequence[str | None], *, fresh: bool = False
) -> Grant:
    """Return a grant from its stored value and the discount's `TERMS`."""
    granted_at, _, rest = value.partition(" ")
    code, _, metadata = rest.partition("\n")
    expires_at, valid_for, zone, closed, claim_within = terms
    until = model.good_until(
        int(granted_at),
        int(expires_at) if expires_at else None,
        durations.read(valid_for) if valid_for else None,
        zone or "UTC",
    )
    return Grant(
        discount_id,
        user_id,
        code,
        int(granted_at),
        fresh,
        until,
        closed == "void",
        read(metadata) if metadata else None,
        durations.read(claim_within).after(int(granted_at), "UTC") if claim_within else None,
    )
