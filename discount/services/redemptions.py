"""The verbs of redemptions: tell what would come off, redeem, confirm a hold, roll back, show, list."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Any

from discount.domain import code_sequence, rules
from discount.domain.cursors import bad_cursor, make_cursor, read_cursor
from discount.domain.errors import (
    BY_SLUG,
    IdempotencyMismatch,
    NotFound,
    NotGranted,
    Refusal,
    Unavailable,
)
from discount.domain.ids import DiscountId, make_redemption_id, redemption_partition
from discount.domain.model import Definition, Redemption, RedemptionState
from discount.domain.rules import LimitName, Order
from discount.services import discounts, grants
from discount.services.pagination import newest_rows, read_on
from discount.store import keys
from discount.store.answers import Answer
from discount.store.connection import Store, moment_of
from discount.store.guards import Guard
from discount.store.replies import pairs

#: Wrong codes that a user, and an address, may try before they have to wait, and for how long, in seconds.
USER_GUESSES = 10
ADDRESS_GUESSES = 1000
GUESS_SECONDS = 900
# Uses that are let go in one round trip.
_DROPPED = 100
#: Holds that a user may have of a discount at a time: all of them are looked at by each use.
HOLDS = 100
#: Answers of the script that ask for the call once more.
TRIES = 5
#: How many redemptions one page may look at when it filters by state; a page can be shorter than asked for.
LOOKED_AT = 1000


@dataclass(frozen=True, slots=True)
class Checkout:
    """Somebody at a checkout with a code. Of `brand_id` and `discount_id` one may be missing.

    Args:
        address: whose wrong codes are counted together besides the user's; empty counts none.
        by_user: the user asks, not the shop: its orders and idempotency keys are not those of the shop.
    """

    user_id: str
    code: str
    order: Order
    brand_id: str | None = None
    discount_id: str | None = None
    address: str = ""
    by_user: bool = False

    @property
    def own_space(self) -> str | None:
        """The user in whose space the order's id and the idempotency key stand; None in the brand's."""
        return self.user_id if self.by_user else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What would come off, what is left of each limit, and all that stands in the way.

    `discount_amount` is 0 where the rule takes nothing off this order, or the code is wrong.
    """

    discount_id: str | None
    discount_amount: int
    left: Mapping[LimitName, int]
    reasons: list[Refusal]


@dataclass(frozen=True, slots=True)
class Page:
    """Some redemptions, and where the next page begins."""

    redemptions: list[Redemption]
    next: str | None


def validate(store: Store, attempt: Checkout, guard: Guard | None = None) -> Verdict:
    """What a redemption would do now; nothing is counted but a wrong code.

    Raises:
        NotFound: there is no such discount, or it is another brand's.
        TooManyGuesses
    """
    try:
        parsed, definition = _locate(store, attempt, guard)
    except NotGranted as wrong:
        return Verdict(None, 0, {}, [wrong])
    refusals = rules.refusals_of(definition.rule, attempt.order)
    answer = _run(store, parsed, definition, attempt, guard, mode="check")
    found = _read_reasons(answer["reasons"])
    if answer.status == "refused":
        return Verdict(None, 0, {}, found)
    off = 0 if refusals else rules.taken_off(definition.rule, attempt.order.amount)
    # An order that is known is not judged anew, so that comes first.
    known = [each for each in found if isinstance(each, IdempotencyMismatch)]
    reasons = known + refusals + found[len(known) :]
    return Verdict(parsed.text, off, json.loads(answer["left"]), reasons)


