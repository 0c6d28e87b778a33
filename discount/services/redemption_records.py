"""Redemptions as Redis keeps them: their records, and the lists of a discount and of a user."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from discount.domain import ids
from discount.domain.metadata import lines_of_order, of_order, others_of_order
from discount.domain.model import Redemption, RedemptionState
from discount.domain.order_lines import read_lines
from discount.domain.rules import LimitName, Order
from discount.services import discounts
from discount.services.pagination import Row, newest_in_set
from discount.services.partitions import ask_each
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command
from discount.store.replies import pairs

#: Records that one script call reads.
TOGETHER = 100
#: Letters of a short id.
SHORT = 16
_STATES: dict[str, RedemptionState] = {"h": "held", "r": "redeemed", "b": "rolled-back", "l": "released"}
_LIMITS: dict[str, LimitName] = {
    "t": "total",
    "u": "per_user",
    "d": "per_user_per_day",
    "w": "per_user_per_week",
}


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a redemption; `records.lua` says what its text looks like.

    `words` are the further ones, by letter: `h` the end of a hold, `c` when it was confirmed, `b` when it was rolled
    back, `e` earlier times of the order.
    """

    text: str
    discount_id: str
    state: RedemptionState
    at: int
    number: str
    amount: int
    currency: str
    discount_amount: int
    day: str
    week: str
    left: str
    words: Mapping[str, str]
    user_id: str
    code: str
    reason: str
    order: str

    def moment(self, letter: str) -> int | None:
        """Return the moment in a further word; None without it."""
        return int(self.words[letter]) if letter in self.words else None


def read_record(text: str, discount_id: str) -> Record:
    """Return a record of a discount from its text."""
    head, user_id, code, order, *more = text.split("\n", 5)
    first, number, amount, currency, discount_amount, day, week, left, *words = head.split(" ")
    return Record(
        text=text,
        discount_id=discount_id,
        state=_STATES[first[0]],
        at=int(first[1:]),
        number=number,
        amount=int(amount),
        currency=currency,
        discount_amount=int(discount_amount),
        day=day,
        week=week,
        left=left,
        words={each[0]: each[1:] for each in words},
        user_id=user_id,
        code=code,
        reason=more[1] if len(more) > 1 else "",
        order=f"{order}\n{more[0]}" if more and more[0] else order,
    )


def read_left(text: str) -> Mapping[LimitName, int]:
    """Return what was left of each limit right after a redemption, from its text."""
    named = (each.split("=") for each in text.split(",") if each)
    return {_LIMITS[name] if name in _LIMITS else cast(LimitName, name): int(count) for name, count in named}


@dataclass(slots=True)
class Found:
    """Records by id, the time of the last look, and the latest time that each partition has let go, if any."""

    records: dict[str, Record]
    now: int = 0
    let_go: dict[int, int] = field(default_factory=dict)


def read(store: Store, redemption_ids: Sequence[str]) -> Found:
    """Return the records that exist."""
    calls, asked = [], []
    for partition, several in _by_partition(redemption_ids).items():
        for first in range(0, len(several), TOGETHER):
            some = several[first : first + TOGETHER]
            lists = [name for each in some for name in keys.records(each)]
            calls.append(([keys.let_go(partition), keys.numbers(partition), *lists], some))
            asked.append((partition, some))
    found = Found({})
    for (partition, some), answer in zip(asked, store.run_many("records", calls) if calls else (), strict=True):
        found.now = int(answer["at"])
        if answer["let_go"]:
            found.let_go[partition] = int(answer["let_go"])
        texts = answer.rest("texts")
        for each, text, discount_id in zip(some, texts[::2], texts[1::2], strict=True):
            if text:
                found.records[each] = read_record(text, discount_id)
    return found


def redemption_of(store: Store, redemption_id: str, record: Record, now: int = 0) -> Redemption:
    """Return a redemption from its record. A hold that ends at `now` or before is shown as released."""
    hold_until = record.moment("h")
    order_id, metadata = of_order(record.order)
    return Redemption(
        id=redemption_id,
        discount_id=record.discount_id,
        brand_id=discounts.get_definition(store, record.discount_id).brand_id,
        user_id=record.user_id,
        code=record.code,
        state=state_at(record.state, hold_until, now),
        order=Order(order_id, record.amount, record.currency),
        discount_amount=record.discount_amount,
        left=read_left(record.left),
        redeemed_at=record.at,
        hold_until=hold_until,
        confirmed_at=record.moment("c"),
        rolled_back_at=record.moment("b"),
        reason=record.reason,
        metadata=metadata,
        lines=read_lines(lines_of_order(record.order)),
        redeemed_with=tuple(others_of_order(record.order, redemption_id)),
    )


