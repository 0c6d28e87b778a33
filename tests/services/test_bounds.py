"""Windows, budgets and hours at their edges."""

from typing import Any

import pytest

from discount.domain import code_kinds
from discount.domain.errors import LimitReached, OutsideHours
from discount.domain.model import Redemption
from discount.domain.rules import Order, Rule
from discount.domain.windows import Hours, Window
from discount.services import redemptions
from discount.services.checkouts import Checkout
from discount.store import keys
from tests.services.harness import SECOND, ServiceHarness, fake_harness, partition_of
from tests.support.clock import Clock

MIDNIGHT = 1_796_083_200 * SECOND


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> tuple[ServiceHarness, Clock]:
    """Return a harness whose clock stands still."""
    found = fake_harness()
    clock = Clock(found.redis, monkeypatch)
    clock.reset(MIDNIGHT)
    return found, clock


def opened(harness: ServiceHarness, limits: dict[str, int | None] | None = None, **given: Any) -> str:
    kind = code_kinds.make("shared", None, {"code": "SPRING"})
    return harness.create(
        total=None,
        kind=kind,
        rule=Rule(percent=1000),
        limits=limits or {},
        **given,
    ).id


def redeem(
    harness: ServiceHarness, discount_id: str, order: str, user: str = "Ann", amount: int = 1000, **more: Any
) -> Redemption:
    checkout = Checkout(user, "spring", Order(order, amount, "EUR"), discount_id=discount_id)
    return redemptions.redeem(harness.store, checkout, **more)


def test_a_use_leaves_its_window_to_the_microsecond(moved: tuple[ServiceHarness, Clock]) -> None:
    harness, clock = moved
    discount_id = opened(harness, bounds={"windows": [Window("PT1H", 2)]})
    redeem(harness, discount_id, "1")
    clock.move(60)
    redeem(harness, discount_id, "2")
    clock.go_to(MIDNIGHT + 3600 * SECOND - 1)
    with pytest.raises(LimitReached) as caught:
        redeem(harness, discount_id, "3")
    facts = {"limit": "window", "period": "PT1H", "most": 2, "opens_at": f"{MIDNIGHT + 3600 * SECOND}"}
    assert caught.value.facts == facts
    clock.go_to(MIDNIGHT + 3600 * SECOND)
    assert redeem(harness, discount_id, "3").left == {"window:PT1H": 0}


def test_more_holds_than_one_script_settles_are_all_settled(moved: tuple[ServiceHarness, Clock]) -> None:
    harness, clock = moved
    discount_id = opened(harness, bounds={"amount": {"EUR": 250_000}})
    reserved = keys.reserved(partition_of(discount_id), discount_id)
    redeem(harness, discount_id, "0", "User 0", hold_seconds=60)
    [(member, ends_at)] = harness.redis.zrange(reserved, 0, -1, withscores=True)
    # The holds of 2,499 other users, as the script writes them.
    harness.redis.zadd(reserved, {member.replace(" ", f"-{n} ", 1): ends_at for n in range(2_499)})
    harness.redis.hset(
        keys.discount(partition_of(discount_id), discount_id),
        mapping={"reserved:EUR": "250000", "periods": "20261201 0 2500 202649 0 2500 202612 0 2500"},
    )
    with pytest.raises(LimitReached) as caught:
        redeem(harness, discount_id, "one more")
    assert (caught.value.facts["left"], harness.redis.zcard(reserved)) == (0, 2_500)
    clock.move(60)
    assert redeem(harness, discount_id, "one more").left == {"amount:EUR": 249_900}
    assert harness.redis.zcard(reserved) == 0
    fields = harness.redis.hgetall(keys.discount(partition_of(discount_id), discount_id))
    assert (fields["reserved:EUR"], fields["periods"]) == ("0", "20261201 1 0 202649 1 0 202612 1 0")


def test_a_capped_use_that_is_rolled_back_returns_what_it_took(moved: tuple[ServiceHarness, Clock]) -> None:
    harness, _ = moved
    discount_id = opened(harness, bounds={"amount": {"EUR": 130}, "budget_caps": True})
    redeem(harness, discount_id, "1")
    capped = redeem(harness, discount_id, "2")
    assert (capped.discount_amount, capped.left) == (30, {"amount:EUR": 0})
    assert redemptions.roll_back(harness.store, capped.id).left == {"amount:EUR": 30}
    assert redeem(harness, discount_id, "3", amount=200).discount_amount == 20


def test_an_order_that_moves_to_a_discount_without_bounds_is_rolled_back_there(
    moved: tuple[ServiceHarness, Clock],
) -> None:
    harness, clock = moved
    bounded = opened(harness, bounds={"amount": {"EUR": 500}})
    redeem(harness, bounded, "1", hold_seconds=60)
    clock.move(60)
    harness.change(bounded, discount_code="Old")
    kind = code_kinds.make("shared", None, {"code": "AUTUMN"})
    plain = harness.create(total=None, kind=kind, rule=Rule(percent=1000), limits={"per_user": 2}).id
    checkout = Checkout("Ann", "autumn", Order("1", 1000, "EUR"), discount_id=plain)
    again = redemptions.redeem(harness.store, checkout)
    assert redemptions.roll_back(harness.store, again.id).left == {"per_user": 2}
    assert "periods" not in harness.redis.hgetall(keys.discount(partition_of(plain), plain))


def test_hours_are_judged_by_the_clock_of_redis(moved: tuple[ServiceHarness, Clock]) -> None:
    harness, clock = moved
    discount_id = opened(harness, opens=[Hours(("wed",), "09:00", "10:00")])
    with pytest.raises(OutsideHours) as caught:
        redeem(harness, discount_id, "1")
    assert caught.value.facts == {"opens_at": f"{MIDNIGHT + (24 + 9) * 3600 * SECOND}"}
    clock.go_to(int(caught.value.facts["opens_at"]))
    assert redeem(harness, discount_id, "1").fresh
    clock.move(3600)
    assert not redeem(harness, discount_id, "1").fresh
    with pytest.raises(OutsideHours):
        redeem(harness, discount_id, "2")
