"""The service of redemptions: validate and redeem a code, confirm a hold, roll a redemption back, show it."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from discount.domain import code_sequence, ids, rules, windows
from discount.domain.errors import (
    BY_SLUG,
    HoldEnded,
    IdempotencyMismatch,
    NotFound,
    NotGranted,
    Refusal,
    TooLate,
    TooManyGuesses,
    Unavailable,
)
from discount.domain.metadata import NO_METADATA, Metadata, with_order, write
from discount.domain.model import Definition, Redemption
from discount.domain.order_lines import digest, share, write_lines
from discount.domain.rules import LimitName, Order
from discount.services import checkouts, discounts, identities, redemption_records, tallies
from discount.services.checkouts import Checkout, PreparedCheckout
from discount.services.redemption_records import Record
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
_NONE = "There is no such redemption."
_decode_left: Callable[[str], Mapping[LimitName, int]] = msgspec.json.Decoder().decode


class Verdict(Struct, frozen=True):
    """The outcome of a validation: what would come off, what is left of each limit, and all reasons against it.

    `discount_amount` is 0 where the rule takes nothing off this order, or the code is wrong.
    """

    discount_id: str | None
    discount_amount: int
    left: Mapping[LimitName, int]
    reasons: list[Refusal]
    #: What would come off each line of the order, by the line's id; empty without lines.
    lines: Mapping[str, int] = {}


def validate(store: Store, checkout: Checkout, guard: Guard | None = None) -> Verdict:
    """Return what a redemption would do now. Only a wrong code is counted.

    Raises:
        NotFound: there is no such discount, or it is another brand's.
        TooManyGuesses
    """
    try:
        prepared = checkouts.prepare(store, checkout, guard)
    except NotGranted as wrong:
        return Verdict(None, 0, {}, [wrong], off_by_id(checkout.order, ()))
    return verdict_of(prepared, _run(store, prepared, guard, mode="check"))


def verdict_of(prepared: PreparedCheckout, answer: Answer) -> Verdict:
    """Return what the script's answer to a check says."""
    order = prepared.checkout.order
    found = read_reasons(answer["reasons"], prepared.definition)
    if answer.status == "refused":
        return Verdict(None, 0, {}, found, off_by_id(order, ()))
    # The terms of an order that was redeemed are not judged again, so its mismatch comes first.
    mismatches = [each for each in found if isinstance(each, IdempotencyMismatch)]
    reasons = mismatches + prepared.refusals + prepared.outside + found[len(mismatches) :]
    amount = 0 if prepared.refusals else int(answer["taken"])
    lines = off_by_id(order, share(amount, prepared.off_lines))
    return Verdict(prepared.discount.text, amount, _read_left(answer["left"]), reasons, lines)


def redeem(
    store: Store,
    checkout: Checkout,
    *,
    hold_seconds: int | None = None,
    idempotency_key: str | None = None,
    metadata: Metadata = NO_METADATA,
    guard: Guard | None = None,
) -> Redemption:
    """Count a use of a code, or hold it for `hold_seconds`. A repeated order gets the first answer and counts nothing.

    Raises:
        NotFound: there is no such discount, or it is another brand's.
        NotGranted: the user holds no such code.
        NotInAudience, OutsideHours, AlreadyGrantedElsewhere, IdentityMissing
        MinimumAmount, CurrencyMismatch, Closed, Paused, NotStarted, Expired, LimitReached, AlreadyRedeemed
        TooManyHolds
        IdempotencyMismatch: the order or the key was used with another request.
        TooManyGuesses
    """
    return redeem_prepared(
        store,
        checkouts.prepare(store, checkout, guard),
        hold_seconds=hold_seconds,
        idempotency_key=idempotency_key,
        metadata=metadata,
        guard=guard,
    )


