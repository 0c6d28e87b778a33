"""Limits by period and by rolling window, budgets of money, and the recurring hours in which a discount is open."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from discount.domain import durations
from discount.domain.errors import Invalid
from discount.domain.rules import LimitName, check_currency, midnight

#: Limits that only some discounts have, besides `LIMITS`.
PERIOD_LIMITS: tuple[LimitName, ...] = ("per_user_per_month", "per_day", "per_week", "per_month")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: The start of the names under which what is left of windows and budgets is kept, such as `window:PT24H`.
WINDOW, AMOUNT = "window:", "amount:"
#: The most uses that a window may allow: each of them is kept with its time.
MOST_USES = 100
#: The longest window, in microseconds: 400 days.
LONGEST = 400 * 86_400_000_000
# Days around today of which openings are worked out: the clock of Redis may have another day, and the next opening may
# be a week ahead.
_BEFORE, _AFTER = 2, 9
_SECOND = 1_000_000
_MINUTE = timedelta(minutes=1)
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


class Window(Struct, frozen=True):
    """A rolling window: how often each user may redeem within any such period.

    Args:
        period: a duration of ISO 8601 of fixed length.
    """

    period: str
    per_user: int

    @property
    def microseconds(self) -> int:
        return durations.read(self.period).microseconds


class Hours(Struct, frozen=True, rename={"from_": "from"}):
    """Hours in which a discount is open on some days, as a clock on the wall in its time zone shows them.

    An end that is not after the start is on the next day.
    """

    days: tuple[Day, ...]
    from_: str
    to: str


def check_windows(windows: Sequence[Window]) -> None:
    """Refuse windows that cannot be kept.

    Raises:
        Invalid: names the window.
    """
    for n, window in enumerate(windows):
        try:
            found = durations.read(window.period)
        except ValueError:
            found = None
        if found is None or found.months or not _SECOND <= found.microseconds <= LONGEST:
            raise Invalid(
                f"/limits/windows/{n}/period",
                "must be a duration from PT1S to P400D without months and years, such as PT24H",
            )
    if len({each.microseconds for each in windows}) < len(windows):
        raise Invalid("/limits/windows", "has the same period twice")


def check_budget(budget: Mapping[str, int]) -> None:
    """Refuse a budget in a currency that is not in ISO 4217.

    Raises:
        Invalid: names the currency.
    """
    for currency in budget:
        check_currency(currency, f"/limits/amount/{currency}")


def check_bounds(given: Mapping[str, Any]) -> None:
    """Refuse windows and a budget that cannot be kept; either may be missing.

    Raises:
        Invalid: names the window or the currency.
    """
    check_windows(given.get("windows") or ())
    check_budget(given.get("amount") or {})


def check_hours(opens: Sequence[Hours]) -> None:
    """Refuse hours that no clock shows, or days that are named twice.

    Raises:
        Invalid: names the field.
    """
    for n, each in enumerate(opens):
        for name, value in (("from", each.from_), ("to", each.to)):
            if _TIME.fullmatch(value) is None:
                raise Invalid(f"/opens/{n}/{name}", "must be a time of day from 00:00 to 23:59")
        if len(set(each.days)) < len(each.days):
            raise Invalid(f"/opens/{n}/days", "has the same day twice")


def stored(changes: Mapping[str, Any]) -> dict[str, str]:
    """Return the stored fields of those of `windows`, `amount` and `budget_caps` that are named; empty for none."""
    found: dict[str, str] = {}
    if "windows" in changes:
        given: Iterable[Window] = changes["windows"] or ()
        found["windows"] = ";".join(f"{each.period} {each.microseconds} {each.per_user}" for each in given)
    if "amount" in changes:
        found["budget"] = ";".join(f"{name} {most}" for name, most in sorted((changes["amount"] or {}).items()))
    if "budget_caps" in changes:
        found["budget_caps"] = "1" if changes["budget_caps"] else ""
    return found


def is_bounded(fields: Mapping[str, str]) -> bool:
    """Return whether stored fields set a limit of this module."""
    names = ("windows", "budget", *("limit_" + each for each in PERIOD_LIMITS))
    return any(fields.get(name) for name in names)


def read_windows(text: str | None) -> dict[str, int]:
    """Return how often each user may redeem, by the period of each stored window."""
    rows = (each.split(" ") for each in (text or "").split(";") if each)
    return {period: int(per_user) for period, _, per_user in rows}


def read_budget(text: str | None) -> dict[str, int]:
    """Return the stored budget, by currency."""
    rows = (each.split(" ") for each in (text or "").split(";") if each)
    return {currency: int(most) for currency, most in rows}


def flat(fields: Mapping[str, str]) -> dict[Any, int]:
    """Return the stored windows and budgets as limits, each under a name of its own."""
    return {WINDOW + period: most for period, most in read_windows(fields.get("windows")).items()} | {
        AMOUNT + currency: most for currency, most in read_budget(fields.get("budget")).items()
    }


def write_hours(opens: Sequence[Hours]) -> str:
    """Return hours as they are stored; empty for none."""
    return msgspec.json.encode(opens).decode() if opens else ""


@lru_cache(maxsize=1024)
def read_hours(text: str) -> tuple[Hours, ...]:
    """Return stored hours."""
    return msgspec.json.decode(text, type=tuple[Hours, ...]) if text else ()


def openings(opens: Sequence[Hours], zone: str, now: int) -> list[tuple[str, str]]:
    """Return when a discount opens and closes around a moment, from the day before it to the next opening.

    Times are sixteen digits of microseconds since 1970 UTC, as scripts compare them.
    """
    today = datetime.fromtimestamp(now // _SECOND, ZoneInfo(zone)).date()
    return _openings(tuple(opens), zone, today)


@lru_cache(maxsize=1024)
def _openings(opens: tuple[Hours, ...], zone: str, today: date) -> list[tuple[str, str]]:
    first, last = today - timedelta(days=_BEFORE), today + timedelta(days=_AFTER)
    shown = _shown(opens, first, last)
    found: list[tuple[datetime, datetime]] = []
    # Between two changes of the clock, a time on the wall is one moment.
    for starts_at, ends_at, offset in _steady(ZoneInfo(zone), first, last):
        for begins, ends in shown:
            begin, end = max(begins - offset, starts_at), min(ends - offset, ends_at)
            if begin < end:
                found.append((begin, end))
    return [(_digits(begin), _digits(end)) for begin, end in _joined(sorted(found))]


def _shown(opens: Iterable[Hours], first: date, last: date) -> list[tuple[datetime, datetime]]:
    """Return the openings of some days as a clock on the wall shows them."""
    days = [first + timedelta(days=n) for n in range((last - first).days)]
    found = []
    for each in opens:
        begin, end = _minutes(each.from_), _minutes(each.to)
        length = (end - begin) % 1440 or 1440
        for day in days:
            if DAYS[day.weekday()] in each.days:
                begins = datetime(day.year, day.month, day.day, tzinfo=UTC) + begin * _MINUTE
                found.append((begins, begins + length * _MINUTE))
    return found


def _steady(zone: ZoneInfo, first: date, last: date) -> list[tuple[datetime, datetime, timedelta]]:
    """Return the stretches of time in which a zone keeps its offset from UTC, each with that offset."""
    hour, second = timedelta(hours=1), timedelta(seconds=1)
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC) - 26 * hour
    hours = [begin + n * hour for n in range(((last - first).days + 3) * 24)]
    changes = []
    for before, after in pairwise(hours):
        if _offset(zone, before) == _offset(zone, after):
            continue
        low, high = before, after
        while high - low > second:
            middle = low + (high - low) // (2 * second) * second
            low, high = (middle, high) if _offset(zone, middle) == _offset(zone, before) else (low, middle)
        changes.append(high)
    edges = [hours[0], *changes, hours[-1]]
    return [(start, end, _offset(zone, start)) for start, end in pairwise(edges)]


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _joined(openings: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Return openings in order of time, with those joined that touch or overlap."""
    found: list[tuple[datetime, datetime]] = []
    for begin, end in openings:
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def _digits(moment: datetime) -> str:
    return f"{int(moment.timestamp()) * _SECOND:016d}"


def end_of_month(month: str, zone: str) -> str:
    """Return when a month such as 202611 ends in a zone, as sixteen digits of microseconds since 1970 UTC."""
    first = date(int(month[:4]), int(month[4:]), 1)
    return midnight((first + timedelta(days=31)).replace(day=1), ZoneInfo(zone))
