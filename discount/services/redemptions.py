"""The service of redemptions: validate and redeem a code, confirm a hold, roll a redemption back, show it."""

import time
from collections.abc import Mapping, Sequence

from msgspec import structs

from discount.domain import ids, rules
from discount.domain.errors import HoldEnded, NotFound, NotGranted, TooLate, TooManyGuesses, Unavailable
from discount.domain.metadata import NO_METADATA, Metadata
from discount.domain.model import Redemption
from discount.domain.order_lines import share
from discount.domain.rules import LimitName
from discount.services import checkouts, discounts, redemption_records, redemption_runs, tallies
from discount.services.checkouts import Checkout, PreparedCheckout
from discount.services.redemption_records import Record
from discount.services.verdicts import Verdict, off_by_id, read_left, read_reasons, verdict_of
from discount.store import keys
from discount.store.answers import Answer
from discount.store.connection import Store
from discount.store.guards import Guard

_NONE = "There is no such redemption."


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
    return verdict_of(prepared, redemption_runs.run(store, prepared, guard, mode="check"))


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
        answer = redemption_runs.run(
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
        left=redemption_records.read_left(answer["left"]),
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


def _change(store: Store, name: str, redemption_id: str, *arguments: str) -> Redemption:
    """Run a script that changes a redemption, and return the redemption after it."""
    ids.find_partition("rdm", redemption_id, store.partitions, _NONE)
    for _ in range(redemption_runs.TRIES):
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


def change_of(store: Store, redemption_id: str, record: Record, *arguments: str) -> redemption_runs.Run:
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
    for _ in range(redemption_runs.TRIES):
        answer = store.run("left", names, [found.user_id, rules.calendar(zone, now), found.order.currency])
        if answer.status == "left":
            return read_left(answer["limits"])
        now = int(answer["now"])
    raise Unavailable("The clocks of this replica and of Redis do not agree.")


def _moment(text: str | None) -> int | None:
    return int(text) if text else None