def redeem_prepared(
    store: Store,
    prepared: PreparedCheckout,
    *,
    hold_seconds: int | None = None,
    idempotency_key: str | None = None,
    metadata: Metadata = NO_METADATA,
    guard: Guard | None = None,
) -> Redemption:
    """Do as `redeem`, after the discount was found and its rule judged the order."""
    # Even an order that the rule refuses goes to the script: a wrong code must not reveal what the rule asks for, and a
    # repeated order gets its first answer.
    discount_id = prepared.discount.text
    refuses = bool(prepared.refusals or prepared.outside)
    try:
        answer = _run(
            store,
            prepared,
            guard,
            mode="refuse" if refuses else "redeem",
            hold_seconds=hold_seconds,
            idempotency_key=idempotency_key,
            metadata=metadata,
        )
    except TooManyGuesses as refusal:
        tallies.refused(store, discount_id, "redemption", refusal)
        raise
    if answer.status == "checked":
        judged = read_reasons(answer["reasons"], prepared.definition)
        raise tallies.refused(store, discount_id, "redemption", [*prepared.refusals, *prepared.outside, *judged][0])
    if answer.status == "refused":
        raise tallies.refused(store, discount_id, "redemption", read_reasons(answer["reasons"], prepared.definition)[0])
    if answer.status == "again":
        record = redemption_records.read_record(answer["record"], prepared.discount.text)
        return redemption_records.redemption_of(store, prepared.facts.redemption_id, record)
    return new_redemption(prepared, answer, metadata)


def new_redemption(prepared: PreparedCheckout, answer: Answer, metadata: Metadata) -> Redemption:
    """Return the redemption that the script has made."""
    checkout, hold_until = prepared.checkout, answer["hold_until"]
    return Redemption(
        id=prepared.facts.redemption_id,
        discount_id=prepared.discount.text,
        brand_id=prepared.definition.brand_id,
        user_id=checkout.user_id,
        code=answer["code"],
        state="held" if hold_until else "redeemed",
        order=checkout.order,
        discount_amount=int(answer["taken"]),
        left=_read_left(answer["left"]),
        redeemed_at=int(answer["at"]),
        hold_until=_moment(hold_until),
        metadata=metadata,
        fresh=True,
        lines=off_by_id(checkout.order, share(int(answer["taken"]), prepared.off_lines)),
    )


def confirm(store: Store, redemption_id: str) -> Redemption:
    """Make a held use final. A final use stays as it is.

    Raises:
        NotFound
        HoldEnded: the hold ran out, was released for another redemption of the user, or was rolled back.
    """
    return _change(store, "confirm", redemption_id)


def roll_back(store: Store, redemption_id: str, reason: str = "") -> Redemption:
    """Undo a use, or release a hold. A repeated call changes nothing.

    Raises:
        NotFound
        TooLate: Redis has let the use go.
    """
    return _change(store, "rollback", redemption_id, reason)


def show(store: Store, redemption_id: str) -> Redemption:
    """Return a redemption with its present state and what is left of the limits now.

    Raises:
        NotFound
    """
    found = find(store, redemption_id)
    return structs.replace(found, left=_left(store, found))


def find(store: Store, redemption_id: str) -> Redemption:
    """Return a redemption with its present state and what was left of the limits right after it.

    Raises:
        NotFound
        Unavailable: it is not in Redis, and the ledger does not answer.
    """
    return _find(store, redemption_id)[0]


def _find(store: Store, redemption_id: str) -> tuple[Redemption, bool]:
    """Return a redemption, and whether Redis has let it go."""
    partition = ids.find_partition("rdm", redemption_id, store.partitions, _NONE)
    found, let_go = read(store, [redemption_id])
    if found:
        return found[redemption_id], False
    past = store.past.read([redemption_id]) if store.past is not None and partition in let_go else []
    if not past:
        raise NotFound(_NONE)
    return past[0], True


def read(store: Store, redemption_ids: Sequence[str]) -> tuple[dict[str, Redemption], dict[int, int]]:
    """Return the redemptions that Redis has, by id, with their present states.

    Also return the latest time that was let go, by partition that has let go any.
    """
    found = redemption_records.read(store, redemption_ids)
    live = {
        each: redemption_records.redemption_of(store, each, record, found.now) for each, record in found.records.items()
    }
    return live, found.let_go


def _run(store: Store, prepared: PreparedCheckout, guard: Guard | None, **given: Any) -> Answer:
    """Run the redeem script until it needs nothing more, and return its answer."""
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


