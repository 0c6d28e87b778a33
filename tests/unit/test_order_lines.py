"""Lines of an order: the right ones are chosen, and what comes off them adds up, against a plain model in fractions."""

import math
import unittest
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from discount.domain import rules
from discount.domain.errors import Invalid
from discount.domain.metadata import lines_of_order, of_order, with_order
from discount.domain.order_lines import (
    NO_SELECTION,
    Line,
    Products,
    Selection,
    check_lines,
    check_selection,
    digest,
    read_lines,
    share,
    write_lines,
)
from discount.domain.rules import NO_RULE, Order, Rule, rule_of

#: Yen have no decimals, euros two, dinars three; amounts of all of them are whole minor units.
CURRENCIES = {"JPY": 1, "EUR": 100, "KWD": 1000}
TEXTS = st.sampled_from(["chair", "chair-1", "chair-22", "table", "Chair", "ch", "*"])
ENTRIES = st.lists(st.sampled_from(["chair", "chair*", "chair-*", "table", "ta*", "*", "Chair"]), max_size=3).map(tuple)
PRODUCTS = st.none() | st.builds(Products, ENTRIES, ENTRIES)
COUNTS = st.none() | st.integers(1, 4)


@st.composite
def lines_of(draw: st.DrawFn) -> tuple[Line, ...]:
    unit = draw(st.sampled_from(sorted(CURRENCIES.values())))
    amounts = st.integers(0, 30).map(lambda n: n * unit) | st.integers(0, 10**10) | st.just(0)
    parts = st.tuples(amounts, st.integers(1, 5), st.none() | TEXTS, st.none() | TEXTS)
    rows = draw(st.lists(parts, max_size=8))
    return tuple(Line(str(n), *row) for n, row in enumerate(rows))


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    cheapest = draw(COUNTS)
    dearest = None if cheapest else draw(COUNTS)
    return Selection(draw(PRODUCTS), draw(PRODUCTS), draw(COUNTS), draw(st.booleans()), cheapest, dearest)


@st.composite
def rules_for_lines(draw: st.DrawFn) -> Rule:
    selection = draw(st.none() | selections())
    percent = st.integers(1, 10_000) | st.sampled_from([3333, 1250, 10_000])
    of_percent: dict[str, Any] = {"percent": draw(percent), "maximum_discount": draw(st.none() | st.integers(1, 5_000))}
    of_amount: dict[str, Any] = {"amount_off": draw(st.integers(1, 4_000))}
    return Rule(currency="EUR", selection=selection, **draw(st.sampled_from([of_percent, of_amount, dict[str, Any]()])))


def fits(products: Products, line: Line) -> bool:
    """Say whether a line is of some products, entry by entry."""
    for text, entries in ((line.sku, products.skus), (line.category, products.categories)):
        for entry in entries:
            if text is not None and (text == entry or (entry[-1] == "*" and text[: len(entry) - 1] == entry[:-1])):
                return True
    return False


def rounded(part: Fraction) -> int:
    return math.floor(part + Fraction(1, 2))


def shared(whole: int, weights: Sequence[int]) -> list[int]:
    """Give each its part rounded down, then the rest one by one to the one that lacks most."""
    total = sum(weights)
    if total == 0:
        return [0 for _ in weights]
    exact = [Fraction(whole * weight, total) for weight in weights]
    found = [math.floor(each) for each in exact]
    while sum(found) < whole:
        lacking = [part - given for part, given in zip(exact, found, strict=True)]
        found[lacking.index(max(lacking))] += 1
    return found


