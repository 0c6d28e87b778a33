"""Quotas: a brand gets no more than its quota, and a refused call changes nothing."""

from typing import Any

import pytest

from discount.domain.errors import QuotaReached
from discount.domain.model import Grant, QuotaName
from discount.services import grants, quotas
from discount.store import keys
from discount.store.quotas import Quotas
from tests.services.harness import SECOND, ServiceHarness

DAY = 86_400 * SECOND
USAGE = keys.usage(keys.partition_of("IKEA", 16))


def limit(harness: ServiceHarness, **most: int | str) -> None:
    harness.store.quotas = Quotas({name: str(each) for name, each in most.items()})


def used(harness: ServiceHarness, name: QuotaName, brand: str = "IKEA") -> int:
    return quotas.show(harness.store, brand)[name].used


def refused(harness: ServiceHarness, name: str, most: int, act: Any, *arguments: Any, **more: Any) -> QuotaReached:
    before = harness.state()
    with pytest.raises(QuotaReached) as caught:
        act(*arguments, **more)
    assert harness.state() == before
    assert (caught.value.facts["quota"], caught.value.facts["quota_limit"]) == (name, most)
    return caught.value


def test_the_number_of_discounts_of_a_brand_is_limited(harness: ServiceHarness) -> None:
    limit(harness, discounts=2)
    harness.create()
    harness.close(harness.create().id)
    assert "opens_at" not in refused(harness, "discounts", 2, harness.create).facts
    assert used(harness, "discounts") == 2
    harness.create(brand="Billo")


def test_the_totals_of_a_brands_discounts_have_a_sum(harness: ServiceHarness) -> None:
    limit(harness, codes=10)
    first = harness.create(total=6)
    refused(harness, "codes", 10, harness.create, total=5)
    harness.create(total=3)
    # Of one without a total there is nothing to count.
    harness.create_kind("shared", None)
    refused(harness, "codes", 10, harness.change, first.id, total_count=8)
    assert harness.change(first.id, total_count=7).total_count == 7
    harness.change(first.id, total_count=1)
    assert used(harness, "codes") == 4
    harness.create(total=6)


def test_the_sum_follows_a_total_that_is_removed_and_set_again(harness: ServiceHarness) -> None:
    limit(harness, codes=10)
    shared = harness.create_kind("shared", 4)
    harness.change(shared.id, total_count=None)
    assert used(harness, "codes") == 0
    refused(harness, "codes", 10, harness.change, shared.id, total_count=11)
    harness.change(shared.id, total_count=10)
    assert used(harness, "codes") == 10


def test_imported_codes_count_and_those_that_are_there_already_do_not(harness: ServiceHarness) -> None:
    limit(harness, codes=5)
    found = harness.create_kind("imported", None)
    harness.import_lines(found.id, ["A", "B", "C", "D"])
    refused(harness, "codes", 5, harness.import_lines, found.id, ["E", "F"])
    assert harness.import_lines(found.id, ["A", "B", "E", "E", "C"]).added_count == 1
    assert used(harness, "codes") == 5
    assert harness.import_lines(found.id, ["A", "E"]).repeated_count == 2


def test_a_daily_grant_quota_still_returns_codes_that_are_held(harness: ServiceHarness) -> None:
    limit(harness, grants_a_day=2)
    first, second = harness.create(), harness.create()
    held = harness.grant(first.id, "Ann")
    harness.grant(second.id, "Ann")
    refusal = refused(harness, "grants_a_day", 2, harness.grant, first.id, "Bob")
    now = harness.now()
    assert 0 < int(refusal.facts["opens_at"]) - now <= DAY
    assert int(refusal.facts["opens_at"]) % DAY == 0
    assert harness.grant(first.id, "Ann").code == held.code
    assert harness.grant(harness.create(brand="Billo").id, "Bob").fresh
    # The next day.
    today, before, *rest = harness.redis.hget(USAGE, "used IKEA").split()
    assert (today, before, harness.redis.hget(USAGE, "grants IKEA")) == (str(now // DAY), "0", "2")
    harness.redis.hset(USAGE, "used IKEA", " ".join([str(int(today) - 1), before, *rest]))
    assert used(harness, "grants_a_day") == 0
    assert harness.grant(first.id, "Bob").fresh
    assert used(harness, "grants_a_day") == 1
    assert harness.redis.hget(USAGE, "used IKEA").split() == [today, "2", *rest]


def test_a_bulk_grant_reports_the_quota_for_each_user(harness: ServiceHarness) -> None:
    limit(harness, grants_a_day=2)
    outcomes = grants.grant_many(harness.store, harness.create(total=9).id, ["Ann", "Bob", "Cid", "Ann"])
    assert [each.user_id if isinstance(each, Grant) else each.slug for each in outcomes] == [
        *("Ann", "Bob", "quota-reached", "Ann")
    ]


def test_the_stored_bytes_of_a_brand_are_estimated_and_limited(harness: ServiceHarness) -> None:
    limit(harness, stored_bytes=6000)
    found = harness.create_kind("imported", 10)
    assert used(harness, "stored_bytes") == 2000 + 10 * 80
    harness.grant_all(found.id, 5)
    assert used(harness, "stored_bytes") == 2800 + 5 * 300
    refused(harness, "stored_bytes", 6000, harness.create)
    refused(harness, "stored_bytes", 6000, harness.import_lines, found.id, [f"More {number}" for number in range(30)])
    harness.grant(found.id, "a sixth"), harness.grant(found.id, "a seventh")
    harness.import_lines(found.id, [f"More {number}" for number in range(10)])
    assert used(harness, "stored_bytes") == 5700
    harness.grant(found.id, "an eighth")
    refused(harness, "stored_bytes", 6000, harness.grant, found.id, "a ninth")


def test_the_quotas_of_a_brand_override_the_settings(harness: ServiceHarness) -> None:
    limit(harness, discounts=1, grants_a_day=1)
    quotas.change(harness.store, "IKEA", {"discounts": 2, "grants_a_day": "off"})
    found = [harness.create(), harness.create()][0]
    refused(harness, "discounts", 2, harness.create)
    harness.grant_all(found.id, 3)
    quotas.change(harness.store, "IKEA", {"discounts": None, "codes": 6})
    shown = quotas.show(harness.store, "IKEA")
    assert {name: each.limit for name, each in shown.items()} == {
        **{"discounts": 1, "codes": 6, "grants_a_day": None, "emails_a_day": None, "stored_bytes": None}
    }
    refused(harness, "codes", 6, harness.change, found.id, total_count=9)
    # Another brand has those of the settings, whatever it is called.
    harness.create(brand="quotas IKEA")
    refused(harness, "discounts", 1, harness.create, brand="quotas IKEA")


def test_a_quota_of_zero_is_valid(harness: ServiceHarness) -> None:
    limit(harness, discounts=0)
    refused(harness, "discounts", 0, harness.create)


def test_without_a_quota_grants_are_not_counted(harness: ServiceHarness) -> None:
    harness.grant(harness.create().id)
    assert used(harness, "grants_a_day") == 0
