"""Granting: one code a user, one user a code, and never more codes than the total."""

from typing import Any
from unittest import mock

import pytest
from msgspec.structs import replace

from discount.domain import durations
from discount.domain.cursors import make_cursor
from discount.domain.errors import (
    Closed,
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
    discount_lists,
    discounts,
    grant_lists,
    grant_records,
    grants,
    redemptions,
    user_grants,
)
from discount.store import keys
from tests.services.harness import BRANDS, PARTITIONS, SECOND, ServiceHarness, fake_harness, flat, real_harness
from tests.support.redis_server import RedisServer


def words(outcomes: list[Grant | Refusal]) -> list[str]:
    return [each.slug if isinstance(each, Refusal) else "granted" if each.fresh else "held" for each in outcomes]


def test_a_user_gets_a_code_once_and_the_same_after_that(harness: ServiceHarness) -> None:
    found = harness.create()
    first, *others = [harness.grant(found.id) for _ in range(4)]
    assert first.fresh
    assert [(each.code, each.granted_at, each.fresh) for each in others] == [(first.code, first.granted_at, False)] * 3
    assert harness.show(found.id).granted_count == 1


def test_a_grant_has_the_user_the_code_and_the_time(harness: ServiceHarness) -> None:
    found = harness.create()
    held = harness.grant(found.id, "User 1")
    assert (held.discount_id, held.user_id) == (found.id, "User 1")
    assert found.created_at <= held.granted_at <= harness.now()
    assert held == Grant(found.id, "User 1", held.code, held.granted_at, fresh=True, good_until=None, void=False)


@pytest.mark.parametrize("valid_for", [None, "PT1H", "P1M"])
@pytest.mark.parametrize("seconds", [None, 60, 7200])
def test_every_answer_shows_when_a_code_expires_and_whether_it_is_void(
    harness: ServiceHarness, valid_for: str | None, seconds: int | None
) -> None:
    length = durations.read(valid_for) if valid_for else None
    found = harness.create(valid_for=length, timezone="Asia/Tokyo")
    expires_at = None if seconds is None else harness.now() + seconds * SECOND
    harness.change(found.id, expires_at=expires_at)
    held = harness.grant(found.id)
    ends = [each for each in (expires_at, length and length.after(held.granted_at, "Asia/Tokyo")) if each]
    for void in (False, True):
        seen = [
            harness.grant(found.id),
            grant_records.held_grant(harness.store, found.id, "User 1"),
            *grants.grant_many(harness.store, found.id, ["User 1"]),
            *grant_lists.list_page(harness.store, found.id).items,
            *user_grants.list_of_user(harness.store, "User 1").items,
        ]
        wanted = replace(held, fresh=False, good_until=min(ends, default=None), void=void)
        assert seen == [wanted] * 5
        harness.close(found.id, void=True)
    assert held.good_until == min(ends, default=None)


def test_codes_are_granted_in_the_order_of_the_pool(harness: ServiceHarness) -> None:
    found = harness.create(total=5)
    waiting = harness.pool(found.id)
    assert [each.code for each in harness.grant_all(found.id, 5)] == waiting


def test_exactly_the_existing_codes_are_granted(harness: ServiceHarness) -> None:
    found = harness.create(total=5)
    assert len({each.code for each in harness.grant_all(found.id, 5)}) == 5
    before = harness.state()
    for _ in range(3):
        with pytest.raises(SoldOut):
            harness.grant(found.id, "One more")
    assert harness.state() == before
    assert harness.show(found.id).remaining_count == 0


def test_a_grant_is_one_event_and_asking_again_is_none(harness: ServiceHarness) -> None:
    found = harness.create(total=2)
    held = harness.grant(found.id)
    harness.grant(found.id)
    assert harness.events(found, "code.granted") == [
        {
            "type": "code.granted",
            "at": str(held.granted_at),
            "brand": "IKEA",
            "number": str(found.number),
            "user": "User 1",
            "code": held.code,
        }
    ]
    assert harness.events(found, "discount.sold-out") == []