def redeem(
    store: Store,
    attempt: Checkout,
    *,
    hold_seconds: int | None = None,
    idempotency_key: str | None = None,
    guard: Guard | None = None,
) -> Redemption:
    """Count a use, or hold it for that long. The same order of the brand again: the first answer, nothing counted.

    Raises:
        NotFound: there is no such discount, or it is another brand's.
        NotGranted: the user holds no such code.
        MinimumAmount, CurrencyMismatch, Closed, Paused, NotStarted, Expired, LimitReached, AlreadyRedeemed
        TooManyHolds
        IdempotencyMismatch: the order, or the key, was used with something else.
        TooManyGuesses
    """
    parsed, definition = _locate(store, attempt, guard)
    refusals = rules.refusals_of(definition.rule, attempt.order)
    # A code that is wrong must not show what it would have needed, and an order that is known is not judged anew.
    answer = _run(
        store,
        parsed,
        definition,
        attempt,
        guard,
        mode="refuse" if refusals else "redeem",
        hold_seconds=hold_seconds,
        idempotency_key=idempotency_key,
    )
    if answer.status == "checked":
        raise refusals[0]
    if answer.status == "refused":
        raise _read_reasons(answer["reasons"])[0]
    redemption_id = _id_of(parsed.partition, definition.brand_id, attempt)
    if answer.status == "again":
        return _redemption(redemption_id, dict(pairs(answer.rest("record"))))
    hold_until = answer["hold_until"]
    return Redemption(
        id=redemption_id,
        discount_id=parsed.text,
        brand_id=definition.brand_id,
        user_id=attempt.user_id,
        code=answer["code"],
        state="held" if hold_until else "redeemed",
        order=attempt.order,
        discount_amount=rules.taken_off(definition.rule, attempt.order.amount),
        left=json.loads(answer["left"]),
        redeemed_at=int(answer["at"]),
        hold_until=_moment(hold_until),
        fresh=True,
    )


def confirm(store: Store, redemption_id: str) -> Redemption:
    """Make a held use final; one that is final already stays.

    Raises:
        NotFound
        HoldEnded: its time is over, it gave way, or it was rolled back.
    """
    return _change(store, "confirm", redemption_id)


def roll_back(store: Store, redemption_id: str, reason: str = "") -> Redemption:
    """Undo a use, or give a hold up; once more changes nothing.

    Raises:
        NotFound
    """
    return _change(store, "rollback", redemption_id, reason)


def show(store: Store, redemption_id: str) -> Redemption:
    """A redemption with its state, and what is left of the limits, now.

    Raises:
        NotFound
    """
    found = find(store, redemption_id)
    return replace(found, left=_left(store, found))


def find(store: Store, redemption_id: str) -> Redemption:
    """A redemption with its state now, and what was left of the limits after it.

    Raises:
        NotFound
    """
    partition = redemption_partition(redemption_id)
    read = _read(store, partition, [redemption_id]) if partition is not None and partition < store.partitions else []
    if not read:
        raise NotFound("There is no such redemption.")
    return read[0]


def list_of_discount(store: Store, discount_id: str, **filters: Any) -> Page:
    """The redemptions of a discount, newest first; filters as for `list_of_user`.

    Raises:
        NotFound
        Invalid: the cursor is none of ours.
    """
    parsed = discounts.parse_id(store, discount_id)
    discounts.get_definition(store, discount_id)
    return _list(store, [keys.redemptions(parsed.partition, discount_id)], discount_id=discount_id, **filters)


def list_of_user(store: Store, user_id: str, *, brand_id: str | None = None, **filters: Any) -> Page:
    """The redemptions of a user, of one brand or of all, newest first.

    Args:
        filters: `state`, `since` and `until` in microseconds, `limit`, `cursor`.

    Raises:
        Invalid: the cursor is none of ours.
    """
    partitions = keys.partitions_of(brand_id, store.partitions)
    zsets = [keys.user_redemptions(each, user_id) for each in partitions]
    return _list(store, zsets, brand_id=brand_id, user_id=user_id, **filters)


def list_all(store: Store, discount_id: str, **filters: Any) -> Iterator[Redemption]:
    """Every redemption of a discount, newest first, in constant memory.

    Raises:
        NotFound
    """
    return read_on(partial(list_of_discount, store, discount_id, limit=LOOKED_AT, **filters), _in_page)


def list_all_of_user(store: Store, user_id: str, **filters: Any) -> Iterator[Redemption]:
    """Every redemption of a user, newest first, in constant memory; filters as for `list_of_user`."""
    return read_on(partial(list_of_user, store, user_id, limit=LOOKED_AT, **filters), _in_page)


