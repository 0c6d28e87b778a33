"""Rules: discounts on an order, valid combinations, and the days and weeks of limits."""

import unicodedata
import unittest
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from discount.domain import rules
from discount.domain.code_sequence import canonical
from discount.domain.errors import CurrencyMismatch, Invalid, MinimumAmount
from discount.domain.rules import (
    MAX_AMOUNT,
    NO_RULE,
    Order,
    Rule,
)

SECOND = 1_000_000
HOUR = 3600 * SECOND
AMOUNTS = st.integers(0, MAX_AMOUNT)
PERCENTS = st.integers(1, 10_000)
RULES = st.one_of(
    st.just(NO_RULE),
    st.builds(Rule, percent=PERCENTS),
    st.builds(Rule, percent=PERCENTS, currency=st.just("EUR"), maximum_discount=st.integers(1, MAX_AMOUNT)),
    st.builds(Rule, percent=PERCENTS, currency=st.just("EUR"), minimum_amount=AMOUNTS),
    st.builds(Rule, amount_off=st.integers(1, MAX_AMOUNT), currency=st.just("EUR")),
)


class TakenOff(unittest.TestCase):
    @given(rule=RULES, amount=AMOUNTS)
    def test_the_discount_amount_is_an_integer_between_zero_and_the_order(self, rule: Rule, amount: int) -> None:
        off = rules.taken_off(rule, amount)
        self.assertIs(type(off), int)
        self.assertTrue(0 <= off <= amount)

    @given(rule=RULES, amounts=st.tuples(AMOUNTS, AMOUNTS))
    def test_a_larger_order_never_gets_less_off(self, rule: Rule, amounts: tuple[int, int]) -> None:
        small, large = sorted(amounts)
        self.assertLessEqual(rules.taken_off(rule, small), rules.taken_off(rule, large))

    @given(rule=RULES, amount=st.integers(0, MAX_AMOUNT - 1))
    def test_one_unit_more_takes_at_most_one_unit_more_off(self, rule: Rule, amount: int) -> None:
        self.assertIn(rules.taken_off(rule, amount + 1) - rules.taken_off(rule, amount), (0, 1))

    @given(percent=PERCENTS, amount=AMOUNTS)
    @example(percent=1, amount=4_999)
    @example(percent=1, amount=5_000)
    @example(percent=5_000, amount=1)
    @example(percent=3_333, amount=MAX_AMOUNT)
    def test_half_a_unit_rounds_up(self, percent: int, amount: int) -> None:
        exact = Decimal(amount) * Decimal(percent) / Decimal(10_000)
        self.assertEqual(
            rules.taken_off(Rule(percent=percent), amount), int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
        )

    @given(percent=PERCENTS, amount=AMOUNTS, most=st.integers(0, MAX_AMOUNT))
    def test_the_discount_never_exceeds_the_maximum(self, percent: int, amount: int, most: int) -> None:
        rule = Rule(percent=percent, currency="EUR", maximum_discount=most)
        plain = rules.taken_off(Rule(percent=percent), amount)
        self.assertEqual(rules.taken_off(rule, amount), min(plain, most))

    @given(off=st.integers(0, MAX_AMOUNT), amount=AMOUNTS)
    def test_an_amount_off_never_exceeds_the_order(self, off: int, amount: int) -> None:
        self.assertEqual(rules.taken_off(Rule(amount_off=off, currency="EUR"), amount), min(off, amount))

    @given(amount=AMOUNTS)
    def test_a_percentage_takes_all_of_the_order_or_nothing(self, amount: int) -> None:
        self.assertEqual(rules.taken_off(Rule(percent=10_000), amount), amount)
        self.assertEqual(rules.taken_off(NO_RULE, amount), 0)
        self.assertEqual(rules.taken_off(Rule(currency="EUR", minimum_amount=1), amount), 0)

    @given(rule=RULES)
    def test_a_rule_is_read_as_it_was_stored(self, rule: Rule) -> None:
        stored = rule.fields()
        self.assertEqual({type(value) for value in stored.values()} - {str}, set())
        self.assertEqual(rules.rule_of({"brand": "IKEA", "total": "3"} | stored), rule)


