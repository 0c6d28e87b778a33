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
from discount.services import code_pools
from tests.services.harness import SECOND, ServiceHarness


def test_a_paused_discount_grants_nothing_until_it_is_resumed(stage: ServiceHarness) -> None:
    found = stage.create()
    assert stage.change(found.id, paused=True).paused
    with pytest.raises(Paused):
        stage.grant(found.id)
    assert not stage.change(found.id, paused=False).paused
    assert stage.grant(found.id).fresh


def test_pausing_twice_and_resuming_twice_is_fine(stage: ServiceHarness) -> None:
    found = stage.create()
    assert [stage.change(found.id, paused=each).paused for each in (True, True, False, False)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_change_is_one_event(stage: ServiceHarness) -> None:
    found = stage.create()
    stage.change(found.id, paused=True, discount_code="Easter")
    [event] = stage.events(found, "discount.changed")
    assert (event["brand"], event["number"]) == ("IKEA", str(found.number))
    assert found.created_at <= int(event["at"]) <= stage.now()


def test_a_name_changes_and_nothing_else_does(stage: ServiceHarness) -> None:
    found = stage.create()
    changed = stage.change(found.id, discount_code="Easter")
    assert changed.discount_code == "Easter"
    assert stage.change(found.id, discount_code=found.discount_code) == found


def test_times_are_set_moved_and_taken_away(stage: ServiceHarness) -> None:
    found, now = stage.create(), stage.now()
    assert stage.change(found.id, starts_at=now, expires_at=now + SECOND).expires_at == now + SECOND
    assert stage.change(found.id, expires_at=now + 9 * SECOND).expires_at == now + 9 * SECOND
    assert stage.change(found.id, starts_at=None, expires_at=None) == found


def test_an_expired_discount_grants_again_when_it_is_extended(stage: ServiceHarness) -> None:
    found, now = stage.create(), stage.now()
    stage.change(found.id, expires_at=now - 1)
    with pytest.raises(Expired) as caught:
        stage.grant(found.id)
    assert caught.value.facts == {"expires_at": f"{now - 1}"}
    stage.change(found.id, expires_at=now + 3600 * SECOND)
    assert stage.grant(found.id).fresh


def test_a_scheduled_discount_grants_when_its_start_is_moved_to_now(stage: ServiceHarness) -> None:
    now = stage.now()
    found = stage.create(starts_at=now + 3600 * SECOND)
    with pytest.raises(NotStarted) as caught:
        stage.grant(found.id)
    assert caught.value.facts == {"starts_at": f"{now + 3600 * SECOND}"}
    stage.change(found.id, starts_at=now)
    assert stage.grant(found.id).fresh


def test_an_expiry_that_would_not_follow_the_start_is_refused(stage: ServiceHarness) -> None:
    now = stage.now()
    found = stage.create(starts_at=now, expires_at=now + 3600 * SECOND)
    before = stage.state()
    for changes in (
        {"expires_at": now},
        {"starts_at": now + 3600 * SECOND},
        {"starts_at": now + 2, "expires_at": now + 1},
    ):
        with pytest.raises(Invalid) as caught:
            stage.change(found.id, **changes)
        assert caught.value.facts["errors"][0]["pointer"] == f"/{list(changes)[-1]}"
    assert stage.state() == before


def test_the_total_is_raised_and_the_new_codes_are_granted(stage: ServiceHarness) -> None:
    found = stage.create(total=2)
    stage.grant_all(found.id, 2)
    with pytest.raises(SoldOut):
        stage.grant(found.id, "One more")
    assert stage.change(found.id, total_count=3).remaining_count == 1
    assert stage.grant(found.id, "One more").fresh
    with pytest.raises(SoldOut):
        stage.grant(found.id, "Another")


def test_the_total_is_raised_far_beyond_a_block(stage: ServiceHarness) -> None:
    found = stage.create(total=1)
    stage.grant_all(found.id, 1)
    stage.change(found.id, total_count=2500)
    outcomes = stage.grant_all(found.id, 3)
    assert [each.fresh for each in outcomes] == [False, True, True]
    assert stage.show(found.id).remaining_count == 2497


def test_the_total_is_lowered_to_what_is_granted(stage: ServiceHarness) -> None:
    found = stage.create(total=10)
    stage.grant_all(found.id, 4)
    lowered = stage.change(found.id, total_count=4)
    assert (lowered.total_count, lowered.granted_count, lowered.remaining_count) == (4, 4, 0)
    assert stage.status(found.id) == "sold-out"
    assert stage.pool(found.id) == []
    with pytest.raises(SoldOut):
        stage.grant(found.id, "One more")


def test_the_total_is_not_lowered_below_what_is_granted(stage: ServiceHarness) -> None:
    found = stage.create(total=10)
    stage.grant_all(found.id, 4)
    before = stage.state()
    with pytest.raises(BelowGranted) as caught:
        stage.change(found.id, total_count=3, paused=True, discount_code="Easter")
    assert caught.value.facts == {"granted_count": "4"}
    assert stage.state() == before


@pytest.mark.parametrize("lower", [1, 3, 999, 1000, 1001, 1500])
def test_what_is_cut_from_the_pool_comes_back_when_the_total_is_raised_again(stage: ServiceHarness, lower: int) -> None:
    found = stage.create(total=1500)
    first = stage.grant(found.id, "First")
    assert stage.change(found.id, total_count=lower).remaining_count == lower - 1
    assert len(stage.pool(found.id)) == min(lower, 1000) - 1
    stage.change(found.id, total_count=1500)
    # Codes are a run of the sequence: the same 1,500, none twice.
    outcomes = [stage.grant(found.id, f"User {number}").code for number in range(5)]
    assert len({first.code, *outcomes}) == 6


def test_an_unknown_discount_is_not_changed(stage: ServiceHarness) -> None:
    before = stage.state()
    for unknown in ("x", make_discount_id(3, 10), make_discount_id(200, 10)):
        with pytest.raises(NotFound):
            stage.change(unknown, paused=True)
        with pytest.raises(NotFound):
            stage.close(unknown)
    assert stage.state() == before


def test_a_closed_discount_grants_nothing_and_cannot_be_changed(stage: ServiceHarness) -> None:
    found = stage.create()
    assert stage.close(found.id).closed == "keep"
    before = stage.state()
    with pytest.raises(Closed):
        stage.grant(found.id)
    for changes in ({"paused": True}, {"total_count": 5}, {"expires_at": None}):
        with pytest.raises(Closed):
            stage.change(found.id, **changes)
    assert stage.state() == before
    assert stage.status(found.id) == "closed"


def test_closing_is_one_event_and_closing_again_is_none(stage: ServiceHarness) -> None:
    found = stage.create()
    for _ in range(3):
        stage.close(found.id)
    [event] = stage.events(found, "discount.closed")
    assert (event["brand"], event["number"]) == ("IKEA", str(found.number))


def test_closing_gives_the_pool_up_and_keeps_the_grants(stage: ServiceHarness) -> None:
    found = stage.create(total=5)
    held = stage.grant_all(found.id, 2)
    unused = stage.waiting(found.id)
    closed = stage.close(found.id)
    assert (closed.granted_count, closed.remaining_count, stage.pool(found.id)) == (2, 3, [])
    assert [(each.code, each.state) for each in stage.export(found.id)[:3]] == [(code, "unused") for code in unused]
    assert [stage.grant(found.id, each.user_id).code for each in held] == [each.code for each in held]


def test_closing_with_keep_can_be_followed_by_void_but_not_the_other_way(stage: ServiceHarness) -> None:
    found = stage.create()
    assert [stage.close(found.id, void=void).closed for void in (False, True, False, True)] == [
        "keep",
        "void",
        "void",
        "void",
    ]
    assert len(stage.events(found, "discount.closed")) == 2


def test_a_closed_discount_is_not_filled_again(stage: ServiceHarness) -> None:
    found = stage.create(total=2500)
    stage.close(found.id)
    code_pools.refill(stage.store, found.id)
    assert stage.pool(found.id) == []


def test_an_unknown_discount_is_not_filled(stage: ServiceHarness) -> None:
    with pytest.raises(NotFound):
        code_pools.refill(stage.store, make_discount_id(3, 10))


def test_filling_stops_at_the_total(stage: ServiceHarness) -> None:
    found = stage.create(total=2500)
    for expected in (2000, 2500, 2500):
        code_pools.refill(stage.store, found.id, expected)
        assert len(stage.pool(found.id)) == expected


def test_a_block_made_for_another_counter_is_not_appended(stage: ServiceHarness) -> None:
    found = stage.create(total=2500)
    names = [key for key in stage.redis.keys(f"*{found.id}*") if key.endswith(found.id)]
    names += [names[0] + ":codes"]
    before = stage.state()
    for start in ("0", "999", "1001", "2000", ""):
        stage.store.run("refill", names, [start, '["AAAA", "BBBB"]'])
    assert stage.state() == before
