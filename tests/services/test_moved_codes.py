"""Codes that are moved in with their users and uses: exact counts, however often and however interrupted."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discount.domain.code_kinds import CodeKind
from discount.domain.errors import AlreadyRedeemed, Closed, LimitReached, QuotaReached, Unavailable, WrongKind
from discount.domain.model import Discount
from discount.domain.releases import Release
from discount.domain.rules import Order, Rule
from discount.domain.windows import Window
from discount.services import (
    moved_codes,
    quotas,
    redemption_lists,
    redemptions,
    revocations,
    user_grants,
    waiting_lists,
)
from discount.services.checkouts import Checkout
from discount.services.code_pools import Line
from discount.services.moved_codes import MovedCode, Report
from discount.store.connection import Store
from discount.store.quotas import Quotas
from tests.services.harness import SECOND, ServiceHarness, fake_harness, real_harness
from tests.support import records
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer

IMPORTED = CodeKind("imported")
SHARED = CodeKind("shared", code="SALE")
#: A day in 2023.
PAST = 1_700_000_000 * SECOND


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shrink slices to three lines or uses, two at a time."""
    monkeypatch.setattr(moved_codes, "AT_ONCE", 3)
    monkeypatch.setattr(moved_codes, "CALLS", 2)


def held(code: str, user: str, **more: Any) -> MovedCode:
    return MovedCode(code, user, **({"granted_at": PAST} | more))


def move(harness: ServiceHarness, discount: Discount, *lines: MovedCode | str, **more: Any) -> Report:
    return moved_codes.move_in(harness.store, discount.id, enumerate(lines, 2), **more)


def counts(discount: Discount) -> tuple[int | None, int, int]:
    return discount.total_count, discount.granted_count, discount.redeemed_count


def redeem(harness: ServiceHarness, discount: Discount, user: str, code: str, order: str = "new") -> str:
    checkout = Checkout(user, code, Order(order, 1000, "EUR"), discount_id=discount.id)
    return redemptions.redeem(harness.store, checkout).id


def test_users_hold_their_codes_with_the_time_and_the_uses_of_before(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED, limits={"per_user": 3})
    report = move(
        harness,
        found,
        held("A-1", "ann", uses=2),
        MovedCode("A-2"),
        held("A-3", "bob", uses=1, order_id="7", redeemed_at=PAST + 5, amount=900, currency="EUR", discount_amount=90),
        MovedCode("A-4", "eve"),
    )
    assert report == Report(granted_count=3, waiting_count=1, used_count=3)
    shown = harness.show(found.id)
    assert (counts(shown), shown.remaining_count, shown.used_count) == ((4, 3, 3), 1, 3)
    assert (shown.sums["EUR"].orders, shown.sums["EUR"].discounts) == (900, 90)
    again = harness.grant(found.id, "ann")
    assert (again.code, again.granted_at, again.fresh) == ("A-1", PAST, False)
    assert harness.grant(found.id, "new").code == "A-2"
    used = redemption_lists.list_of_user(harness.store, "bob", brand_id="IKEA").items
    assert [(each.order, each.redeemed_at, each.state, each.code) for each in used] == [
        (Order("7", 900, "EUR"), PAST + 5, "redeemed", "A-3")
    ]
    assert redeem(harness, found, "ann", "a1")
    with pytest.raises(LimitReached):
        redeem(harness, found, "ann", "a1", "more")
    # An order of before is known: it gets its first answer, and can be rolled back.
    first = redemptions.redeem(harness.store, Checkout("bob", "A-3", Order("7", 900, "EUR"), discount_id=found.id))
    assert not first.fresh
    assert redemptions.roll_back(harness.store, first.id).state == "rolled-back"
    assert harness.show(found.id).sums["EUR"].orders == 1000