def state_at(state: RedemptionState, hold_until: int | None, now: int) -> RedemptionState:
    """Return the state of a redemption at a moment: a hold that has ended by then is released."""
    return "released" if state == "held" and (hold_until or 0) <= now else state


def rows_of_discount(
    store: Store, discount_id: str, since: int, until: int | None, most: int
) -> tuple[list[list[Row]], dict[int, int]]:
    """Return what the two lists of a discount have from `since` to `until`, newest first, at most `most` of each.

    Also return the latest time that was let go, by partition that has let go any. It is read last, so what is gone from
    the lists is not after it.
    """
    partition = ids.partition_of(discount_id)
    packed, stream, let_go = store.commands(
        [
            newest_in_set(keys.redemptions(partition, discount_id), since, until, most),
            (
                *("XREVRANGE", keys.more_redemptions(partition, discount_id)),
                *("+" if until is None else f"{until}-0", since, "COUNT", most),
            ),
            ("GET", keys.let_go(partition)),
        ]
    )
    listed = [(int(float(score)), ids.redemption_of(partition, short)) for short, score in pairs(packed)]
    streamed = [_row_in_stream(partition, each) for each in stream]
    return [listed, streamed], {partition: int(let_go)} if let_go else {}


def oldest_of_discount(store: Store, discount_id: str, since: int, before: int, most: int) -> list[Row]:
    """Return a discount's redemptions from `since` to before a moment, as its lists have them, the oldest first."""
    partition = ids.partition_of(discount_id)
    packed, stream = store.commands(
        [
            (
                *("ZRANGEBYSCORE", keys.redemptions(partition, discount_id), since, f"({before}"),
                *("WITHSCORES", "LIMIT", 0, most),
            ),
            ("XRANGE", keys.more_redemptions(partition, discount_id), since, f"({before}", "COUNT", most),
        ]
    )
    rows = [(int(float(score)), ids.redemption_of(partition, short)) for short, score in pairs(packed)]
    return sorted(rows + [_row_in_stream(partition, each) for each in stream])[:most]


def rows_of_user(
    store: Store, user_id: str, partitions: Iterable[int], *, since: int, until: int | None, most: int
) -> tuple[list[list[Row]], dict[int, int], list[int]]:
    """Return a user's redemptions as `rows_of_discount` does, and the partitions that could not be asked."""
    asked = list(partitions)
    fields, _ = ask_each(store, lambda each: ("HGET", keys.users(each, user_id), few_field(user_id)), asked)
    sets, missing = ask_each(store, partial(_newest_of_user, user_id, since, until, most), fields)
    marks, _ = ask_each(store, lambda each: ("GET", keys.let_go(each)), sets)
    few = {partition: few_of(partition, fields[partition]) for partition in sets}
    records = read(store, [each for several in few.values() for each in several]).records
    rows = []
    for partition, reply in sets.items():
        rows.append([(int(float(score)), ids.redemption_of(partition, short)) for short, score in pairs(reply)])
        times = {each: records[each].at for each in few[partition] if each in records}
        own = [(at, each) for each, at in times.items() if since <= at and (until is None or at <= until)]
        rows.append(sorted(own, reverse=True)[:most])
    let_go = {partition: int(mark) for partition, mark in marks.items() if mark}
    return rows, let_go, sorted({*missing, *(each for each in asked if each not in sets)})


def further_of_user(store: Store, partition: int, user_id: str, first: int, most: int) -> list[str]:
    """Return the ids of the redemptions of a user in a partition, without the first few, from a position on.

    Some may be another user's now.
    """
    shorts = store.command("ZRANGE", keys.user_redemptions(partition, user_id), first, first + most - 1)
    return [ids.redemption_of(partition, each) for each in shorts]


def few_field(user_id: str) -> str:
    """Return the field of the users' bucket that lists a user's first redemptions."""
    return f"{user_id}\n$"


def few_of(partition: int, text: str | None) -> list[str]:
    """Return the ids of the redemptions in the text of `few_field`."""
    text = text or ""
    return [ids.redemption_of(partition, text[first : first + SHORT]) for first in range(0, len(text), SHORT)]


def _newest_of_user(user_id: str, since: int, until: int | None, most: int, partition: int) -> Command:
    return newest_in_set(keys.user_redemptions(partition, user_id), since, until, most)


def _row_in_stream(partition: int, entry: Sequence[str | Sequence[str]]) -> Row:
    entry_id, fields = entry
    return int(str(entry_id).partition("-")[0]), ids.redemption_of(partition, fields[1])


def _by_partition(redemption_ids: Iterable[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for each in redemption_ids:
        found.setdefault(ids.partition_of(each), []).append(each)
    return found
