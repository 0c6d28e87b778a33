"""The service of revocations: take one granted code back, and read what was taken back."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from discount.domain import code_sequence
from discount.domain.errors import Invalid, NotGranted, Unavailable
from discount.domain.ids import DiscountId
from discount.domain.model import COMMAND, Author, Grant
from discount.services import (
    deliveries,
    discounts,
    grant_lists,
    grant_records,
    next_waits,
    personal_codes,
    user_grants,
)
from discount.store import keys
from discount.store.connection import Store

#: Where a code goes: nowhere, back to the pool, or to another user.
Back = Literal["void", "pool", "next"]
#: How often the script is run while the user's grant keeps changing.
TRIES = 5


class Claimed(Exception):
    """The user has used the code, or holds a use of it until a time; 0 for a use."""

    def __init__(self, until: int) -> None:
        super().__init__()
        self.until = until


@dataclass(frozen=True, slots=True)
class Revocation:
    """A code that was taken back from a user, and the grant of the next user if it was passed on."""

    discount_id: str
    user_id: str
    code: str
    back: Back
    granted_at: int
    revoked_at: int
    next: Grant | None = None


def revoke(
    store: Store,
    discount_id: str,
    user_id: str,
    *,
    reason: str = "",
    back: Back = "void",
    next_user_id: str | None = None,
    reissue: bool = False,
    code: str | None = None,
    unclaimed: bool = False,
    author: Author = COMMAND,
) -> Revocation:
    """Take a user's code back. A use already made stays; a hold may still be confirmed.

    A repeated call changes nothing and has the same answer; only `reissue` may be added.

    Args:
        back: `void` ends the code, `pool` lets another user be granted it, `next` grants it to `next_user_id`. A
            personal code has its user's name, so that `pool` returns only its place, and `next` makes another code.
            A code in the pool goes to the user who waits longest, in the same step.
        reissue: whether the user may be granted a code of this discount again.
        code: the code to take back; None for the one that the user holds. With it, a repeat never takes a newer code.
        unclaimed: whether the code is left to the user if it was used, or is on hold.

    Raises:
        NotFound
        NotGranted: the user holds no code of the discount, or not this one.
        Revoked: the next user's code was taken back before, not to be granted again.
        AlreadyGranted: the next user holds a code.
        Claimed: only with `unclaimed`.
        Closed, Paused, Expired, NotStarted, QuotaReached: the code cannot be passed on, or has no pool to go back to.
    """
    if (back == "next") != (next_user_id is not None):
        raise Invalid("/next_user_id", "is missing" if back == "next" else "is only for `back` next")
    if next_user_id == user_id:
        raise Invalid("/next_user_id", "is the user whose code is taken back")
    parsed = discounts.parse_id(store, discount_id)
    discount, _ = discounts.show(store, discount_id)
    for _ in range(TRIES):
        value, notes = store.command("HMGET", grant_records.bucket_key(parsed, user_id), user_id, f"{user_id}\n")
        held = _find(discount_id, user_id, value, notes)
        if code is not None and code_sequence.canonical(code) != code_sequence.canonical(held.code):
            raise NotGranted("The user holds another code.")
        names, arguments = _keys(store, parsed, user_id, next_user_id or user_id), list[str | int]()
        waits = next_waits.NO_USERS
        if back == "pool" and discount.waiting_count:
            waits = next_waits.read(store, parsed, discount.definition)
        if next_user_id is not None and discount.codes.kind == "personal":
            known = personal_codes.names_of(store, discount.definition, [next_user_id])
            taken, arguments = personal_codes.candidates_of(
                parsed, discount.definition, next_user_id, known.get(next_user_id, "")
            )
            names += taken
        answer = store.run(
            "revoke",
            [*names, *waits.user_keys],
            [
                *(waits.text, *store.quotas.grant_arguments, user_id, value or "", code_sequence.canonical(held.code)),
                *(_page_of(store, parsed, user_id, str(discount.number)), reason, back, next_user_id or ""),
                *(keys.grant_bucket(next_user_id or user_id, parsed.buckets), "1" if reissue else ""),
                *("1" if unclaimed else "", author.by, author.request_id, *arguments),
            ],
        )
        if answer.status in ("taken-back", "again"):
            break
        if answer.status == "claimed":
            raise Claimed(int(answer["until"] or 0))
    else:
        raise Unavailable("The user's code keeps changing.")
    # No reminder of the end of a code that the user does not hold, and no claim to end.
    noted = (keys.expiring(parsed.partition), keys.claims(parsed.partition))
    store.commands([("ZREM", key, f"{discount_id} {user_id}") for key in noted])
    deliveries.remove(store, [deliveries.reminder_id(discount, held)])
    given = None
    if next_user_id is not None:
        # After a repeated call the next user may hold none any more.
        with suppress(NotGranted):
            given = grant_records.held_grant(store, discount_id, next_user_id)
    return Revocation(discount_id, user_id, held.code, back, held.granted_at, int(answer["at"]), given)


def list_void(store: Store, discount_id: str) -> Iterator[Revocation]:
    """Yield the codes of a discount that were taken back and went nowhere, in constant memory."""
    for user_id, notes in grant_lists.list_notes(store, discount_id):
        for each in read_notes(discount_id, user_id, notes):
            if each.back == "void":
                yield each


def list_of_user(store: Store, partition: int, user_id: str, brand_id: str | None) -> Iterator[Revocation]:
    """Yield what was taken back from a user, of one brand or of all."""
    for discount_id in user_grants.discounts_with_traces(store, partition, user_id):
        parsed = discounts.parse_id(store, discount_id)
        brand, notes = (
            store.command("HGET", keys.discount(partition, discount_id), "brand"),
            store.command("HGET", grant_records.bucket_key(parsed, user_id), f"{user_id}\n"),
        )
        if brand_id in (None, brand):
            yield from read_notes(discount_id, user_id, notes)


def read_notes(discount_id: str, user_id: str, notes: str | None) -> list[Revocation]:
    """Return what was taken back from a user, the oldest first, from the lines that are stored with the grants."""
    found = []
    for line in (notes or "").split("\n"):
        if line:
            revoked_at, back, _, granted_at, code = line.split(" ", 4)
            found.append(Revocation(discount_id, user_id, code, back, int(granted_at), int(revoked_at)))  # type: ignore[arg-type]
    return found


def _find(discount_id: str, user_id: str, value: str | None, notes: str | None) -> Grant:
    """Return the grant to take back, or the one that was taken back last.

    Raises:
        NotGranted
    """
    if value is not None and value != grant_records.BLOCKED:
        return grant_records.read_grant(discount_id, user_id, value, (None,) * len(grant_records.TERMS))
    before = read_notes(discount_id, user_id, notes) if value == grant_records.BLOCKED else []
    if not before:
        raise NotGranted("The user holds no code of this discount.")
    return Grant(discount_id, user_id, before[-1].code, before[-1].granted_at)


def _keys(store: Store, parsed: DiscountId, user_id: str, next_user_id: str) -> list[str]:
    partition = parsed.partition
    return [
        *next_waits.list_keys(parsed),
        keys.usage(partition),
        keys.discount(partition, parsed.text),
        keys.codes(partition, parsed.text),
        grant_records.bucket_key(parsed, user_id),
        keys.buckets(partition, parsed.text),
        keys.users(partition, user_id),
        grant_records.bucket_key(parsed, next_user_id),
        keys.users(partition, next_user_id),
        keys.uses(partition, parsed.text, keys.grant_bucket(user_id, parsed.buckets)),
        keys.events(partition),
    ]


def _page_of(store: Store, parsed: DiscountId, user_id: str, number: str) -> str | int:
    """Return the page of the user's further numbers that lists the discount; empty for none."""
    text = store.command("HGET", keys.users(parsed.partition, user_id), user_id)
    _, *further = user_grants.pages_in(store, parsed.partition, user_id, text)
    return next((page for page, numbers in enumerate(further) if number in numbers), "")
