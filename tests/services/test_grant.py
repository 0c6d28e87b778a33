"""Granting: one code a user, one user a code, and never more codes than the total."""

from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from discount.domain import durations
from discount.domain.cursors import make_cursor
from discount.domain.errors import (
    Expired,
    Invalid,
    NotFound,
    NotGranted,
    NotStarted,
    Paused,
    Refusal,
    SoldOut,
    Unavailable,
)
from discount.domain.ids import make_discount_id
from discount.domain.model import Grant
from discount.domain.rules import LimitName, Order
from discount.services import (
    brand_grants,
    checkouts,
    code_pools,
    discounts,
    grants,
    redemptions,
    user_grants,
)
from discount.store import keys
from tests.services.harness import BRANDS, PARTITIONS, SECOND, ServiceHarness, fake_harness, flat, real_harness
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer


def words(outcomes: list[Grant | Refusal]) -> list[str]:
    return [each.slug if isinstance(each, Refusal) else "granted" if each.fresh else "held" for each in outcomes]


def test_a_user_gets_a_code_once_and_the_same_after_that(stage: ServiceHarness) -> None:
    found = stage.create()
    first, *others = [stage.grant(found.id) for _ in range(4)]
    assert first.fresh
    assert [(each.code, each.granted_at, each.fresh) for each in others] == [(first.code, first.granted_at, False)] * 3
    assert stage.show(found.id).granted_count == 1


def test_a_grant_tells_who_holds_what_since_when(stage: ServiceHarness) -> None:
    found = stage.create()
    held = stage.grant(found.id, "User 1")
    assert (held.discount_id, held.user_id) == (found.id, "User 1")
    assert found.created_at <= held.granted_at <= stage.now()
    assert held == Grant(found.id, "User 1", held.code, held.granted_at, fresh=True, good_until=None, void=False)


@pytest.mark.parametrize("valid_for", [None, "PT1H", "P1M"])
@pytest.mark.parametrize("seconds", [None, 60, 7200])
def test_every_answer_tells_until_when_a_code_is_good_and_whether_it_is_void(
    stage: ServiceHarness, valid_for: str | None, seconds: int | None
) -> None:
    length = durations.read(valid_for) if valid_for else None
    found = stage.create(valid_for=length, timezone="Asia/Tokyo")
    expires_at = None if seconds is None else stage.now() + seconds * SECOND
    stage.change(found.id, expires_at=expires_at)
    held = stage.grant(found.id)
    ends = [each for each in (expires_at, length and length.after(held.granted_at, "Asia/Tokyo")) if each]
    for void in (False, True):
        seen = [
            stage.grant(found.id),
            grants.held_grant(stage.store, found.id, "User 1"),
            *grants.grant_many(stage.store, found.id, ["User 1"]),
            *grants.list_page(stage.store, found.id).items,
            *user_grants.list_of_user(stage.store, "User 1").items,
        ]
        wanted = replace(held, fresh=False, good_until=min(ends, default=None), void=void)
        assert seen == [wanted] * 5
        stage.close(found.id, void=True)
    assert held.good_until == min(ends, default=None)


def test_codes_are_granted_in_the_order_of_the_pool(stage: ServiceHarness) -> None:
    found = stage.create(total=5)
    waiting = stage.pool(found.id)
    assert [each.code for each in stage.grant_all(found.id, 5)] == waiting


def test_every_code_is_granted_and_not_one_more(stage: ServiceHarness) -> None:
    found = stage.create(total=5)
    assert len({each.code for each in stage.grant_all(found.id, 5)}) == 5
    before = stage.state()
    for _ in range(3):
        with pytest.raises(SoldOut):
            stage.grant(found.id, "One more")
    assert stage.state() == before
    assert stage.show(found.id).remaining_count == 0


def test_a_grant_is_one_event_and_asking_again_is_none(stage: ServiceHarness) -> None:
    found = stage.create(total=2)
    held = stage.grant(found.id)
    stage.grant(found.id)
    assert stage.events(found, "code.granted") == [
        {
            "type": "code.granted",
            "at": str(held.granted_at),
            "brand": "IKEA",
            "number": str(found.number),
            "user": "User 1",
            "code": held.code,
        }
    ]
    assert stage.events(found, "discount.sold-out") == []