def test_the_last_code_also_leads_to_a_sold_out_event(harness: ServiceHarness) -> None:
    found = harness.create(total=2)
    held = harness.grant_all(found.id, 2)
    assert [event["type"] for event in harness.events(found)] == [
        "discount.created",
        "code.granted",
        "code.granted",
        "discount.sold-out",
    ]
    assert harness.events(found, "discount.sold-out") == [
        {"type": "discount.sold-out", "at": str(held[1].granted_at), "brand": "IKEA", "number": str(found.number)}
    ]


def test_a_discount_that_is_raised_sells_out_again(harness: ServiceHarness) -> None:
    found = harness.create(total=1)
    harness.grant_all(found.id, 1)
    harness.change(found.id, total_count=2)
    harness.grant_all(found.id, 2)
    assert len(harness.events(found, "discount.sold-out")) == 2


def test_a_holder_always_gets_their_code_again(harness: ServiceHarness) -> None:
    found = harness.create(total=1)
    held = harness.grant(found.id)
    now = harness.now()
    for changes in ({}, {"paused": True}, {"starts_at": now + 9 * SECOND}, {"starts_at": None, "expires_at": now - 1}):
        if changes:
            harness.change(found.id, **changes)
        again = harness.grant(found.id)
        assert (again.code, again.granted_at, again.fresh) == (held.code, held.granted_at, False)
    harness.close(found.id, void=True)
    assert harness.grant(found.id).code == held.code


def test_paused_precedes_expired_and_expired_precedes_sold_out(harness: ServiceHarness) -> None:
    found, now = harness.create(total=1), harness.now()
    harness.grant(found.id)
    harness.change(found.id, paused=True, expires_at=now - 1)
    with pytest.raises(Paused):
        harness.grant(found.id, "User 2")
    harness.change(found.id, paused=False)
    with pytest.raises(Expired):
        harness.grant(found.id, "User 2")
    harness.change(found.id, expires_at=None, starts_at=now + 3600 * SECOND)
    with pytest.raises(NotStarted):
        harness.grant(found.id, "User 2")
    harness.change(found.id, starts_at=None)
    with pytest.raises(SoldOut):
        harness.grant(found.id, "User 2")


def test_a_refused_grant_stores_nothing(harness: ServiceHarness) -> None:
    found = harness.create()
    for changes in (
        {"paused": True},
        {"paused": False, "expires_at": 10**15},
        {"expires_at": None, "starts_at": 9 * 10**15},
    ):
        harness.change(found.id, **changes)
        before = harness.state()
        with pytest.raises((Paused, Expired, NotStarted)):
            harness.grant(found.id)
        assert harness.state() == before


def test_a_discount_runs_from_its_start_to_just_before_its_expiry() -> None:
    # fakeredis lives by this process's clock, which stands still where we put it.
    harness = fake_harness()
    start = harness.now() // SECOND * SECOND + 100 * SECOND
    found = harness.create(total=10, starts_at=start, expires_at=start + 4)
    outcomes = {}
    for offset in (-1, 0, 3, 4):
        with mock.patch("time.time", return_value=(start + offset) / SECOND):
            assert harness.now() == start + offset
            outcomes[offset] = words(grants.grant_many(harness.store, found.id, [f"User {offset}"]))
    assert outcomes == {-1: ["not-started"], 0: ["granted"], 3: ["granted"], 4: ["expired"]}


def test_the_clock_of_a_replica_does_not_matter(redis_server: RedisServer) -> None:
    harness = real_harness(redis_server)
    open_now = harness.create(expires_at=harness.now() + 3600 * SECOND)
    later = harness.create(starts_at=harness.now() + 3600 * SECOND)
    with mock.patch("time.time", return_value=harness.now() / SECOND + 7200):
        assert harness.grant(open_now.id).fresh
        assert (harness.status(open_now.id), harness.status(later.id)) == ("active", "scheduled")
        with pytest.raises(NotStarted):
            harness.grant(later.id)