class Orders(unittest.TestCase):
    RULE = Rule(percent=1_000, currency="EUR", minimum_amount=1_000)

    def test_an_order_that_reaches_the_minimum_is_allowed(self) -> None:
        for amount in (1_000, 1_001, MAX_AMOUNT):
            self.assertEqual(rules.refusals_of(self.RULE, Order("A", amount, "EUR")), [])

    def test_a_smaller_order_is_refused_with_the_minimum(self) -> None:
        for amount in (0, 999):
            (refusal,) = rules.refusals_of(self.RULE, Order("A", amount, "EUR"))
            self.assertIsInstance(refusal, MinimumAmount)
            self.assertEqual(refusal.facts, {"minimum_amount": 1_000, "currency": "EUR"})

    def test_an_amount_of_another_currency_is_not_compared(self) -> None:
        for amount in (0, 999, 1_000):
            (refusal,) = rules.refusals_of(self.RULE, Order("A", amount, "SEK"))
            self.assertIsInstance(refusal, CurrencyMismatch)
            self.assertEqual(refusal.facts, {"currency": "EUR"})

    @given(amount=AMOUNTS, currency=st.sampled_from(["EUR", "JPY", "KWD"]))
    def test_a_rule_without_amounts_allows_every_order(self, amount: int, currency: str) -> None:
        for rule in (NO_RULE, Rule(percent=1)):
            self.assertEqual(rules.refusals_of(rule, Order("A", amount, currency)), [])


class CheckRule(unittest.TestCase):
    def refused(self, rule: Rule, field: str, detail: str) -> None:
        with self.assertRaises(Invalid) as caught:
            rules.check_rule(rule)
        (error,) = caught.exception.facts["errors"]
        self.assertEqual(error["pointer"], field)
        self.assertIn(detail, error["detail"])

    @given(rule=RULES)
    def test_a_consistent_rule_is_accepted(self, rule: Rule) -> None:
        rules.check_rule(rule)

    def test_a_percentage_and_an_amount_do_not_go_together(self) -> None:
        self.refused(Rule(percent=1_000, amount_off=5, currency="EUR"), "/amount_off", "cannot be combined")
        self.refused(Rule(percent=1_000, amount_off=5), "/amount_off", "cannot be combined")

    def test_a_maximum_needs_a_percentage(self) -> None:
        self.refused(Rule(maximum_discount=5, currency="EUR"), "/maximum_discount", "needs percent_off")
        self.refused(Rule(amount_off=9, maximum_discount=5, currency="EUR"), "/maximum_discount", "needs percent_off")

    def test_every_amount_needs_a_currency(self) -> None:
        self.refused(Rule(amount_off=5), "/currency", "amount_off needs a currency")
        self.refused(Rule(minimum_amount=5), "/currency", "minimum_amount needs a currency")
        self.refused(Rule(percent=1_000, minimum_amount=0), "/currency", "minimum_amount needs a currency")
        self.refused(Rule(percent=1_000, maximum_discount=5), "/currency", "maximum_discount needs a currency")

    def test_a_currency_needs_an_amount(self) -> None:
        self.refused(Rule(currency="EUR"), "/currency", "there is none")
        self.refused(Rule(percent=1_000, currency="EUR"), "/currency", "there is none")

    def test_a_currency_must_be_a_known_code(self) -> None:
        self.refused(Rule(amount_off=5, currency="XAU"), "/currency", "not an ISO 4217 currency")
        self.refused(Rule(currency=""), "/currency", "not an ISO 4217 currency")


class CheckCurrency(unittest.TestCase):
    def test_currencies_of_any_number_of_decimals_are_accepted(self) -> None:
        for code in ("EUR", "USD", "SEK", "JPY", "KRW", "KWD", "BHD", "CLF", "XOF"):
            rules.check_currency(code, "/currency")

    def test_a_currency_not_used_for_payments_is_refused(self) -> None:
        for code in ("XAU", "XAG", "XDR", "XTS", "XXX"):
            with self.assertRaises(Invalid, msg=code):
                rules.check_currency(code, "/currency")

    def test_an_unknown_currency_is_refused_with_its_field(self) -> None:
        for code in ("", "eur", "EURO", "EU", "ZZZ", "978", " EUR", "EUR\n", "€"):
            with self.assertRaises(Invalid, msg=repr(code)) as caught:
                rules.check_currency(code, "/order/currency")
            self.assertEqual(caught.exception.facts["errors"][0]["pointer"], "/order/currency")


class Day(NamedTuple):
    """A day of a calendar, as the scripts read it."""

    start: int
    till: int
    name: str
    week: str
    week_till: int

    def holds(self, moment: int) -> bool:
        return self.start <= moment < self.till


def days_of(zone: str, moment: int) -> list[Day]:
    read = [each.split(",") for each in rules.calendar(zone, moment).split(";")]
    # Scripts compare them as text.
    assert {len(each[place]) for each in read for place in (0, 1, 4)} == {16}
    assert {len(each[2]) for each in read} == {8}
    assert {len(each[3]) for each in read} == {6}
    return [Day(int(start), int(till), name, week, int(end)) for start, till, name, week, end in read]


