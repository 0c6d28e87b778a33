"""Codes that have to be used within a time after their grant, and the times at which they go back."""

from discount.domain import durations
from discount.domain.errors import Closed, NotFound, NotGranted
from discount.domain.model import Author
from discount.services import discounts, grant_records, revocations
from discount.store import keys
from discount.store.connection import Store

#: Who takes back a code that was not used.
_SERVICE = Author("service")
#: Events after which a code may have no use and no hold any more.
UNDONE = ("redemption.rolled-back", "redemption.released")
#: The reason in its event.
REASON = "unclaimed"


def note(store: Store, discount_id: str, user_id: str, granted_at: int, within: str) -> None:
    """Note when a code goes back if it was not used. Noting it again changes nothing."""
    partition = discounts.parse_id(store, discount_id).partition
    until = durations.read(within).after(granted_at, "UTC")
    store.command("ZADD", keys.claims(partition), until, f"{discount_id} {user_id}")


def note_undone(store: Store, discount_id: str, user_id: str, at: int) -> None:
    """Note that a use or a hold of a code was undone: if the code had to be used by then, it goes back now."""
    partition = discounts.parse_id(store, discount_id).partition
    store.command("ZADD", keys.claims(partition), at, f"{discount_id} {user_id}")


def end(store: Store, partition: int, claim: str, now: int) -> bool:
    """Take the code of a claim back, unless it was used; return whether it was taken back.

    The code goes to the user who waits longest in the same step, or into the pool. The user may be granted another one.
    After a use is rolled back, `note_undone` brings the claim back. A closed discount leaves the user the code.
    """
    discount_id, _, user_id = claim.partition(" ")
    taken_back = False
    try:
        held = grant_records.held_grant(store, discount_id, user_id)
        if held.claim_until is not None and held.claim_until > now:
            # The user holds a later code by now.
            store.command("ZADD", keys.claims(partition), held.claim_until, claim)
            return False
        revocations.revoke(
            store,
            discount_id,
            user_id,
            reason=REASON,
            back="pool",
            reissue=True,
            code=held.code,
            unclaimed=True,
            author=_SERVICE,
        )
        taken_back = True
    except revocations.Claimed as claimed:
        if claimed.until:
            # The hold may still be released.
            store.command("ZADD", keys.claims(partition), claimed.until, claim)
            return False
    except (NotFound, NotGranted, Closed):
        pass
    store.command("ZREM", keys.claims(partition), claim)
    return taken_back