def test_an_unknown_discount_grants_nothing(harness: ServiceHarness) -> None:
    before = harness.state()
    for unknown in ("x", "", make_discount_id(3, 10), make_discount_id(200, 10)):
        with pytest.raises(NotFound):
            harness.grant(unknown)
        with pytest.raises(NotFound):
            grants.grant_many(harness.store, unknown, ["User 1"])
        with pytest.raises(NotFound):
            grant_records.held_grant(harness.store, unknown, "User 1")
        with pytest.raises(NotFound):
            grant_lists.list_page(harness.store, unknown)
        with pytest.raises(NotFound):
            grant_lists.list_all(harness.store, unknown)
    assert harness.state() == before


def test_a_held_grant_is_shown_to_its_holder_only(harness: ServiceHarness) -> None:
    found = harness.create()
    held = harness.grant(found.id)
    shown = grant_records.held_grant(harness.store, found.id, "User 1")
    assert (shown.code, shown.granted_at, shown.fresh) == (held.code, held.granted_at, False)
    for other in ("User 2", "user 1", "User", "User 1 "):
        with pytest.raises(NotGranted):
            grant_records.held_grant(harness.store, found.id, other)


def test_a_read_grants_no_code(harness: ServiceHarness) -> None:
    found = harness.create()
    before = harness.state()
    with pytest.raises(NotGranted):
        grant_records.held_grant(harness.store, found.id, "User 1")
    grant_lists.list_page(harness.store, found.id)
    user_grants.list_of_user(harness.store, "User 1")
    assert harness.state() == before


def test_users_with_similar_ids_are_different_users(harness: ServiceHarness) -> None:
    users = ["User 1", "user 1", "User 1", "Üser", "U\u0308ser", "{00}", "a:b", "a%3Ab", "0", "*", "-1"]
    found = harness.create(total=20)
    codes = {user: harness.grant(found.id, user).code for user in users}
    assert len(set(codes.values())) == len(set(users))
    assert {user: harness.grant(found.id, user).code for user in users} == codes


def test_one_user_holds_a_code_of_each_discount(harness: ServiceHarness) -> None:
    made = [harness.create(brand=brand) for brand in BRANDS[:3] for _ in range(2)]
    held = [harness.grant(each.id) for each in made]
    assert [each.fresh for each in held] == [True] * 6
    assert len({each.code for each in held}) == 6


def test_the_second_block_is_made_after_the_first_is_used_up(harness: ServiceHarness) -> None:
    found = harness.create(total=2500)
    harness.redis.ltrim(keys.codes(int(found.id[4:6], 16), found.id), 0, 0)
    harness.redis.hset(keys.discount(int(found.id[4:6], 16), found.id), "made", 1)
    first, second = harness.grant(found.id, "User 1"), harness.grant(found.id, "User 2")
    assert first.code != second.code
    assert len(harness.pool(found.id)) == 999


def test_a_sold_out_discount_refuses_without_a_script(harness: ServiceHarness) -> None:
    found = harness.create(total=1)
    held = harness.grant(found.id, "Ann")
    with pytest.raises(SoldOut):
        harness.grant(found.id, "Bob")
    with mock.patch.object(harness.store, "run_many", side_effect=AssertionError), pytest.raises(SoldOut):
        harness.grant(found.id, "Bob")
    with mock.patch.object(harness.store, "run_many", side_effect=AssertionError):
        assert replace(harness.grant(found.id, "Ann"), fresh=True) == held
    # What was sold out may be granted again.
    harness.change(found.id, total_count=2)
    assert harness.grant(found.id, "Bob").fresh


