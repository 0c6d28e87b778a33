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


def limit(stage: ServiceHarness, **most: int | str) -> None:
    stage.store.quotas = Quotas({name: str(each) for name, each in most.items()})


def used(stage: ServiceHarness, name: QuotaName, brand: str = "IKEA") -> int:
    return quotas.show(stage.store, brand)[name].used


def refused(stage: ServiceHarness, name: str, most: int, act: Any, *arguments: Any, **more: Any) -> QuotaReached:
    before = stage.state()
    with pytest.raises(QuotaReached) as caught:
        act(*arguments, **more)
    assert stage.state() == before
    assert (caught.value.facts["quota"], caught.value.facts["quota_limit"]) == (name, most)
    return caught.value


def test_a_brand_makes_so_many_discounts(stage: ServiceHarness) -> None:
    limit(stage, discounts=2)
    stage.create()
    stage.close(stage.create().id)
    assert "opens_at" not in refused(stage, "discounts", 2, stage.create).facts
    assert used(stage, "discounts") == 2
    stage.create(brand="Billo")


def test_the_totals_of_a_brands_discounts_have_a_sum(stage: ServiceHarness) -> None:
    limit(stage, codes=10)
    first = stage.create(total=6)
    refused(stage, "codes", 10, stage.create, total=5)
    stage.create(total=3)
    # Of one without a total there is nothing to count.
    stage.create_kind("shared", None)
    refused(stage, "codes", 10, stage.change, first.id, total_count=8)
    assert stage.change(first.id, total_count=7).total_count == 7
    stage.change(first.id, total_count=1)
    assert used(stage, "codes") == 4
    stage.create(total=6)


def test_the_sum_follows_a_total_that_is_taken_away_and_set_again(stage: ServiceHarness) -> None:
    limit(stage, codes=10)
    shared = stage.create_kind("shared", 4)
    stage.change(shared.id, total_count=None)
    assert used(stage, "codes") == 0
    refused(stage, "codes", 10, stage.change, shared.id, total_count=11)
    stage.change(shared.id, total_count=10)
    assert used(stage, "codes") == 10


def test_imported_codes_count_and_those_that_are_there_already_do_not(stage: ServiceHarness) -> None:
    limit(stage, codes=5)
    found = stage.create_kind("imported", None)
    stage.import_lines(found.id, ["A", "B", "C", "D"])
    refused(stage, "codes", 5, stage.import_lines, found.id, ["E", "F"])
    assert stage.import_lines(found.id, ["A", "B", "E", "E", "C"]).added_count == 1
    assert used(stage, "codes") == 5
    assert stage.import_lines(found.id, ["A", "E"]).repeated_count == 2


def test_a_brand_grants_so_many_a_day_and_codes_that_are_held_are_given_still(stage: ServiceHarness) -> None:
    limit(stage, grants_a_day=2)
    first, second = stage.create(), stage.create()
    held = stage.grant(first.id, "Ann")
    stage.grant(second.id, "Ann")
    refusal = refused(stage, "grants_a_day", 2, stage.grant, first.id, "Bob")
    now = stage.now()
    assert 0 < int(refusal.facts["opens_at"]) - now <= DAY
    assert int(refusal.facts["opens_at"]) % DAY == 0
    assert stage.grant(first.id, "Ann").code == held.code
    assert stage.grant(stage.create(brand="Billo").id, "Bob").fresh
    # The next day.
    today, of_day, *rest = stage.redis.hget(USAGE, "used IKEA").split()
    assert (today, of_day) == (str(now // DAY), "2")
    stage.redis.hset(USAGE, "used IKEA", " ".join([str(int(today) - 1), of_day, *rest]))
    assert used(stage, "grants_a_day") == 0
    assert stage.grant(first.id, "Bob").fresh
    assert stage.redis.hget(USAGE, "used IKEA").split()[:2] == [today, "1"]


def test_of_many_users_each_is_told(stage: ServiceHarness) -> None:
    limit(stage, grants_a_day=2)
    outcomes = grants.grant_many(stage.store, stage.create(total=9).id, ["Ann", "Bob", "Cid", "Ann"])
    assert [each.user_id if isinstance(each, Grant) else each.slug for each in outcomes] == [
        *("Ann", "Bob", "quota-reached", "Ann")
    ]


def test_what_a_brand_stores_is_estimated_and_bounded(stage: ServiceHarness) -> None:
    limit(stage, stored_bytes=6000)
    found = stage.create_kind("imported", 10)
    assert used(stage, "stored_bytes") == 2000 + 10 * 80
    stage.grant_all(found.id, 5)
    assert used(stage, "stored_bytes") == 2800 + 5 * 300
    refused(stage, "stored_bytes", 6000, stage.create)
    refused(stage, "stored_bytes", 6000, stage.import_lines, found.id, [f"More {number}" for number in range(30)])
    stage.grant(found.id, "a sixth"), stage.grant(found.id, "a seventh")
    stage.import_lines(found.id, [f"More {number}" for number in range(10)])
    assert used(stage, "stored_bytes") == 5700
    stage.grant(found.id, "an eighth")
    refused(stage, "stored_bytes", 6000, stage.grant, found.id, "a ninth")


def test_a_brands_own_quotas_go_before_those_of_the_settings(stage: ServiceHarness) -> None:
    limit(stage, discounts=1, grants_a_day=1)
    quotas.change(stage.store, "IKEA", {"discounts": 2, "grants_a_day": "off"})
    found = [stage.create(), stage.create()][0]
    refused(stage, "discounts", 2, stage.create)
    stage.grant_all(found.id, 3)
    quotas.change(stage.store, "IKEA", {"discounts": None, "codes": 6})
    shown = quotas.show(stage.store, "IKEA")
    assert {name: each.limit for name, each in shown.items()} == {
        **{"discounts": 1, "codes": 6, "grants_a_day": None, "emails_a_day": None, "stored_bytes": None}
    }
    refused(stage, "codes", 6, stage.change, found.id, total_count=9)
    # Another brand has those of the settings, whatever it is called.
    stage.create(brand="quotas IKEA")
    refused(stage, "discounts", 1, stage.create, brand="quotas IKEA")


def test_a_quota_of_nothing_is_one(stage: ServiceHarness) -> None:
    limit(stage, discounts=0)
    refused(stage, "discounts", 0, stage.create)


def test_without_a_quota_grants_are_not_counted(stage: ServiceHarness) -> None:
    stage.grant(stage.create().id)
    assert used(stage, "grants_a_day") == 0