def model_off(rule: Rule, lines: Sequence[Line], left: Sequence[int]) -> list[int]:
    """Return what comes off each line, in the plainest way."""
    selection = rule.selection or NO_SELECTION
    chosen = [
        n
        for n, line in enumerate(lines)
        if (selection.applies_to is None or fits(selection.applies_to, line))
        and not (selection.excluded and fits(selection.excluded, line))
    ]
    count = selection.cheapest or selection.dearest
    while count and len(chosen) > 0 and len([n for n in chosen if lines[n].amount]) < len(chosen):
        chosen = [n for n in chosen if lines[n].amount]
    while count and len(chosen) > count:
        amounts = [lines[n].amount for n in chosen]
        worst = max(amounts) if selection.cheapest else min(amounts)
        chosen.remove([n for n in chosen if lines[n].amount == worst][-1])
    bases = [left[n] for n in chosen]
    most = rule.maximum_discount
    if selection.per_line and rule.amount_off is not None:
        parts = [min(rule.amount_off, base) for base in bases]
    elif selection.per_line:
        parts = [rounded(Fraction(base * (rule.percent or 0), 10_000)) for base in bases]
        parts = shared(most, parts) if most is not None and sum(parts) > most else parts
    else:
        whole = sum(bases)
        off = min(rule.amount_off, whole) if rule.amount_off is not None else 0
        if rule.percent is not None:
            off = min(rounded(Fraction(whole * rule.percent, 10_000)), most if most is not None else whole)
        parts = shared(off, bases)
    found = [0] * len(lines)
    for n, part in zip(chosen, parts, strict=True):
        found[n] = part
    return found


class Shares(unittest.TestCase):
    @given(whole=st.integers(0, 10**12), weights=st.lists(st.integers(0, 10**9), max_size=12))
    @example(whole=100, weights=[1, 1, 1])
    def test_shares_are_those_of_the_largest_remainder(self, whole: int, weights: list[int]) -> None:
        whole = min(whole, sum(weights))
        found = share(whole, weights)
        self.assertEqual(found, shared(whole, weights))
        self.assertEqual(sum(found), whole)
        self.assertTrue(all(0 <= part <= weight for part, weight in zip(found, weights, strict=True)))

    def test_of_equal_remainders_the_first_is_rounded_up(self) -> None:
        self.assertEqual(share(100, [1, 1, 1]), [34, 33, 33])
        self.assertEqual(share(5, [5, 5]), [3, 2])


