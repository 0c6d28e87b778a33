"""Creating and showing discounts."""

import pytest

from discount.domain.errors import IdempotencyMismatch, Invalid, NotFound
from discount.domain.ids import MAX_TOTAL, make_discount_id
from discount.services import discounts
from discount.store import keys
from tests.services.harness import BRANDS, SECOND, ServiceHarness


def test_a_new_discount_has_what_it_was_given(stage: ServiceHarness) -> None:
    before = stage.now()
    found = stage.create(total=100, brand="IKEA", discount_code="Christmas 2020 discount")
    assert (found.brand_id, found.discount_code, found.total_count) == ("IKEA", "Christmas 2020 discount", 100)
    assert (found.granted_count, found.remaining_count, found.closed, found.paused) == (0, 100, "", False)
    assert (found.starts_at, found.expires_at) == (None, None)
    assert before <= found.created_at <= stage.now()


def test_a_discount_is_shown_as_it_was_made(stage: ServiceHarness) -> None:
    found = stage.create(starts_at=stage.now() - SECOND, expires_at=stage.now() + SECOND * 3600)
    assert stage.show(found.id) == found


def test_a_discount_stands_in_its_brands_partition(stage: ServiceHarness) -> None:
    for partition, brand in enumerate(BRANDS):
        assert stage.create(brand=brand).id[4:6] == f"{partition:02x}"


def test_a_new_discount_is_one_event(stage: ServiceHarness) -> None:
    found = stage.create()
    assert stage.events(found) == [
        {"type": "discount.created", "at": str(found.created_at), "brand": "IKEA", "number": str(found.number)}
    ]


def test_the_first_codes_wait_in_the_pool(stage: ServiceHarness) -> None:
    assert len(stage.pool(stage.create(total=7).id)) == 7
    assert len(stage.pool(stage.create(total=1000).id)) == 1000
    assert len(stage.pool(stage.create(total=1001).id)) == 1000


def test_the_largest_discount_is_made_as_fast_as_a_small_one(stage: ServiceHarness) -> None:
    found = stage.create(total=MAX_TOTAL)
    assert (found.remaining_count, len(stage.pool(found.id))) == (MAX_TOTAL, 1000)


def test_discounts_of_a_partition_are_numbered_from_one(stage: ServiceHarness) -> None:
    assert [stage.create().number for _ in range(3)] == [1, 2, 3]
    assert stage.create(brand=BRANDS[0]).number == 1


def test_braces_and_colons_in_a_brand_stay_its_own(stage: ServiceHarness) -> None:
    odd = ["{00}", "a:b", "a%3Ab", "a", "IKEA:discounts"]
    made = {brand: stage.create(brand=brand).id for brand in odd}
    assert {brand: stage.list_ids(brand_id=brand) for brand in odd} == {brand: [made[brand]] for brand in odd}


def test_a_name_keeps_every_letter(stage: ServiceHarness) -> None:
    for name in ("Zażółć gęślą", "クリスマス", "50% – “all”", '"quotes" \\ and, commas', "🎄"):
        assert stage.show(stage.create(discount_code=name).id).discount_code == name


def test_an_expiry_before_the_start_is_refused(stage: ServiceHarness) -> None:
    now = stage.now()
    for expires_at in (now + SECOND, now + SECOND - 1):
        with pytest.raises(Invalid, match="/expires_at must be after starts_at"):
            stage.create(starts_at=now + SECOND, expires_at=expires_at)
    assert stage.list_ids() == []


def test_an_expiry_in_the_past_is_refused_and_nothing_is_stored(stage: ServiceHarness) -> None:
    stage.create()
    before = stage.state()
    with pytest.raises(Invalid, match="/expires_at is in the past"):
        stage.create(expires_at=stage.now() - 1, idempotency_key="one")
    assert stage.state() == before


def test_an_unknown_discount_is_not_found(stage: ServiceHarness) -> None:
    stage.create()
    for unknown in ("", "x", "dsc-", make_discount_id(3, 10), make_discount_id(16, 10), make_discount_id(255, 10)):
        with pytest.raises(NotFound):
            discounts.show(stage.store, unknown)


def test_the_same_idempotency_key_gives_the_same_discount(stage: ServiceHarness) -> None:
    made = [stage.create(idempotency_key="one") for _ in range(3)]
    assert made[0] == made[1] == made[2]
    assert stage.list_ids() == [made[0].id]
    assert len(stage.events(made[0])) == 1


def test_the_same_key_still_gives_the_discount_after_its_expiry_and_its_closing(stage: ServiceHarness) -> None:
    expires_at = stage.now() + SECOND * 3600
    found = stage.create(expires_at=expires_at, idempotency_key="one")
    stage.change(found.id, expires_at=stage.now() - 1)
    stage.close(found.id)
    assert stage.create(expires_at=expires_at, idempotency_key="one").id == found.id


def test_another_idempotency_key_gives_another_discount(stage: ServiceHarness) -> None:
    assert stage.create(idempotency_key="one").id != stage.create(idempotency_key="two").id
    assert len(stage.list_ids()) == 2


def test_no_idempotency_key_gives_another_discount_each_time(stage: ServiceHarness) -> None:
    assert len({stage.create().id for _ in range(3)}) == 3


@pytest.mark.parametrize(
    "other",
    [{"total": 4}, {"discount_code": "Easter"}, {"starts_at": 1_800_000_000_000_000}, {"expires_at": 9 * 10**15}],
    ids=lambda other: next(iter(other)),
)
def test_the_same_key_with_another_request_is_refused(stage: ServiceHarness, other: dict[str, int]) -> None:
    stage.create(idempotency_key="one")
    before = stage.state()
    with pytest.raises(IdempotencyMismatch):
        stage.create(**other, idempotency_key="one")  # type: ignore[arg-type]
    assert stage.state() == before


def test_two_brands_may_use_the_same_idempotency_key(stage: ServiceHarness) -> None:
    neighbours = [brand for brand in (f"b{n}" for n in range(200)) if keys.partition_of(brand, 16) == 5][:2]
    made = [stage.create(brand=brand, idempotency_key="one").id for brand in (*BRANDS, *neighbours)]
    assert len(set(made)) == len(made)


def test_an_idempotency_key_is_kept_for_two_days(stage: ServiceHarness) -> None:
    stage.create(idempotency_key="one")
    [key] = stage.redis.keys("*:idempotency:*")
    assert 48 * 3600 - 60 < stage.redis.ttl(key) <= 48 * 3600


def test_nothing_is_kept_of_a_discount_without_an_idempotency_key(stage: ServiceHarness) -> None:
    stage.create()
    assert stage.redis.keys("*:idempotency:*") == []


def test_no_key_but_the_idempotency_key_ever_expires(stage: ServiceHarness) -> None:
    found = stage.create(idempotency_key="one")
    stage.grant(found.id)
    expiring = [key for key in stage.redis.keys("*") if stage.redis.ttl(key) != -1]
    assert len(expiring) == 1
    assert ":idempotency:" in expiring[0]


def test_every_key_stands_in_the_brands_slot(stage: ServiceHarness) -> None:
    found = stage.create(brand="{ff}:IKEA", idempotency_key="{x}")
    stage.grant(found.id, "{ff} User")
    tags = {key[:4] for key in stage.redis.keys("*")} - {"{00}"}
    assert tags <= {f"{{{found.id[4:6]}}}"}
