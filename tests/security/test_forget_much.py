"""A user with many codes and uses is forgotten in slices; a second call completes an interrupted one."""

from typing import Any

import pytest

from discount.domain import code_kinds
from discount.services import redemption_lists, redemptions, users
from discount.store.answers import Answer
from tests.services.harness import (
    ServiceHarness,
    fake_harness,
    flat,
    real_harness,
)
from tests.services.test_held import (
    ONE,
    OTHER,
    USER,
    attempt,
    fields_of,
    give,
    redeem_each,
)


@pytest.fixture(params=["fakeredis", "redis"])
def harness(request: pytest.FixtureRequest) -> ServiceHarness:
    """A harness without the final check: the forgotten user's events are gone."""
    return fake_harness() if request.param == "fakeredis" else real_harness(request.getfixturevalue("redis_server"))


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "RECORDS", 4)


def use_often(harness: ServiceHarness) -> list[str]:
    """Create two discounts of two brands with one code for all; the user has eleven uses and a hold of each."""
    found = []
    for brand in (ONE, OTHER):
        kind = code_kinds.make("shared", None, {"code": "SALE"})
        made = harness.create(total=None, kind=kind, brand=brand, limits={})
        harness.grant(made.id, USER)
        found.append(made.id)
    for number in range(12):
        for brand in (ONE, OTHER):
            hold = 600 if number == 5 else None
            redemptions.redeem(harness.store, attempt("SALE", f"A-{number}", brand), hold_seconds=hold)
    return found


def names_in(harness: ServiceHarness) -> list[str]:
    """Return the keys that name the user, or hold something under the name."""
    found = []
    for key in harness.redis.keys("*"):
        text = {"hash": harness.redis.hgetall, "zset": lambda name: harness.redis.zrange(name, 0, -1)}
        read = text.get(harness.redis.type(key))
        if USER in f"{key} {read(key) if read else ''}":
            found.append(key)
    return found


def counts(harness: ServiceHarness, ids: list[str]) -> list[Any]:
    shown = [harness.show(each) for each in ids]
    return [(each.granted_count, each.redeemed_count, each.on_hold_count, each.sums) for each in shown]


@pytest.mark.usefixtures("small_slices")
def test_a_user_of_more_uses_than_a_slice_is_forgotten_whole(harness: ServiceHarness) -> None:
    ids = use_often(harness)
    before = counts(harness, ids)
    done = users.forget(harness.store, USER)
    assert (done.grants, done.redemptions) == (2, 24)
    assert names_in(harness) == []
    assert counts(harness, ids) == before
    for each in ids:
        listed = list(redemption_lists.list_all(harness.store, each))
        assert len({found.user_id for found in listed}) == 1
        assert listed[0].user_id.startswith("forgotten-")
        held = [found for found in listed if found.state == "held"]
        assert [redemptions.confirm(harness.store, found.id).state for found in held] == ["redeemed"]
    again = users.forget(harness.store, USER)
    assert (again.grants, again.redemptions) == (0, 0)


@pytest.mark.usefixtures("small_slices")
def test_a_brand_forgets_only_its_slices(harness: ServiceHarness) -> None:
    ids = use_often(harness)
    done = users.forget(harness.store, USER, brand_id=ONE)
    assert (done.grants, done.redemptions) == (1, 12)
    assert list(redemption_lists.list_all_of_user(harness.store, USER, brand_id=ONE)) == []
    assert len(list(redemption_lists.list_all_of_user(harness.store, USER, brand_id=OTHER))) == 12
    assert [each.discount_id for each in flat(harness.pages_of_user(USER, 5))] == [ids[1]]


@pytest.mark.usefixtures("small_slices")
def test_the_next_call_forgets_the_rest_of_an_interrupted_one(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CutOff(Exception):
        pass

    run = harness.store.run
    ids = use_often(harness)
    before = counts(harness, ids)
    left: list[int] = []

    def cut(name: str, *given: Any) -> Answer:
        if name == "forget":
            if not left:
                raise CutOff
            left.pop()
        return run(name, *given)

    monkeypatch.setattr(harness.store, "run", cut)
    for slices in range(100):
        left = [0] * (slices % 3 + 1)
        try:
            users.forget(harness.store, USER)
            break
        except CutOff:
            assert counts(harness, ids) == before
    assert slices > 2
    assert names_in(harness) == []
    assert counts(harness, ids) == before


def test_a_user_of_many_codes_is_forgotten_by_one_brand_and_then_by_all(harness: ServiceHarness) -> None:
    give(harness, ONE, 5)
    other = give(harness, OTHER, 105)
    give(harness, ONE, 9)
    assert users.forget(harness.store, USER, brand_id=ONE).grants == 14
    assert [each.code for each in flat(harness.pages_of_user(USER, 100))] == [each.code for each in other]
    redeem_each(harness, other[-2:], OTHER)
    assert flat(harness.pages_of_user(USER, 5, ONE)) == []
    more = give(harness, ONE, 2)
    redeem_each(harness, more, ONE)
    assert users.forget(harness.store, USER).grants == 107
    assert {name for name in fields_of(harness) if name.startswith(USER)} == set()
    assert flat(harness.pages_of_user(USER, 5)) == []
