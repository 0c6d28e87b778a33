"""A validation without a code: all codes that fit an order, best first, and the best of them together."""

from typing import Any

import pytest

from discount.domain.combinations import CLASSES
from discount.domain.errors import TooManyGuesses
from discount.domain.order_lines import Line, Products, Selection
from discount.domain.rules import Order, Rule
from discount.services import checkouts, fitting_codes, redemptions, several_codes
from discount.services.checkouts import Checkout
from discount.services.fitting_codes import Fitting
from tests.services.harness import ServiceHarness
from tests.services.test_redeem import ADDRESS, later, shared

LINES = (Line("a", 6000, 1, "CHAIR"), Line("b", 4000, 1, "TABLE"))


def checkout(user: str = "User 1", lines: tuple[Line, ...] = (), currency: str = "EUR", **given: Any) -> Checkout:
    order = Order(given.pop("order", "A-1"), given.pop("amount", 10_000), currency, lines)
    return Checkout(user, given.pop("code", ""), order, brand_id="IKEA", address=ADDRESS)


def find(harness: ServiceHarness, *, with_shared: bool = True, **given: Any) -> Fitting:
    before = harness.state()
    found = fitting_codes.find(harness.store, checkout(**given), with_shared=with_shared)
    assert harness.state() == before
    return found


def shown(found: Fitting) -> list[tuple[str, int]]:
    return [(each.code, each.verdict.discount_amount) for each in found.codes]


def test_codes_of_the_user_and_the_brand_are_shown_best_first(harness: ServiceHarness) -> None:
    shared(harness, "TEN", rule=Rule(percent=1_000))
    shared(harness, "NOTHING", rule=Rule())
    own = harness.grant(harness.create(rule=Rule(amount_off=3000, currency="EUR")).id).code
    shared(harness, "OTHER", brand="Åhléns", rule=Rule(percent=9_000))
    found = find(harness)
    assert shown(found) == [(own, 3000), ("TEN", 1000), ("NOTHING", 0)]
    assert (found.best and found.best.codes, found.complete) == ([own], True)
    assert shown(find(harness, user="User 2")) == [("TEN", 1000), ("NOTHING", 0)]


def test_without_the_shared_codes_a_user_sees_those_that_were_granted(harness: ServiceHarness) -> None:
    ten = shared(harness, "TEN", rule=Rule(percent=1_000))
    shared(harness, "SECRET", rule=Rule(percent=2_000))
    harness.grant(ten.id)
    assert shown(find(harness, with_shared=False)) == [("TEN", 1000)]
    assert find(harness, with_shared=False, user="User 2") == Fitting([], None, True)


def test_what_does_not_fit_is_left_out(harness: ServiceHarness) -> None:
    shared(harness, "FITS", rule=Rule(percent=100))
    shared(harness, "LARGE", rule=Rule(percent=1, currency="EUR", minimum_amount=10_001))
    shared(harness, "YEN", rule=Rule(amount_off=1, currency="JPY"))
    shared(harness, "SOFAS", rule=Rule(percent=1, selection=Selection(applies_to=Products(skus=("SOFA",)))))
    shared(harness, "SOON", starts_at=later(harness))
    shared(harness, "NONE-LEFT", limits={"total": 0})
    harness.change(shared(harness, "PAUSED").id, paused=True)
    harness.close(shared(harness, "CLOSED").id)
    shared(harness, "USED", limits={"per_user": 1})
    redemptions.redeem(harness.store, checkout(code="USED", user="User 1"))
    assert shown(find(harness, order="A-2", lines=LINES)) == [("FITS", 100)]
    assert shown(find(harness, order="A-2", user="User 2", lines=LINES)) == [("USED", 1000), ("FITS", 100)]


def test_an_order_that_was_redeemed_fits_no_other_code(harness: ServiceHarness) -> None:
    shared(harness, "TEN", rule=Rule(percent=1_000))
    shared(harness, "TWENTY", rule=Rule(percent=2_000))
    redemptions.redeem(harness.store, checkout(code="TEN"))
    assert [each.code for each in find(harness).codes] == ["TEN"]


def test_the_best_combination_can_be_redeemed_as_it_is(harness: ServiceHarness) -> None:
    shared(harness, "ALONE", rule=Rule(percent=3_000))
    chairs = Selection(applies_to=Products(skus=("CHAIR",)))
    shared(harness, "CHAIRS", rule=Rule(percent=5_000, selection=chairs, combines=CLASSES))
    shared(harness, "FIVE", rule=Rule(amount_off=500, currency="EUR", combines=CLASSES))
    shared(harness, "TEN", rule=Rule(percent=1_000, combines=("line-percent",)))
    found = find(harness, lines=LINES)
    assert shown(found) == [("ALONE", 3000), ("CHAIRS", 3000), ("TEN", 1000), ("FIVE", 500)]
    assert found.best is not None
    assert (list(found.best.codes), found.best.discount_amount) == (["CHAIRS", "TEN"], 3700)
    assert found.best.lines == {"a": 3300, "b": 400}
    made = several_codes.redeem(harness.store, checkout(lines=LINES), found.best.codes)
    assert sum(each.discount_amount for each in made) == 3700


def test_only_so_many_codes_are_looked_at(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting_codes, "DISCOUNTS_OF_BRAND", 2)
    monkeypatch.setattr(fitting_codes, "CODES_OF_USER", 2)
    for off in (9, 8, 7):
        shared(harness, f"CODE-{off}", rule=Rule(percent=off * 100))
        harness.grant(harness.create(rule=Rule(percent=off)).id)
    found = find(harness)
    # The newest two discounts of the brand have one shared code.
    assert ([off for _, off in shown(found)], found.complete) == ([700, 8, 7], False)


def test_only_the_best_are_judged(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting_codes, "JUDGED", 2)
    for off in (1, 3, 2):
        shared(harness, f"CODE-{off}", rule=Rule(percent=off * 100))
    found = find(harness)
    assert (shown(found), found.complete) == ([("CODE-3", 300), ("CODE-2", 200)], False)


def test_codes_beyond_ascii_and_months_are_judged_as_well(harness: ServiceHarness) -> None:
    from discount.domain import code_kinds, durations  # noqa: PLC0415

    kind = code_kinds.make("personal", 5, {"template": "{user}-é-{id}"})
    made = [
        harness.create(total=5, kind=kind, rule=Rule(percent=percent), valid_for=durations.read("P1M"))
        for percent in (100, 200)
    ]
    codes = [harness.grant(each.id).code for each in made]
    assert shown(find(harness)) == [(codes[1], 200), (codes[0], 100)]


def test_a_user_who_guessed_too_often_is_refused(harness: ServiceHarness) -> None:
    shared(harness, "TEN")
    for _ in range(checkouts.USER_GUESSES):
        redemptions.validate(harness.store, checkout(code="WRONG"))
    with pytest.raises(TooManyGuesses):
        find(harness)