def test_the_last_code_also_tells_that_it_was_the_last(stage: ServiceHarness) -> None:
    found = stage.create(total=2)
    held = stage.grant_all(found.id, 2)
    assert [event["type"] for event in stage.events(found)] == [
        "discount.created",
        "code.granted",
        "code.granted",
        "discount.sold-out",
    ]
    assert stage.events(found, "discount.sold-out") == [
        {"type": "discount.sold-out", "at": str(held[1].granted_at), "brand": "IKEA", "number": str(found.number)}
    ]


def test_a_discount_that_is_raised_sells_out_again(stage: ServiceHarness) -> None:
    found = stage.create(total=1)
    stage.grant_all(found.id, 1)
    stage.change(found.id, total_count=2)
    stage.grant_all(found.id, 2)
    assert len(stage.events(found, "discount.sold-out")) == 2


def test_the_holder_still_gets_the_code_whatever_became_of_the_discount(stage: ServiceHarness) -> None:
    found = stage.create(total=1)
    held = stage.grant(found.id)
    now = stage.now()
    for changes in ({}, {"paused": True}, {"starts_at": now + 9 * SECOND}, {"starts_at": None, "expires_at": now - 1}):
        if changes:
            stage.change(found.id, **changes)
        again = stage.grant(found.id)
        assert (again.code, again.granted_at, again.fresh) == (held.code, held.granted_at, False)
    stage.close(found.id, void=True)
    assert stage.grant(found.id).code == held.code


def test_paused_stands_before_expired_and_expired_before_sold_out(stage: ServiceHarness) -> None:
    found, now = stage.create(total=1), stage.now()
    stage.grant(found.id)
    stage.change(found.id, paused=True, expires_at=now - 1)
    with pytest.raises(Paused):
        stage.grant(found.id, "User 2")
    stage.change(found.id, paused=False)
    with pytest.raises(Expired):
        stage.grant(found.id, "User 2")
    stage.change(found.id, expires_at=None, starts_at=now + 3600 * SECOND)
    with pytest.raises(NotStarted):
        stage.grant(found.id, "User 2")
    stage.change(found.id, starts_at=None)
    with pytest.raises(SoldOut):
        stage.grant(found.id, "User 2")


def test_a_refused_grant_stores_nothing(stage: ServiceHarness) -> None:
    found = stage.create()
    for changes in (
        {"paused": True},
        {"paused": False, "expires_at": 10**15},
        {"expires_at": None, "starts_at": 9 * 10**15},
    ):
        stage.change(found.id, **changes)
        before = stage.state()
        with pytest.raises((Paused, Expired, NotStarted)):
            stage.grant(found.id)
        assert stage.state() == before


def test_a_discount_runs_from_its_start_to_just_before_its_expiry() -> None:
    # fakeredis lives by this process's clock, which stands still where we put it.
    stage = fake_harness()
    start = stage.now() // SECOND * SECOND + 100 * SECOND
    found = stage.create(total=10, starts_at=start, expires_at=start + 4)
    outcomes = {}
    for offset in (-1, 0, 3, 4):
        with mock.patch("time.time", return_value=(start + offset) / SECOND):
            assert stage.now() == start + offset
            outcomes[offset] = words(grants.grant_many(stage.store, found.id, [f"User {offset}"]))
    assert outcomes == {-1: ["not-started"], 0: ["granted"], 3: ["granted"], 4: ["expired"]}


def test_the_clock_of_a_replica_does_not_matter(redis_server: RedisServer) -> None:
    stage = real_harness(redis_server)
    open_now = stage.create(expires_at=stage.now() + 3600 * SECOND)
    later = stage.create(starts_at=stage.now() + 3600 * SECOND)
    with mock.patch("time.time", return_value=stage.now() / SECOND + 7200):
        assert stage.grant(open_now.id).fresh
        assert (stage.status(open_now.id), stage.status(later.id)) == ("active", "scheduled")
        with pytest.raises(NotStarted):
            stage.grant(later.id)


def test_an_unknown_discount_grants_nothing(stage: ServiceHarness) -> None:
    before = stage.state()
    for unknown in ("x", "", make_discount_id(3, 10), make_discount_id(200, 10)):
        with pytest.raises(NotFound):
            stage.grant(unknown)
        with pytest.raises(NotFound):
            grants.grant_many(stage.store, unknown, ["User 1"])
        with pytest.raises(NotFound):
            grants.held_grant(stage.store, unknown, "User 1")
        with pytest.raises(NotFound):
            grants.list_page(stage.store, unknown)
        with pytest.raises(NotFound):
            grants.list_all(stage.store, unknown)
    assert stage.state() == before