def test_a_sold_out_discount_gives_its_newer_reason(harness: ServiceHarness) -> None:
    changes: dict[type[Refusal], dict[str, Any]] = {
        Paused: {"paused": True},
        Expired: {"expires_at": harness.now() - SECOND},
        NotStarted: {"starts_at": harness.now() + 3600 * SECOND},
    }
    for refusal, change in changes.items():
        found = harness.create(total=1)
        harness.grant(found.id, "Ann")
        for _ in range(2):
            with pytest.raises(SoldOut):
                harness.grant(found.id, "Bob")
        harness.change(found.id, **change)
        with pytest.raises(refusal):
            harness.grant(found.id, "Bob")
    found = harness.create(total=1)
    harness.grant(found.id, "Ann")
    with pytest.raises(SoldOut):
        harness.grant(found.id, "Bob")
    harness.close(found.id)
    with pytest.raises(Closed):
        harness.grant(found.id, "Bob")


@pytest.mark.usefixtures("short_pipelines")
def test_the_next_block_is_made_before_the_first_is_used_up(harness: ServiceHarness) -> None:
    found = harness.create(total=2500)
    grants.grant_many(harness.store, found.id, [f"Many {number}" for number in range(511)])
    assert len(harness.pool(found.id)) == 505
    harness.grant(found.id)
    harness.rest()
    assert len(harness.pool(found.id)) == 1504


@pytest.mark.usefixtures("short_pipelines")
def test_no_block_is_made_ahead_of_a_discount_that_is_all_made(harness: ServiceHarness) -> None:
    found = harness.create(total=1000)
    grants.grant_many(harness.store, found.id, [f"Many {number}" for number in range(511)])
    harness.grant(found.id)
    harness.rest()
    assert len(harness.pool(found.id)) == 488


# Bulk


def test_many_users_get_a_code_each_in_their_order(harness: ServiceHarness) -> None:
    found = harness.create(total=10)
    users = [f"User {number}" for number in range(7)]
    outcomes = grants.grant_many(harness.store, found.id, users)
    assert [each.user_id for each in outcomes if isinstance(each, Grant)] == users
    assert words(outcomes) == ["granted"] * 7
    assert words(grants.grant_many(harness.store, found.id, users[::-1])) == ["held"] * 7


def test_a_user_listed_twice_gets_one_code(harness: ServiceHarness) -> None:
    found = harness.create(total=10)
    outcomes = grants.grant_many(harness.store, found.id, ["A", "B", "A", "A", "B"])
    codes = [each.code for each in outcomes if isinstance(each, Grant)]
    assert codes == [codes[0], codes[1], codes[0], codes[0], codes[1]]
    assert words(outcomes) == ["granted", "granted", "held", "held", "held"]
    assert harness.show(found.id).granted_count == 2


def test_a_user_listed_in_two_slices_gets_one_code(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "SLICE", 2)
    found = harness.create(total=10)
    assert words(grants.grant_many(harness.store, found.id, ["A", "B", "C", "A", "A"])) == [
        "granted",
        "granted",
        "granted",
        "held",
        "held",
    ]


def test_a_bulk_grant_gives_as_many_codes_as_there_are(harness: ServiceHarness) -> None:
    found = harness.create(total=3)
    outcomes = grants.grant_many(harness.store, found.id, [f"User {number}" for number in range(5)])
    assert words(outcomes) == ["granted", "granted", "granted", "sold-out", "sold-out"]
    assert words(grants.grant_many(harness.store, found.id, ["User 4", "User 0"])) == ["sold-out", "held"]
    assert len(harness.events(found, "discount.sold-out")) == 1


@pytest.mark.parametrize("total", [99, 100, 101, 250])
def test_a_bulk_grant_continues_across_blocks_of_codes(
    harness: ServiceHarness, total: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discounts, "FIRST_BLOCK", 100)
    monkeypatch.setattr(grants, "SLICE", 40)
    check_bulk(harness, total)


def test_a_large_discount_is_made_with_a_few_codes_and_its_first_grants_have_more_made(harness: ServiceHarness) -> None:
    found = harness.create(total=1_000_000)
    assert len(harness.pool(found.id)) == discounts.FIRST_BLOCK
    given = harness.grant_all(found.id, 4)
    harness.rest()
    pool = harness.pool(found.id)
    assert len(pool) == discounts.FIRST_BLOCK - 4 + code_pools.BLOCK
    assert [each.code for each in given] + pool == harness.sequence(found.id).codes(0, 4 + len(pool))


