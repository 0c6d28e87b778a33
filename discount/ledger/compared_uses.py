"""Compare what users have used of the limits with the standing redemptions."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection, select

from discount.domain import rules
from discount.ledger import counts, repair, windows
from discount.ledger.compared_grants import PAUSE, TRIES, entries_of
from discount.ledger.database import Database
from discount.ledger.differences import Comparison
from discount.ledger.tables import REDEMPTIONS
from discount.services import slices
from discount.store import keys
from discount.store.connection import Store, moment_of

#: Redemptions whose users are compared together.
ROWS = 1_000
#: Microseconds before the end of a hold in which it is not compared.
SOON = 5_000_000
_NO_USES = "0 0 0 0 0"


@dataclass(slots=True)
class _Uses:
    """A user's uses, as the rows have them and the limits count them."""

    used: int = 0
    days: Counter[str] = field(default_factory=Counter)
    weeks: Counter[str] = field(default_factory=Counter)
    months: Counter[str] = field(default_factory=Counter)
    holds: set[str] = field(default_factory=set)


class ComparedUses:
    """The comparison of discounts' uses."""

    def __init__(self, store: Store, database: Database, pause: Callable[[float], None]) -> None:
        self._store = store
        self._database = database
        self._pause = pause

    def compare(self, found: Comparison) -> None:
        """Compare the uses of all users who have redeemed a code of the discount, in the order of their redemptions."""
        columns = REDEMPTIONS.c
        at, last = 0, ""
        while True:
            slices.between()
            later = (columns.redeemed_at > at) | ((columns.redeemed_at == at) & (columns.id > last))
            this = (columns.discount_id == found.parsed.text) & (columns.redeemed_at >= at) & later
            wanted = select(columns.redeemed_at, columns.id, columns.user_id).where(this)
            with self._database.reading() as connection:
                rows = connection.execute(wanted.order_by(columns.redeemed_at, columns.id).limit(ROWS)).all()
            if not rows:
                return
            at, last = rows[-1].redeemed_at, rows[-1].id
            self._compare_users(found, sorted({row.user_id for row in rows}), TRIES)

    def _compare_users(self, found: Comparison, users: Sequence[str], tries: int) -> None:
        partition = found.parsed.partition
        reads = [("HGET", _uses_key(found, each), each) for each in users]
        before, *texts, time, after = self._store.commands(
            [windows.last_entry(partition), *reads, ("TIME",), windows.last_entry(partition)]
        )
        now = moment_of(time)
        with self._database.snapshot() as connection:
            place = windows.position(connection, partition)
            expected = _uses_in(connection, found, users, now)
        places = place, windows.place_in(before), windows.place_in(after)
        moved = counts.named_in(entries_of(windows.between(self._store, partition, *places), found))
        for user, text in zip(users, texts, strict=True):
            if user not in moved:
                self._compare_text(found, user, text or _NO_USES, expected[user], now)
        again = sorted(moved.intersection(users))
        # Those who keep changing are compared the next time.
        if again and tries:
            self._pause(PAUSE)
            self._compare_users(found, again, tries - 1)

    def _compare_text(self, found: Comparison, user: str, text: str, expected: _Uses, now: int) -> None:
        used, day, of_day, week, of_week, *rest = text.split(" ")
        stored = [int(used), int(of_day), int(of_week)]
        right = [expected.used, expected.days[day], expected.weeks[week]]
        if rest and rest[0].startswith("m"):
            month, _, of_month = rest[0][1:].partition(":")
            stored.append(int(of_month))
            right.append(expected.months[month])
            rest[0] = f"m{month}:{expected.months[month]}"
        if stored != right:
            new = " ".join([str(right[0]), day, str(right[1]), week, str(right[2]), *rest])
            fix = partial(repair.uses, self._store, found.parsed, user, text, new)
            found.note("uses", user, (_shown(stored), _shown(right)), fix)
        parts = [each.split(",") for each in rest if "," in each]
        live = {each[0] for each in parts if int(each[1]) > now + SOON}
        if live != expected.holds:
            found.note("uses", user, (_joined(live), _joined(expected.holds)))


def _uses_in(connection: Connection, found: Comparison, users: Sequence[str], now: int) -> dict[str, _Uses]:
    columns = REDEMPTIONS.c
    uses = {user: _Uses() for user in users}
    used = counts.was_used() if found.keeps_uses else columns.state == "redeemed"
    wanted = select(columns.user_id, columns.id, columns.state, columns.redeemed_at, columns.hold_until)
    for first in range(0, len(users), counts.TOGETHER):
        of_users = columns.user_id.in_(users[first : first + counts.TOGETHER])
        this = (columns.discount_id == found.parsed.text) & of_users & (used | (columns.state == "held"))
        for user, redemption_id, state, at, hold_until in connection.execute(wanted.where(this)):
            own = uses[user]
            if state != "held":
                # The day of the moment stands between its neighbours.
                _, _, day, week, _ = rules.calendar(found.timezone, at).split(";")[1].split(",")
                own.used += 1
                own.days[day] += 1
                own.weeks[week] += 1
                own.months[day[:6]] += 1
            elif hold_until > now + SOON:
                own.holds.add(redemption_id)
    return uses


def _uses_key(found: Comparison, user_id: str) -> str:
    parsed = found.parsed
    return keys.uses(parsed.partition, parsed.text, keys.grant_bucket(user_id, parsed.buckets))


def _shown(stored: Sequence[int]) -> str:
    names = ("in all", "on the last day", "in the last week", "in the last month")
    return ", ".join(f"{count} {name}" for count, name in zip(stored, names, strict=False))


def _joined(names: Iterable[str]) -> str:
    return f"holds {', '.join(sorted(names)) or 'nothing'}"