def drop(store: Store, discount_id: str, before: int, most: int) -> int:
    """Let go of a discount's uses from before a moment, oldest first, so many at most; how many that were.

    Counts, sums and what the users have used of their limits stay. Holds that stand still are kept. An order of which
    nothing is kept may be redeemed again.
    """
    parsed = discounts.parse_id(store, discount_id)
    listed = keys.redemptions(parsed.partition, discount_id)
    holds = keys.holds(parsed.partition, discount_id)
    ids = store.command("ZRANGEBYSCORE", listed, "-inf", f"({before}", "LIMIT", 0, most)
    done = 0
    for first in range(0, len(ids), _DROPPED):
        some = ids[first : first + _DROPPED]
        records = [keys.redemption(parsed.partition, each) for each in some]
        users = [user or "" for user in store.commands([("HGET", each, "user") for each in records])]
        calls = [
            (
                [record, listed, keys.user_redemptions(parsed.partition, user), holds],
                [redemption_id, discount_id, user, before],
            )
            for redemption_id, record, user in zip(some, records, users, strict=True)
        ]
        done += sum(answer.status == "dropped" for answer in store.run_many("drop", calls))
    return done


def _locate(store: Store, attempt: Checkout, guard: Guard | None) -> tuple[DiscountId, Definition]:
    """The discount that the code is of, as far as the caller and what the user holds tell it."""
    if attempt.discount_id is not None:
        parsed = discounts.parse_id(store, attempt.discount_id)
        definition = discounts.get_definition(store, attempt.discount_id)
        if attempt.brand_id not in (None, definition.brand_id):
            raise NotFound("There is no such discount.")
        return parsed, definition
    assert attempt.brand_id is not None  # noqa: S101 - one of the two is there
    partition = keys.partition_of(attempt.brand_id, store.partitions)
    typed = code_sequence.canonical(attempt.code)
    guess_keys, guess_limits = _guesses(partition, attempt.brand_id, attempt)
    shared, held, guessed, known = store.commands(
        [
            ("HGET", keys.shared(partition, attempt.brand_id), typed),
            (
                "HMGET",
                keys.users(partition, attempt.user_id),
                *grants.code_fields(attempt.user_id, attempt.brand_id, typed),
            ),
            ("MGET", *guess_keys),
            ("EXISTS", keys.redemption(partition, _id_of(partition, attempt.brand_id, attempt))),
        ]
    )
    most = [USER_GUESSES, *([ADDRESS_GUESSES] if attempt.address else [])]
    if not known and any(int(count or 0) >= limit for count, limit in zip(guessed, most, strict=False)):
        # Refuse before anything more is looked up. An order that was redeemed still gets its first answer.
        store.run("guess", guess_keys, [*guess_limits, ""], guard)
    numbers = grants.numbers_of_code(held)
    several = grants.held_in(store, partition, numbers, attempt.user_id, attempt.brand_id)
    same = (each.discount_id for _, each in several if code_sequence.canonical(each.code) == typed)
    # Whose a shared code is now, the brand's index tells: the discount that the user holds it of may be over.
    found = next((each for each in same if discounts.get_definition(store, each).codes.kind != "shared"), shared)
    if found is None:
        store.run("guess", guess_keys, [*guess_limits, "1"], guard)
        raise _wrong_code()
    return discounts.parse_id(store, found), discounts.get_definition(store, found)