def test_a_bulk_grant_takes_thousands_of_codes(redis_server: RedisServer) -> None:
    harness = real_harness(redis_server)
    check_bulk(harness, 2500)
    harness.check()


def check_bulk(harness: ServiceHarness, total: int) -> None:
    found = harness.create(total=total)
    outcomes = grants.grant_many(harness.store, found.id, [f"User {number}" for number in range(total + 7)])
    assert words(outcomes) == ["granted"] * total + ["sold-out"] * 7
    assert len({each.code for each in outcomes if isinstance(each, Grant)}) == total


def test_a_bulk_grant_of_a_discount_that_is_not_open_says_why(harness: ServiceHarness) -> None:
    found = harness.create()
    harness.grant(found.id, "Holder")
    users = ["Holder", "Other"]
    harness.change(found.id, paused=True)
    assert words(grants.grant_many(harness.store, found.id, users)) == ["held", "paused"]
    harness.change(found.id, paused=False, expires_at=harness.now() - 1)
    assert words(grants.grant_many(harness.store, found.id, users)) == ["held", "expired"]
    harness.change(found.id, expires_at=None, starts_at=harness.now() + 3600 * SECOND)
    assert words(grants.grant_many(harness.store, found.id, users)) == ["held", "not-started"]
    harness.close(found.id)
    assert words(grants.grant_many(harness.store, found.id, users)) == ["held", "closed"]


def test_a_bulk_grant_to_no_users_does_nothing(harness: ServiceHarness) -> None:
    assert grants.grant_many(harness.store, harness.create().id, []) == []


# By brand


def test_a_brand_grants_from_its_newest_open_discount(harness: ServiceHarness) -> None:
    oldest, middle, newest = (harness.create(total=1) for _ in range(3))
    given = [brand_grants.grant_of_brand(harness.store, "IKEA", f"User {number}").discount_id for number in range(3)]
    assert given == [newest.id, middle.id, oldest.id]
    with pytest.raises(SoldOut):
        brand_grants.grant_of_brand(harness.store, "IKEA", "User 3")


def test_a_brand_gives_a_user_one_code_of_all_its_discounts(harness: ServiceHarness) -> None:
    for _ in range(3):
        harness.create()
    first, *others = [brand_grants.grant_of_brand(harness.store, "IKEA", "User 1") for _ in range(3)]
    assert first.fresh
    assert [(each.code, each.fresh) for each in others] == [(first.code, False)] * 2


def test_a_brand_gives_the_code_that_the_user_holds_of_any_of_its_discounts(harness: ServiceHarness) -> None:
    oldest = harness.create()
    harness.create()
    held = harness.grant(oldest.id)
    assert brand_grants.grant_of_brand(harness.store, "IKEA", "User 1").code == held.code


@pytest.mark.parametrize("how", ["void", "past its end", "past the code's own end", "used up", "used up by others"])
def test_a_dead_code_does_not_block_a_grant_of_an_open_discount(harness: ServiceHarness, how: str) -> None:
    length = durations.read("PT0.000001S") if how == "past the code's own end" else None
    limits: dict[LimitName, int | None] = {"per_user": 5, "total": 1} if how == "used up by others" else {"per_user": 1}
    old = harness.create(valid_for=length, limits=limits)
    dead = harness.grant(old.id)
    if how == "void":
        harness.close(old.id, void=True)
    elif how == "past its end":
        harness.change(old.id, expires_at=harness.now())
    elif how.startswith("used up"):
        user = "User 1" if how == "used up" else "User 2"
        code = harness.grant(old.id, user).code
        order = Order("A-1", 100, "EUR")
        redemptions.redeem(harness.store, checkouts.Checkout(user, code, order, discount_id=old.id))
    with pytest.raises(SoldOut):
        brand_grants.grant_of_brand(harness.store, "IKEA", "User 1")
    good = harness.create()
    given = [brand_grants.grant_of_brand(harness.store, "IKEA", "User 1") for _ in range(2)]
    assert [(each.discount_id, each.fresh) for each in given] == [(good.id, True), (good.id, False)]
    assert harness.grant(old.id).code == dead.code


