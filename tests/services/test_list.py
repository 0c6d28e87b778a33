"""Lists of discounts: each one once, newest first, over all partitions."""

import random

import pytest

from discount.domain.cursors import make_cursor
from discount.domain.errors import Invalid
from discount.domain.ids import make_discount_id
from discount.services import discount_lists
from discount.store import keys
from tests.services.harness import (
    BRANDS,
    PARTITIONS,
    SECOND,
    ServiceHarness,
    partition_of,
)


def fill(harness: ServiceHarness, count: int) -> list[str]:
    """Create discounts in all partitions, and return them newest first."""
    return [harness.create(total=1, brand=BRANDS[number * 7 % PARTITIONS]).id for number in range(count)][::-1]


def move_to(harness: ServiceHarness, discount_id: str, created_at: int) -> None:
    """Change when a discount was created."""
    partition = partition_of(discount_id)
    brand = harness.show(discount_id).brand_id
    harness.redis.hset(keys.discount(partition, discount_id), "created_at", created_at)
    harness.redis.zadd(keys.discounts(partition), {discount_id: created_at})
    harness.redis.zadd(keys.brand_discounts(partition, brand), {discount_id: created_at})


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 19, 20, 21, 1000])
def test_pages_together_are_everything_newest_first(harness: ServiceHarness, limit: int) -> None:
    assert fill(harness, 20) == harness.list_ids(limit)


def test_an_empty_service_lists_nothing(harness: ServiceHarness) -> None:
    page = discount_lists.list_page(harness.store)
    assert (page.items, page.next) == ([], None)
    assert discount_lists.list_page(harness.store, brand_id="IKEA", status="active").next is None


def test_a_full_page_with_nothing_behind_it_has_no_next(harness: ServiceHarness) -> None:
    fill(harness, 4)
    assert discount_lists.list_page(harness.store, limit=4).next is None
    assert discount_lists.list_page(harness.store, limit=3).next is not None


@pytest.mark.parametrize("limit", [1, 2, 5, 31, 32, 33])
def test_discounts_of_the_same_moment_are_listed_once_each(harness: ServiceHarness, limit: int) -> None:
    made = fill(harness, 32)
    # Two in each partition: one microsecond for the first of each, the next for the second.
    for place, discount_id in enumerate(made):
        move_to(harness, discount_id, 1_700_000_000_000_000 + place // PARTITIONS)
    expected = sorted(made[16:], reverse=True) + sorted(made[:16], reverse=True)
    assert harness.list_ids(limit) == expected


def test_any_times_and_any_page_size_give_everything_once(harness: ServiceHarness) -> None:
    dice = random.Random(2020)
    made = fill(harness, 48)
    moments: dict[int, set[int]] = {}
    for discount_id in made:
        taken = moments.setdefault(partition_of(discount_id), set())
        moment = dice.choice(
            [each for each in range(1_700_000_000_000_000, 1_700_000_000_000_006) if each not in taken]
        )
        taken.add(moment)
        move_to(harness, discount_id, moment)
    expected = [id_ for _, id_ in sorted(((harness.show(each).created_at, each) for each in made), reverse=True)]
    for limit in (1, 3, 5, 8, 13, 47):
        assert harness.list_ids(limit) == expected


def test_a_discount_made_while_paging_moves_nothing(harness: ServiceHarness) -> None:
    made = fill(harness, 6)
    first = discount_lists.list_page(harness.store, limit=3)
    harness.create(brand=BRANDS[3])
    second = discount_lists.list_page(harness.store, limit=3, cursor=first.next)
    assert [each.id for each in first.items + second.items] == made
    assert second.next is None


def test_a_brand_sees_its_own_discounts_only(harness: ServiceHarness) -> None:
    neighbours = [brand for brand in (f"b{n}" for n in range(200)) if keys.partition_of(brand, PARTITIONS) == 5][:2]
    own = {brand: [harness.create(brand=brand).id for _ in range(7)][::-1] for brand in neighbours}
    for brand in neighbours:
        for limit in (1, 2, 3, 6, 7, 8):
            assert harness.list_ids(limit, brand_id=brand) == own[brand]


def test_a_status_shows_the_discounts_that_have_it(harness: ServiceHarness) -> None:
    now = harness.now()
    made = {
        "active": harness.create().id,
        "scheduled": harness.create(starts_at=now + 3600 * SECOND).id,
        "paused": harness.create().id,
        "expired": harness.create().id,
        "sold-out": harness.create(total=1).id,
        "closed": harness.create().id,
    }
    harness.change(made["paused"], paused=True)
    harness.change(made["expired"], expires_at=now - 1)
    harness.grant(made["sold-out"])
    harness.close(made["closed"])
    for status, discount_id in made.items():
        assert harness.list_ids(status=status) == [discount_id]
        assert harness.list_ids(status=status, brand_id="IKEA") == [discount_id]
        assert harness.list_ids(status=status, brand_id="Other") == []
        assert harness.status(discount_id) == status


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 40])
def test_pages_of_a_status_together_are_all_that_have_it(harness: ServiceHarness, limit: int) -> None:
    made = fill(harness, 40)
    for discount_id in made[::3]:
        harness.change(discount_id, paused=True)
    assert harness.list_ids(limit, status="paused") == made[::3]
    assert harness.list_ids(limit, status="active") == [each for each in made if each not in made[::3]]
    assert harness.list_ids(limit, status="closed") == []


def test_a_page_of_a_rare_status_looks_at_a_bounded_number(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discount_lists, "LOOKED_AT", 100)
    made = fill(harness, 230)
    harness.change(made[-1], paused=True)
    page = discount_lists.list_page(harness.store, status="paused", limit=10)
    assert (page.items, page.next is None) == ([], False)
    assert harness.list_ids(10, status="paused") == [made[-1]]


def test_a_cursor_of_unknown_origin_is_refused(harness: ServiceHarness) -> None:
    fill(harness, 3)
    for cursor in ("x", make_cursor(1, "x"), make_cursor(1, ""), make_cursor(1, "dsc-" + "a" * 24)):
        with pytest.raises(Invalid, match="cursor is not a cursor"):
            discount_lists.list_page(harness.store, cursor=cursor)


def test_a_cursor_beyond_either_end_is_an_empty_or_a_first_page(harness: ServiceHarness) -> None:
    made = fill(harness, 3)
    oldest = discount_lists.list_page(harness.store, cursor=make_cursor(0, make_discount_id(0, 1)))
    newest = discount_lists.list_page(harness.store, cursor=make_cursor(10**16 - 1, make_discount_id(15, 1)))
    assert (oldest.items, oldest.next) == ([], None)
    assert [each.id for each in newest.items] == made
