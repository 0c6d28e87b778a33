"""The service of identities: only so many users of a discount may share an e-mail address, a device, or a card.

A user claims an identity before the grant or the use, in a script of its own. If the grant or the use is refused, the
claim is given back. Digests are made anew for each discount, so those of two discounts cannot be compared.
"""

from collections.abc import Sequence
from hashlib import blake2b
from zlib import crc32

from discount.domain.errors import AlreadyGrantedElsewhere, IdentityMissing, Refusal
from discount.domain.identity import PARTS, Identity
from discount.domain.ids import DiscountId
from discount.domain.model import Definition
from discount.store import keys
from discount.store.connection import Store

#: The most identities that one user may claim of a discount.
MOST_OF_USER = 50
#: Letters of a digest: the part, and 60 bits.
_SIZE = 15
# Buckets of a discount beside those of its grants: so Redis keeps each packed.
_SPREAD = 8
_PART_OF = {each[0]: each for each in PARTS}


def refusals_of(
    store: Store, discount: DiscountId, definition: Definition, user_id: str, identity: Identity | None
) -> list[Refusal]:
    """Return why a user may not claim an identity; nothing is claimed."""
    try:
        claim(store, discount, definition, user_id, identity, check=True)
    except (AlreadyGrantedElsewhere, IdentityMissing) as refusal:
        return [refusal]
    return []


def claim(
    store: Store,
    discount: DiscountId,
    definition: Definition,
    user_id: str,
    identity: Identity | None,
    *,
    check: bool = False,
) -> list[str]:
    """Claim an identity for a user, and return the digests that are new; none where the discount asks for none.

    Raises:
        AlreadyGrantedElsewhere: as many users as the discount allows have claimed it.
        IdentityMissing: the discount asks for one, and the user has claimed none.
    """
    if definition.per_identity is None:
        return []
    digests = _digests(discount, identity)
    try:
        answer = store.run(
            "claim_identity",
            [
                keys.discount(discount.partition, discount.text),
                _user_bucket(discount, user_id),
                keys.events(discount.partition),
                *(_bucket(discount, each) for each in digests),
            ],
            [_user_ref(user_id), definition.per_identity, MOST_OF_USER, "1" if check else "", *digests],
        )
    except AlreadyGrantedElsewhere as refusal:
        raise AlreadyGrantedElsewhere(
            limit="per_identity", most=definition.per_identity, part=_PART_OF[refusal.facts["part"]]
        ) from None
    return answer["fresh"].split()


def release(store: Store, discount: DiscountId, user_id: str, digests: Sequence[str]) -> None:
    """Give claims of a user back."""
    if digests:
        names = [_user_bucket(discount, user_id), *(_bucket(discount, each) for each in digests)]
        store.run("release_identity", names, [_user_ref(user_id), *digests])


def forget(store: Store, discount: DiscountId, user_id: str) -> None:
    """Erase what a user has claimed of a discount."""
    claimed = store.command("HGET", _user_bucket(discount, user_id), _user_ref(user_id))
    release(store, discount, user_id, (claimed or "").split())


def _digests(discount: DiscountId, identity: Identity | None) -> list[str]:
    """Return the digests as this discount keeps them, each behind the first letter of its part."""
    found = identity.digests if identity is not None else ()
    return [
        part[0] + blake2b(digest, digest_size=8, key=discount.text.encode()).hexdigest()[: _SIZE - 1]
        for part, digest in found
    ]


def _user_ref(user_id: str) -> str:
    """Return a short name of a user, so that no id stands in what is kept."""
    return blake2b(user_id.encode(), digest_size=8).hexdigest()


def _user_bucket(discount: DiscountId, user_id: str) -> str:
    return _bucket(discount, _user_ref(user_id))


def _bucket(discount: DiscountId, text: str) -> str:
    return keys.identities(discount.partition, discount.text, crc32(text.encode()) % (discount.buckets * _SPREAD))
