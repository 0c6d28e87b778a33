"""The service of grants: give a user, or many users, a code of a discount."""

from collections.abc import Sequence
from functools import lru_cache

from discount.domain.audience import Customer
from discount.domain.errors import NotFound, OthersWait, Refusal, Revoked, SoldOut, Unavailable
from discount.domain.identity import Identity
from discount.domain.ids import DiscountId
from discount.domain.metadata import NO_METADATA, Metadata, write
from discount.domain.model import Definition, Grant
from discount.services import (
    admissions,
    code_pools,
    discounts,
    identities,
    personal_codes,
    slices,
    tallies,
    waiting_lists,
)
from discount.services.grant_records import BLOCKED, TERMS, bucket_key, read_grant
from discount.store import keys
from discount.store.answers import Answer
from discount.store.connection import Store, moment_of
from discount.store.guards import Guard
from discount.store.scripts import with_judgement

#: After so many refills for one call the codes are taken faster than one replica can make them.
REFILLS = 50
#: Grants sent to Redis together: enough to hide the round trip, few enough to let other calls in between.
SLICE = 500
#: The same for personal codes, which take longer to make.
PERSONAL_SLICE = 100
# Fields of a discount that, beside its terms, decide whether it is sold out.
_SOLD_OUT = ("granted", "total", "starts_at", "paused")
# Statuses of the grant script after which it is run again.
_AGAIN = ("refill", "template", "clash", "asks")


class HoldsMore(Exception):
    """The user was given another code since the caller looked."""


@tallies.of_grants
def grant(
    store: Store,
    discount_id: str,
    user_id: str,
    *,
    email: str = "",
    metadata: Metadata = NO_METADATA,
    expected_users: str = "*",
    customer: Customer | None = None,
    identity: Identity | None = None,
    serves: bool = True,
    guard: Guard | None = None,
) -> Grant:
    """Return the user's code of a discount: a new one, or the one held already.

    This is one round trip; an empty pool costs more, and so do a code that contains the user's name and an audience.

    Args:
        email: the user's address at the brand from now on, if the code is new; empty changes nothing.
        metadata: kept with the grant, if the code is new.
        expected_users: the user's field in the users' bucket as the caller read it; `*` accepts any.
        customer: what the caller says of the user, for the discount's audience.
        identity: signs that two users are one person, for `per_identity`.
        serves: whether users who wait are served first, if there are codes for them.

    Raises:
        NotFound, SoldOut, NotReleased, NotStarted, Expired, Paused, Closed
        OthersWait: the codes that are left go to users who wait for one.
        NotInAudience, AlreadyGrantedElsewhere, IdentityMissing
        Revoked: the user's code was taken back, and the user may be granted no other one.
        Unavailable: codes are taken faster than they are made.
        HoldsMore: the user's field is no longer `expected_users`.
    """
    parsed = discounts.parse_id(store, discount_id)
    extra = f"{email}\n{write(metadata)}" if metadata else email
    if discount_id in store.sold_out and (guard is None or not guard.checks):
        found = _grant_of_sold_out(store, parsed, user_id)
        if found is not None:
            return found
    has_served = not serves
    admission: admissions.Admission | None = None
    for _ in range(REFILLS):
        name = _names(store, parsed, [user_id]).get(user_id, "")
        call = _call(
            *(store, parsed, user_id, expected_users), extra=extra, name=name, admission=admission, identity=identity
        )
        try:
            answer = store.run("grant", *call, guard)
        except Refusal as refusal:
            if isinstance(refusal, OthersWait) and not has_served:
                # The user may be one of those who wait, or find a code that is left over.
                waiting_lists.serve(store, discount_id)
                has_served = True
                continue
            if isinstance(refusal, SoldOut):
                _remember_sold_out(store, discount_id)
            raise
        if answer.status == "refill":
            code_pools.refill(store, discount_id)
        elif answer.status == "template":
            discounts.get_definition(store, discount_id)
        elif answer.status == "changed":
            raise HoldsMore
        elif answer.status == "asks":
            admission = admissions.admit(store, parsed, user_id, customer, identity)
        elif answer.status != "clash":
            if answer["low"]:
                code_pools.refill_ahead(store, discount_id)
            return _answered_grant(discount_id, user_id, answer, fresh=answer.status == "granted")
    raise Unavailable("The codes of this discount are being taken faster than they are made.")