@pytest.mark.parametrize("how", ["paused", "closed", "not started", "sold out", "used once of two", "used today"])
def test_a_brand_grant_returns_a_held_code_that_can_still_be_used(harness: ServiceHarness, how: str) -> None:
    limits: dict[str, dict[LimitName, int | None]] = {
        "used once of two": {"per_user": 2},
        "used today": {"per_user": None, "per_user_per_day": 1},
    }
    found = harness.create(total=1, limits=limits.get(how, {"per_user": 1}))
    held = harness.grant(found.id)
    if how == "paused":
        harness.change(found.id, paused=True)
    elif how == "closed":
        harness.close(found.id)
    elif how == "not started":
        harness.change(found.id, starts_at=harness.now() + 3600 * SECOND)
    elif how.startswith("used"):
        order = Order("A-1", 100, "EUR")
        redemptions.redeem(harness.store, checkouts.Checkout("User 1", held.code, order, discount_id=found.id))
    harness.create()
    assert brand_grants.grant_of_brand(harness.store, "IKEA", "User 1").code == held.code


@pytest.mark.parametrize("limits", [{"total": 1}, {"total": 0}, {"per_user": 0}])
def test_a_brand_grants_no_code_that_cannot_be_redeemed(
    harness: ServiceHarness, limits: dict[LimitName, int | None]
) -> None:
    good, full = harness.create(), harness.create(limits={"total": 1})
    code = harness.grant(full.id, "User 2").code
    redemptions.redeem(harness.store, checkouts.Checkout("User 2", code, Order("A-1", 100, "EUR"), discount_id=full.id))
    harness.change(full.id, limits=limits)
    given = [brand_grants.grant_of_brand(harness.store, "IKEA", "User 1") for _ in range(2)]
    assert [(each.discount_id, each.fresh) for each in given] == [(good.id, True), (good.id, False)]
    with pytest.raises(NotGranted):
        grant_records.held_grant(harness.store, full.id, "User 1")


def test_of_several_held_codes_a_usable_one_is_returned(harness: ServiceHarness) -> None:
    made = [harness.create() for _ in range(3)]
    held = [harness.grant(each.id) for each in made]
    harness.change(made[0].id, expires_at=harness.now())
    assert brand_grants.grant_of_brand(harness.store, "IKEA", "User 1").code == held[1].code
    harness.close(made[1].id, void=True)
    assert brand_grants.grant_of_brand(harness.store, "IKEA", "User 1").code == held[2].code


def test_a_brand_grant_reads_a_bounded_number_of_held_codes(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brand_grants, "HELD", 5)
    monkeypatch.setattr(user_grants, "CANDIDATES", 2)
    made = [harness.create() for _ in range(8)]
    held = [harness.grant(each.id) for each in made]
    assert brand_grants.grant_of_brand(harness.store, "IKEA", "User 1").code == held[3].code
    for each in made[3:7]:
        harness.close(each.id, void=True)
    assert brand_grants.grant_of_brand(harness.store, "IKEA", "User 1").code == held[7].code


def test_a_grant_of_another_brand_in_the_partition_does_not_count(harness: ServiceHarness) -> None:
    one, other = [brand for brand in (f"b{n}" for n in range(200)) if keys.partition_of(brand, PARTITIONS) == 5][:2]
    harness.grant(harness.create(brand=one).id)
    mine = harness.create(brand=other)
    held = brand_grants.grant_of_brand(harness.store, other, "User 1")
    assert (held.discount_id, held.fresh) == (mine.id, True)
    assert not brand_grants.grant_of_brand(harness.store, other, "User 1").fresh


