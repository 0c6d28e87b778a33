"""Discounts for some lines of an order: what comes off each, what is kept, and what is refused."""

import pytest

from discount.domain.errors import IdempotencyMismatch, LinesMissing, MinimumQuantity, NoLineFits
from discount.domain.events import envelope, read_entries
from discount.domain.metadata import Metadata
from discount.domain.model import Discount
from discount.domain.order_lines import Line, Products, Selection
from discount.domain.rules import Order, Rule
from discount.services import redemption_lists, redemptions
from discount.services.checkouts import Checkout
from discount.store import keys
from tests.services.harness import ServiceHarness, partition_of
from tests.services.test_redeem import CODE, roll_back, shared

CHAIRS = Selection(applies_to=Products(skus=("CHAIR-*",)))
LINES = (Line("a", 1001, 2, "CHAIR-1", "seats"), Line("b", 2000, 1, "CHAIR-2"), Line("c", 3000, 1, "TABLE", "tables"))


def checkout(lines: tuple[Line, ...] = LINES, order: str = "A-1") -> Checkout:
    return Checkout("User 1", CODE, Order(order, sum(each.amount for each in lines), "EUR", lines), brand_id="IKEA")


def chairs(harness: ServiceHarness) -> Discount:
    """Create a discount of half the price of chairs."""
    return shared(harness, rule=Rule(percent=5_000, selection=CHAIRS))


def test_what_comes_off_each_line_adds_up_and_is_kept(harness: ServiceHarness) -> None:
    found = chairs(harness)
    would = redemptions.validate(harness.store, checkout())
    made = redemptions.redeem(harness.store, checkout())
    assert (would.discount_amount, would.reasons) == (1501, [])
    assert made.lines == would.lines == {"a": 501, "b": 1000, "c": 0}
    assert made.discount_amount == sum(made.lines.values()) == 1501
    assert redemptions.redeem(harness.store, checkout()).lines == made.lines
    assert redemptions.show(harness.store, made.id).lines == made.lines
    (listed,) = redemption_lists.list_of_discount(harness.store, found.id).items
    assert listed.lines == made.lines
    assert roll_back(harness, made).lines == made.lines


@pytest.mark.parametrize("metadata", [{}, {"channel": "line\nbreak"}])
def test_events_say_what_came_off_each_line(harness: ServiceHarness, metadata: Metadata) -> None:
    found = chairs(harness)
    made = redemptions.redeem(harness.store, checkout(), metadata=metadata)
    roll_back(harness, made)
    partition = partition_of(found.id)
    entries = read_entries(partition, harness.redis.xrange(keys.events(partition)))
    envelopes = [envelope(each, {str(found.number): found.id}) for each in entries if "redemption" in each.fields]
    assert [type(each).__struct_config__.tag for each in envelopes] == ["code.redeemed", "redemption.rolled-back"]
    for each in envelopes:
        assert each.data.lines == {"a": 501, "b": 1000, "c": 0}  # type: ignore[attr-defined]
        assert (each.data.order_id, each.data.metadata) == ("A-1", metadata)  # type: ignore[attr-defined]


def test_a_repeated_order_with_other_lines_is_a_mismatch(harness: ServiceHarness) -> None:
    chairs(harness)
    redemptions.redeem(harness.store, checkout())
    others = (
        (Line("a", 1001, 3, "CHAIR-1", "seats"), *LINES[1:]),
        LINES[::-1],
        (Line("whole", 6001),),
    )
    for lines in others:
        before = harness.state()
        with pytest.raises(IdempotencyMismatch, match="another set of lines"):
            redemptions.redeem(harness.store, checkout(lines))
        (reason,) = (each.detail for each in redemptions.validate(harness.store, checkout(lines)).reasons[:1])
        assert reason == "This order was used with another set of lines."
        assert harness.state() == before


def test_an_idempotency_key_is_for_the_same_lines(harness: ServiceHarness) -> None:
    chairs(harness)
    redemptions.redeem(harness.store, checkout(), idempotency_key="k")
    with pytest.raises(IdempotencyMismatch):
        redemptions.redeem(harness.store, checkout(LINES[::-1]), idempotency_key="k")
    assert not redemptions.redeem(harness.store, checkout(), idempotency_key="k").fresh


def test_lines_that_do_not_fit_are_refused_with_their_numbers(harness: ServiceHarness) -> None:
    few = Selection(applies_to=Products(categories=("seats",)), minimum_quantity=3)
    shared(harness, rule=Rule(percent=5_000, selection=few))
    for lines, refusal, facts in (
        ((), LinesMissing, {}),
        (LINES[2:], NoLineFits, {}),
        (LINES, MinimumQuantity, {"minimum_quantity": 3, "quantity": 2}),
    ):
        before = harness.state()
        with pytest.raises(refusal) as caught:
            redemptions.redeem(harness.store, checkout(lines))
        verdict = redemptions.validate(harness.store, checkout(lines))
        assert harness.state() == before
        assert caught.value.facts == facts
        assert [(each.slug, each.facts) for each in verdict.reasons] == [(refusal.slug, facts)]
        assert (verdict.discount_amount, set(verdict.lines.values())) == (0, {0} if lines else set())


def test_a_discount_for_whole_orders_shares_what_comes_off_among_all_lines(harness: ServiceHarness) -> None:
    shared(harness, rule=Rule(amount_off=100, currency="EUR"))
    lines = (Line("1", 10), Line("2", 10), Line("3", 10))
    assert redemptions.redeem(harness.store, checkout(lines)).lines == {"1": 10, "2": 10, "3": 10}
    lines = (Line("1", 100), Line("2", 100), Line("3", 100))
    assert redemptions.redeem(harness.store, checkout(lines, "A-2")).lines == {"1": 34, "2": 33, "3": 33}
