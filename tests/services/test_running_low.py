"""Brands get an event when 80 and 95 percent of a total are granted, once each."""

import threading

import pytest

from discount.services import grants
from tests.services.harness import ServiceHarness


def shares_in_events(harness: ServiceHarness, discount_id: str) -> list[tuple[str, str, str]]:
    """Return the share, the grants and the total of each event, in order."""
    events = harness.events(harness.show(discount_id), "discount.running-low")
    return [(each["percent"], each["granted"], each["total"]) for each in events]


def grant(harness: ServiceHarness, discount_id: str, first: int, last: int) -> None:
    for number in range(first, last):
        harness.grant(discount_id, f"user-{number}")


def test_each_share_has_its_event_with_the_grant_that_reaches_it(harness: ServiceHarness) -> None:
    discount = harness.create(total=40).id
    grant(harness, discount, 0, 31)
    assert shares_in_events(harness, discount) == []
    grant(harness, discount, 31, 40)
    assert shares_in_events(harness, discount) == [("80", "32", "40"), ("95", "38", "40")]
    types = [each["type"] for each in harness.events(harness.show(discount))]
    assert types[-2:] == ["code.granted", "discount.sold-out"]


@pytest.mark.parametrize(
    ("total", "expected"),
    [(1, []), (4, []), (5, [("80", "4", "5")]), (10, [("80", "8", "10")]), (19, [("80", "16", "19")])],
)
def test_the_last_code_of_a_small_total_has_sold_out_alone(
    harness: ServiceHarness, total: int, expected: list[tuple[str, str, str]]
) -> None:
    discount = harness.create(total=total).id
    grant(harness, discount, 0, total)
    assert shares_in_events(harness, discount) == expected


def test_after_a_raise_only_shares_that_lie_ahead_have_events_again(harness: ServiceHarness) -> None:
    discount = harness.create(total=20).id
    grant(harness, discount, 0, 17)
    # 17 of 21 are 80 percent still.
    harness.change(discount, total_count=21)
    grant(harness, discount, 17, 18)
    assert shares_in_events(harness, discount) == [("80", "16", "20")]
    harness.change(discount, total_count=40)
    grant(harness, discount, 18, 38)
    assert shares_in_events(harness, discount) == [("80", "16", "20"), ("80", "32", "40"), ("95", "38", "40")]


def test_a_discount_without_a_total_has_no_such_event(harness: ServiceHarness) -> None:
    discount = harness.create_kind("shared", total=None).id
    grant(harness, discount, 0, 30)
    assert shares_in_events(harness, discount) == []


def test_many_grants_at_once_write_each_event_once(harness: ServiceHarness) -> None:
    discount = harness.create(total=200).id

    def grant_some(first: int) -> None:
        grants.grant_many(harness.store, discount, [f"user-{first + number}" for number in range(60)])

    threads = [threading.Thread(target=grant_some, args=(60 * number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert shares_in_events(harness, discount) == [("80", "160", "200"), ("95", "190", "200")]
