"""A user with many codes: each is found and listed once, and a checkout costs no more."""

from collections.abc import Callable
from typing import Any

import pytest

from discount.domain import code_kinds
from discount.domain.errors import NotGranted, TooManyGuesses
from discount.domain.model import Grant
from discount.domain.rules import Order
from discount.services import checkouts, redemptions
from discount.services.checkouts import Checkout
from discount.store import keys
from tests.services.harness import PARTITIONS, ServiceHarness, flat

#: Two brands of one partition.
ONE, OTHER = [brand for brand in (f"b{n}" for n in range(200)) if keys.partition_of(brand, PARTITIONS) == 5][:2]
USER = "User 1"


def give(harness: ServiceHarness, brand: str, number: int, code: str = "") -> list[Grant]:
    """Grant a user codes of a brand, one of each of several discounts."""
    kind = code_kinds.make("imported", None, {}) if code else code_kinds.unique(1)
    found = []
    for _ in range(number):
        made = harness.create(total=None if code else 1, brand=brand, kind=kind)
        if code:
            harness.import_lines(made.id, [code.replace("#", str(made.number))])
        found.append(harness.grant(made.id, USER))
    return found


def attempt(code: str, order: str = "A-1", brand: str = ONE) -> Checkout:
    return Checkout(USER, code, Order(order, 100, "EUR"), brand)


def redeem_each(harness: ServiceHarness, held: list[Grant], brand: str) -> None:
    """Check that each code is found by its brand."""
    for number, each in enumerate(held):
        made = redemptions.redeem(harness.store, attempt(each.code, f"{brand} {number}", brand))
        assert (made.discount_id, made.code) == (each.discount_id, each.code)


def exchanges(harness: ServiceHarness, call: Callable[[], Any]) -> int:
    """Return the exchanges with Redis of a call, once the discount is cached."""
    call()
    found: list[int] = []
    before = harness.store._on_round_trip
    harness.store._on_round_trip = lambda: found.append(1)
    try:
        call()
    finally:
        harness.store._on_round_trip = before
    return len(found)


def fields_of(harness: ServiceHarness) -> dict[str, str]:
    """Return all that is stored of the codes that a user holds."""
    kept: dict[str, str] = harness.redis.hgetall(keys.users(5, USER))
    return kept


def test_every_code_of_many_is_found_listed_and_still_one_grant(harness: ServiceHarness) -> None:
    held: dict[str, list[Grant]] = {ONE: [], OTHER: []}
    for brand, number in ((ONE, 3), (OTHER, 12), (ONE, 9), (OTHER, 1)):
        held[brand] += give(harness, brand, number)
    redeem_each(harness, held[ONE], ONE)
    redeem_each(harness, held[OTHER], OTHER)
    for brand in (ONE, OTHER):
        again = [harness.grant(each.discount_id, USER) for each in held[brand]]
        assert [(each.code, each.fresh) for each in again] == [(each.code, False) for each in held[brand]]
        for limit in (1, 7, 12, 100):
            listed = flat(harness.pages_of_user(USER, limit, brand))
            assert [each.code for each in listed] == [each.code for each in held[brand]]
    assert len(flat(harness.pages_of_user(USER, 6))) == 25
    harness.check()


def test_more_than_a_page_of_codes_is_listed_in_the_order_of_the_grants(harness: ServiceHarness) -> None:
    held = give(harness, ONE, 211)
    assert [each.code for each in flat(harness.pages_of_user(USER, 100, ONE))] == [each.code for each in held]
    assert "+203-0" in fields_of(harness)[USER]
    assert redemptions.redeem(harness.store, attempt(held[210].code)).discount_id == held[210].discount_id


def test_codes_beyond_ascii_and_equal_codes_are_found_among_many(harness: ServiceHarness) -> None:
    give(harness, OTHER, 9)
    beyond = give(harness, ONE, 12, "Grüße-#")
    same = give(harness, ONE, 3, "SAME 1")
    for number, each in enumerate(beyond):
        typed = each.code.upper().replace("-", " ")
        assert redemptions.redeem(harness.store, attempt(typed, f"A-{number}")).discount_id == each.discount_id
    # Of codes that read the same, the one that was granted first.
    assert redemptions.redeem(harness.store, attempt("same-1", "B-1")).discount_id == same[0].discount_id
    for wrong in ("Grüße", "-", ""):
        with pytest.raises(NotGranted):
            redemptions.redeem(harness.store, attempt(wrong, "C-1"))


def test_a_checkout_costs_the_same_for_any_number_of_held_codes(harness: ServiceHarness) -> None:
    right = give(harness, ONE, 1)[0]

    def use() -> None:
        redemptions.validate(harness.store, attempt(right.code))

    def guess() -> None:
        with pytest.raises(NotGranted):
            redemptions.redeem(harness.store, attempt("WRONG"))
        harness.redis.delete(keys.guesses(5, ONE, "user", USER))

    few = exchanges(harness, use), exchanges(harness, guess)
    for brand in (OTHER, ONE):
        give(harness, brand, 120)
        assert (exchanges(harness, use), exchanges(harness, guess)) == few
    last = give(harness, ONE, 1)[0]
    assert exchanges(harness, lambda: redemptions.validate(harness.store, attempt(last.code))) == few[0]
    # The codes that may be meant, their discounts, what the user holds of them, and the script.
    assert few == (4, 4)


def test_a_user_who_guessed_too_often_costs_two_exchanges(harness: ServiceHarness) -> None:
    give(harness, ONE, 20)
    for _ in range(checkouts.USER_GUESSES):
        redemptions.validate(harness.store, attempt("WRONG"))

    def ask() -> None:
        with pytest.raises(TooManyGuesses):
            redemptions.validate(harness.store, attempt("WRONG"))

    assert exchanges(harness, ask) == 2