def grant_many(
    store: Store, discount_id: str, user_ids: Sequence[str], *, metadata: Metadata = NO_METADATA
) -> list[Grant | Refusal]:
    """Give each of many users a code, and return the grants or refusals in order. Some may fail while others succeed.

    Raises:
        NotFound: there is no such discount.
    """
    parsed = discounts.parse_id(store, discount_id)
    kind = discounts.get_definition(store, discount_id).codes.kind
    outcomes: list[Grant | Refusal] = []
    size = PERSONAL_SLICE if kind == "personal" else SLICE
    for first in range(0, len(user_ids), size):
        slices.between()
        batch = user_ids[first : first + size]
        if kind == "unique":
            # If the codes still run out, the rest of the slice is sent again.
            code_pools.refill(store, discount_id, len(batch))
        outcomes += _grant_slice(store, parsed, batch, metadata)
    tallies.of_outcomes(store, discount_id, outcomes)
    return outcomes


def _remember_sold_out(store: Store, discount_id: str) -> None:
    if len(store.sold_out) >= discounts.REMEMBERED:
        store.sold_out.clear()
    store.sold_out.add(discount_id)


def _grant_of_sold_out(store: Store, parsed: DiscountId, user_id: str) -> Grant | None:
    """Return the code that the user holds of a discount that was sold out, at a fraction of the script's cost.

    The discount is read first, so a code that the user is given meanwhile is found.

    Returns:
        None if only the script can tell: there are codes again, or there is another reason to refuse by now.

    Raises:
        SoldOut
    """
    (granted, total, starts_at, paused, *terms), time, held = store.commands(
        [
            ("HMGET", keys.discount(parsed.partition, parsed.text), *_SOLD_OUT, *TERMS),
            ("TIME",),
            ("HGET", bucket_key(parsed, user_id), user_id),
        ]
    )
    if held == BLOCKED:
        return None
    if held is not None:
        return read_grant(parsed.text, user_id, held, terms)
    expires_at, _, _, closed, _ = terms
    now = moment_of(time)
    is_open = int(starts_at or 0) <= now and (expires_at is None or now < int(expires_at)) and not (paused or closed)
    if granted is not None and granted == total and is_open:
        raise SoldOut()
    store.sold_out.discard(parsed.text)
    return None


def _grant_slice(
    store: Store, parsed: DiscountId, user_ids: Sequence[str], metadata: Metadata
) -> list[Grant | Refusal]:
    extra = f"\n{write(metadata)}" if metadata else ""
    answers: dict[str, Answer] = {}
    refused: dict[str, Refusal] = {}
    admitted: dict[str, admissions.Admission] = {}
    has_served = False
    for _ in range(REFILLS):
        waiting = [user_id for user_id in dict.fromkeys(user_ids) if user_id not in answers and user_id not in refused]
        if not waiting:
            break
        names = _names(store, parsed, waiting)
        calls = [
            _call(
                *(store, parsed, user_id, "*"),
                extra=extra,
                name=names.get(user_id, ""),
                admission=admitted.get(user_id),
            )
            for user_id in waiting
        ]
        latest = store.run_many("grant", calls)
        statuses = {answer.status for answer in latest}
        again: tuple[str, ...] = _AGAIN
        if OthersWait.slug in statuses and not has_served:
            # As for a single grant: these users may be those who wait, or find codes that are left over.
            waiting_lists.serve(store, parsed.text)
            has_served, again = True, (*_AGAIN, OthersWait.slug)
        answers |= {user: answer for user, answer in zip(waiting, latest, strict=True) if answer.status not in again}
        if "refill" in statuses:
            code_pools.refill(store, parsed.text, len(user_ids))
        if "template" in statuses:
            discounts.get_definition(store, parsed.text)
        if "asks" in statuses:
            asked = [user_id for user_id, each in zip(waiting, latest, strict=True) if each.status == "asks"]
            definition = discounts.get_definition(store, parsed.text)
            reasons = zip(asked, admissions.judge(store, definition, asked), strict=True)
            refused |= {user_id: found[0] for user_id, found in reasons if found}
            # A call for many users names no identities: each user has to have claimed one before.
            admitted |= {user_id: identities.claim_of(parsed, definition, user_id, None) for user_id in asked}
    else:
        raise Unavailable("The codes of this discount are being taken faster than they are made.")
    # A user who is listed twice was given one code, the first time.
    given: set[str] = set()
    outcomes: list[Grant | Refusal] = []
    for user_id in user_ids:
        if user_id in refused:
            outcomes.append(refused[user_id])
            continue
        answer = answers[user_id]
        fresh = answer.status == "granted" and user_id not in given
        outcomes.append(_outcome(parsed.text, user_id, answer, fresh=fresh))
        given.add(user_id)
    return outcomes


