"""The service of exclusive codes: a code that only one brand may use, so that the code alone identifies the brand.

A code is claimed before its discount is created, because the two may be in different partitions. If a call is
interrupted between them, the brand keeps the claim and can repeat the call.
"""

from collections.abc import Sequence
from hashlib import sha256

from discount.domain import code_sequence
from discount.store import keys
from discount.store.connection import Store


def digest(code: str) -> str:
    """Return the SHA-256 of a code's canonical form as hex: its name where the code itself must not appear."""
    return sha256(code_sequence.canonical(code).encode()).hexdigest()


def claim(store: Store, code: str, brand_id: str) -> bool:
    """Claim a code for a brand, for good. Return whether the brand has it now."""
    owner = f"{brand_id}\n{code_sequence.canonical(code)}"
    return store.run("claim_code", [keys.claim(digest(code), store.partitions)], [owner])["owner"] == owner


def find(store: Store, codes: Sequence[str]) -> list[str | None]:
    """Return for each code the brand that has claimed it; None if no brand has."""
    owners = store.commands([("GET", keys.claim(digest(code), store.partitions)) for code in codes])
    return [owner and owner.partition("\n")[0] for owner in owners]


def find_by_digest(store: Store, wanted: str) -> tuple[str, str] | None:
    """Return the brand that has claimed the code with this digest, and the code in canonical form."""
    owner = store.command("GET", keys.claim(wanted, store.partitions))
    if owner is None:
        return None
    brand_id, _, code = owner.partition("\n")
    return brand_id, code