def test_a_held_grant_is_shown_to_its_holder_only(stage: ServiceHarness) -> None:
    found = stage.create()
    held = stage.grant(found.id)
    shown = grants.held_grant(stage.store, found.id, "User 1")
    assert (shown.code, shown.granted_at, shown.fresh) == (held.code, held.granted_at, False)
    for other in ("User 2", "user 1", "User", "User 1 "):
        with pytest.raises(NotGranted):
            grants.held_grant(stage.store, found.id, other)


def test_looking_grants_nothing(stage: ServiceHarness) -> None:
    found = stage.create()
    before = stage.state()
    with pytest.raises(NotGranted):
        grants.held_grant(stage.store, found.id, "User 1")
    grants.list_page(stage.store, found.id)
    user_grants.list_of_user(stage.store, "User 1")
    assert stage.state() == before


def test_users_whose_names_are_alike_are_different_users(stage: ServiceHarness) -> None:
    users = ["User 1", "user 1", "User 1", "Üser", "U\u0308ser", "{00}", "a:b", "a%3Ab", "0", "*", "-1"]
    found = stage.create(total=20)
    codes = {user: stage.grant(found.id, user).code for user in users}
    assert len(set(codes.values())) == len(set(users))
    assert {user: stage.grant(found.id, user).code for user in users} == codes


def test_one_user_holds_a_code_of_each_discount(stage: ServiceHarness) -> None:
    made = [stage.create(brand=brand) for brand in BRANDS[:3] for _ in range(2)]
    held = [stage.grant(each.id) for each in made]
    assert [each.fresh for each in held] == [True] * 6
    assert len({each.code for each in held}) == 6


def test_codes_of_the_second_block_are_made_when_the_first_is_gone(stage: ServiceHarness) -> None:
    found = stage.create(total=2500)
    stage.redis.ltrim(keys.codes(int(found.id[4:6], 16), found.id), 0, 0)
    stage.redis.hset(keys.discount(int(found.id[4:6], 16), found.id), "made", 1)
    first, second = stage.grant(found.id, "User 1"), stage.grant(found.id, "User 2")
    assert first.code != second.code
    assert len(stage.pool(found.id)) == 999


def test_the_next_block_is_made_before_the_first_is_gone(stage: ServiceHarness) -> None:
    found = stage.create(total=2500)
    grants.grant_many(stage.store, found.id, [f"Many {number}" for number in range(511)])
    assert len(stage.pool(found.id)) == 489
    stage.grant(found.id)
    wait_for_blocks(stage)
    assert len(stage.pool(found.id)) == 1488


def test_no_block_is_made_ahead_of_a_discount_that_is_all_made(stage: ServiceHarness) -> None:
    found = stage.create(total=1000)
    grants.grant_many(stage.store, found.id, [f"Many {number}" for number in range(511)])
    stage.grant(found.id)
    wait_for_blocks(stage)
    assert len(stage.pool(found.id)) == 488


def wait_for_blocks(stage: ServiceHarness) -> None:
    """Wait until the thread that makes codes ahead is done."""
    stage.store.background.submit(int).result(PATIENCE)


# Bulk


def test_many_users_get_a_code_each_in_their_order(stage: ServiceHarness) -> None:
    found = stage.create(total=10)
    users = [f"User {number}" for number in range(7)]
    outcomes = grants.grant_many(stage.store, found.id, users)
    assert [each.user_id for each in outcomes if isinstance(each, Grant)] == users
    assert words(outcomes) == ["granted"] * 7
    assert words(grants.grant_many(stage.store, found.id, users[::-1])) == ["held"] * 7


def test_a_user_who_stands_twice_in_the_list_gets_one_code(stage: ServiceHarness) -> None:
    found = stage.create(total=10)
    outcomes = grants.grant_many(stage.store, found.id, ["A", "B", "A", "A", "B"])
    codes = [each.code for each in outcomes if isinstance(each, Grant)]
    assert codes == [codes[0], codes[1], codes[0], codes[0], codes[1]]
    assert words(outcomes) == ["granted", "granted", "held", "held", "held"]
    assert stage.show(found.id).granted_count == 2