class TakenOffLines(unittest.TestCase):
    @given(rule=rules_for_lines(), lines=lines_of(), spent=st.integers(0, 100))
    def test_what_comes_off_each_line_is_that_of_the_model(
        self, rule: Rule, lines: tuple[Line, ...], spent: int
    ) -> None:
        left = [each.amount - each.amount * spent // 100 for each in lines]
        found = rules.taken_off_lines(rule, lines, left)
        self.assertEqual(found, model_off(rule, lines, left))
        self.assertTrue(all(0 <= off <= rest for off, rest in zip(found, left, strict=True)))

    @given(lines=lines_of(), percent=st.integers(1, 10_000), most=st.none() | st.integers(1, 10**6))
    def test_a_rule_for_whole_orders_takes_the_same_with_lines_as_without(
        self, lines: tuple[Line, ...], percent: int, most: int | None
    ) -> None:
        rule = Rule(percent=percent, currency="EUR", maximum_discount=most)
        amounts = [each.amount for each in lines]
        self.assertEqual(sum(rules.taken_off_lines(rule, lines, amounts)), rules.taken_off(rule, sum(amounts)))

    @given(lines=lines_of())
    def test_without_a_rule_nothing_comes_off_a_line(self, lines: tuple[Line, ...]) -> None:
        off = rules.taken_off_lines(NO_RULE, lines, [each.amount for each in lines])
        self.assertEqual(off, [0] * len(lines))

    @given(selection=selections(), lines=lines_of())
    def test_a_selection_refuses_lines_for_the_reasons_of_the_model(
        self, selection: Selection, lines: tuple[Line, ...]
    ) -> None:
        found = [(each.slug, each.facts) for each in selection.refusals_of(lines)]
        wanted, excluded = selection.applies_to, selection.excluded
        right = [
            each
            for each in lines
            if (wanted is None or fits(wanted, each)) and (excluded is None or not fits(excluded, each))
        ]
        pieces, least = sum(each.quantity for each in right), selection.minimum_quantity
        if not lines:
            self.assertEqual(found, [("lines-missing", {})])
        elif not right:
            self.assertEqual(found, [("no-line-fits", {})])
        elif least is not None and pieces < least:
            self.assertEqual(found, [("minimum-quantity", {"minimum_quantity": least, "quantity": pieces})])
        else:
            self.assertEqual(found, [])

    @given(rule=rules_for_lines())
    def test_a_rule_for_lines_is_read_as_it_was_stored(self, rule: Rule) -> None:
        expected = Rule(**{name: getattr(rule, name) for name in rules._STORED}, selection=rule.selection)
        found = rule_of(rule.fields())
        self.assertEqual(found.selection or NO_SELECTION, expected.selection or NO_SELECTION)
        self.assertEqual(found.fields(), expected.fields())


class Checks(unittest.TestCase):
    def refused(self, pointer: str, reason: str, selection: Selection, *, takes_off: bool = True) -> None:
        with self.assertRaises(Invalid) as caught:
            check_selection(selection, takes_off=takes_off)
        (error,) = caught.exception.facts["errors"]
        self.assertEqual(error["pointer"], pointer)
        self.assertIn(reason, error["detail"])

    def test_empty_products_are_refused(self) -> None:
        self.refused("/applies_to", "names no SKU", Selection(applies_to=Products()))
        self.refused("/except", "names no SKU", Selection(excluded=Products()))

    def test_the_cheapest_and_the_dearest_lines_exclude_each_other(self) -> None:
        self.refused("/dearest_lines", "cheapest_lines", Selection(cheapest=1, dearest=1))

    def test_lines_of_a_discount_that_takes_nothing_off_are_refused(self) -> None:
        self.refused("/per", "percent_off or amount_off", Selection(per_line=True), takes_off=False)
        self.refused("/cheapest_lines", "percent_off or amount_off", Selection(cheapest=1), takes_off=False)
        self.refused("/dearest_lines", "percent_off or amount_off", Selection(dearest=1), takes_off=False)
        check_selection(Selection(applies_to=Products(("a",)), minimum_quantity=2), takes_off=False)

    def test_lines_that_do_not_make_up_the_order_are_refused(self) -> None:
        for lines, pointer in (
            ((Line("1", 5), Line("1", 5)), "/order/lines/1/id"),
            ((Line("1", 5), Line("2", 4)), "/order/lines"),
        ):
            with self.subTest(pointer), self.assertRaises(Invalid) as caught:
                check_lines(lines, 10)
            self.assertEqual(caught.exception.facts["errors"][0]["pointer"], pointer)
        check_lines((Line("1", 5), Line("2", 5)), 10)


class Stored(unittest.TestCase):
    @given(lines=lines_of(), named=st.dictionaries(st.text("ab", min_size=1), st.text(), max_size=2))
    def test_an_order_keeps_its_metadata_and_what_came_off_its_lines(
        self, lines: tuple[Line, ...], named: dict[str, str]
    ) -> None:
        off = [each.amount // 2 for each in lines]
        stored = with_order("A-1", named, write_lines(lines, off))
        self.assertEqual(of_order(stored), ("A-1", named))
        self.assertEqual(read_lines(lines_of_order(stored)), {each.id: each.amount // 2 for each in lines})

    def test_other_lines_have_another_digest(self) -> None:
        line = Line("1", 500, 2, "chair", "chairs")
        others = [
            Line("2", 500, 2, "chair", "chairs"),
            Line("1", 501, 2, "chair", "chairs"),
            Line("1", 500, 3, "chair", "chairs"),
            Line("1", 500, 2, "chairs", "chair"),
            Line("1", 500, 2, None, "chairs"),
        ]
        self.assertEqual(len({digest((each,)) for each in (line, *others)}), 6)

    def test_an_order_without_lines_is_stored_as_before(self) -> None:
        self.assertEqual(with_order("A-1", {}, write_lines((), ())), "A-1")
        self.assertEqual(Order("A-1", 5, "EUR").lines, ())