def _run(
    store: Store,
    parsed: DiscountId,
    definition: Definition,
    attempt: Checkout,
    guard: Guard | None,
    *,
    mode: str,
    hold_seconds: int | None = None,
    idempotency_key: str | None = None,
) -> Answer:
    partition, brand_id = parsed.partition, definition.brand_id
    bucket = keys.grant_bucket(attempt.user_id, parsed.buckets)
    redemption_id = _id_of(partition, brand_id, attempt)
    typed = code_sequence.canonical(attempt.code)
    guess_keys, guess_limits = _guesses(partition, brand_id, attempt)
    names = [
        *guess_keys,
        keys.discount(partition, parsed.text),
        keys.grants(partition, parsed.text, bucket),
        keys.uses(partition, parsed.text, bucket),
        keys.redemption(partition, redemption_id),
        keys.holds(partition, parsed.text),
        keys.redemptions(partition, parsed.text),
        keys.user_redemptions(partition, attempt.user_id),
        keys.idempotency(partition, brand_id, idempotency_key or "", attempt.own_space),
        keys.events(partition),
    ]
    order = attempt.order
    wanted = [parsed.text, attempt.user_id, typed, order.id, order.amount, order.currency, hold_seconds]
    length = "" if definition.valid_for is None else definition.valid_for.microseconds
    if definition.valid_for is not None and definition.valid_for.months:
        length = "by-calendar"
    as_held, term, now = "", "", time.time_ns() // 1000
    records: list[str] = []
    for _ in range(TRIES):
        answer = store.run(
            "redeem",
            names + records,
            [
                *guess_limits,
                mode,
                attempt.user_id,
                typed,
                as_held,
                redemption_id,
                blake2b(repr(wanted).encode(), digest_size=16).hexdigest(),
                parsed.text,
                order.id,
                order.amount,
                order.currency,
                rules.taken_off(definition.rule, order.amount),
                "" if hold_seconds is None else hold_seconds,
                HOLDS,
                length,
                term,
                "" if idempotency_key is None else discounts.IDEMPOTENCY_SECONDS,
                rules.calendar(definition.timezone, now),
            ],
            guard,
        )
        if answer.status == "compare":
            # "\n" is never a code: it marks "compared, not equal".
            as_held = answer["code"] if code_sequence.canonical(answer["code"]) == typed else "\n"
        elif answer.status == "term" and definition.valid_for is not None:
            ends_at = definition.valid_for.after(int(answer["granted_at"]), definition.timezone)
            term = f"{answer['granted_at']} {ends_at:016d}"
        elif answer.status == "clock":
            now = int(answer["now"])
        elif answer.status == "gives-way":
            records = [keys.redemption(partition, each) for each in answer.rest("ids")]
        else:
            return answer
    raise Unavailable("The clocks of this replica and of Redis do not agree, or the user's holds keep changing.")


def _id_of(partition: int, brand_id: str, attempt: Checkout) -> str:
    return make_redemption_id(partition, brand_id, attempt.order.id, attempt.own_space)


def _guesses(partition: int, brand_id: str, attempt: Checkout) -> tuple[list[str], list[str | int]]:
    """Keys and arguments of the count of wrong codes."""
    names = [
        keys.guesses(partition, brand_id, "user", attempt.user_id),
        keys.guesses(partition, brand_id, "address", attempt.address),
    ]
    return names, [GUESS_SECONDS, USER_GUESSES, ADDRESS_GUESSES if attempt.address else ""]


def _wrong_code() -> NotGranted:
    # The same for every wrong code: it must not tell whether it is unknown, another's, or nearly right.
    return NotGranted("The user holds no such code here; it may be mistyped.")


def _change(store: Store, name: str, redemption_id: str, *arguments: str) -> Redemption:
    """Run a script that changes a redemption: its state after that."""
    for _ in range(TRIES):
        found = find(store, redemption_id)
        answer = store.run(name, _keys_of(store, found), [redemption_id, found.discount_id, found.user_id, *arguments])
        if answer.status != "moved":
            return show(store, redemption_id)
    raise Unavailable("This order is being redeemed again and again.")


def _keys_of(store: Store, found: Redemption) -> list[str]:
    """Keys of the scripts that change a redemption."""
    parsed = discounts.parse_id(store, found.discount_id)
    bucket = keys.grant_bucket(found.user_id, parsed.buckets)
    return [
        keys.redemption(parsed.partition, found.id),
        keys.discount(parsed.partition, parsed.text),
        keys.uses(parsed.partition, parsed.text, bucket),
        keys.holds(parsed.partition, parsed.text),
        keys.events(parsed.partition),
    ]


def _in_page(page: Page) -> list[Redemption]:
    return page.redemptions


def _read_reasons(text: str) -> list[Refusal]:
    """Return the reasons of the script: each has a slug and its facts."""
    reasons: list[Refusal] = []
    for reason in json.loads(text):
        slug = reason.pop("slug")
        if slug == "not-granted":
            reasons.append(_wrong_code())
        elif slug == "idempotency-mismatch":
            reasons.append(IdempotencyMismatch(_mismatch(reason.get("differs", []))))
        else:
            reasons.append(BY_SLUG[slug](**reason))
    return reasons