def test_a_user_who_stands_in_two_slices_gets_one_code(stage: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "SLICE", 2)
    found = stage.create(total=10)
    assert words(grants.grant_many(stage.store, found.id, ["A", "B", "C", "A", "A"])) == [
        "granted",
        "granted",
        "granted",
        "held",
        "held",
    ]


def test_more_users_than_codes_get_what_there_is(stage: ServiceHarness) -> None:
    found = stage.create(total=3)
    outcomes = grants.grant_many(stage.store, found.id, [f"User {number}" for number in range(5)])
    assert words(outcomes) == ["granted", "granted", "granted", "sold-out", "sold-out"]
    assert words(grants.grant_many(stage.store, found.id, ["User 4", "User 0"])) == ["sold-out", "held"]
    assert len(stage.events(found, "discount.sold-out")) == 1


@pytest.mark.parametrize("total", [99, 100, 101, 250])
def test_a_bulk_goes_on_over_the_blocks_of_codes(
    stage: ServiceHarness, total: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discounts, "BLOCK", 100)
    monkeypatch.setattr(grants, "SLICE", 40)
    check_bulk(stage, total)


def test_a_bulk_takes_thousands_of_codes(redis_server: RedisServer) -> None:
    stage = real_harness(redis_server)
    check_bulk(stage, 2500)
    stage.check()


def check_bulk(stage: ServiceHarness, total: int) -> None:
    found = stage.create(total=total)
    outcomes = grants.grant_many(stage.store, found.id, [f"User {number}" for number in range(total + 7)])
    assert words(outcomes) == ["granted"] * total + ["sold-out"] * 7
    assert len({each.code for each in outcomes if isinstance(each, Grant)}) == total


def test_a_bulk_of_a_discount_that_is_not_open_says_why(stage: ServiceHarness) -> None:
    found = stage.create()
    stage.grant(found.id, "Holder")
    users = ["Holder", "Other"]
    stage.change(found.id, paused=True)
    assert words(grants.grant_many(stage.store, found.id, users)) == ["held", "paused"]
    stage.change(found.id, paused=False, expires_at=stage.now() - 1)
    assert words(grants.grant_many(stage.store, found.id, users)) == ["held", "expired"]
    stage.change(found.id, expires_at=None, starts_at=stage.now() + 3600 * SECOND)
    assert words(grants.grant_many(stage.store, found.id, users)) == ["held", "not-started"]
    stage.close(found.id)
    assert words(grants.grant_many(stage.store, found.id, users)) == ["held", "closed"]


def test_a_bulk_of_nobody_is_nothing(stage: ServiceHarness) -> None:
    assert grants.grant_many(stage.store, stage.create().id, []) == []


# By brand


def test_a_brand_grants_from_its_newest_open_discount(stage: ServiceHarness) -> None:
    oldest, middle, newest = (stage.create(total=1) for _ in range(3))
    given = [brand_grants.grant_of_brand(stage.store, "IKEA", f"User {number}").discount_id for number in range(3)]
    assert given == [newest.id, middle.id, oldest.id]
    with pytest.raises(SoldOut):
        brand_grants.grant_of_brand(stage.store, "IKEA", "User 3")


def test_a_brand_gives_a_user_one_code_of_all_its_discounts(stage: ServiceHarness) -> None:
    for _ in range(3):
        stage.create()
    first, *others = [brand_grants.grant_of_brand(stage.store, "IKEA", "User 1") for _ in range(3)]
    assert first.fresh
    assert [(each.code, each.fresh) for each in others] == [(first.code, False)] * 2


def test_a_brand_gives_the_code_that_the_user_holds_of_any_of_its_discounts(stage: ServiceHarness) -> None:
    oldest = stage.create()
    stage.create()
    held = stage.grant(oldest.id)
    assert brand_grants.grant_of_brand(stage.store, "IKEA", "User 1").code == held.code