def test_a_brand_grant_skips_discounts_that_are_not_open(harness: ServiceHarness) -> None:
    now = harness.now()
    good = harness.create()
    harness.create(starts_at=now + 3600 * SECOND)
    harness.close(harness.create().id)
    harness.change(harness.create().id, paused=True)
    harness.change(harness.create().id, expires_at=now - 1)
    harness.grant(harness.create(total=1).id, "Somebody else")
    assert brand_grants.grant_of_brand(harness.store, "IKEA", "User 1").discount_id == good.id


def test_a_brand_finds_the_one_open_discount_behind_many(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_grants, "CANDIDATES", 2)
    monkeypatch.setattr(discount_lists, "LOOKED_AT", 10)
    good = harness.create()
    for _ in range(30):
        harness.change(harness.create(total=1).id, paused=True)
    assert brand_grants.grant_of_brand(harness.store, "IKEA", "User 1").discount_id == good.id


def test_a_discount_that_closes_between_the_look_and_the_grant_is_passed_over(harness: ServiceHarness) -> None:
    good, newest = harness.create(), harness.create()
    listed = discount_lists.list_page

    def close_after_listing(*arguments: Any, **named: Any) -> discount_lists.DiscountPage:
        page = listed(*arguments, **named)
        harness.close(newest.id)
        return page

    with mock.patch.object(discount_lists, "list_page", close_after_listing):
        assert brand_grants.grant_of_brand(harness.store, "IKEA", "User 1").discount_id == good.id


def test_a_grant_that_comes_between_is_the_one_that_the_brand_gives(harness: ServiceHarness) -> None:
    oldest, _ = harness.create(), harness.create()
    listed = discount_lists.list_page

    def grant_after_listing(*arguments: Any, **named: Any) -> discount_lists.DiscountPage:
        page = listed(*arguments, **named)
        harness.grant(oldest.id)
        return page

    with mock.patch.object(discount_lists, "list_page", grant_after_listing):
        held = brand_grants.grant_of_brand(harness.store, "IKEA", "User 1")
    assert (held.discount_id, held.fresh) == (oldest.id, False)
    assert len(flat(harness.pages_of_user("User 1", 10))) == 1


def test_a_brand_without_a_discount_is_not_found(harness: ServiceHarness) -> None:
    harness.create()
    with pytest.raises(NotFound):
        brand_grants.grant_of_brand(harness.store, "Unknown", "User 1")


def test_a_brand_with_only_closed_discounts_is_sold_out(harness: ServiceHarness) -> None:
    harness.close(harness.create().id)
    with pytest.raises(SoldOut):
        brand_grants.grant_of_brand(harness.store, "IKEA", "User 1")


# Lists


@pytest.mark.parametrize("limit", [1, 2, 5, 29, 30, 31])
def test_pages_of_grants_together_are_all_of_them_once(harness: ServiceHarness, limit: int) -> None:
    found = harness.create(total=1000)
    held = {each.user_id: each.code for each in harness.grant_all(found.id, 30)}
    listed = flat(harness.pages_of_grants(found.id, limit))
    assert len(listed) == 30
    assert {each.user_id: each.code for each in listed} == held
    assert {each.fresh for each in listed} == {False}


def test_a_discount_without_grants_lists_none(harness: ServiceHarness) -> None:
    assert harness.pages_of_grants(harness.create(total=1_000_000).id, 10) == [[]]


@pytest.mark.parametrize("limit", [3, 15])
def test_few_grants_of_a_million_codes_are_found(harness: ServiceHarness, limit: int) -> None:
    found = harness.create(total=1_000_000)
    held = {each.user_id: each.code for each in harness.grant_all(found.id, 15)}
    listed = flat(harness.pages_of_grants(found.id, limit))
    assert [each.user_id for each in listed] == sorted(held, key=lambda user: keys.grant_bucket(user, 8192))
    assert {each.user_id: each.code for each in listed} == held


def test_a_page_of_few_grants_of_a_million_codes_takes_few_round_trips(harness: ServiceHarness) -> None:
    found = harness.create(total=1_000_000)
    harness.grant_all(found.id, 40)
    with mock.patch.object(harness.store, "commands", wraps=harness.store.commands) as sent:
        assert len(grant_lists.list_page(harness.store, found.id).items) == 40
    assert sent.call_count < 60


