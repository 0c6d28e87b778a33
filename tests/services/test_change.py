"""Changing and closing discounts."""

import pytest

from discount.domain.errors import (
    BelowGranted,
    Closed,
    Expired,
    Invalid,
    NotFound,
    NotStarted,
    Paused,
    SoldOut,
)
from discount.domain.ids import make_discount_id
from discount.services import code_pools, discounts
from tests.services.harness import SECOND, ServiceHarness


def test_a_paused_discount_grants_nothing_until_it_is_resumed(harness: ServiceHarness) -> None:
    found = harness.create()
    assert harness.change(found.id, paused=True).paused
    with pytest.raises(Paused):
        harness.grant(found.id)
    assert not harness.change(found.id, paused=False).paused
    assert harness.grant(found.id).fresh


def test_pausing_twice_and_resuming_twice_is_fine(harness: ServiceHarness) -> None:
    found = harness.create()
    assert [harness.change(found.id, paused=each).paused for each in (True, True, False, False)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_change_is_one_event(harness: ServiceHarness) -> None:
    found = harness.create()
    harness.change(found.id, paused=True, discount_code="Easter")
    [event] = harness.events(found, "discount.changed")
    assert (event["brand"], event["number"]) == ("IKEA", str(found.number))
    assert found.created_at <= int(event["at"]) <= harness.now()


def test_a_changed_name_changes_nothing_else(harness: ServiceHarness) -> None:
    found = harness.create()
    changed = harness.change(found.id, discount_code="Easter")
    assert changed.discount_code == "Easter"
    assert harness.change(found.id, discount_code=found.discount_code) == found


def test_times_can_be_set_changed_and_removed(harness: ServiceHarness) -> None:
    found, now = harness.create(), harness.now()
    assert harness.change(found.id, starts_at=now, expires_at=now + SECOND).expires_at == now + SECOND
    assert harness.change(found.id, expires_at=now + 9 * SECOND).expires_at == now + 9 * SECOND
    assert harness.change(found.id, starts_at=None, expires_at=None) == found


def test_an_expired_discount_grants_again_when_it_is_extended(harness: ServiceHarness) -> None:
    found, now = harness.create(), harness.now()
    harness.change(found.id, expires_at=now - 1)
    with pytest.raises(Expired) as caught:
        harness.grant(found.id)
    assert caught.value.facts == {"expires_at": f"{now - 1}"}
    harness.change(found.id, expires_at=now + 3600 * SECOND)
    assert harness.grant(found.id).fresh


def test_a_scheduled_discount_grants_when_its_start_is_moved_to_now(harness: ServiceHarness) -> None:
    now = harness.now()
    found = harness.create(starts_at=now + 3600 * SECOND)
    with pytest.raises(NotStarted) as caught:
        harness.grant(found.id)
    assert caught.value.facts == {"starts_at": f"{now + 3600 * SECOND}"}
    harness.change(found.id, starts_at=now)
    assert harness.grant(found.id).fresh


def test_an_expiry_that_would_not_follow_the_start_is_refused(harness: ServiceHarness) -> None:
    now = harness.now()
    found = harness.create(starts_at=now, expires_at=now + 3600 * SECOND)
    before = harness.state()
    for changes in (
        {"expires_at": now},
        {"starts_at": now + 3600 * SECOND},
        {"starts_at": now + 2, "expires_at": now + 1},
    ):
        with pytest.raises(Invalid) as caught:
            harness.change(found.id, **changes)
        assert caught.value.facts["errors"][0]["pointer"] == f"/{list(changes)[-1]}"
    assert harness.state() == before


def test_the_total_is_raised_and_the_new_codes_are_granted(harness: ServiceHarness) -> None:
    found = harness.create(total=2)
    harness.grant_all(found.id, 2)
    with pytest.raises(SoldOut):
        harness.grant(found.id, "One more")
    assert harness.change(found.id, total_count=3).remaining_count == 1
    assert harness.grant(found.id, "One more").fresh
    with pytest.raises(SoldOut):
        harness.grant(found.id, "Another")


def test_the_total_is_raised_far_beyond_a_block(harness: ServiceHarness) -> None:
    found = harness.create(total=1)
    harness.grant_all(found.id, 1)
    harness.change(found.id, total_count=2500)
    outcomes = harness.grant_all(found.id, 3)
    assert [each.fresh for each in outcomes] == [False, True, True]
    assert harness.show(found.id).remaining_count == 2497


def test_the_total_can_be_lowered_to_the_granted_count(harness: ServiceHarness) -> None:
    found = harness.create(total=10)
    harness.grant_all(found.id, 4)
    lowered = harness.change(found.id, total_count=4)
    assert (lowered.total_count, lowered.granted_count, lowered.remaining_count) == (4, 4, 0)
    assert harness.status(found.id) == "sold-out"
    assert harness.pool(found.id) == []
    with pytest.raises(SoldOut):
        harness.grant(found.id, "One more")


def test_the_total_cannot_be_lowered_below_the_granted_count(harness: ServiceHarness) -> None:
    found = harness.create(total=10)
    harness.grant_all(found.id, 4)
    before = harness.state()
    with pytest.raises(BelowGranted) as caught:
        harness.change(found.id, total_count=3, paused=True, discount_code="Easter")
    assert caught.value.facts == {"granted_count": "4"}
    assert harness.state() == before


@pytest.mark.parametrize("lower", [1, 3, 999, 1000, 1001, 1500])
def test_codes_cut_from_the_pool_return_when_the_total_is_raised(harness: ServiceHarness, lower: int) -> None:
    found = harness.create(total=1500)
    first = harness.grant(found.id, "First")
    assert harness.change(found.id, total_count=lower).remaining_count == lower - 1
    assert len(harness.pool(found.id)) == min(lower, discounts.FIRST_BLOCK) - 1
    harness.change(found.id, total_count=1500)
    # Codes are a run of the sequence: the same 1,500, none twice.
    outcomes = [harness.grant(found.id, f"User {number}").code for number in range(5)]
    assert len({first.code, *outcomes}) == 6


def test_an_unknown_discount_is_not_changed(harness: ServiceHarness) -> None:
    before = harness.state()
    for unknown in ("x", make_discount_id(3, 10), make_discount_id(200, 10)):
        with pytest.raises(NotFound):
            harness.change(unknown, paused=True)
        with pytest.raises(NotFound):
            harness.close(unknown)
    assert harness.state() == before


def test_a_closed_discount_grants_nothing_and_cannot_be_changed(harness: ServiceHarness) -> None:
    found = harness.create()
    assert harness.close(found.id).closed == "keep"
    before = harness.state()
    with pytest.raises(Closed):
        harness.grant(found.id)
    for changes in ({"paused": True}, {"total_count": 5}, {"expires_at": None}):
        with pytest.raises(Closed):
            harness.change(found.id, **changes)
    assert harness.state() == before
    assert harness.status(found.id) == "closed"


def test_closing_is_one_event_and_closing_again_is_none(harness: ServiceHarness) -> None:
    found = harness.create()
    for _ in range(3):
        harness.close(found.id)
    [event] = harness.events(found, "discount.closed")
    assert (event["brand"], event["number"]) == ("IKEA", str(found.number))


def test_closing_empties_the_pool_and_keeps_the_grants(harness: ServiceHarness) -> None:
    found = harness.create(total=5)
    held = harness.grant_all(found.id, 2)
    unused = harness.waiting(found.id)
    closed = harness.close(found.id)
    assert (closed.granted_count, closed.remaining_count, harness.pool(found.id)) == (2, 3, [])
    assert [(each.code, each.state) for each in harness.export(found.id)[:3]] == [(code, "unused") for code in unused]
    assert [harness.grant(found.id, each.user_id).code for each in held] == [each.code for each in held]


def test_closing_with_keep_can_be_followed_by_void_but_not_the_other_way(harness: ServiceHarness) -> None:
    found = harness.create()
    assert [harness.close(found.id, void=void).closed for void in (False, True, False, True)] == [
        "keep",
        "void",
        "void",
        "void",
    ]
    assert len(harness.events(found, "discount.closed")) == 2


def test_a_closed_discount_is_not_filled_again(harness: ServiceHarness) -> None:
    found = harness.create(total=2500)
    harness.close(found.id)
    code_pools.refill(harness.store, found.id)
    assert harness.pool(found.id) == []


def test_an_unknown_discount_is_not_filled(harness: ServiceHarness) -> None:
    with pytest.raises(NotFound):
        code_pools.refill(harness.store, make_discount_id(3, 10))


def test_filling_stops_at_the_total(harness: ServiceHarness) -> None:
    found = harness.create(total=2500)
    for expected in (2000, 2500, 2500):
        code_pools.refill(harness.store, found.id, expected)
        assert len(harness.pool(found.id)) == expected


def test_a_block_made_for_another_counter_is_not_appended(harness: ServiceHarness) -> None:
    found = harness.create(total=2500)
    names = [key for key in harness.redis.keys(f"*{found.id}*") if key.endswith(found.id)]
    names += [names[0] + ":codes"]
    before = harness.state()
    for start in ("0", "999", "1001", "2000", ""):
        harness.store.run("refill", names, [start, '["AAAA", "BBBB"]'])
    assert harness.state() == before
