"""The verbs of claims: codes that one brand of all may have, so that a code alone tells whose it is.

A claim stands before its discount is made, since the two may be in different partitions. A call that is cut off between
them leaves the claim to its brand, which can ask again.
"""

from collections.abc import Sequence
from hashlib import sha256

from discount.domain import code_sequence
from discount.store import keys
from discount.store.connection import Store


def digest(code: str) -> str:
    """What stands for a code where the code itself must not: the SHA-256 of its canonical form, as hex."""
    return sha256(code_sequence.canonical(code).encode()).hexdigest()


def claim(store: Store, code: str, brand_id: str) -> bool:
    """Claim a code for a brand, for good; whether the brand has it now."""
    owner = f"{brand_id}\n{code_sequence.canonical(code)}"
    return store.run("claim_code", [keys.claim(digest(code), store.partitions)], [owner])["owner"] == owner


def find(store: Store, several: Sequence[str]) -> list[str | None]:
    """Which brand has claimed each of some codes, if any."""
    found = store.commands([("GET", keys.claim(digest(code), store.partitions)) for code in several])
    return [owner and owner.partition("\n")[0] for owner in found]


def find_by_digest(store: Store, wanted: str) -> tuple[str, str] | None:
    """The brand that has claimed the code of that digest, and the code in its canonical form."""
    owner = store.command("GET", keys.claim(wanted, store.partitions))
    if owner is None:
        return None
    brand_id, _, code = owner.partition("\n")
    return brand_id, code
