"""Identities of requests: what is given becomes digests before anything else sees it."""

from discount.api.schemas.customers import IdentityIn
from discount.domain.identity import PARTS, Identity, canonical
from discount.security.signing import Signer


def identity_in(given: IdentityIn | None, signatures: Signer) -> Identity | None:
    """Return the digests of an identity.

    Raises:
        Invalid: a part has no letter or digit.
    """
    if given is None:
        return None
    values = [(part, getattr(given, part)) for part in PARTS]
    digests = tuple(
        (part, signatures.identity_digest(part, canonical(part, value))) for part, value in values if value is not None
    )
    return Identity(digests) if digests else None
