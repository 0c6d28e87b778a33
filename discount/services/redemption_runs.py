"""Runs of the redeem script: its keys, its arguments, and the facts that it asks for in a further run."""

import time
from collections.abc import Generator
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from discount.domain import code_sequence, ids, rules, windows
from discount.domain.errors import Unavailable
from discount.domain.metadata import NO_METADATA, Metadata, with_order, write
from discount.domain.model import Definition
from discount.domain.order_lines import digest, share, write_lines
from discount.services import discounts, identities
from discount.services.checkouts import PreparedCheckout
from discount.store import keys
from discount.store.answers import Answer
from discount.store.connection import Store
from discount.store.guards import Guard

#: Holds of one discount that a user may have at a time. Each use examines all of them.
HOLDS_PER_USER = 25
#: How often a script is run when it asks for something and has to be run again.
TRIES = 5
#: How often it is run to take holds that ended off the counts, 1,000 each time.
SETTLED = 50
#: Stands for a held code that is not equal to the typed one: no code contains a line break.
NOT_EQUAL = "\n"
#: What the script does: `check` reports all reasons, `redeem` counts a use. `refuse` is for an order that the rule
#: refuses: it judges the code and finds a repeated order, and counts no use.
#: `try` does as `redeem`, but counts nothing if nothing is in the way.
Mode = Literal["check", "refuse", "try", "redeem"]
#: Keys and arguments of a script.
Run = tuple[list[str], list[str | int]]


def run(store: Store, prepared: PreparedCheckout, guard: Guard | None, **given: Any) -> Answer:
    """Run the redeem script until it needs nothing more, and return its last answer."""
    calls = runs(prepared, **given)
    call = next(calls)
    try:
        while True:
            call = calls.send(store.run("redeem", *call, guard))
    except StopIteration as done:
        answer: Answer = done.value
        return answer


def runs(
    prepared: PreparedCheckout,
    *,
    mode: Mode,
    hold_seconds: int | None = None,
    idempotency_key: str | None = None,
    metadata: Metadata = NO_METADATA,
    codes: str = "",
) -> Generator[Run, Answer, Answer]:
    """Yield keys and arguments of the redeem script, and take its answers, until it needs nothing more.

    Args:
        codes: the order's redemptions as they are stored, if it has several codes.

    Returns:
        the last answer.
    """
    checkout, facts, discount, definition = prepared.checkout, prepared.facts, prepared.discount, prepared.definition
    order, partition = checkout.order, facts.partition
    bucket = keys.grant_bucket(checkout.user_id, discount.buckets)
    reserved, of_discount, holds, redemptions, more, events = _fixed_keys(partition, discount.text)
    # Without an Idempotency-Key the script reads none, and any key of the partition may fill its place.
    idempotency, fingerprint, keep_seconds = events, "", ""
    if idempotency_key is not None:
        idempotency = keys.idempotency(partition, facts.brand_id, idempotency_key, checkout.namespace)
        fingerprint = _fingerprint(prepared, hold_seconds, metadata, codes)
        keep_seconds = str(discounts.IDEMPOTENCY_SECONDS)
    names = [
        *facts.guess_keys,
        reserved,
        of_discount,
        keys.grants(partition, discount.text, bucket),
        keys.uses(partition, discount.text, bucket),
        *keys.records(facts.redemption_id),
        holds,
        redemptions,
        more,
        keys.users(partition, checkout.user_id),
        keys.user_redemptions(partition, checkout.user_id),
        idempotency,
        events,
    ]
    short = ids.short_of(facts.redemption_id)
    as_held, term, now, off = "", "", time.time_ns() // 1000, prepared.discount_amount
    giving_way: list[str] = []
    identity, places = "", list[str]()
    if definition.per_identity is not None:
        identity, places = identities.claim_of(discount, definition, checkout.user_id, checkout.identity)
    tries, settled = TRIES, 0
    while tries:
        tries -= 1
        answer = yield (
            [*names, *(name for each in giving_way for name in keys.records(each)), *places]
            if giving_way or places
            else names,
            [
                *facts.guess_limits,
                mode,
                checkout.user_id,
                facts.code,
                as_held,
                facts.redemption_id,
                short,
                fingerprint,
                with_order(order.id, metadata, write_lines(order.lines, share(off, prepared.off_lines)), codes),
                order.amount,
                order.currency,
                off,
                "" if hold_seconds is None else hold_seconds,
                HOLDS_PER_USER,
                _term_length(prepared),
                term,
                keep_seconds,
                rules.calendar(definition.timezone, now),
                " ".join(giving_way),
                _conditions(definition, now, identity) if definition.opens or identity else "",
            ],
        )
        if answer.status == "compare":
            as_held = answer["code"] if code_sequence.canonical(answer["code"]) == facts.code else NOT_EQUAL
        elif answer.status == "term" and definition.valid_for is not None:
            ends_at = definition.valid_for.after(int(answer["granted_at"]), definition.timezone)
            term = f"{answer['granted_at']} {ends_at:016d}"
        elif answer.status == "clock":
            now = int(answer["now"])
        elif answer.status == "gives-way":
            giving_way = answer.rest("ids")
        elif answer.status == "caps":
            off = int(answer["taken"])
        elif answer.status == "settled":
            settled += 1
            tries += settled <= SETTLED
        else:
            return answer
    raise Unavailable("The clocks of this replica and of Redis do not agree, or the user's holds keep changing.")


# Cached: most calls are for few discounts.
@lru_cache(maxsize=4096)
def _fixed_keys(partition: int, discount_id: str) -> tuple[str, str, str, str, str, str]:
    """Return the keys of the redeem script that depend on the discount alone."""
    return (
        keys.reserved(partition, discount_id),
        keys.discount(partition, discount_id),
        keys.holds(partition, discount_id),
        keys.redemptions(partition, discount_id),
        keys.more_redemptions(partition, discount_id),
        keys.events(partition),
    )


def _fingerprint(prepared: PreparedCheckout, hold_seconds: int | None, metadata: Metadata, codes: str) -> str:
    """Return a digest of the request, by which a reused Idempotency-Key is noticed."""
    checkout, order = prepared.checkout, prepared.checkout.order
    request = [
        *(prepared.discount.text, checkout.user_id, prepared.facts.code),
        *(order.id, order.amount, order.currency, hold_seconds),
    ]
    request += [write(metadata)] if metadata else []
    request += [digest(order.lines)] if order.lines else []
    request += [codes.partition(" ")[0]] if codes else []
    return blake2b(repr(request).encode(), digest_size=16).hexdigest()


def _conditions(definition: Definition, now: int, identity: str) -> str:
    """Return what else the script judges: when the discount is open, and who the user is."""
    asked: dict[str, Any] = {}
    if definition.opens:
        asked["openings"] = windows.openings(definition.opens, definition.timezone, now)
    if identity:
        asked["identity"] = identity
    return msgspec.json.encode(asked).decode()


def _term_length(prepared: PreparedCheckout) -> str | int:
    """Return how long a code is good after its grant: microseconds, `by-calendar` for months, empty for no end."""
    valid_for = prepared.definition.valid_for
    if valid_for is None:
        return ""
    return "by-calendar" if valid_for.months else valid_for.microseconds