def _mismatch(differs: list[str]) -> str:
    if not differs:
        return "This Idempotency-Key was used with another request."
    return f"This order was used with another {', '.join(differs)}."


def _left(store: Store, found: Redemption) -> Mapping[LimitName, int]:
    """What is left of the limits of a redemption's discount for its user now."""
    parsed = discounts.parse_id(store, found.discount_id)
    names = [
        keys.discount(parsed.partition, parsed.text),
        keys.uses(parsed.partition, parsed.text, keys.grant_bucket(found.user_id, parsed.buckets)),
        keys.holds(parsed.partition, parsed.text),
    ]
    zone, now = discounts.get_definition(store, found.discount_id).timezone, time.time_ns() // 1000
    for _ in range(TRIES):
        answer = store.run("left", names, [found.user_id, rules.calendar(zone, now)])
        if answer.status == "left":
            left: Mapping[LimitName, int] = json.loads(answer["limits"])
            return left
        now = int(answer["now"])
    raise Unavailable("The clocks of this replica and of Redis do not agree.")


def _read(store: Store, partition: int, ids: list[str]) -> list[Redemption]:
    """Those of the ids that exist."""
    *replies, now = store.commands([("HGETALL", keys.redemption(partition, each)) for each in ids] + [("TIME",)])
    several = {each: dict(pairs(reply)) for each, reply in zip(ids, replies, strict=True) if reply}
    return [_redemption(each, fields, moment_of(now)) for each, fields in several.items()]


def _redemption(redemption_id: str, fields: Mapping[str, str], now: int = 0) -> Redemption:
    """A redemption as it is stored. Its hold is released once its end is not after `now`."""
    state: RedemptionState = fields["state"]  # type: ignore[assignment]
    hold_until = _moment(fields.get("hold_until"))
    return Redemption(
        id=redemption_id,
        discount_id=fields["discount"],
        brand_id=fields["brand"],
        user_id=fields["user"],
        code=fields["code"],
        state="released" if state == "held" and (hold_until or 0) <= now else state,
        order=Order(fields["order"], int(fields["amount"]), fields["currency"]),
        discount_amount=int(fields["discount_amount"]),
        left=json.loads(fields["left"]),
        redeemed_at=int(fields["at"]),
        hold_until=hold_until,
        confirmed_at=_moment(fields.get("confirmed_at")),
        rolled_back_at=_moment(fields.get("rolled_back_at")),
        reason=fields.get("reason", ""),
    )


def _moment(text: str | None) -> int | None:
    return int(text) if text else None


def _list(
    store: Store,
    zsets: list[str],
    *,
    brand_id: str | None = None,
    discount_id: str | None = None,
    user_id: str | None = None,
    state: RedemptionState | None = None,
    since: int | None = None,
    until: int | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page:
    before = _read_place(cursor) if cursor else None
    if before is None and until is not None:
        # Ids begin with a letter: nothing of that moment itself stands before the empty one.
        before = (until, "")
    found: list[Redemption] = []
    looked_at = 0
    while True:
        rows = newest_rows(store, zsets, before, limit + 1, since=since or 0)
        more = len(rows) > limit
        rows = rows[:limit]
        by_partition: dict[int, list[str]] = {}
        for _, each in rows:
            by_partition.setdefault(int(each[4:6], 16), []).append(each)
        read = {each.id: each for place, ids in by_partition.items() for each in _read(store, place, ids)}
        for row in rows:
            before = row
            redemption = read[row[1]]
            # An order whose hold was over may be another user's now, or another discount's: it stands in that list too.
            if (
                state in (None, redemption.state)
                and brand_id in (None, redemption.brand_id)
                and discount_id in (None, redemption.discount_id)
                and user_id in (None, redemption.user_id)
            ):
                found.append(redemption)
                if len(found) == limit:
                    more = more or row != rows[-1]
                    return Page(found, make_cursor(*row) if more else None)
        looked_at += len(rows)
        if not more or looked_at >= LOOKED_AT:
            return Page(found, make_cursor(*before) if more and before else None)


def _read_place(cursor: str) -> tuple[int, str]:
    score, redemption_id = read_cursor(cursor)
    if redemption_partition(redemption_id) is None:
        raise bad_cursor()
    return score, redemption_id
