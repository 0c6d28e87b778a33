"""Several discounts on one order: which ones go together, in what sequence they apply, and what each takes off."""

from collections.abc import Sequence
from typing import Literal

from discount.domain.order_lines import Line
from discount.domain.rules import Order, Rule, taken_off, taken_off_lines

#: The most codes of an order.
MOST_CODES = 5
RuleClass = Literal["line-percent", "line-amount", "order-percent", "order-amount"]
#: In the sequence in which they apply.
CLASSES: tuple[RuleClass, ...] = ("line-percent", "line-amount", "order-percent", "order-amount")


def class_of(rule: Rule) -> RuleClass:
    """Return the class of a rule. One that takes nothing off counts as an amount off the order."""
    for_lines = rule.selection is not None and rule.selection.is_for_some
    if rule.percent is not None:
        return "line-percent" if for_lines else "order-percent"
    return "line-amount" if for_lines else "order-amount"


def go_together(one: Rule, other: Rule) -> bool:
    """Return whether each of two rules allows the class of the other."""
    return class_of(one) in other.combines and class_of(other) in one.combines


def clashes(rules: Sequence[Rule]) -> list[list[int]]:
    """Return for each rule the positions of those that it does not go together with."""
    return [
        [m for m, other in enumerate(rules) if m != n and not go_together(one, other)] for n, one in enumerate(rules)
    ]


def sequence(rules: Sequence[Rule]) -> list[int]:
    """Return the positions of rules in the sequence in which they apply; those of one class as they are given."""
    return sorted(range(len(rules)), key=lambda n: (CLASSES.index(class_of(rules[n])), n))


def choose_best(rules: Sequence[Rule], order: Order) -> list[int]:
    """Return the positions of the rules that take the most off an order together, in the sequence in which they apply.

    Of equal choices it is one with the fewest rules. It tries every combination of up to MOST_CODES.
    """
    ranked = sequence(rules)
    best: tuple[int, list[int]] = (-1, [])

    def extend(chosen: list[int], start: int, left: Sequence[int], off: int) -> None:
        nonlocal best
        if chosen and (off > best[0] or (off == best[0] and len(chosen) < len(best[1]))):
            best = off, chosen
        if len(chosen) == MOST_CODES:
            return
        for place in range(start, len(ranked)):
            n = ranked[place]
            if all(go_together(rules[n], rules[each]) for each in chosen):
                taken = take_off(rules[n], order.lines, left)
                rest = [amount - part for amount, part in zip(left, taken, strict=True)]
                extend([*chosen, n], place + 1, rest, off + sum(taken))

    extend([], 0, amounts_of(order), 0)
    return best[1]


def amounts_of(order: Order) -> list[int]:
    """Return the amounts that discounts take off from: those of the lines, or without lines that of the order."""
    return [each.amount for each in order.lines] or [order.amount]


def take_off(rule: Rule, lines: Sequence[Line], left: Sequence[int]) -> list[int]:
    """Return what a rule takes off each amount, where earlier rules left so much of it."""
    return taken_off_lines(rule, lines, left) if lines else [taken_off(rule, left[0])]


def take_off_all(rules: Sequence[Rule], order: Order) -> list[list[int]]:
    """Return what each rule takes off each amount of `amounts_of`: each takes off what the ones before it left."""
    left = amounts_of(order)
    found: list[list[int]] = [[] for _ in rules]
    for n in sequence(rules):
        off = found[n] = take_off(rules[n], order.lines, left)
        left = [rest - taken for rest, taken in zip(left, off, strict=True)]
    return found