def _outcome(discount_id: str, user_id: str, answer: Answer, *, fresh: bool) -> Grant | Refusal:
    refusal = answer.refusal()
    if isinstance(refusal, NotFound):
        raise NotFound(f"There is no discount {discount_id}.")
    if refusal is None and answer["grant"] == BLOCKED:
        return Revoked()
    return refusal or _answered_grant(discount_id, user_id, answer, fresh=fresh)


def _answered_grant(discount_id: str, user_id: str, answer: Answer, *, fresh: bool) -> Grant:
    """Return the grant in an answer of the grant script.

    Raises:
        Revoked: the user's code was taken back, and the user may be granted no other one.
    """
    if answer["grant"] == BLOCKED:
        raise Revoked()
    return read_grant(discount_id, user_id, answer["grant"], answer.pick(*TERMS), fresh=fresh)


def _names(store: Store, parsed: DiscountId, user_ids: Sequence[str]) -> dict[str, str]:
    """Return the names that the brand uses for users, if the codes of this discount contain the name."""
    definition: Definition | None = store.definitions.get(parsed.text)
    return {} if definition is None else personal_codes.names_of(store, definition, user_ids)


def _call(
    store: Store,
    parsed: DiscountId,
    user_id: str,
    expected_users: str,
    *,
    extra: str = "",
    name: str = "",
    admission: admissions.Admission | None = None,
    identity: Identity | None = None,
) -> tuple[list[str], list[str | int]]:
    """Return the keys and arguments of the grant script."""
    partition, discount_id = parsed.partition, parsed.text
    bucket = keys.grant_bucket(user_id, parsed.buckets)
    usage, discount, codes, buckets, events = _fixed_keys(partition, discount_id)
    grants, users = keys.grants(partition, discount_id, bucket), keys.users(partition, user_id)
    names = [usage, discount, codes, grants, buckets, users, events]
    definition: Definition | None = store.definitions.get(discount_id)
    if admission is None and definition is not None and definition.per_identity is not None:
        admission = admissions.foresee(parsed, definition, user_id, identity)
    if admission is not None:
        extra = with_judgement(extra, admission[0])
    arguments: list[str | int] = [*store.quotas.grant_arguments, user_id, bucket, expected_users, extra]
    if definition is not None and definition.codes.kind == "personal":
        taken, candidates = personal_codes.candidates_of(parsed, definition, user_id, name)
        names += taken
        arguments += candidates
    if admission is not None:
        names += admission[1]
    return names, arguments


# Cached: most calls are for few discounts.
@lru_cache(maxsize=4096)
def _fixed_keys(partition: int, discount_id: str) -> tuple[str, str, str, str, str]:
    """Return the keys of the grant script that do not depend on the user."""
    return (
        keys.usage(partition),
        keys.discount(partition, discount_id),
        keys.codes(partition, discount_id),
        keys.buckets(partition, discount_id),
        keys.events(partition),
    )
