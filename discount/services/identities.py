"""The service of identities: only so many users of a discount may share an e-mail address, a device, or a card.

A user claims an identity in the script that makes the grant, the use or the wait: either both are there, or none.
Digests are made anew for each discount, so those of two discounts cannot be compared.
"""

from hashlib import blake2b
from zlib import crc32

from discount.domain.identity import Identity
from discount.domain.ids import DiscountId
from discount.domain.model import Definition
from discount.store import keys
from discount.store.connection import Store
from discount.store.scripts import JUDGED

#: Letters of a digest: the part, and 60 bits.
_SIZE = 15
# Buckets of a discount beside those of its grants: so Redis keeps each packed.
_SPREAD = 8


def claim_of(
    discount: DiscountId, definition: Definition, user_id: str, identity: Identity | None
) -> tuple[str, list[str]]:
    """Return what a script takes that claims an identity: a text, and the keys at the end of its list.

    Where the discount asks for no identity, the text says only that the user was judged, and there are no keys.
    """
    if definition.per_identity is None:
        return JUDGED, []
    digests = _digests(discount, identity)
    text = " ".join([JUDGED, str(definition.per_identity), _user_ref(user_id), *digests])
    noted = keys.uncopied(discount.partition)
    return text, [noted, _user_bucket(discount, user_id), *(_bucket(discount, each) for each in digests)]


def claimed_by(store: Store, discount: DiscountId, user_id: str) -> tuple[str, str, list[str]]:
    """Return the short name of a user, what the user has claimed of a discount as it is stored, and the keys of it."""
    name, own = _user_ref(user_id), _user_bucket(discount, user_id)
    claimed = store.command("HGET", own, name) or ""
    return name, claimed, [own, *(_bucket(discount, each) for each in claimed.split())]


def forget(store: Store, discount: DiscountId, user_id: str) -> None:
    """Erase what a user has claimed of a discount."""
    name, claimed, places = claimed_by(store, discount, user_id)
    if claimed:
        store.run("release_identity", places, [name, *claimed.split()])


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