@pytest.mark.parametrize("how", ["void", "past its end", "past the code's own end", "used up", "used up by others"])
def test_a_held_code_that_is_dead_does_not_stand_in_the_way_of_an_open_discount(
    stage: ServiceHarness, how: str
) -> None:
    length = durations.read("PT0.000001S") if how == "past the code's own end" else None
    limits: dict[LimitName, int | None] = {"per_user": 5, "total": 1} if how == "used up by others" else {"per_user": 1}
    old = stage.create(valid_for=length, limits=limits)
    dead = stage.grant(old.id)
    if how == "void":
        stage.close(old.id, void=True)
    elif how == "past its end":
        stage.change(old.id, expires_at=stage.now())
    elif how.startswith("used up"):
        user = "User 1" if how == "used up" else "User 2"
        code = stage.grant(old.id, user).code
        order = Order("A-1", 100, "EUR")
        redemptions.redeem(stage.store, checkouts.Checkout(user, code, order, discount_id=old.id))
    with pytest.raises(SoldOut):
        brand_grants.grant_of_brand(stage.store, "IKEA", "User 1")
    good = stage.create()
    given = [brand_grants.grant_of_brand(stage.store, "IKEA", "User 1") for _ in range(2)]
    assert [(each.discount_id, each.fresh) for each in given] == [(good.id, True), (good.id, False)]
    assert stage.grant(old.id).code == dead.code


@pytest.mark.parametrize("how", ["paused", "closed", "not started", "sold out", "used once of two", "used today"])
def test_a_held_code_that_can_still_be_used_is_the_one_that_the_brand_gives(stage: ServiceHarness, how: str) -> None:
    limits: dict[str, dict[LimitName, int | None]] = {
        "used once of two": {"per_user": 2},
        "used today": {"per_user": None, "per_user_per_day": 1},
    }
    found = stage.create(total=1, limits=limits.get(how, {"per_user": 1}))
    held = stage.grant(found.id)
    if how == "paused":
        stage.change(found.id, paused=True)
    elif how == "closed":
        stage.close(found.id)
    elif how == "not started":
        stage.change(found.id, starts_at=stage.now() + 3600 * SECOND)
    elif how.startswith("used"):
        order = Order("A-1", 100, "EUR")
        redemptions.redeem(stage.store, checkouts.Checkout("User 1", held.code, order, discount_id=found.id))
    stage.create()
    assert brand_grants.grant_of_brand(stage.store, "IKEA", "User 1").code == held.code


@pytest.mark.parametrize("limits", [{"total": 1}, {"total": 0}, {"per_user": 0}])
def test_a_brand_gives_no_code_that_nobody_can_use(stage: ServiceHarness, limits: dict[LimitName, int | None]) -> None:
    good, full = stage.create(), stage.create(limits={"total": 1})
    code = stage.grant(full.id, "User 2").code
    redemptions.redeem(stage.store, checkouts.Checkout("User 2", code, Order("A-1", 100, "EUR"), discount_id=full.id))
    stage.change(full.id, limits=limits)
    given = [brand_grants.grant_of_brand(stage.store, "IKEA", "User 1") for _ in range(2)]
    assert [(each.discount_id, each.fresh) for each in given] == [(good.id, True), (good.id, False)]
    with pytest.raises(NotGranted):
        grants.held_grant(stage.store, full.id, "User 1")


def test_of_several_held_codes_a_good_one_wins(stage: ServiceHarness) -> None:
    made = [stage.create() for _ in range(3)]
    held = [stage.grant(each.id) for each in made]
    stage.change(made[0].id, expires_at=stage.now())
    assert brand_grants.grant_of_brand(stage.store, "IKEA", "User 1").code == held[1].code
    stage.close(made[1].id, void=True)
    assert brand_grants.grant_of_brand(stage.store, "IKEA", "User 1").code == held[2].code


def test_a_brand_looks_at_so_many_held_codes_and_no_more(
    stage: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brand_grants, "HELD", 5)
    monkeypatch.setattr(user_grants, "CANDIDATES", 2)
    made = [stage.create() for _ in range(8)]
    held = [stage.grant(each.id) for each in made]
    assert brand_grants.grant_of_brand(stage.store, "IKEA", "User 1").code == held[3].code
    for each in made[3:7]:
        stage.close(each.id, void=True)
    assert brand_grants.grant_of_brand(stage.store, "IKEA", "User 1").code == held[7].code


