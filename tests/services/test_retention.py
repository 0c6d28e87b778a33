"""Old uses are deleted after some days; the counts stay."""

import pytest

from discount.domain.code_kinds import CodeKind
from discount.domain.errors import LimitReached, NotFound
from discount.domain.model import Discount
from discount.domain.rules import Order
from discount.services import discount_lists, redemption_lists, redemptions
from discount.services.checkouts import Checkout
from discount.worker import retention
from discount.worker.retention import Retention
from tests.services.harness import SECOND, ServiceHarness
from tests.support import records

DAY = 86_400 * SECOND


def shared(harness: ServiceHarness, code: str = "SALE", most: int = 9) -> Discount:
    return harness.create(total=None, kind=CodeKind("shared", code=code), limits={"per_user": most})


def redeem(harness: ServiceHarness, order: str, user: str = "Ann", code: str = "SALE", hold: int | None = None) -> str:
    attempt = Checkout(user, code, Order(order, 500, "EUR"), brand_id="IKEA")
    return redemptions.redeem(harness.store, attempt, hold_seconds=hold).id


def let_go(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, after: int, days: int = 7) -> int:
    """Delete old uses as the worker would some time later; return how many."""
    with monkeypatch.context() as patched:
        now = harness.store.now() + after
        patched.setattr(type(harness.store), "now", lambda _: now)
        return Retention(harness.store, days).turn()


def test_redemptions_past_their_retention_are_removed_but_stay_counted(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = shared(harness, most=2)
    other = shared(harness, "OTHER")
    used = [
        redeem(harness, "A-1"),
        redeem(harness, "A-2"),
        redeem(harness, "A-3", "Bo"),
        redeem(harness, "A-4", code="OTHER"),
    ]
    redemptions.roll_back(harness.store, used[2])
    before = harness.show(found.id)
    assert let_go(harness, monkeypatch, 7 * DAY - 60 * SECOND) == 0
    assert let_go(harness, monkeypatch, 7 * DAY + 60 * SECOND) == 4
    for redemption_id in used:
        with pytest.raises(NotFound):
            redemptions.show(harness.store, redemption_id)
    for each in (found, other):
        assert records.of_discount(harness.redis, each.id) == {}
    assert not [key for key in harness.redis.keys("*") if ":redemptions" in key or ":let-go" in key]
    assert not [field for key in harness.redis.keys("*:users:*") for field in harness.redis.hkeys(key) if "$" in field]
    assert harness.show(found.id) == before
    assert (before.redeemed_count, before.rolled_back_count) == (2, 1)
    # The limit of two is used up for good, and Bo's use came back.
    with pytest.raises(LimitReached):
        redeem(harness, "A-5")
    redeem(harness, "A-3", "Bo")


def test_an_active_hold_is_kept(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    shared(harness)
    held = redeem(harness, "A-1", hold=600)
    redeem(harness, "A-2")
    assert let_go(harness, monkeypatch, 8 * DAY) == 1
    assert redemptions.confirm(harness.store, held).state == "redeemed"


def test_nothing_is_removed_without_a_retention_time(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    shared(harness)
    used = redeem(harness, "A-1")
    with monkeypatch.context() as patched:
        patched.setattr(type(harness.store), "now", lambda _: 9_000_000_000_000_000)
        assert Retention(harness.store, None).turn() == 0
    assert redemptions.show(harness.store, used).state == "redeemed"


def test_a_turn_does_a_bounded_amount_and_the_next_goes_on(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "DISCOUNTS", 2)
    monkeypatch.setattr(retention, "USES", 3)
    several = [shared(harness, f"CODE{number}") for number in range(5)]
    for number in range(5):
        for order in range(4):
            redeem(harness, f"{number}-{order}", f"user {order}", f"CODE{number}")
    now = harness.store.now() + 8 * DAY
    monkeypatch.setattr(type(harness.store), "now", lambda _: now)
    keeper = Retention(harness.store, 7)
    assert [keeper.turn() for _ in range(7)] == [6, 6, 3, 2, 2, 1, 0]
    assert all(not list(redemption_lists.list_all(harness.store, each.id)) for each in several)
    assert len(list(discount_lists.list_all(harness.store, brand_id="IKEA"))) == 5


def test_an_order_that_moved_to_another_discount_belongs_to_it(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, other = shared(harness), shared(harness, "OTHER")
    held = redeem(harness, "A-1", hold=600)
    redemptions.roll_back(harness.store, held)
    # As the order is left whose hold was over before it was redeemed with another discount.
    records.change(harness.redis, held, number=str(other.number))
    old = redemption_lists.list_old(harness.store, found.id, 0, harness.store.now() + DAY, 100)
    assert redemption_lists.drop(harness.store, found.id, old) == 0
    assert redemptions.show(harness.store, held).discount_id == other.id
    assert records.of_discount(harness.redis, found.id) == {}