def test_the_same_file_again_changes_nothing(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    file = [held("A-1", "ann", uses=2), held("A-2", "bob"), MovedCode("A-3"), held("A-4", "eve", uses=1, order_id="x")]
    assert move(harness, found, *file).granted_count == 3
    before = harness.state()
    assert move(harness, found, *file) == Report(repeated_count=4)
    assert harness.state() == before
    # Two more uses are counted, the known ones are not.
    assert move(harness, found, held("A-1", "ann", uses=4)) == Report(used_count=2)
    assert counts(harness.show(found.id)) == (4, 3, 5)


def test_a_line_that_contradicts_what_is_there_is_refused_with_its_number_and_reason(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    late = harness.now() + 60 * SECOND
    move(harness, found, held("A-1", "ann", uses=1, order_id="1", amount=5, currency="EUR"), MovedCode("A-2"))
    before = harness.state()
    report = move(
        harness,
        found,
        held("A-9", "ann"),
        held("a 1", "bob"),
        held("A-2", "bob"),
        held("A-7", "kim", uses=1, order_id="1", amount=5, currency="EUR"),
        held("A-1", "ann", uses=1, order_id="1", amount=6, currency="EUR"),
        held("A-6", "kim", granted_at=late),
        held("A-6", "kim", uses=1, redeemed_at=late),
        held("-", "kim"),
        MovedCode("A-6", uses=1),
        "has more cells than the first line",
    )
    order = "the order was redeemed in another way"
    taken = "the code is another user's, or waits to be granted"
    assert [(each.line, each.reason) for each in report.lines] == [
        (2, "the user holds another code of this discount"),
        (3, taken),
        (4, taken),
        (5, order),
        (6, order),
        (7, "granted_at is in the future"),
        (8, "redeemed_at is in the future"),
        (9, "code has only spaces and dashes"),
        (10, "user_id is empty"),
        (11, "has more cells than the first line"),
    ]
    assert report.bad_count == 10
    assert harness.state() == before


@pytest.mark.parametrize("back", ["void", "pool"])
def test_a_code_that_was_taken_back_does_not_come_back_with_the_file(back: Any) -> None:
    harness = fake_harness()
    found = harness.create(kind=IMPORTED)
    move(harness, found, held("A-1", "ann"), held("A-2", "bob"))
    revocations.revoke(harness.store, found.id, "ann", back=back)
    revocations.revoke(harness.store, found.id, "bob", back=back, reissue=True)
    before = harness.state()
    assert [each.reason for each in move(harness, found, held("A-1", "ann"), held("A-2", "bob")).lines] == [
        "the code was taken back from this user",
        "the code is another user's, or waits to be granted",
    ]
    assert harness.state() == before


def test_the_first_hundred_refused_lines_are_named(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    report = move(harness, found, held("A", "ann"), held("B", "ann"), *["is bad"] * 150)
    assert (report.bad_count, report.granted_count) == (151, 1)
    assert report.lines[0] == Line(3, "the user holds another code of this discount")
    assert report.lines[1:] == [Line(number, "is bad") for number in range(4, 103)]


def test_users_of_a_shared_code_are_moved_in_up_to_its_total(harness: ServiceHarness) -> None:
    found = harness.create(total=2, kind=SHARED, limits={"per_user": 1})
    report = move(harness, found, held("sale", "ann", uses=1), held("", "bob"), held("OTHER", "kim"), held("", "zoe"))
    assert (report.granted_count, report.used_count) == (2, 1)
    assert report.lines == [
        Line(4, "code is not that of the discount"),
        Line(5, "the total of the discount is used up"),
    ]
    assert move(harness, found, held("", "")).lines == [Line(2, "user_id is empty")]
    assert counts(harness.show(found.id)) == (2, 2, 1)
    with pytest.raises(AlreadyRedeemed):
        redeem(harness, found, "ann", "SALE")
    assert redeem(harness, found, "bob", "SALE")


def test_only_codes_that_a_brand_has_made_can_be_moved_in(harness: ServiceHarness) -> None:
    for kind in ("unique", "personal"):
        with pytest.raises(WrongKind):
            move(harness, harness.create_kind(kind), held("A", "ann"))
    found = harness.create(kind=IMPORTED)
    harness.close(found.id)
    with pytest.raises(Closed):
        move(harness, found, held("A", "ann"))


def test_what_has_happened_counts_even_past_a_limit_and_limits_stop_what_follows(harness: ServiceHarness) -> None:
    now = harness.now() // SECOND * SECOND - 60 * SECOND
    for name in ("total", "per_user_per_day", "per_user_per_week", "per_month"):
        found = harness.create(total=None, kind=SHARED, limits={name: 2}, brand=f"Brand of {name}")
        assert move(harness, found, held("", "ann", uses=3, redeemed_at=now)).used_count == 3
        with pytest.raises(LimitReached):
            redeem(harness, found, "ann", "SALE")
        assert harness.show(found.id).used_count == 3
    windowed = harness.create(
        total=None, kind=SHARED, limits={}, bounds={"windows": [Window("P30D", 2)]}, brand="Brand of windows"
    )
    move(harness, windowed, held("", "ann", uses=1, redeemed_at=now), held("", "bob", uses=9, redeemed_at=PAST))
    move(harness, windowed, held("", "ann", uses=2, redeemed_at=now))
    with pytest.raises(LimitReached):
        redeem(harness, windowed, "ann", "SALE")
    assert redeem(harness, windowed, "bob", "SALE", "bob's")
    budget = harness.create(
        total=None, kind=SHARED, rule=Rule(percent=1000), limits={"per_user": None}, bounds={"amount": {"EUR": 1000}}
    )
    move(harness, budget, held("", "ann", uses=1, order_id="1", amount=9_950, currency="EUR", discount_amount=950))
    with pytest.raises(LimitReached):
        redeem(harness, budget, "ann", "SALE")
    assert harness.show(budget.id).sums["EUR"].discounts == 950


def test_uses_of_past_days_leave_the_limits_of_today_alone(harness: ServiceHarness) -> None:
    found = harness.create(total=None, kind=SHARED, limits={"per_user_per_day": 1, "per_month": 1})
    move(harness, found, held("", "ann", uses=2, redeemed_at=PAST))
    assert redeem(harness, found, "ann", "SALE")
    with pytest.raises(LimitReached):
        redeem(harness, found, "ann", "SALE", "second")


def test_moved_in_codes_count_against_what_a_brand_may_store_but_not_as_grants_of_a_day(
    harness: ServiceHarness,
) -> None:
    harness.store.quotas = Quotas({"codes": "3", "grants_a_day": "1"})
    found = harness.create(kind=IMPORTED)
    assert move(harness, found, *(held(f"A-{user}", f"{user}") for user in range(3))).granted_count == 3
    used = quotas.show(harness.store, "IKEA")
    assert (used["codes"].used, used["grants_a_day"].used) == (3, 0)
    with pytest.raises(QuotaReached):
        move(harness, found, held("A-9", "9"))
    assert move(harness, found, *(held(f"A-{user}", f"{user}") for user in range(3))).repeated_count == 3
    harness.store.quotas = Quotas({"stored_bytes": str(used["stored_bytes"].used + 379)})
    with pytest.raises(QuotaReached):
        move(harness, found, held("A-9", "9"))
    harness.store.quotas = Quotas({"stored_bytes": str(used["stored_bytes"].used + 380), "grants_a_day": "1"})
    assert move(harness, found, held("A-9", "9"), held("A-9", "9", uses=1)).granted_count == 1
    assert quotas.show(harness.store, "IKEA")["stored_bytes"].used == used["stored_bytes"].used + 380


def test_the_pace_of_a_release_is_for_codes_that_are_still_to_be_granted(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED, release=Release(harness.now() - SECOND, 1))
    move(harness, found, held("A-1", "ann"), held("A-2", "bob"), MovedCode("A-3"))
    assert harness.grant(found.id, "eve").code == "A-3"


def test_a_user_who_is_moved_in_waits_no_longer(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    for user in ("ann", "bob"):
        waiting_lists.wait(harness.store, found.id, user)
    move(harness, found, held("A-1", "ann"))
    assert harness.show(found.id).waiting_count == 1
    move(harness, found, MovedCode("A-2"))
    assert (harness.show(found.id).waiting_count, harness.grant(found.id, "bob").code) == (0, "A-2")


def test_a_user_can_be_moved_into_more_discounts_than_a_list_has_room_for(harness: ServiceHarness) -> None:
    made = [harness.create(kind=IMPORTED) for _ in range(11)]
    for found in made:
        move(harness, found, held(f"A-{found.number}", "ann", uses=1))
    grants = user_grants.list_of_user(harness.store, "ann", brand_id="IKEA").items
    assert [each.discount_id for each in grants] == [each.id for each in made]
    used = redemption_lists.list_of_user(harness.store, "ann", brand_id="IKEA").items
    assert {each.discount_id for each in used} == {each.id for each in made}
    # Without the discount, the checkout finds the code.
    checkout = Checkout("ann", f"A-{made[-1].number}", Order("o", 1, "EUR"), brand_id="IKEA")
    with pytest.raises(AlreadyRedeemed):
        redemptions.redeem(harness.store, checkout)


def test_uses_of_one_second_are_listed_and_found_by_the_retention_each(harness: ServiceHarness) -> None:
    found = harness.create(total=None, kind=SHARED)
    lines = [held("", f"user {number}", uses=2, redeemed_at=PAST) for number in range(100)]
    assert move(harness, found, *lines).used_count == 200
    listed = list(redemption_lists.list_all(harness.store, found.id))
    assert len({each.id for each in listed}) == 200
    assert len({each.redeemed_at for each in listed}) > 190
    old = redemption_lists.list_old(harness.store, found.id, 0, harness.now(), 1000)
    assert redemption_lists.drop(harness.store, found.id, old) == 200
    assert records.of_discount(harness.redis, found.id) == {}
    assert counts(harness.show(found.id)) == (None, 100, 200)


def test_events_say_that_something_was_imported_and_when_it_happened(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    move(harness, found, held("A-1", "ann", uses=1, redeemed_at=PAST + 7))
    move(harness, found, MovedCode("A-2"), held("A-3", "bob"), tells=True)
    named = [
        (each["type"], each.get("user"), each.get("imported"), each.get("granted_at") or each.get("redeemed_at"))
        for each in harness.events(found)[1:]
    ]
    assert named == [
        ("code.granted", "ann", "quiet", f"{PAST:016d}"),
        ("code.redeemed", "ann", "quiet", f"{PAST + 7:016d}"),
        ("codes.imported", None, None, None),
        ("code.granted", "bob", "told", f"{PAST:016d}"),
    ]


# Interrupted and repeated files


USERS = st.sampled_from(["", "ann", "bob", "eve", "Zoë"])
LINES = st.lists(
    st.builds(
        lambda user, **more: MovedCode(user_id=user, **(more if user else {"code": more["code"]})),
        USERS,
        code=st.sampled_from(["A", "B", "C", "D", "É"]),
        granted_at=st.just(PAST),
        uses=st.integers(0, 3),
        redeemed_at=st.sampled_from([PAST, PAST + SECOND, PAST - 40 * 86_400 * SECOND]),
    ),
    max_size=12,
)


def read_sorted(redis: Any, name: str) -> Any:
    """Return what a key holds, in an order that does not depend on the time."""
    kind = redis.type(name)
    if kind == "hash":
        return dict(sorted(redis.hgetall(name).items()))
    return sorted(redis.smembers(name)) if kind == "set" else redis.lrange(name, 0, -1)


def state_of(lines: Sequence[MovedCode], cuts: Sequence[int]) -> dict[str, Any]:
    """Return what is stored after the beginnings of a file were sent, and then all of it."""
    harness = fake_harness()
    found = harness.create(kind=IMPORTED, limits={"per_user": 2})
    for cut in cuts:
        move(harness, found, *lines[:cut])
    move(harness, found, *lines)
    harness.check()
    assert harness.show(found.id).redeemed_count == len(records.of_discount(harness.redis, found.id))
    stored: dict[str, Any] = {}
    for name in harness.redis.keys("*"):
        # Ids and times of the discount and of the events differ.
        if ":grants:" in name or ":uses:" in name or ":taken:" in name or ":codes" in name or ":users:" in name:
            short = name.replace(found.id, "").rpartition(":")[0] if ":taken:" not in name else "taken"
            stored.setdefault(short, []).append(read_sorted(harness.redis, name))
    for fields in stored.pop("{0c}:users", []):
        stored.setdefault("users", []).append(sorted(each for each in fields if not each.endswith("$")))
    shown = harness.show(found.id)
    stored["counts"] = (*counts(shown), shown.used_count, len(harness.events(found, "code.redeemed")))
    return {name: sorted(map(str, values)) for name, values in stored.items()}


@settings(max_examples=25, deadline=None)
@given(lines=LINES, cuts=st.lists(st.integers(0, 12), max_size=3))
def test_a_file_sent_twice_or_cut_anywhere_leaves_what_it_leaves_once(lines: list[MovedCode], cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(moved_codes, "AT_ONCE", 3)
        patched.setattr(moved_codes, "CALLS", 2)
        assert state_of(lines, cuts) == state_of(lines, [])


def file_of(count: int) -> Iterator[MovedCode]:
    return (held(f"A-{number}", f"user {number}", uses=number % 3) for number in range(count))


@pytest.mark.usefixtures("small")
def test_a_file_whose_sender_dies_goes_on_where_it_was(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED, limits={"per_user": 5})

    def dying(count: int) -> Iterator[tuple[int, MovedCode]]:
        yield from enumerate(list(file_of(20))[:count], 2)
        raise ConnectionError

    for count in (1, 5, 11, 19):
        with pytest.raises(ConnectionError):
            moved_codes.move_in(harness.store, found.id, dying(count))
        shown = harness.show(found.id)
        # Slices before the death stay whole.
        assert shown.granted_count <= count
        assert shown.redeemed_count == sum(number % 3 for number in range(shown.granted_count))
    report = move(harness, found, *file_of(20))
    assert report.granted_count + report.repeated_count == 20
    assert counts(harness.show(found.id)) == (20, 20, sum(number % 3 for number in range(20)))


@pytest.mark.usefixtures("small")
def test_a_file_whose_answers_are_lost_goes_on_where_it_was(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = harness.create(kind=IMPORTED, limits={"per_user": 5})
    run_many, calls = Store.run_many, 0

    def lose(store: Store, name: str, *rest: Any) -> Any:
        nonlocal calls
        done = run_many(store, name, *rest)
        calls += name == "move_in"
        if name == "move_in" and calls % 2:
            raise Unavailable("The answer is lost.")
        return done

    monkeypatch.setattr(Store, "run_many", lose)
    for _ in range(2):
        with pytest.raises(Unavailable):
            move(harness, found, *file_of(9))
    monkeypatch.undo()
    move(harness, found, *file_of(9))
    assert counts(harness.show(found.id)) == (9, 9, 9)


def test_two_uploads_of_one_file_at_once_count_each_code_once(redis_server: RedisServer) -> None:
    harness = real_harness(redis_server)
    found = harness.create(kind=IMPORTED, limits={"per_user": 5})
    lines = [*file_of(150), *(MovedCode(f"W-{number}") for number in range(50))]
    reports: list[Report] = []
    starts = threading.Barrier(2)

    def send() -> None:
        store = Store.at(redis_server.url, PATIENCE, harness.store.partitions)
        starts.wait(PATIENCE)
        reports.append(moved_codes.move_in(store, found.id, enumerate(lines, 2)))

    senders = [threading.Thread(target=send) for _ in range(2)]
    for each in senders:
        each.start()
    for each in senders:
        each.join(PATIENCE)
    harness.check()
    assert counts(harness.show(found.id)) == (200, 150, 150)
    sums = [sum(getattr(each, f"{name}_count") for each in reports) for name in ("granted", "waiting", "used", "bad")]
    assert sums == [150, 50, 150, 0]
    assert len(harness.events(found, "code.granted")) == 150
    assert len(harness.events(found, "code.redeemed")) == 150


def test_a_slice_holds_a_bounded_number_of_lines_and_uses(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = harness.create(total=None, kind=SHARED, limits={"per_user": None})
    seen: list[int] = []
    run_many = Store.run_many

    def watch(store: Store, name: str, calls: Any, *rest: Any) -> Any:
        seen.extend(len(names) for names, _ in calls if name == "move_in")
        return run_many(store, name, calls, *rest)

    monkeypatch.setattr(Store, "run_many", watch)
    lines = [held("", f"user {number}", uses=100 if number % 50 == 0 else 0) for number in range(120)]
    assert move(harness, found, *lines).used_count == 300
    # Keys: ten of the discount, five of each line, three of each use.
    assert max(seen) <= 10 + 5 * 100 + 3 * 101