def test_what_a_user_holds_of_another_brand_of_the_partition_does_not_count(stage: ServiceHarness) -> None:
    one, other = [brand for brand in (f"b{n}" for n in range(200)) if keys.partition_of(brand, PARTITIONS) == 5][:2]
    stage.grant(stage.create(brand=one).id)
    mine = stage.create(brand=other)
    held = brand_grants.grant_of_brand(stage.store, other, "User 1")
    assert (held.discount_id, held.fresh) == (mine.id, True)
    assert not brand_grants.grant_of_brand(stage.store, other, "User 1").fresh


def test_a_brand_passes_over_what_is_not_open(stage: ServiceHarness) -> None:
    now = stage.now()
    good = stage.create()
    stage.create(starts_at=now + 3600 * SECOND)
    stage.close(stage.create().id)
    stage.change(stage.create().id, paused=True)
    stage.change(stage.create().id, expires_at=now - 1)
    stage.grant(stage.create(total=1).id, "Somebody else")
    assert brand_grants.grant_of_brand(stage.store, "IKEA", "User 1").discount_id == good.id


def test_a_brand_finds_the_one_open_discount_behind_many(
    stage: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_grants, "CANDIDATES", 2)
    monkeypatch.setattr(discounts, "LOOKED_AT", 10)
    good = stage.create()
    for _ in range(30):
        stage.change(stage.create(total=1).id, paused=True)
    assert brand_grants.grant_of_brand(stage.store, "IKEA", "User 1").discount_id == good.id


def test_a_discount_that_closes_between_the_look_and_the_grant_is_passed_over(stage: ServiceHarness) -> None:
    good, newest = stage.create(), stage.create()
    listed = discounts.list_page

    def close_after_listing(*arguments: Any, **named: Any) -> discounts.DiscountPage:
        page = listed(*arguments, **named)
        stage.close(newest.id)
        return page

    with mock.patch.object(discounts, "list_page", close_after_listing):
        assert brand_grants.grant_of_brand(stage.store, "IKEA", "User 1").discount_id == good.id


def test_a_grant_that_comes_between_is_the_one_that_the_brand_gives(stage: ServiceHarness) -> None:
    oldest, _ = stage.create(), stage.create()
    listed = discounts.list_page

    def grant_after_listing(*arguments: Any, **named: Any) -> discounts.DiscountPage:
        page = listed(*arguments, **named)
        stage.grant(oldest.id)
        return page

    with mock.patch.object(discounts, "list_page", grant_after_listing):
        held = brand_grants.grant_of_brand(stage.store, "IKEA", "User 1")
    assert (held.discount_id, held.fresh) == (oldest.id, False)
    assert len(flat(stage.pages_of_user("User 1", 10))) == 1


def test_a_brand_without_a_discount_is_not_found(stage: ServiceHarness) -> None:
    stage.create()
    with pytest.raises(NotFound):
        brand_grants.grant_of_brand(stage.store, "Unknown", "User 1")


def test_a_brand_whose_discounts_are_all_closed_is_sold_out(stage: ServiceHarness) -> None:
    stage.close(stage.create().id)
    with pytest.raises(SoldOut):
        brand_grants.grant_of_brand(stage.store, "IKEA", "User 1")


# Lists


@pytest.mark.parametrize("limit", [1, 2, 5, 29, 30, 31])
def test_pages_of_grants_together_are_all_of_them_once(stage: ServiceHarness, limit: int) -> None:
    found = stage.create(total=1000)
    held = {each.user_id: each.code for each in stage.grant_all(found.id, 30)}
    listed = flat(stage.pages_of_grants(found.id, limit))
    assert len(listed) == 30
    assert {each.user_id: each.code for each in listed} == held
    assert {each.fresh for each in listed} == {False}


def test_a_discount_without_grants_lists_none(stage: ServiceHarness) -> None:
    assert stage.pages_of_grants(stage.create(total=1_000_000).id, 10) == [[]]


@pytest.mark.parametrize("limit", [3, 15])
def test_few_grants_of_a_million_codes_are_found(stage: ServiceHarness, limit: int) -> None:
    found = stage.create(total=1_000_000)
    held = {each.user_id: each.code for each in stage.grant_all(found.id, 15)}
    listed = flat(stage.pages_of_grants(found.id, limit))
    assert [each.user_id for each in listed] == sorted(held, key=lambda user: keys.grant_bucket(user, 8192))
    assert {each.user_id: each.code for each in listed} == held


