"""Limits: exact, changeable at any time, by the days and weeks of a time zone."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from discount.domain import code_kinds
from discount.domain.errors import AlreadyRedeemed, LimitReached, Refusal
from discount.domain.model import Discount, Redemption
from discount.domain.rules import (
    LIMITS,
    LimitName,
    Order,
    Rule,
)
from discount.services import redemption_lists, redemptions
from discount.services.checkouts import Checkout
from discount.services.verdicts import Verdict
from discount.store import keys
from tests.services.harness import SECOND, ServiceHarness, partition_of
from tests.support import records

CODE = "SUMMER-26"
OF_DAYS: tuple[LimitName, ...] = ("per_user_per_day", "per_user_per_week")
#: Two zones whose clocks are 26 hours apart: never on the same day.
WEST, EAST = "Etc/GMT+12", "Pacific/Kiritimati"


@pytest.fixture(autouse=True)
def counts_agree(harness: ServiceHarness) -> Iterator[None]:
    yield
    for found in shown(harness):
        check_counts(harness, found)


def check_counts(harness: ServiceHarness, found: Discount) -> None:
    """Check that the counts match the redemptions and none is negative."""
    made = list(redemption_lists.list_all(harness.store, found.id))
    states = Counter(each.state for each in made)
    assert (found.redeemed_count, found.on_hold_count) == (states["redeemed"], states["held"])
    assert found.rolled_back_count == states["rolled-back"]
    assert {min(each.orders, each.discounts) >= 0 for each in found.sums.values()} <= {True}
    used = int(harness.redis.hget(keys.discount(partition_of(found.id), found.id), "used") or 0)
    assert used == states["redeemed"] if found.returns_use else used >= states["redeemed"]
    for user, text in uses_of(harness, found.id).items():
        own, day, of_day, week, of_week = text.split()[:5]
        counts = (int(own), int(of_day), int(of_week))
        standing = count_standing(harness, found.id, user, day, week)
        assert counts == standing if found.returns_use else min(counts) >= 0


def count_standing(harness: ServiceHarness, discount_id: str, user: str, day: str, week: str) -> tuple[int, int, int]:
    """Count the uses of a user in all, of a day and of a week."""
    made = redemption_lists.list_all(harness.store, discount_id, state="redeemed")
    of = [records.get(harness.redis, each.id) for each in made if each.user_id == user]
    return len(of), sum(each.day == day for each in of), sum(each.week == week for each in of)


def shown(harness: ServiceHarness) -> list[Discount]:
    return [harness.show(each) for each in harness.list_ids()]


def shared(harness: ServiceHarness, limits: Mapping[LimitName, int | None], **given: Any) -> str:
    """Create a discount with one code for all, in a zone where no day ends during the test; return its id."""
    kind = code_kinds.make("shared", None, {"code": given.pop("code", CODE)})
    found = {
        "total": None,
        "kind": kind,
        "rule": Rule(percent=1_000),
        "limits": limits,
        "timezone": where_it_is_noon(harness),
    }
    return harness.create(**(found | given)).id


def where_it_is_noon(harness: ServiceHarness) -> str:
    hours = 12 - datetime.fromtimestamp(harness.now() // SECOND, UTC).hour
    return f"Etc/GMT{-hours:+d}" if hours else "UTC"


def attempt(discount_id: str, order: str, user: str = "User 1") -> Checkout:
    return Checkout(user, CODE, Order(order, 5000, "EUR"), discount_id=discount_id)


def redeem(
    harness: ServiceHarness, discount_id: str, order: str, user: str = "User 1", hold: int | None = None
) -> Redemption:
    return redemptions.redeem(harness.store, attempt(discount_id, order, user), hold_seconds=hold)


def validate(harness: ServiceHarness, discount_id: str, user: str = "User 1") -> Verdict:
    return redemptions.validate(harness.store, attempt(discount_id, "never", user))


def left(harness: ServiceHarness, discount_id: str, user: str = "User 1") -> Mapping[LimitName, int]:
    return validate(harness, discount_id, user).left


def refused(
    harness: ServiceHarness, discount_id: str, user: str = "User 1", kind: type[Refusal] = LimitReached
) -> dict[str, Any]:
    """Check that another order of the user is refused and changes nothing; return the facts."""
    before = harness.state()
    with pytest.raises(kind) as caught:
        redeem(harness, discount_id, "never", user)
    assert type(caught.value) is kind
    assert harness.state() == before
    return caught.value.facts


def uses_of(harness: ServiceHarness, discount_id: str) -> dict[str, str]:
    """Return the stored uses of all users."""
    found: dict[str, str] = {}
    for name in harness.redis.keys(keys.uses(partition_of(discount_id), discount_id, 0)[:-1] + "*"):
        found |= harness.redis.hgetall(name)
    return found


def let_days_pass(harness: ServiceHarness, discount_id: str, days: int) -> None:
    """Move all uses and holds of a discount some days back; holds keep their length."""
    check_counts(harness, harness.show(discount_id))
    partition = partition_of(discount_id)

    def moved(day: str) -> tuple[str, str]:
        then = date.fromisoformat(day) - timedelta(days=days)
        year, week, _ = then.isocalendar()
        return f"{then:%Y%m%d}", f"{year}{week:02d}"

    for redemption_id in records.of_discount(harness.redis, discount_id):
        day, week = moved(records.get(harness.redis, redemption_id).day)
        records.change(harness.redis, redemption_id, day=day, week=week)
    for name in harness.redis.keys(keys.uses(partition, discount_id, 0)[:-1] + "*"):
        for user, text in harness.redis.hgetall(name).items():
            day, week = moved(text.split()[1])
            used, of_day, of_week = count_standing(harness, discount_id, user, day, week)
            holds = [each.split(",") for each in text.split()[5:]]
            words = [",".join((each[0], each[1], *moved(each[2]))) for each in holds]
            harness.redis.hset(name, user, " ".join(map(str, (used, day, of_day, week, of_week, *words))))


def let_end(harness: ServiceHarness, held: Redemption) -> None:
    """Move the end of a hold to now, in Redis."""
    partition = partition_of(held.discount_id)
    until, now = f"{held.hold_until:016d}", f"{harness.now():016d}"
    records.change(harness.redis, held.id, hold_until=now)
    harness.redis.zadd(keys.holds(partition, held.discount_id), {held.id: now})
    for name in harness.redis.keys(keys.uses(partition, held.discount_id, 0)[:-1] + "*"):
        for user, text in harness.redis.hgetall(name).items():
            harness.redis.hset(name, user, text.replace(f"{held.id},{until}", f"{held.id},{now}"))


def local(moment: int, zone: str) -> datetime:
    return datetime.fromtimestamp(moment // SECOND, ZoneInfo(zone))


def same_week(harness: ServiceHarness, discount_id: str, days: int) -> bool:
    """Return whether the day some days ago is of this week."""
    return local(harness.now(), harness.show(discount_id).timezone).weekday() >= days


# Exact limits


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("hold", [None, 600], ids=["redeemed", "confirmed"])
def test_a_limit_allows_exactly_its_number_of_redemptions(
    harness: ServiceHarness, limit: LimitName, most: int, hold: int | None
) -> None:
    discount_id = shared(harness, {limit: most})
    made = [
        redemptions.confirm(harness.store, redeem(harness, discount_id, f"A-{n}", hold=hold).id) for n in range(most)
    ]
    assert [each.left for each in made] == [{limit: most - 1 - n} for n in range(most)]
    once = limit == "per_user" and most == 1
    assert refused(harness, discount_id, kind=AlreadyRedeemed if once else LimitReached)["limit"] == limit
    assert left(harness, discount_id) == {limit: 0}
    if limit == "total":
        assert refused(harness, discount_id, "User 2")["limit"] == "total"
    else:
        assert redeem(harness, discount_id, "B-1", "User 2").left == {limit: most - 1}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_of_zero_refuses_everyone(harness: ServiceHarness, limit: LimitName) -> None:
    discount_id = shared(harness, {limit: 0})
    for user in ("User 1", "User 2"):
        assert refused(harness, discount_id, user) == {"limit": limit}
        assert left(harness, discount_id, user) == {limit: 0}
    with pytest.raises(LimitReached):
        redeem(harness, discount_id, "A-1", hold=600)


def test_without_a_limit_nothing_is_shown_as_left(harness: ServiceHarness) -> None:
    discount_id = shared(harness, dict.fromkeys(LIMITS))
    assert harness.show(discount_id).limits == {}
    for number in range(5):
        assert not redeem(harness, discount_id, f"A-{number}").left
    assert not left(harness, discount_id)


def test_a_user_redeems_once_by_default(harness: ServiceHarness) -> None:
    discount_id = harness.create(total=None, kind=code_kinds.make("shared", None, {"code": CODE})).id
    assert harness.show(discount_id).limits == {"per_user": 1}
    redeem(harness, discount_id, "A-1")
    assert refused(harness, discount_id, kind=AlreadyRedeemed) == {"limit": "per_user"}
    assert redeem(harness, discount_id, "A-2", "User 2").state == "redeemed"


def test_a_large_limit_is_shown_exactly(harness: ServiceHarness) -> None:
    most = 10**9
    discount_id = shared(harness, dict.fromkeys(LIMITS, most))
    assert redeem(harness, discount_id, "A-1").left == dict.fromkeys(LIMITS, most - 1)


def test_uses_of_another_discount_do_not_count(harness: ServiceHarness) -> None:
    one, other = shared(harness, dict.fromkeys(LIMITS, 1)), shared(harness, dict.fromkeys(LIMITS, 1), code="AUTUMN")
    redeem(harness, one, "A-1")
    assert refused(harness, one)["limit"] == "total"
    last = Checkout("User 1", "AUTUMN", Order("A-2", 1, "EUR"), discount_id=other)
    assert redemptions.redeem(harness.store, last).left == dict.fromkeys(LIMITS, 0)


# Changed limits


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_is_changed_up_and_down_at_any_time(harness: ServiceHarness, limit: LimitName) -> None:
    discount_id = shared(harness, {limit: 1})
    redeem(harness, discount_id, "A-1")
    assert harness.change(discount_id, limits={limit: 3}).limits == {limit: 3}
    redeem(harness, discount_id, "A-2")
    redeem(harness, discount_id, "A-3")
    for most, remaining in ((3, 0), (2, 0), (0, 0), (1, 0), (4, 1), (10, 7)):
        harness.change(discount_id, limits={limit: most})
        assert left(harness, discount_id) == {limit: remaining}
        if not remaining:
            once = limit == "per_user" and most == 1
            assert refused(harness, discount_id, kind=AlreadyRedeemed if once else LimitReached)["limit"] == limit
    harness.change(discount_id, limits={limit: 4})
    assert redeem(harness, discount_id, "A-4").left == {limit: 0}
    refused(harness, discount_id)


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_set_late_counts_earlier_redemptions(harness: ServiceHarness, limit: LimitName) -> None:
    discount_id = shared(harness, {})
    for number in range(3):
        redeem(harness, discount_id, f"A-{number}")
    harness.change(discount_id, limits={limit: 4})
    assert redeem(harness, discount_id, "A-3").left == {limit: 0}
    refused(harness, discount_id)
    harness.change(discount_id, limits={limit: None})
    assert not redeem(harness, discount_id, "A-4").left


def test_a_change_of_one_limit_leaves_the_others(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"total": 9, "per_user": 2})
    redeem(harness, discount_id, "A-1")
    assert harness.change(discount_id, limits={"per_user_per_day": 5}).limits == {
        "total": 9,
        "per_user": 2,
        "per_user_per_day": 5,
    }
    assert harness.change(discount_id, limits={"per_user": None}).limits == {"total": 9, "per_user_per_day": 5}
    assert harness.change(discount_id, limits={}).limits == {"total": 9, "per_user_per_day": 5}
    assert left(harness, discount_id) == {"total": 8, "per_user_per_day": 4}


@pytest.mark.parametrize("limit", LIMITS)
def test_rollbacks_below_a_lowered_limit_open_it_again(harness: ServiceHarness, limit: LimitName) -> None:
    discount_id = shared(harness, {limit: 4})
    made = [redeem(harness, discount_id, f"A-{n}") for n in range(4)]
    harness.change(discount_id, limits={limit: 2})
    for each, remaining in zip(made, (0, 0, 1, 2), strict=True):
        redemptions.roll_back(harness.store, each.id)
        assert left(harness, discount_id) == {limit: remaining}
    for each in made:
        redemptions.roll_back(harness.store, each.id)
    assert left(harness, discount_id) == {limit: 2}


def test_a_repeated_redemption_shows_the_uses_left_at_that_time(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"total": 5})
    redeem(harness, discount_id, "A-1")
    harness.change(discount_id, limits={"total": 0, "per_user": 0})
    assert redeem(harness, discount_id, "A-1").left == {"total": 4}


# Days and weeks


@pytest.mark.parametrize("limit", OF_DAYS)
@pytest.mark.parametrize("zone", [WEST, EAST, "UTC", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"])
def test_a_limit_opens_at_a_midnight_of_its_zone(harness: ServiceHarness, limit: LimitName, zone: str) -> None:
    discount_id = shared(harness, {limit: 1}, timezone=zone)
    for _ in range(2):
        made = redeem(harness, discount_id, f"A-{harness.now()}", f"User {harness.now()}")
        facts = refused(harness, discount_id, made.user_id)
        if local(made.redeemed_at, zone).date() == local(harness.now(), zone).date():
            break
    today = local(made.redeemed_at, zone).date()
    opens = today + timedelta(days=1 if limit == "per_user_per_day" else 7 - today.weekday())
    midnight = datetime(opens.year, opens.month, opens.day, tzinfo=ZoneInfo(zone))
    assert facts == {"limit": limit, "opens_at": f"{int(midnight.timestamp()) * SECOND:016d}"}


def test_a_use_is_of_the_day_and_week_of_the_discount_s_zone(harness: ServiceHarness) -> None:
    days = []
    for zone in (WEST, EAST):
        discount_id = shared(harness, {}, timezone=zone, code=zone)
        paid = Order(zone, 5000, "EUR")
        made = redemptions.redeem(harness.store, Checkout("User 1", zone, paid, discount_id=discount_id))
        record = records.get(harness.redis, made.id)
        then = local(made.redeemed_at, zone).date()
        iso = then.isocalendar()
        assert (record.day, record.week) == (f"{then:%Y%m%d}", f"{iso.year}{iso.week:02d}")
        days.append(record.day)
    assert days[0] < days[1]


def test_uses_of_yesterday_do_not_count_today(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"total": 9, "per_user": 5, "per_user_per_day": 2, "per_user_per_week": 4})
    for number in range(2):
        redeem(harness, discount_id, f"A-{number}")
    assert refused(harness, discount_id)["limit"] == "per_user_per_day"
    let_days_pass(harness, discount_id, 1)
    of_week = 2 if same_week(harness, discount_id, 1) else 4
    assert left(harness, discount_id) == {
        "total": 7,
        "per_user": 3,
        "per_user_per_day": 2,
        "per_user_per_week": of_week,
    }
    left_now = redeem(harness, discount_id, "A-2").left
    assert left_now == {"total": 6, "per_user": 2, "per_user_per_day": 1, "per_user_per_week": of_week - 1}


def test_uses_of_last_week_do_not_count_this_week(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"per_user": 5, "per_user_per_week": 2})
    for number in range(2):
        redeem(harness, discount_id, f"A-{number}")
    assert refused(harness, discount_id)["limit"] == "per_user_per_week"
    let_days_pass(harness, discount_id, 7)
    assert redeem(harness, discount_id, "A-2").left == {"per_user": 2, "per_user_per_week": 1}


def test_every_day_opens_the_limit_of_a_day_again(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"per_user_per_day": 1})
    for day in range(10):
        redeem(harness, discount_id, f"A-{day}")
        assert refused(harness, discount_id)["limit"] == "per_user_per_day"
        let_days_pass(harness, discount_id, 1)
    assert harness.show(discount_id).redeemed_count == 10


@pytest.mark.parametrize("limit", OF_DAYS)
@pytest.mark.parametrize("hold", [None, 600], ids=["redeemed", "confirmed"])
def test_a_clock_that_went_back_over_midnight_opens_no_limit(
    harness: ServiceHarness, limit: LimitName, hold: int | None
) -> None:
    discount_id = shared(harness, {limit: 2})
    redeem(harness, discount_id, "A-1")
    let_days_pass(harness, discount_id, -7)
    made = redemptions.confirm(harness.store, redeem(harness, discount_id, "A-2", hold=hold).id)
    assert refused(harness, discount_id)["limit"] == limit
    redemptions.roll_back(harness.store, made.id)
    assert left(harness, discount_id) == {limit: 1}


def test_a_limit_of_a_week_counts_the_days_since_monday(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"per_user_per_week": 20})
    for day in range(10):
        redeem(harness, discount_id, f"A-{day}")
        let_days_pass(harness, discount_id, 1)
    days = local(harness.now(), harness.show(discount_id).timezone).weekday()
    assert left(harness, discount_id) == {"per_user_per_week": 20 - days}


@pytest.mark.parametrize("hold", [None, 600], ids=["redeemed", "confirmed"])
def test_a_rollback_returns_to_the_day_and_week_of_its_use_only(harness: ServiceHarness, hold: int | None) -> None:
    limits: dict[LimitName, int | None] = {"per_user": 9, "per_user_per_day": 5, "per_user_per_week": 7}
    discount_id = shared(harness, limits)

    def used(order: str) -> Redemption:
        return redemptions.confirm(harness.store, redeem(harness, discount_id, order, hold=hold).id)

    of_last_week = used("A-1")
    let_days_pass(harness, discount_id, 6)
    of_yesterday = used("A-2")
    let_days_pass(harness, discount_id, 1)
    today = used("A-3")
    in_week = int(same_week(harness, discount_id, 1))
    assert left(harness, discount_id) == {"per_user": 6, "per_user_per_day": 4, "per_user_per_week": 6 - in_week}
    redemptions.roll_back(harness.store, of_last_week.id)
    assert left(harness, discount_id) == {"per_user": 7, "per_user_per_day": 4, "per_user_per_week": 6 - in_week}
    redemptions.roll_back(harness.store, of_yesterday.id)
    assert left(harness, discount_id) == {"per_user": 8, "per_user_per_day": 4, "per_user_per_week": 6}
    redemptions.roll_back(harness.store, today.id)
    assert left(harness, discount_id) == limits


def test_a_rollback_on_the_next_day_returns_nothing_to_that_day(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"per_user": 3, "per_user_per_day": 1})
    made = redeem(harness, discount_id, "A-1")
    let_days_pass(harness, discount_id, 1)
    redemptions.roll_back(harness.store, made.id)
    assert left(harness, discount_id) == {"per_user": 3, "per_user_per_day": 1}
    redeem(harness, discount_id, "A-2")
    assert refused(harness, discount_id)["limit"] == "per_user_per_day"


@pytest.mark.parametrize("limit", LIMITS)
def test_a_use_that_is_not_returned_counts_in_every_limit(harness: ServiceHarness, limit: LimitName) -> None:
    discount_id = shared(harness, {limit: 2}, returns_use=False)
    for number in range(2):
        redemptions.roll_back(harness.store, redeem(harness, discount_id, f"A-{number}").id)
    assert left(harness, discount_id) == {limit: 0}
    assert refused(harness, discount_id)["limit"] == limit
    harness.change(discount_id, limits={limit: 3})
    assert redeem(harness, discount_id, "A-2").left == {limit: 0}


# Several limits


def test_all_reached_limits_are_reported_and_the_first_one_refuses(harness: ServiceHarness) -> None:
    discount_id = shared(harness, dict.fromkeys(LIMITS, 2))
    redeem(harness, discount_id, "A-1")
    assert validate(harness, discount_id) == Verdict(discount_id, 500, dict.fromkeys(LIMITS, 1), [])
    redeem(harness, discount_id, "A-2")
    verdict = validate(harness, discount_id)
    assert [(each.slug, each.facts["limit"]) for each in verdict.reasons] == [
        ("limit-reached", each) for each in LIMITS
    ]
    assert [sorted(each.facts) for each in verdict.reasons] == [["limit"], ["limit"], *[["limit", "opens_at"]] * 2]
    for limit in LIMITS:
        assert refused(harness, discount_id)["limit"] == limit
        harness.change(discount_id, limits={limit: 3})
    assert redeem(harness, discount_id, "A-3").left == dict.fromkeys(LIMITS, 0)


def test_the_tightest_of_the_limits_holds(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"total": 4, "per_user": 3, "per_user_per_week": 2, "per_user_per_day": 1})
    redeem(harness, discount_id, "A-1")
    assert refused(harness, discount_id)["limit"] == "per_user_per_day"
    harness.change(discount_id, limits={"per_user_per_day": None})
    redeem(harness, discount_id, "A-2")
    assert refused(harness, discount_id)["limit"] == "per_user_per_week"
    harness.change(discount_id, limits={"per_user_per_week": None})
    redeem(harness, discount_id, "A-3")
    assert refused(harness, discount_id) == {"limit": "per_user"}
    redeem(harness, discount_id, "B-1", "User 2")
    assert refused(harness, discount_id, "User 2") == refused(harness, discount_id, "User 3") == {"limit": "total"}


def test_already_redeemed_is_reported_only_for_a_limit_of_one(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"per_user": 2})
    redeem(harness, discount_id, "A-1")
    redeem(harness, discount_id, "A-2")
    assert refused(harness, discount_id) == {"limit": "per_user"}
    harness.change(discount_id, limits={"per_user": 1})
    assert refused(harness, discount_id, kind=AlreadyRedeemed) == {"limit": "per_user"}
    harness.change(discount_id, limits={"per_user": 0})
    assert refused(harness, discount_id) == refused(harness, discount_id, "User 2") == {"limit": "per_user"}


# Holds


@pytest.mark.parametrize("limit", LIMITS)
def test_a_hold_is_counted_in_every_limit_until_it_is_over(harness: ServiceHarness, limit: LimitName) -> None:
    discount_id = shared(harness, {limit: 3})
    held = [redeem(harness, discount_id, f"A-{n}", hold=600) for n in range(3)]
    assert [each.left[limit] for each in held] == [2, 1, 0]
    redemptions.confirm(harness.store, held[0].id)
    # Of the other two one gives way to their holder's next order.
    assert validate(harness, discount_id) == Verdict(discount_id, 500, {limit: 1}, [])
    let_end(harness, held[1])
    assert validate(harness, discount_id) == Verdict(discount_id, 500, {limit: 1}, [])
    redemptions.roll_back(harness.store, held[2].id)
    assert left(harness, discount_id) == {limit: 2}
    assert redeem(harness, discount_id, "A-3", hold=600).left == {limit: 1}


def test_others_holds_fill_the_total_until_the_first_of_them_ends(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"total": 3})
    redeem(harness, discount_id, "A-1")
    late = redeem(harness, discount_id, "A-2", "User 2", hold=900)
    soon = redeem(harness, discount_id, "A-3", "User 3", hold=600)
    assert refused(harness, discount_id) == {"limit": "total", "opens_at": f"{soon.hold_until:016d}"}
    redemptions.confirm(harness.store, soon.id)
    assert refused(harness, discount_id) == {"limit": "total", "opens_at": f"{late.hold_until:016d}"}
    let_end(harness, late)
    assert redeem(harness, discount_id, "A-4").left == {"total": 0}
    assert refused(harness, discount_id) == {"limit": "total"}


def test_a_total_that_was_lowered_opens_when_enough_holds_have_ended(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"total": 4})
    redeem(harness, discount_id, "B-1", "User 9")
    held = [redeem(harness, discount_id, f"A-{n}", f"User {n + 2}", hold=900 - 100 * n) for n in range(3)]
    for most, opens in ((4, held[2]), (3, held[1]), (2, held[0])):
        harness.change(discount_id, limits={"total": most})
        assert refused(harness, discount_id) == {"limit": "total", "opens_at": f"{opens.hold_until:016d}"}
    harness.change(discount_id, limits={"total": 1})
    assert refused(harness, discount_id) == {"limit": "total"}


def test_a_total_opens_to_a_holder_once_enough_other_holds_end(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"total": 3})
    users = [("User 1", 900), ("User 2", 600), ("User 3", 300)]
    held = {user: redeem(harness, discount_id, f"A-{user}", user, hold=seconds).hold_until for user, seconds in users}
    harness.change(discount_id, limits={"total": 1})
    for user, opens in (("User 1", "User 2"), ("User 2", "User 1"), ("User 3", "User 1"), ("User 4", "User 1")):
        assert refused(harness, discount_id, user) == {"limit": "total", "opens_at": f"{held[opens]:016d}"}


def test_a_used_up_total_never_opens_despite_holds(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"total": 3})
    redeem(harness, discount_id, "A-1")
    redeem(harness, discount_id, "A-2", "User 2", hold=600)
    harness.change(discount_id, limits={"total": 1})
    assert refused(harness, discount_id, "User 3") == {"limit": "total"}
    assert refused(harness, discount_id, "User 2") == {"limit": "total"}


def test_a_hold_confirmed_later_counts_on_the_day_it_was_made(harness: ServiceHarness) -> None:
    limits: dict[LimitName, int | None] = {"per_user": 9, "per_user_per_day": 2, "per_user_per_week": 9}
    discount_id = shared(harness, limits)
    held = [redeem(harness, discount_id, f"A-{n}", hold=600) for n in range(2)]
    let_days_pass(harness, discount_id, 7)
    assert left(harness, discount_id) == {"per_user": 7, "per_user_per_day": 2, "per_user_per_week": 9}
    redemptions.confirm(harness.store, held[0].id)
    assert left(harness, discount_id) == {"per_user": 7, "per_user_per_day": 2, "per_user_per_week": 9}
    redeem(harness, discount_id, "A-2")
    redemptions.confirm(harness.store, held[1].id)
    assert left(harness, discount_id) == {"per_user": 6, "per_user_per_day": 1, "per_user_per_week": 8}
    for each in held:
        redemptions.roll_back(harness.store, each.id)
    assert left(harness, discount_id) == {"per_user": 8, "per_user_per_day": 1, "per_user_per_week": 8}


def test_a_hold_of_yesterday_does_not_give_way_to_a_use_of_today(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"per_user_per_day": 1})
    held = redeem(harness, discount_id, "A-1", hold=600)
    let_days_pass(harness, discount_id, 1)
    redeem(harness, discount_id, "A-2")
    assert redemptions.show(harness.store, held.id).state == "held"
    assert redemptions.confirm(harness.store, held.id).state == "redeemed"


@pytest.mark.parametrize("limit", LIMITS[1:])
def test_own_holds_give_way_to_an_order_that_a_limit_of_the_user_would_refuse(
    harness: ServiceHarness, limit: LimitName
) -> None:
    discount_id = shared(harness, {limit: 2})
    redeem(harness, discount_id, "A-1")
    held = redeem(harness, discount_id, "A-2", hold=600)
    assert redeem(harness, discount_id, "A-3").left == {limit: 0}
    assert redemptions.show(harness.store, held.id).state == "released"
    assert refused(harness, discount_id)["limit"] == limit


def test_a_hold_that_gave_way_or_ended_is_not_given_back_twice(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"total": 2, "per_user": 2})
    held = [redeem(harness, discount_id, f"A-{n}", hold=600) for n in range(2)]
    redeem(harness, discount_id, "A-2")
    for each in held:
        redemptions.roll_back(harness.store, each.id)
    assert left(harness, discount_id) == {"total": 1, "per_user": 1}
    last = redeem(harness, discount_id, "A-3", hold=600)
    let_end(harness, last)
    redemptions.roll_back(harness.store, last.id)
    assert left(harness, discount_id) == {"total": 1, "per_user": 1}


def test_ended_holds_are_deleted_when_another_is_made(harness: ServiceHarness) -> None:
    discount_id = shared(harness, {"total": 9})
    for number in range(5):
        let_end(harness, redeem(harness, discount_id, f"A-{number}", hold=600))
    last = redeem(harness, discount_id, "A-5", hold=600)
    (text,) = uses_of(harness, discount_id).values()
    assert [each.split(",")[0] for each in text.split()[5:]] == [last.id]
    assert harness.redis.zrange(keys.holds(partition_of(discount_id), discount_id), 0, -1) == [last.id]


def test_a_confirm_counts_beyond_a_limit_that_was_lowered_meanwhile(harness: ServiceHarness) -> None:
    discount_id = shared(harness, dict.fromkeys(LIMITS, 2))
    held = [redeem(harness, discount_id, f"A-{n}", hold=600) for n in range(2)]
    harness.change(discount_id, limits=dict.fromkeys(LIMITS, 0))
    for each in held:
        assert redemptions.confirm(harness.store, each.id).state == "redeemed"
    assert left(harness, discount_id) == dict.fromkeys(LIMITS, 0)
    harness.change(discount_id, limits=dict.fromkeys(LIMITS, 3))
    assert left(harness, discount_id) == dict.fromkeys(LIMITS, 1)
