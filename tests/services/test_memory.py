"""What a redemption keeps in Redis, measured on a real server."""

import pytest

from discount.domain.model import Grant
from discount.domain.rules import Order
from discount.services import grants, redemptions
from discount.services.checkouts import Checkout
from discount.store import keys
from tests.services.harness import ServiceHarness, partition_of, real_harness
from tests.support.redis_server import RedisServer

COUNT = 2_000


def used(harness: ServiceHarness) -> int:
    return int(harness.redis.info("memory")["used_memory"])


def test_a_redemption_takes_at_most_250_bytes_besides_its_event(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = real_harness(redis_server)
    # As full as the lists of records are with 100,000 redemptions.
    records = keys.records
    full = COUNT * 1024 // 100_000
    monkeypatch.setattr(keys, "records", lambda each: (f"{records(each)[0][:16]}{int(each[6:12], 16) % full}",) * 3)
    discount = harness.create(total=COUNT).id
    users = [f"User {10_000_000 + number}" for number in range(COUNT)]
    held = [each for each in grants.grant_many(harness.store, discount, users) if isinstance(each, Grant)]
    events = keys.events(partition_of(discount))
    before = 0
    for number, each in enumerate(held):
        if number == 100:
            # The script is loaded, and the first lists are made.
            harness.redis.delete(events)
            before = used(harness)
        order = Order(f"order {number:08d}", 10_001, "EUR")
        redemptions.redeem(harness.store, Checkout(each.user_id, each.code, order, discount_id=discount))
    harness.redis.delete(events)
    assert len(held) == COUNT
    assert (used(harness) - before) / (COUNT - 100) <= 250