def test_a_grant_made_while_paging_hides_none_that_was_there(harness: ServiceHarness) -> None:
    found = harness.create(total=100)
    held = {each.user_id for each in harness.grant_all(found.id, 10)}
    seen: list[str] = []
    cursor: str | None = None
    for number in range(100):
        page = grant_lists.list_page(harness.store, found.id, limit=2, cursor=cursor)
        seen += [each.user_id for each in page.items]
        harness.grant(found.id, f"Late {number}")
        cursor = page.next
        if cursor is None:
            break
    assert {user: seen.count(user) for user in held} == dict.fromkeys(held, 1)
    assert len(set(seen)) == len(seen)


def test_the_grants_of_a_user_are_listed_across_all_brands(harness: ServiceHarness) -> None:
    made = [harness.create(brand=BRANDS[number * 5 % PARTITIONS]) for number in range(25)]
    held = {harness.grant(each.id).code for each in made}
    harness.grant(made[0].id, "User 2")
    for limit in (1, 2, 7, 24, 25, 26):
        listed = flat(harness.pages_of_user("User 1", limit))
        assert len(listed) == 25
        assert {each.code for each in listed} == held
        assert {each.user_id for each in listed} == {"User 1"}


def test_the_grants_of_a_user_at_one_brand_are_listed_oldest_first(harness: ServiceHarness) -> None:
    one, other = [brand for brand in (f"b{n}" for n in range(200)) if keys.partition_of(brand, PARTITIONS) == 5][:2]
    made = [harness.create(brand=brand) for brand in (one, other) * 6]
    for each in made:
        harness.grant(each.id)
    for limit in (1, 2, 5, 6, 7):
        assert [each.discount_id for each in flat(harness.pages_of_user("User 1", limit, one))] == [
            each.id for each in made[::2]
        ]


def test_more_discounts_than_are_read_at_once_are_listed(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_grants, "CANDIDATES", 3)
    for _ in range(10):
        harness.grant(harness.create().id)
    for limit in (1, 3, 4, 10):
        assert len(flat(harness.pages_of_user("User 1", limit))) == 10


def test_a_user_without_grants_holds_nothing(harness: ServiceHarness) -> None:
    harness.grant(harness.create().id)
    assert harness.pages_of_user("User 2", 10) == [[]]
    assert harness.pages_of_user("User 1", 10, "Other brand") == [[]]


def test_a_cursor_of_another_list_is_refused(harness: ServiceHarness) -> None:
    found = harness.create()
    harness.grant(found.id)
    for cursor in ("x", make_cursor(0, "a"), make_cursor(0, "-1"), make_cursor(1, "1.5")):
        with pytest.raises(Invalid, match="cursor is not a cursor"):
            user_grants.list_of_user(harness.store, "User 1", cursor=cursor)
    with pytest.raises(Invalid, match="cursor is not a cursor"):
        grant_lists.list_page(harness.store, found.id, cursor="x")


def test_a_cursor_of_a_bucket_far_away_is_an_empty_page(harness: ServiceHarness) -> None:
    found = harness.create(total=1000)
    harness.grant_all(found.id, 10)
    page = grant_lists.list_page(harness.store, found.id, cursor=make_cursor(10**16 - 1, "x"))
    assert (page.items, page.next) == ([], None)


def test_a_pool_that_others_keep_emptying_is_unavailable(harness: ServiceHarness) -> None:
    found = harness.create(total=2500)
    harness.redis.delete(keys.codes(int(found.id[4:6], 16), found.id))
    with mock.patch.object(code_pools, "refill") as refill, pytest.raises(Unavailable):
        harness.grant(found.id)
    assert refill.call_count == grants.REFILLS
    with mock.patch.object(code_pools, "refill"), pytest.raises(Unavailable):
        grants.grant_many(harness.store, found.id, ["User 1", "User 2"])
    harness.redis.hset(keys.discount(int(found.id[4:6], 16), found.id), "made", 0)
