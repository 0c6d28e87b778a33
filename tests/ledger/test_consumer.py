"""What the outbox holds is in the ledger, each event once."""

from typing import Any

import pytest
from sqlalchemy import func, select

from discount.domain.rules import Order
from discount.ledger import consumer
from discount.ledger.consumer import Consumer
from discount.ledger.database import Database
from discount.ledger.tables import EVENTS, FIGURES, GRANTS, POSITIONS, REDEMPTIONS
from discount.services import redemptions
from discount.services.checkouts import Checkout
from tests.services.harness import ServiceHarness


def read_all(harness: ServiceHarness, database: Database, name: str = "one") -> int:
    """Write all new events into the ledger, and return how many there were."""
    reader = Consumer(harness.store, database, name)
    reader.open()
    count = 0
    while written := reader.turn():
        count += written
    return count


def redeem(harness: ServiceHarness, discount_id: str, user_id: str, code: str, order_id: str = "o", **more: Any) -> str:
    checkout = Checkout(user_id, code, Order(order_id, 1000, "EUR"), discount_id=discount_id)
    return redemptions.redeem(harness.store, checkout, **more).id


def count(database: Database, table: object) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()  # type: ignore[arg-type]


def test_a_grant_and_a_redemption_are_rows(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=10).id
    code = harness.grant(discount, "ann").code
    redeem(harness, discount, "ann", code)
    assert read_all(harness, database) == 3
    with database.reading() as connection:
        grant = connection.execute(select(GRANTS)).one()
        redemption = connection.execute(select(REDEMPTIONS)).one()
        figures = connection.execute(select(FIGURES).where(FIGURES.c.step == "day")).all()
    assert (grant.discount_id, grant.user_id, grant.code) == (discount, "ann", code)
    assert (redemption.state, redemption.user_id, redemption.code) == ("redeemed", "ann", code)
    counts = {each.type: each._mapping["count"] for each in figures}
    assert counts == {"discount.created": 1, "code.granted": 1, "code.redeemed": 1}


def test_no_event_is_written_twice(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=50).id
    for number in range(20):
        harness.grant(discount, f"user-{number}")
    assert read_all(harness, database) == 21
    assert read_all(harness, database, "two") == 0
    assert count(database, EVENTS) == 21
    assert count(database, GRANTS) == 20


def test_a_failed_batch_leaves_nothing_and_is_written_later(
    harness: ServiceHarness, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.grant(harness.create(total=5).id, "ann")
    with monkeypatch.context() as broken:
        broken.setattr(consumer, "rows_of", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            read_all(harness, database)
    assert count(database, POSITIONS) == 0
    assert read_all(harness, database) == 2


@pytest.mark.parametrize("users", [10, 300])
def test_sums_are_exact_whatever_the_size_of_a_batch(harness: ServiceHarness, database: Database, users: int) -> None:
    discount = harness.create(total=users).id
    codes = [harness.grant(discount, f"user-{number}").code for number in range(users)]
    read_all(harness, database)
    for number, code in enumerate(codes):
        redeem(harness, discount, f"user-{number}", code, f"order-{number}")
    read_all(harness, database)
    with database.reading() as connection:
        sums = connection.execute(
            select(FIGURES.c.type, FIGURES.c.amount, FIGURES.c["count"]).where(
                (FIGURES.c.step == "day") & (FIGURES.c.type == "code.redeemed")
            )
        ).all()
    assert (sum(each.amount for each in sums), count(database, GRANTS)) == (users * 1000, users)
    assert count(database, REDEMPTIONS) == users


def test_a_hold_that_is_confirmed_is_one_redemption(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=3).id
    code = harness.grant(discount, "ann").code
    held = redeem(harness, discount, "ann", code, hold_seconds=60)
    read_all(harness, database)
    redemptions.confirm(harness.store, held)
    read_all(harness, database)
    with database.reading() as connection:
        row = connection.execute(select(REDEMPTIONS)).one()
    assert row.state == "redeemed"
    assert row.confirmed_at > row.redeemed_at
    assert row.hold_until == row.redeemed_at + 60_000_000


def test_a_use_that_is_rolled_back_keeps_its_values(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=3).id
    used = redeem(harness, discount, "ann", harness.grant(discount, "ann").code)
    read_all(harness, database)
    redemptions.roll_back(harness.store, used, reason="returned")
    read_all(harness, database)
    with database.reading() as connection:
        row = connection.execute(select(REDEMPTIONS)).one()
    assert (row.state, row.reason, row.amount) == ("rolled-back", "returned", 1000)
    assert row.rolled_back_at > row.redeemed_at


def test_two_owners_of_a_partition_write_each_event_once(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=10).id
    first, second = (Consumer(harness.store, database, name) for name in ("one", "two"))
    first.open()
    assert first.turn() == 1
    harness.grant(discount, "ann")
    for lease in harness.redis.keys("*:ledger"):
        harness.redis.delete(lease)
    second.open()
    assert second.turn() == 1
    # The first one still believes that the partition and its position are its own.
    harness.grant(discount, "bob")
    assert first.turn() == 0
    assert first.turn() == 1
    assert count(database, GRANTS) == 2
    assert count(database, EVENTS) == 3
