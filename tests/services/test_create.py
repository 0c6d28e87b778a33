"""Creating and showing discounts."""

import json

import pytest

from discount.domain.errors import IdempotencyMismatch, Invalid, NotFound
from discount.domain.ids import MAX_TOTAL, make_discount_id
from discount.domain.model import Author
from discount.services import discounts
from discount.store import keys
from tests.services.harness import BRANDS, SECOND, ServiceHarness


def test_a_new_discount_has_the_given_values(harness: ServiceHarness) -> None:
    before = harness.now()
    found = harness.create(total=100, brand="IKEA", discount_code="Christmas 2020 discount")
    assert (found.brand_id, found.discount_code, found.total_count) == ("IKEA", "Christmas 2020 discount", 100)
    assert (found.granted_count, found.remaining_count, found.closed, found.paused) == (0, 100, "", False)
    assert (found.starts_at, found.expires_at) == (None, None)
    assert before <= found.created_at <= harness.now()


def test_a_discount_is_shown_as_it_was_made(harness: ServiceHarness) -> None:
    found = harness.create(starts_at=harness.now() - SECOND, expires_at=harness.now() + SECOND * 3600)
    assert harness.show(found.id) == found


def test_a_discount_is_stored_in_the_partition_of_its_brand(harness: ServiceHarness) -> None:
    for partition, brand in enumerate(BRANDS):
        assert harness.create(brand=brand).id[4:6] == f"{partition:02x}"


def test_a_new_discount_is_one_event(harness: ServiceHarness) -> None:
    author = Author("key:1", "request 1")
    found = harness.create(limits={"total": 5}, metadata={"channel": "mail"}, author=author)
    (event,) = harness.events(found)
    definition = json.loads(event.pop("definition"))
    stored = harness.redis.hgetall(keys.discount(found.partition, found.id))
    assert event == {
        **{"type": "discount.created", "at": str(found.created_at), "brand": "IKEA", "number": str(found.number)},
        **{"id": found.id, "by": "key:1", "request": "request 1", "key": stored.pop("key")},
    }
    # A reader of the stream can write the same discount again.
    first = {"granted": "0", "made": "3", "number": str(found.number), "created_at": str(found.created_at)}
    assert dict(zip(definition[::2], definition[1::2], strict=True)) | first == stored


def test_the_first_codes_wait_in_the_pool(harness: ServiceHarness) -> None:
    for total in (7, discounts.FIRST_BLOCK, 1000):
        assert len(harness.pool(harness.create(total=total).id)) == min(total, discounts.FIRST_BLOCK)


def test_the_largest_discount_is_made_as_fast_as_a_small_one(harness: ServiceHarness) -> None:
    found = harness.create(total=MAX_TOTAL)
    assert (found.remaining_count, len(harness.pool(found.id))) == (MAX_TOTAL, discounts.FIRST_BLOCK)


def test_discounts_of_a_partition_are_numbered_from_one(harness: ServiceHarness) -> None:
    assert [harness.create().number for _ in range(3)] == [1, 2, 3]
    assert harness.create(brand=BRANDS[0]).number == 1


def test_braces_and_colons_in_a_brand_cannot_reach_other_keys(harness: ServiceHarness) -> None:
    odd = ["{00}", "a:b", "a%3Ab", "a", "IKEA:discounts"]
    made = {brand: harness.create(brand=brand).id for brand in odd}
    assert {brand: harness.list_ids(brand_id=brand) for brand in odd} == {brand: [made[brand]] for brand in odd}


def test_a_name_keeps_every_letter(harness: ServiceHarness) -> None:
    for name in ("Zażółć gęślą", "クリスマス", "50% – “all”", '"quotes" \\ and, commas', "🎄"):
        assert harness.show(harness.create(discount_code=name).id).discount_code == name


def test_an_expiry_before_the_start_is_refused(harness: ServiceHarness) -> None:
    now = harness.now()
    for expires_at in (now + SECOND, now + SECOND - 1):
        with pytest.raises(Invalid, match="/expires_at must be after starts_at"):
            harness.create(starts_at=now + SECOND, expires_at=expires_at)
    assert harness.list_ids() == []


