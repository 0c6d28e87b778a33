"""Rules and limits: how much comes off an order, how often, and the days and weeks that limits count in.

Amounts are integers in the currency's minor units (ISO 4217): 1050 is 10.50 EUR, and 1050 JPY.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from iso4217 import Currency
from msgspec import Struct

from discount.domain.errors import (
    CurrencyMismatch,
    Invalid,
    MinimumAmount,
    Refusal,
)
from discount.domain.order_lines import Line, Selection, check_selection, selection_of, share

#: The largest amount of an order.
MAX_AMOUNT = 10**12
#: The ISO 4217 code for amounts without a currency; they have two decimals here.
NO_CURRENCY = "XXX"
LimitName = Literal[
    "total",
    "per_user",
    "per_user_per_day",
    "per_user_per_week",
    "per_user_per_month",
    "per_day",
    "per_week",
    "per_month",
    "per_identity",
]
#: The limits that every discount is asked for; `windows.PERIOD_LIMITS` are the others.
LIMITS: tuple[LimitName, ...] = ("total", "per_user", "per_user_per_day", "per_user_per_week")
_DAY = timedelta(days=1)
_STORED = ("percent", "amount_off", "currency", "minimum_amount", "maximum_discount")


@dataclass(frozen=True, slots=True)
class Rule:
    """The amount that comes off, and the orders it applies to. Without `percent` and `amount_off` nothing comes off."""

    #: In hundredths of a percent.
    percent: int | None = None
    amount_off: int | None = None
    currency: str | None = None
    minimum_amount: int | None = None
    maximum_discount: int | None = None
    #: The lines that it is for; None if it is for whole orders.
    selection: Selection | None = None
    #: Classes of rules with which it may be used for one order; none if it is used alone.
    combines: tuple[str, ...] = ()

    def fields(self) -> dict[str, str]:
        """Return the fields that are stored with the discount."""
        of_selection = {} if self.selection is None else self.selection.fields()
        given = {name: getattr(self, name) for name in _STORED} | {"combines": " ".join(self.combines) or None}
        return {name: str(value) for name, value in given.items() if value is not None} | of_selection


NO_RULE = Rule()


class Order(Struct, frozen=True):
    """The order at a checkout. Its lines, if the caller names them, add up to its amount."""

    id: str
    amount: int
    currency: str
    lines: tuple[Line, ...] = ()


def rule_of(stored: Mapping[str, str]) -> Rule:
    """Return the rule that was stored with a discount."""
    amounts = {name: int(stored[name]) for name in _STORED if name in stored and name != "currency"}
    combines = tuple(stored.get("combines", "").split())
    return Rule(currency=stored.get("currency"), selection=selection_of(stored), combines=combines, **amounts)


def check_rule(rule: Rule) -> None:
    """Refuse a rule with parts that contradict each other.

    Raises:
        Invalid: names the part.
    """
    if rule.percent is not None and rule.amount_off is not None:
        raise Invalid("/amount_off", "cannot be combined with percent_off")
    if rule.maximum_discount is not None and rule.percent is None:
        raise Invalid("/maximum_discount", "needs percent_off")
    amounts: dict[str, int | None] = {
        "amount_off": rule.amount_off,
        "minimum_amount": rule.minimum_amount,
        "maximum_discount": rule.maximum_discount,
    }
    for name, given in amounts.items():
        if given is not None and rule.currency is None:
            raise Invalid("/currency", f"is missing: {name} needs a currency")
    if rule.selection is not None:
        check_selection(rule.selection, takes_off=rule.percent is not None or rule.amount_off is not None)
    if rule.currency is not None:
        check_currency(rule.currency, "/currency")
        if all(given is None for given in amounts.values()):
            raise Invalid("/currency", "is only for an amount, and there is none")


@cache
def decimals(currency: str) -> int:
    """Return how many digits of an amount are behind the point: 2 for EUR, 0 for JPY, 3 for KWD."""
    try:
        # Amounts without a currency have two decimals here; so has one that ISO 4217 no longer lists.
        return 2 if currency == NO_CURRENCY else Currency(currency).exponent or 0
    except ValueError:
        return 2


def check_currency(code: str, field: str) -> None:
    """Refuse a currency that is not in ISO 4217.

    Raises:
        Invalid
    """
    if code not in _currencies():
        raise Invalid(field, "is not an ISO 4217 currency code, such as EUR")


@cache
def _currencies() -> frozenset[str]:
    # Gold, test codes and the like have no minor unit, and no order is paid in them.
    return frozenset(currency.code for currency in Currency if currency.exponent is not None)


def taken_off(rule: Rule, amount: int) -> int:
    """Return how much comes off an order, from 0 to its amount. Half a minor unit is rounded up."""
    if rule.amount_off is not None:
        return min(rule.amount_off, amount)
    if rule.percent is None:
        return 0
    off = (amount * rule.percent + 5_000) // 10_000
    return min(off, amount if rule.maximum_discount is None else rule.maximum_discount)


def taken_off_lines(rule: Rule, lines: Sequence[Line], left: Sequence[int]) -> list[int]:
    """Return how much comes off each line: together what the rule takes off, and no more than is left of the line.

    Args:
        left: what earlier discounts left of each line's amount.
    """
    selection = rule.selection
    chosen = range(len(lines)) if selection is None else selection.choose(lines)
    bases = [left[n] for n in chosen]
    if selection is not None and selection.per_line:
        each_off = [_taken_off_line(rule, base) for base in bases]
        whole = sum(each_off)
        shares = share(min(whole, rule.maximum_discount), each_off) if rule.maximum_discount is not None else each_off
    else:
        shares = share(taken_off(rule, sum(bases)), bases)
    off = [0] * len(lines)
    for n, taken in zip(chosen, shares, strict=True):
        off[n] = taken
    return off


def _taken_off_line(rule: Rule, amount: int) -> int:
    """Return how much comes off one line. `maximum_discount` is for all lines together."""
    if rule.amount_off is not None:
        return min(rule.amount_off, amount)
    return (amount * (rule.percent or 0) + 5_000) // 10_000


def refusals_of(rule: Rule, order: Order) -> list[Refusal]:
    """Return why a rule does not apply to an order; empty if it does."""
    found: list[Refusal] = []
    if rule.currency is not None and order.currency != rule.currency:
        found.append(CurrencyMismatch(currency=rule.currency))
    elif rule.minimum_amount is not None and order.amount < rule.minimum_amount:
        found.append(MinimumAmount(minimum_amount=rule.minimum_amount, currency=rule.currency))
    if rule.selection is not None:
        found += rule.selection.refusals_of(order.lines)
    return found


def check_zone(name: str, field: str = "/timezone") -> None:
    """Refuse a time zone that is not in the IANA database.

    Raises:
        Invalid
    """
    if name not in _zones():
        raise Invalid(field, "is not an IANA time zone, such as Europe/Stockholm")


@cache
def _zones() -> frozenset[str]:
    # These two name the setting of the machine, or its absence.
    return frozenset(available_timezones()) - {"localtime", "Factory"}


def calendar(zone: str, now: int) -> str:
    """Return the day of a moment in a zone and its two neighbours, for the scripts.

    Each has its start, its end, the day, the week and the end of the week.

    Starts and ends are microseconds since 1970 UTC, a day is 20261120, a week the ISO year and week, 202647 (ISO 8601).
    """
    starts_at, ends_at, days = _days.get(zone, (0, 0, ""))
    if not starts_at <= now < ends_at:
        known = ZoneInfo(zone)
        days = _calendar(known, datetime.fromtimestamp(now / 1_000_000, known).date())
        starts_at, ends_at = (int(each) for each in days.split(";")[1].split(",")[:2])
        _days[zone] = starts_at, ends_at, days
    return days


# By time zone, the start and the end of the latest day that was asked for, and its calendar.
_days: dict[str, tuple[int, int, str]] = {}


def _calendar(known: ZoneInfo, today: date) -> str:
    days = []
    for day in (today - _DAY, today, today + _DAY):
        year, week, weekday = day.isocalendar()
        times = [midnight(each, known) for each in (day, day + _DAY, day + (8 - weekday) * _DAY)]
        days.append(f"{times[0]},{times[1]},{day:%Y%m%d},{year}{week:02d},{times[2]}")
    return ";".join(days)


def midnight(day: date, zone: ZoneInfo) -> str:
    """Return when a day begins. Where the clock skips midnight, this is the moment of the change."""
    moment = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    return f"{int(moment.timestamp()) * 1_000_000:016d}"