def _change(store: Store, name: str, redemption_id: str, *arguments: str) -> Redemption:
    """Run a script that changes a redemption, and return the redemption after it."""
    ids.find_partition("rdm", redemption_id, store.partitions, _NONE)
    for _ in range(TRIES):
        record = redemption_records.read(store, [redemption_id]).records.get(redemption_id)
        if record is None:
            found, is_past = _find(store, redemption_id)
            if is_past:
                return _unchanged(store, name, found)
            # Redeemed for the first time since it was looked up.
            continue
        (answer,) = store.run_many(name, [change_of(store, redemption_id, record, *arguments)])
        # In between, Redis has let it go, or another user or discount redeemed the order.
        if answer.status not in ("not-found", "moved"):
            refusal = answer.refusal()
            if refusal is not None:
                raise refusal
            return show(store, redemption_id)
    raise Unavailable("This order is being redeemed again and again.")


def _unchanged(store: Store, name: str, found: Redemption) -> Redemption:
    """Return a redemption that Redis has let go, if the change would change nothing.

    Raises:
        HoldEnded
        TooLate: a use that Redis has let go is not rolled back.
    """
    if name == "confirm" and found.state != "redeemed":
        raise HoldEnded
    if name == "rollback" and found.state == "redeemed":
        raise TooLate
    return structs.replace(found, left=_left(store, found))


def change_of(store: Store, redemption_id: str, record: Record, *arguments: str) -> Run:
    """Return the keys and the arguments of a script that changes a redemption."""
    calendar = rules.calendar(discounts.get_definition(store, record.discount_id).timezone, record.at)
    given: list[str | int] = [redemption_id, record.number, record.user_id, calendar, *arguments]
    return _keys_of(store, redemption_id, record), given


def _keys_of(store: Store, redemption_id: str, record: Record) -> list[str]:
    """Return the keys of the scripts that change a redemption."""
    parsed = discounts.parse_id(store, record.discount_id)
    bucket = keys.grant_bucket(record.user_id, parsed.buckets)
    return [
        keys.reserved(parsed.partition, parsed.text),
        *keys.records(redemption_id),
        keys.discount(parsed.partition, parsed.text),
        keys.uses(parsed.partition, parsed.text, bucket),
        keys.holds(parsed.partition, parsed.text),
        keys.events(parsed.partition),
    ]


def read_reasons(text: str, definition: Definition) -> list[Refusal]:
    """Return the reasons of the script: each has a slug and its facts."""
    reasons: list[Refusal] = []
    for reason in msgspec.json.decode(text):
        slug = reason.pop("slug")
        if "month" in reason:
            reason["opens_at"] = windows.end_of_month(reason.pop("month"), definition.timezone)
        if slug == "not-granted":
            reasons.append(checkouts.wrong_code())
        elif slug == "idempotency-mismatch":
            reasons.append(IdempotencyMismatch(_mismatch(reason.get("differs", []))))
        else:
            reasons.append(BY_SLUG[slug](**reason))
    return reasons


def off_by_id(order: Order, off: Sequence[int]) -> Mapping[str, int]:
    """Return what comes off each line of an order by the line's id; nothing where no amounts are given."""
    if not order.lines:
        return {}
    return {line.id: taken for line, taken in zip(order.lines, off or [0] * len(order.lines), strict=True)}


def _mismatch(differs: list[str]) -> str:
    if not differs:
        return "This Idempotency-Key was used with another request."
    return f"This order was used with another {', '.join(differs)}."


def _left(store: Store, found: Redemption) -> Mapping[LimitName, int]:
    """Return what is left now of the limits of a redemption's discount for its user."""
    parsed = discounts.parse_id(store, found.discount_id)
    names = [
        keys.reserved(parsed.partition, parsed.text),
        keys.discount(parsed.partition, parsed.text),
        keys.uses(parsed.partition, parsed.text, keys.grant_bucket(found.user_id, parsed.buckets)),
        keys.holds(parsed.partition, parsed.text),
    ]
    zone, now = discounts.get_definition(store, found.discount_id).timezone, time.time_ns() // 1000
    for _ in range(TRIES):
        answer = store.run("left", names, [found.user_id, rules.calendar(zone, now), found.order.currency])
        if answer.status == "left":
            return _read_left(answer["limits"])
        now = int(answer["now"])
    raise Unavailable("The clocks of this replica and of Redis do not agree.")


def _read_left(text: str) -> Mapping[LimitName, int]:
    # An empty table of Lua is a list to some encoders.
    return _decode_left(text) or {}


def _moment(text: str | None) -> int | None:
    return int(text) if text else None