def utc(text: str) -> int:
    """Return a moment of UTC in microseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def local(zone: str, moment: int) -> datetime:
    return datetime.fromtimestamp(moment // SECOND, ZoneInfo(zone))


ZONES = st.sampled_from(
    [
        "UTC", "Europe/Stockholm", "America/New_York", "America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut",
        "Asia/Tehran", "Asia/Kathmandu", "Asia/Gaza", "Asia/Pyongyang", "Australia/Lord_Howe", "America/Havana",
        "America/Asuncion", "America/Santiago", "America/Scoresbysund", "Atlantic/Azores", "Africa/Casablanca",
        "Antarctica/Troll", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati", "Pacific/Marquesas", "Etc/GMT+12",
    ]
)  # fmt: skip
# From the year after the last zone set its clocks back to before midnight, to where clock changes are foreseen.
MOMENTS = st.integers(utc("2012-01-01"), utc("2037-12-31"))
#: Zone, day, when it begins in UTC, and how many hours it has.
# Of the past: what a machine knows of the rules of years to come depends on the age of its tables.
ODD_DAYS = [
    ("Europe/Stockholm", "20240331", "2024-03-30T23:00", 23),
    ("Europe/Stockholm", "20241027", "2024-10-26T22:00", 25),
    ("Australia/Lord_Howe", "20241006", "2024-10-05T13:30", 23.5),
    ("America/Sao_Paulo", "20181104", "2018-11-04T03:00", 23),
    ("America/Sao_Paulo", "20190216", "2019-02-16T02:00", 25),
    ("America/Havana", "20240310", "2024-03-10T05:00", 23),
    ("America/Havana", "20241103", "2024-11-03T04:00", 25),
    ("Africa/Cairo", "20240426", "2024-04-25T22:00", 23),
    ("Africa/Cairo", "20241031", "2024-10-30T21:00", 25),
    ("Asia/Beirut", "20240331", "2024-03-30T22:00", 23),
    ("Asia/Pyongyang", "20180505", "2018-05-04T15:00", 24),
    ("Antarctica/Troll", "20240331", "2024-03-31T00:00", 22),
    ("Pacific/Apia", "20111229", "2011-12-29T10:00", 24),
    ("Pacific/Apia", "20111230", "2011-12-30T10:00", 0),
    ("Pacific/Apia", "20111231", "2011-12-30T10:00", 24),
]


class Calendar(unittest.TestCase):
    @given(zone=ZONES, moment=MOMENTS)
    @settings(max_examples=500)
    def test_the_middle_day_is_the_day_of_the_moment(self, zone: str, moment: int) -> None:
        today = days_of(zone, moment)[1]
        self.assertTrue(today.holds(moment))
        self.assertEqual(today.name, f"{local(zone, moment):%Y%m%d}")

    @given(zone=ZONES, moment=MOMENTS)
    @settings(max_examples=500)
    def test_consecutive_days_have_no_gap(self, zone: str, moment: int) -> None:
        before, today, after = days_of(zone, moment)
        self.assertEqual((before.till, today.till), (today.start, after.start))
        self.assertTrue(before.start <= before.till < today.till <= after.till)
        self.assertEqual(days_of(zone, today.till)[1].start, today.till)

    @given(zone=ZONES, moment=MOMENTS)
    @settings(max_examples=500)
    def test_a_day_is_one_date_from_its_first_moment_to_its_last(self, zone: str, moment: int) -> None:
        for day in days_of(zone, moment):
            if day.start < day.till:
                self.assertEqual({f"{local(zone, at):%Y%m%d}" for at in (day.start, day.till - 1)}, {day.name})

    @given(zone=ZONES, moment=MOMENTS)
    @settings(max_examples=500)
    def test_a_week_ends_where_a_monday_begins(self, zone: str, moment: int) -> None:
        today = days_of(zone, moment)[1]
        self.assertTrue(today.till <= today.week_till <= today.start + 8 * 24 * HOUR)
        last, monday = days_of(zone, today.week_till - 1)[1], days_of(zone, today.week_till)[1]
        self.assertEqual((last.week, monday.start), (today.week, today.week_till))
        self.assertEqual(local(zone, monday.start).weekday(), 0)
        self.assertGreater(monday.week, today.week)

    @given(zone=ZONES, moment=MOMENTS)
    def test_a_week_is_named_by_iso_s_year_and_week(self, zone: str, moment: int) -> None:
        for day in days_of(zone, moment):
            year, week, _ = date.fromisoformat(day.name).isocalendar()
            self.assertEqual(day.week, f"{year}{week:02d}")

    def test_days_with_a_clock_change_have_the_right_length(self) -> None:
        for zone, name, begins, hours in ODD_DAYS:
            with self.subTest(zone=zone, day=name):
                start = utc(begins)
                found = {day.name: day for day in days_of(zone, start - HOUR) + days_of(zone, start + HOUR)}[name]
                self.assertEqual((found.start, found.till - found.start), (start, hours * HOUR))

    def test_a_skipped_midnight_is_the_moment_of_the_clock_change(self) -> None:
        jump = utc("2018-11-04T03:00")
        before, after = days_of("America/Sao_Paulo", jump - 1), days_of("America/Sao_Paulo", jump)
        self.assertEqual((before[1].name, before[1].till), ("20181103", jump))
        self.assertEqual((after[1].name, after[1].start), ("20181104", jump))
        self.assertEqual(local("America/Sao_Paulo", jump).hour, 1)

    def test_a_day_that_a_zone_skipped_holds_no_moment(self) -> None:
        skip = utc("2011-12-30T10:00")
        for moment in (skip - 1, skip):
            days = days_of("Pacific/Apia", moment)
            self.assertEqual([day.name for day in days if day.start == day.till], ["20111230"])
        self.assertEqual(days_of("Pacific/Apia", skip - 1)[1].name, "20111229")
        self.assertEqual(days_of("Pacific/Apia", skip)[1].name, "20111231")

    def test_a_moment_belongs_to_one_day_when_clocks_cross_midnight(self) -> None:
        for minutes in range(-90, 91, 5):
            moment = utc("2010-11-07T02:31") + minutes * 60 * SECOND
            days = days_of("America/St_Johns", moment)
            self.assertEqual(sum(day.holds(moment) for day in days), 1)
            self.assertEqual([day.till for day in days[:2]], [day.start for day in days[1:]])

    def test_weeks_at_the_end_of_a_year_are_of_the_year_of_their_thursday(self) -> None:
        weeks = {
            "2018-12-30": "201852",
            "2018-12-31": "201901",
            "2020-12-31": "202053",
            "2021-01-03": "202053",
            "2021-01-04": "202101",
            "2026-12-31": "202653",
            "2027-01-03": "202653",
            "2027-01-04": "202701",
        }
        for day, week in weeks.items():
            found = days_of("UTC", utc(day) + 12 * HOUR)[1]
            self.assertEqual((found.name, found.week), (day.replace("-", ""), week))

    def test_the_first_and_the_last_microsecond_of_a_day_are_its_own(self) -> None:
        start = utc("2026-11-20T18:15")
        for moment, name in ((start - 1, "20261120"), (start, "20261121"), (start + 24 * HOUR - 1, "20261121")):
            self.assertEqual(days_of("Asia/Kathmandu", moment)[1].name, name)

    @given(moment=MOMENTS)
    def test_an_alias_of_a_zone_has_the_same_days(self, moment: int) -> None:
        self.assertEqual(rules.calendar("Asia/Calcutta", moment), rules.calendar("Asia/Kolkata", moment))

    def test_the_next_day_is_included_when_the_clock_is_behind(self) -> None:
        late = utc("2026-11-20T23:59:59")
        self.assertTrue(days_of("UTC", late)[2].holds(late + HOUR))


class CheckZone(unittest.TestCase):
    def test_zones_of_iana_are_accepted(self) -> None:
        for name in ("UTC", "Europe/Stockholm", "America/Argentina/Ushuaia", "Asia/Calcutta", "Etc/GMT-14"):
            rules.check_zone(name)

    def test_anything_else_is_refused(self) -> None:
        names = ["", " ", "Europe", "Europe/Uppsala", "europe/stockholm", "+01:00", "UTC+1", "posixrules", "../UTC"]
        for name in [
            *names,
            "localtime",
            "Factory",
            "/etc/localtime",
            "Europe/Stockholm/",
            "zone.tab",
            "UTC\0",
            "posix/UTC",
            "tzdata.zi",
        ]:
            with self.assertRaises(Invalid, msg=repr(name)) as caught:
                rules.check_zone(name)
            self.assertEqual(caught.exception.facts["errors"][0]["pointer"], "/timezone")


def general(text: str) -> str:
    """Apply the general rule of canonical forms to any text: NFKC, case-folded, without spaces and dashes."""
    dropped = ("Pd", "Cf")
    letters = [
        c for c in unicodedata.normalize("NFKC", text) if not c.isspace() and unicodedata.category(c) not in dropped
    ]
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", "".join(letters)).casefold())


class CanonicalOfAscii(unittest.TestCase):
    def test_every_character_is_treated_as_the_general_rule_does(self) -> None:
        for character in map(chr, range(128)):
            self.assertEqual(canonical(character), general(character), repr(character))
            self.assertEqual(canonical(f"A{character}b"), general(f"A{character}b"), repr(character))

    @given(st.text(alphabet=st.characters(max_codepoint=127), max_size=70))
    @settings(max_examples=300)
    def test_an_ascii_text_is_canonicalized_by_the_general_rule(self, text: str) -> None:
        self.assertEqual(canonical(text), general(text))

    @given(st.text(alphabet=st.characters(max_codepoint=127), max_size=30))
    def test_a_non_ascii_letter_does_not_change_the_others(self, text: str) -> None:
        self.assertEqual(canonical(text + "ø"), canonical(text) + "ø")