def test_a_page_of_few_grants_of_a_million_codes_takes_few_round_trips(stage: ServiceHarness) -> None:
    found = stage.create(total=1_000_000)
    stage.grant_all(found.id, 40)
    with mock.patch.object(stage.store, "commands", wraps=stage.store.commands) as sent:
        assert len(grants.list_page(stage.store, found.id).items) == 40
    assert sent.call_count < 60


def test_a_grant_made_while_paging_hides_none_that_was_there(stage: ServiceHarness) -> None:
    found = stage.create(total=100)
    held = {each.user_id for each in stage.grant_all(found.id, 10)}
    seen: list[str] = []
    cursor: str | None = None
    for number in range(100):
        page = grants.list_page(stage.store, found.id, limit=2, cursor=cursor)
        seen += [each.user_id for each in page.items]
        stage.grant(found.id, f"Late {number}")
        cursor = page.next
        if cursor is None:
            break
    assert {user: seen.count(user) for user in held} == dict.fromkeys(held, 1)
    assert len(set(seen)) == len(seen)


def test_what_a_user_holds_is_listed_over_all_brands(stage: ServiceHarness) -> None:
    made = [stage.create(brand=BRANDS[number * 5 % PARTITIONS]) for number in range(25)]
    held = {stage.grant(each.id).code for each in made}
    stage.grant(made[0].id, "User 2")
    for limit in (1, 2, 7, 24, 25, 26):
        listed = flat(stage.pages_of_user("User 1", limit))
        assert len(listed) == 25
        assert {each.code for each in listed} == held
        assert {each.user_id for each in listed} == {"User 1"}


def test_what_a_user_holds_of_one_brand_is_listed_oldest_first(stage: ServiceHarness) -> None:
    one, other = [brand for brand in (f"b{n}" for n in range(200)) if keys.partition_of(brand, PARTITIONS) == 5][:2]
    made = [stage.create(brand=brand) for brand in (one, other) * 6]
    for each in made:
        stage.grant(each.id)
    for limit in (1, 2, 5, 6, 7):
        assert [each.discount_id for each in flat(stage.pages_of_user("User 1", limit, one))] == [
            each.id for each in made[::2]
        ]


def test_more_discounts_than_are_read_at_once_are_listed(
    stage: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_grants, "CANDIDATES", 3)
    for _ in range(10):
        stage.grant(stage.create().id)
    for limit in (1, 3, 4, 10):
        assert len(flat(stage.pages_of_user("User 1", limit))) == 10


def test_a_user_without_grants_holds_nothing(stage: ServiceHarness) -> None:
    stage.grant(stage.create().id)
    assert stage.pages_of_user("User 2", 10) == [[]]
    assert stage.pages_of_user("User 1", 10, "Other brand") == [[]]


def test_a_cursor_of_another_list_is_refused(stage: ServiceHarness) -> None:
    found = stage.create()
    stage.grant(found.id)
    for cursor in ("x", make_cursor(0, "a"), make_cursor(0, "-1"), make_cursor(1, "1.5")):
        with pytest.raises(Invalid, match="cursor is not a cursor"):
            user_grants.list_of_user(stage.store, "User 1", cursor=cursor)
    with pytest.raises(Invalid, match="cursor is not a cursor"):
        grants.list_page(stage.store, found.id, cursor="x")


def test_a_cursor_of_a_bucket_far_away_is_an_empty_page(stage: ServiceHarness) -> None:
    found = stage.create(total=1000)
    stage.grant_all(found.id, 10)
    page = grants.list_page(stage.store, found.id, cursor=make_cursor(10**16 - 1, "x"))
    assert (page.items, page.next) == ([], None)


def test_a_pool_that_others_empty_again_and_again_is_unavailable(stage: ServiceHarness) -> None:
    found = stage.create(total=2500)
    stage.redis.delete(keys.codes(int(found.id[4:6], 16), found.id))
    with mock.patch.object(code_pools, "refill") as refill, pytest.raises(Unavailable):
        stage.grant(found.id)
    assert refill.call_count == grants.REFILLS
    with mock.patch.object(code_pools, "refill"), pytest.raises(Unavailable):
        grants.grant_many(stage.store, found.id, ["User 1", "User 2"])
    stage.redis.hset(keys.discount(int(found.id[4:6], 16), found.id), "made", 0)