def test_an_expiry_in_the_past_is_refused_and_nothing_is_stored(harness: ServiceHarness) -> None:
    harness.create()
    before = harness.state()
    with pytest.raises(Invalid, match="/expires_at is in the past"):
        harness.create(expires_at=harness.now() - 1, idempotency_key="one")
    assert harness.state() == before


def test_an_unknown_discount_is_not_found(harness: ServiceHarness) -> None:
    harness.create()
    for unknown in ("", "x", "dsc-", make_discount_id(3, 10), make_discount_id(16, 10), make_discount_id(255, 10)):
        with pytest.raises(NotFound):
            discounts.show(harness.store, unknown)


def test_the_same_idempotency_key_gives_the_same_discount(harness: ServiceHarness) -> None:
    made = [harness.create(idempotency_key="one") for _ in range(3)]
    assert made[0] == made[1] == made[2]
    assert harness.list_ids() == [made[0].id]
    assert len(harness.events(made[0])) == 1


def test_the_same_key_still_gives_the_discount_after_its_expiry_and_its_closing(harness: ServiceHarness) -> None:
    expires_at = harness.now() + SECOND * 3600
    found = harness.create(expires_at=expires_at, idempotency_key="one")
    harness.change(found.id, expires_at=harness.now() - 1)
    harness.close(found.id)
    assert harness.create(expires_at=expires_at, idempotency_key="one").id == found.id


def test_another_idempotency_key_gives_another_discount(harness: ServiceHarness) -> None:
    assert harness.create(idempotency_key="one").id != harness.create(idempotency_key="two").id
    assert len(harness.list_ids()) == 2


def test_no_idempotency_key_gives_another_discount_each_time(harness: ServiceHarness) -> None:
    assert len({harness.create().id for _ in range(3)}) == 3


@pytest.mark.parametrize(
    "other",
    [{"total": 4}, {"discount_code": "Easter"}, {"starts_at": 1_800_000_000_000_000}, {"expires_at": 9 * 10**15}],
    ids=lambda other: next(iter(other)),
)
def test_the_same_key_with_another_request_is_refused(harness: ServiceHarness, other: dict[str, int]) -> None:
    harness.create(idempotency_key="one")
    before = harness.state()
    with pytest.raises(IdempotencyMismatch):
        harness.create(**other, idempotency_key="one")  # type: ignore[arg-type]
    assert harness.state() == before


def test_two_brands_may_use_the_same_idempotency_key(harness: ServiceHarness) -> None:
    neighbours = [brand for brand in (f"b{n}" for n in range(200)) if keys.partition_of(brand, 16) == 5][:2]
    made = [harness.create(brand=brand, idempotency_key="one").id for brand in (*BRANDS, *neighbours)]
    assert len(set(made)) == len(made)


def test_an_idempotency_key_is_kept_for_two_days(harness: ServiceHarness) -> None:
    harness.create(idempotency_key="one")
    [key] = harness.redis.keys("*:idempotency:*")
    assert 48 * 3600 - 60 < harness.redis.ttl(key) <= 48 * 3600


def test_nothing_is_kept_of_a_discount_without_an_idempotency_key(harness: ServiceHarness) -> None:
    harness.create()
    assert harness.redis.keys("*:idempotency:*") == []


def test_no_key_but_the_idempotency_key_ever_expires(harness: ServiceHarness) -> None:
    found = harness.create(idempotency_key="one")
    harness.grant(found.id)
    expiring = [key for key in harness.redis.keys("*") if harness.redis.ttl(key) != -1]
    assert len(expiring) == 1
    assert ":idempotency:" in expiring[0]


def test_every_key_is_in_the_slot_of_the_brand(harness: ServiceHarness) -> None:
    found = harness.create(brand="{ff}:IKEA", idempotency_key="{x}")
    harness.grant(found.id, "{ff} User")
    tags = {key[:4] for key in harness.redis.keys("*") if not key.endswith(":installation")}
    assert tags <= {f"{{{found.id[4:6]}}}"}
