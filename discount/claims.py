"""The verbs of claims: codes that one brand of all may have, so that a code alone tells whose it is.

A claim stands before its discount is made, since the two may be in different partitions. A call that is cut off between
them leaves the claim to its brand, which can ask again.
"""

from collections.abc import Sequence

from discount import codes
from discount.store import Store, keys


def claim(store: Store, code: str, brand_id: str) -> bool:
    """Claim a code for a brand, for good; whether the brand has it now."""
    return store.run("claim_code", [keys.claim(codes.canonical(code), store.partitions)], [brand_id])[1] == brand_id


def find(store: Store, several: Sequence[str]) -> list[str | None]:
    """Which brand has claimed each of some codes, if any."""
    found: list[str | None] = store.commands(
        [("GET", keys.claim(codes.canonical(code), store.partitions)) for code in several]
    )
    return found
