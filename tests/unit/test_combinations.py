"""Several discounts on one order, against a plain model: their sequence, what each finds, and which go together."""

import itertools
import unittest
from dataclasses import replace
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from discount.domain.combinations import (
    CLASSES,
    MOST_CODES,
    choose_best,
    clashes,
    class_of,
    go_together,
    sequence,
    take_off_all,
)
from discount.domain.order_lines import Line, Products, Selection
from discount.domain.rules import NO_RULE, Order, Rule
from tests.unit.test_order_lines import lines_of, model_off, rounded, rules_for_lines

COMBINES = st.lists(st.sampled_from(CLASSES), unique=True).map(tuple)
RULES = st.lists(rules_for_lines(), max_size=5)
CHAIRS = Selection(applies_to=Products(skus=("chair",)))


def model_class(rule: Rule) -> str:
    chosen = rule.selection
    some = chosen is not None and (
        chosen.per_line or any((chosen.applies_to, chosen.excluded, chosen.cheapest, chosen.dearest))
    )
    return ("line" if some else "order") + ("-percent" if rule.percent is not None else "-amount")


def off_whole(rule: Rule, left: int) -> int:
    """Return what comes off an order without lines."""
    if rule.percent is not None:
        off = rounded(Fraction(left * rule.percent, 10_000))
        return min(off, left if rule.maximum_discount is None else rule.maximum_discount)
    return min(rule.amount_off or 0, left)


class Together(unittest.TestCase):
    @given(rules=RULES, lines=lines_of())
    def test_each_rule_takes_off_what_the_model_says_and_never_more_than_is_left(
        self, rules: list[Rule], lines: tuple[Line, ...]
    ) -> None:
        order = Order("A", sum(each.amount for each in lines), "EUR", lines)
        left = [each.amount for each in lines] or [0]
        expected: dict[int, list[int]] = {}
        for name in CLASSES:
            for n, rule in enumerate(rules):
                if model_class(rule) == name:
                    expected[n] = model_off(rule, lines, left) if lines else [off_whole(rule, left[0])]
                    left = [rest - off for rest, off in zip(left, expected[n], strict=True)]
                    self.assertTrue(all(rest >= 0 for rest in left))
        self.assertEqual(take_off_all(rules, order), [expected[n] for n in range(len(rules))])

    @given(rules=RULES, amount=st.integers(0, 10**12))
    @example(rules=[Rule(percent=10_000), Rule(amount_off=5, currency="EUR")], amount=100)
    def test_without_lines_each_takes_off_the_rest_of_the_order(self, rules: list[Rule], amount: int) -> None:
        left, expected = amount, {}
        for n in sorted(range(len(rules)), key=lambda n: CLASSES.index(class_of(rules[n]))):
            expected[n] = off_whole(rules[n], left)
            left -= expected[n]
        found = take_off_all(rules, Order("A", amount, "EUR"))
        self.assertEqual(found, [[expected[n]] for n in range(len(rules))])

    @given(rules=RULES)
    def test_rules_apply_by_class_and_then_as_they_are_given(self, rules: list[Rule]) -> None:
        found = sequence(rules)
        self.assertEqual(sorted(found), list(range(len(rules))))
        places = [(CLASSES.index(class_of(rules[n])), n) for n in found]
        self.assertEqual(places, sorted(places))

    def test_each_rule_has_one_class(self) -> None:
        for rule, name in (
            (Rule(percent=1), "order-percent"),
            (Rule(amount_off=1, currency="EUR"), "order-amount"),
            (NO_RULE, "order-amount"),
            (Rule(percent=1, selection=CHAIRS), "line-percent"),
            (Rule(amount_off=1, selection=Selection(per_line=True)), "line-amount"),
            (Rule(percent=1, selection=Selection(cheapest=1)), "line-percent"),
            (Rule(percent=1, selection=Selection(minimum_quantity=2)), "order-percent"),
        ):
            with self.subTest(name):
                self.assertEqual(class_of(rule), name)

    @given(rules=st.lists(st.builds(Rule, percent=st.none() | st.just(5), combines=COMBINES), max_size=5))
    def test_rules_go_together_only_if_both_say_so(self, rules: list[Rule]) -> None:
        found = clashes(rules)
        for n, one in enumerate(rules):
            self.assertNotIn(n, found[n])
            for m, other in enumerate(rules):
                if n != m:
                    both = class_of(one) in other.combines and class_of(other) in one.combines
                    self.assertEqual(m not in found[n], both)
                    self.assertEqual(go_together(one, other), both)


class Best(unittest.TestCase):
    @given(
        rules=st.lists(st.tuples(rules_for_lines(), COMBINES | st.just(CLASSES)), max_size=6),
        lines=lines_of(),
        amount=st.integers(0, 10**6),
    )
    def test_no_choice_takes_off_more_than_the_best(
        self, rules: list[tuple[Rule, tuple[str, ...]]], lines: tuple[Line, ...], amount: int
    ) -> None:
        given_rules = [replace(rule, combines=combines) for rule, combines in rules]
        order = Order("A", sum(each.amount for each in lines) if lines else amount, "EUR", lines)
        offs = {}
        for count in range(1, MOST_CODES + 1):
            for chosen in itertools.combinations(range(len(rules)), count):
                several = [given_rules[n] for n in chosen]
                if not any(clashes(several)):
                    offs[chosen] = sum(map(sum, take_off_all(several, order)))
        found = choose_best(given_rules, order)
        if not offs:
            self.assertEqual(found, [])
            return
        most = max(offs.values())
        self.assertEqual(offs[tuple(sorted(found))], most)
        self.assertEqual(len(found), min(len(chosen) for chosen, off in offs.items() if off == most))
        # In this sequence they take off the same.
        self.assertEqual(sum(map(sum, take_off_all([given_rules[n] for n in found], order))), most)
