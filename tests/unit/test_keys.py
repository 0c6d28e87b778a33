"""Keys: two things never share one, and all keys of a brand share a slot."""

import unittest
from collections.abc import Callable
from typing import Any
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from discount.domain.ids import make_discount_id
from discount.store import keys

# Ids that look like pieces of keys are the ones that could meet.
TEXT = st.one_of(st.text(alphabet=":%{}0a25A3", min_size=1, max_size=6), st.text(min_size=1, max_size=12))
PARTITION = st.integers(0, 255)
IDS = [make_discount_id(partition, total) for partition in (0, 10) for total in (1, 1000, 10**6)]
MAKERS: dict[str, tuple[Callable[..., str], tuple[st.SearchStrategy[Any], ...]]] = {
    "discounts": (keys.discounts, ()),
    "numbers": (keys.numbers, ()),
    "events": (keys.events, ()),
    "brand_discounts": (keys.brand_discounts, (TEXT,)),
    "discount": (keys.discount, (st.sampled_from(IDS),)),
    "codes": (keys.codes, (st.sampled_from(IDS),)),
    "buckets": (keys.buckets, (st.sampled_from(IDS),)),
    "grants": (keys.grants, (st.sampled_from(IDS), st.integers(0, 300))),
    "idempotency": (keys.idempotency, (TEXT, TEXT)),
}
THINGS = st.one_of(*(st.tuples(st.just(kind), st.integers(0, 3), *parts) for kind, (_, parts) in MAKERS.items()))


def key_of(thing: tuple[Any, ...]) -> str:
    return MAKERS[thing[0]][0](*thing[1:])


class Keys(unittest.TestCase):
    @given(st.lists(THINGS, min_size=2, max_size=12, unique=True))
    @settings(max_examples=300)
    def test_different_objects_have_different_keys(self, things: list[tuple[Any, ...]]) -> None:
        self.assertEqual(len({key_of(thing) for thing in things}), len(things))

    @given(TEXT, TEXT)
    @settings(max_examples=300)
    def test_two_brands_never_share_a_key(self, one: str, other: str) -> None:
        self.assertEqual(keys.brand_discounts(0, one) == keys.brand_discounts(0, other), one == other)

    @given(TEXT, TEXT, TEXT, TEXT)
    def test_brand_and_idempotency_key_are_kept_apart(self, a: str, b: str, c: str, d: str) -> None:
        same = keys.idempotency(0, a, b) == keys.idempotency(0, c, d)
        self.assertEqual(same, (a, b) == (c, d))

    def test_a_colon_that_moves_from_brand_to_key_gives_another_key(self) -> None:
        self.assertNotEqual(keys.idempotency(0, "a:1", "b"), keys.idempotency(0, "a", "1:b"))

    @given(PARTITION, TEXT, TEXT)
    def test_all_keys_of_a_brand_are_in_one_slot(self, partition: int, brand: str, user: str) -> None:
        discount_id = make_discount_id(partition, 1000)
        found = [
            keys.discounts(partition),
            keys.numbers(partition),
            keys.events(partition),
            keys.brand_discounts(partition, brand),
            keys.discount(partition, discount_id),
            keys.codes(partition, discount_id),
            keys.buckets(partition, discount_id),
            keys.grants(partition, discount_id, keys.grant_bucket(user, 8)),
            keys.users(partition, user),
            keys.idempotency(partition, brand, user),
        ]
        tag = f"{{{partition:02x}}}"
        self.assertEqual([key[:5] for key in found], [tag + ":"] * len(found))
        self.assertEqual({key_slot(key.encode()) for key in found}, {key_slot(tag.encode())})

    def test_partitions_are_in_different_slots(self) -> None:
        self.assertEqual(len({key_slot(keys.events(partition).encode()) for partition in range(256)}), 256)

    @given(TEXT, st.integers(1, 256))
    def test_a_brand_has_one_of_the_existing_partitions(self, brand: str, partitions: int) -> None:
        self.assertEqual(keys.partition_of(brand, partitions), crc32(brand.encode()) % partitions)
        self.assertIn(keys.partition_of(brand, partitions), range(partitions))

    @given(TEXT, st.integers(0, 20))
    def test_a_user_has_one_of_the_existing_buckets(self, user: str, power: int) -> None:
        self.assertIn(keys.grant_bucket(user, 1 << power), range(1 << power))
        self.assertEqual(keys.grant_bucket(user, 1 << power), keys.grant_bucket(user, 1 << 20) % (1 << power))

    def test_a_thousand_users_fill_eight_buckets_evenly(self) -> None:
        filled = [0] * 8
        for number in range(1000):
            filled[keys.grant_bucket(f"User {number}", 8)] += 1
        self.assertGreater(min(filled), 80)
        self.assertLess(max(filled), 180)

    def test_the_users_of_a_partition_share_a_fixed_number_of_buckets(self) -> None:
        self.assertEqual(keys.users(10, "User 1"), f"{{0a}}:users:{crc32(b'User 1') % 16384}")

    def test_the_installation_key_shares_the_slot_of_the_first_partition(self) -> None:
        self.assertEqual(key_slot(keys.installation(0).encode()), key_slot(keys.events(0).encode()))
