"""Figures over time: grants, uses and money from events, repeats and refusals from what processes counted."""

from typing import Any

import pytest
from sqlalchemy import select

from discount.domain.errors import BY_SLUG, IdempotencyMismatch, Refusal, TooManyGuesses
from discount.domain.rules import Order, decimals
from discount.ledger.database import Database
from discount.ledger.figures import ENOUGH, Figures, Forecast
from discount.ledger.row_retention import RowRetention
from discount.ledger.rows import STEPS
from discount.ledger.tables import FIGURES
from discount.ledger.tallies import OVER, TallyReader
from discount.ledger.writer import insert
from discount.services import grants, redemptions, revocations, tallies
from discount.services.checkouts import Checkout
from discount.services.tallies import NO_GRANT, NO_REDEMPTION
from discount.store import keys
from discount.store.connection import Store
from tests.ledger.test_consumer import read_all, redeem
from tests.ledger.test_restore import restore
from tests.services.harness import ServiceHarness
from tests.support.fixtures import ONE_REDIS

MINUTE, HOUR, DAY = STEPS["minute"], STEPS["hour"], STEPS["day"]


def counting(harness: ServiceHarness) -> Store:
    """Return the store of a harness, which counts; nothing is written until the test asks for it."""
    harness.store.tallies.start(lambda: None)
    return harness.store


def write_tallies(harness: ServiceHarness, database: Database) -> int:
    """Write what was counted into the ledger, as app and worker do, and return how many numbers changed."""
    tallies.write(harness.store)
    return TallyReader(harness.store, database, lambda: range(harness.store.partitions)).turn()


def refuse(harness: ServiceHarness, discount_id: str, user_id: str) -> str:
    with pytest.raises(Refusal) as caught:
        harness.grant(discount_id, user_id)
    return caught.value.slug


def stored(database: Database, kind: str) -> dict[str, int]:
    """Return the sums of a type of figure, by step."""
    with database.reading() as connection:
        rows = connection.execute(select(FIGURES).where(FIGURES.c.type == kind))
        found: dict[str, int] = {}
        for row in rows:
            found[row.step] = found.get(row.step, 0) + row._mapping["count"]
        return found


def test_figures_add_up_over_steps_and_discounts(harness: ServiceHarness, database: Database) -> None:
    discounts = [harness.create(total=5).id for _ in range(2)]
    for discount in discounts:
        for user in ("ann", "bob"):
            redeem(harness, discount, user, harness.grant(discount, user).code, f"{discount}-{user}")
    read_all(harness, database)
    now, figures = harness.now(), Figures(harness.store, database)
    for step in STEPS:
        of_brand = figures.of_brand("IKEA", step, now - DAY, now + 1)  # type: ignore[arg-type]
        assert sum(each.granted for each in of_brand.figures) == of_brand.total.granted == 4
        assert of_brand.total.amounts == {"EUR": 4000}
        of_one = figures.of_discount(discounts[0], step, now - DAY, now + 1)  # type: ignore[arg-type]
        assert (of_one.total.granted, of_one.total.redeemed) == (2, 2)


def test_money_is_summed_by_currency_without_what_was_rolled_back(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=5).id
    code = harness.grant(discount, "ann").code
    used = redeem(harness, discount, "ann", code)
    redemptions.roll_back(harness.store, used)
    read_all(harness, database)
    now = harness.now()
    report = Figures(harness.store, database).of_discount(discount, "day", now - DAY, now + 1)
    assert report.total.amounts == {"EUR": 0}
    assert report.decimals == {"EUR": 2}
    assert (report.total.redeemed, report.total.rolled_back) == (1, 1)


def test_codes_that_were_taken_back_are_counted(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=5).id
    harness.grant(discount, "ann")
    revocations.revoke(harness.store, discount, "ann")
    read_all(harness, database)
    now = harness.now()
    assert Figures(harness.store, database).of_discount(discount, "day", now - DAY, now + 1).total.revoked == 1


def test_repeats_and_refusals_are_counted_by_word_and_are_in_the_figures(
    harness: ServiceHarness, database: Database
) -> None:
    store = counting(harness)
    discount = harness.create(total=2).id
    code = harness.grant(discount, "ann").code
    harness.grant(discount, "ann")
    harness.grant(discount, "bob")
    for user in ("cy", "di", "ed"):
        assert refuse(harness, discount, user) == "sold-out"
    grants.grant_many(store, discount, ["ann", "fay"])
    redeem(harness, discount, "ann", code)
    with pytest.raises(Refusal, match="redeemed"):
        redeem(harness, discount, "ann", code, "another")
    with pytest.raises(IdempotencyMismatch):
        redemptions.redeem(store, Checkout("ann", code, Order("o", 2000, "EUR"), discount_id=discount))
    for _ in range(10):
        with pytest.raises(Refusal):
            redeem(harness, discount, "gus", "WRONG", "o-2")
    with pytest.raises(TooManyGuesses):
        redeem(harness, discount, "gus", "WRONG", "o-2")
    read_all(harness, database)
    write_tallies(harness, database)
    now = harness.now()
    for step in STEPS:
        total = Figures(store, database).of_brand("IKEA", step, now - DAY, now + 1).total  # type: ignore[arg-type]
        assert (total.granted, total.repeated) == (2, 2)
        assert total.refused_grants == {"sold-out": 4}
        assert total.refused_redemptions == {
            "already-redeemed": 1,
            "idempotency-mismatch": 1,
            "not-granted": 10,
            "too-many-guesses": 1,
        }


def test_a_process_that_has_not_started_to_count_counts_nothing(harness: ServiceHarness) -> None:
    discount = harness.create(total=1).id
    harness.grant(discount, "ann")
    refuse(harness, discount, "bob")
    tallies.write(harness.store)
    assert harness.redis.keys("*tallies") == []


def test_what_says_nothing_about_a_discount_is_not_counted(harness: ServiceHarness) -> None:
    store = counting(harness)
    assert refuse(harness, harness.create(total=1).id.replace("0", "1"), "ann") == "not-found"
    assert store.tallies.take() == {}


@ONE_REDIS
def test_counting_costs_no_exchange_and_writing_one(harness: ServiceHarness) -> None:
    store = counting(harness)
    discounts = [harness.create(total=1, brand=brand).id for brand in ("IKEA", "Other")]
    for each in discounts:
        harness.grant(each, "ann")
        refuse(harness, each, "bob")
    trips = 0

    def count() -> None:
        nonlocal trips
        trips += 1

    store._on_round_trip = count
    for each in discounts:
        refuse(harness, each, "cy")
    assert trips == 2
    tallies.write(store)
    assert trips == 3
    assert sum(each.count for partition in range(store.partitions) for each in tallies.read(store, partition)) == 4


@pytest.mark.parametrize("died", ["before", "after"])
def test_a_reader_that_dies_neither_loses_nor_doubles_a_count(
    harness: ServiceHarness, database: Database, died: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting(harness)
    discount = harness.create(total=1).id
    harness.grant(discount, "ann")
    refuse(harness, discount, "bob")
    write_tallies(harness, database)
    refuse(harness, discount, "bob")
    tallies.write(harness.store)
    reader = TallyReader(harness.store, database, lambda: range(harness.store.partitions))
    with monkeypatch.context() as broken:
        # Before anything is written, or once it is written and not yet remembered.
        broken.setattr(f"discount.ledger.tallies.{'insert' if died == 'before' else 'OVER'}", None)
        with pytest.raises(TypeError):
            reader.turn()
    for _ in range(2):
        write_tallies(harness, database)
    assert stored(database, "no-grant:sold-out") == {"minute": 2, "hour": 2, "day": 2}


def test_numbers_whose_minute_is_over_leave_redis_once_the_ledger_has_them(
    harness: ServiceHarness, database: Database
) -> None:
    discount = harness.create(total=1)
    name, minute = keys.tallies(discount.partition), harness.now() // MINUTE * MINUTE
    for at in (minute - OVER, minute):
        harness.redis.hset(name, f"{at} {discount.id} no-grant:sold-out", 3)
    reader = TallyReader(harness.store, database, lambda: range(harness.store.partitions))
    assert reader.turn() == 2
    assert harness.redis.hlen(name) == 1
    assert reader.turn() == 0
    assert stored(database, "no-grant:sold-out")["day"] == 6


def test_a_partition_keeps_only_so_many_numbers(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    store = counting(harness)
    monkeypatch.setattr(tallies, "MOST", 2)
    discount = harness.create(total=1)
    for word in ("one", "two", "three", "one"):
        store.tallies.count(discount.id, word)
    tallies.write(store)
    store.tallies.count(discount.id, "two")
    tallies.write(store)
    found = {each.word: each.count for each in tallies.read(store, discount.partition)}
    assert found == {"one": 2, "two": 2}


def test_every_slug_fits_in_the_column() -> None:
    longest = max(map(len, BY_SLUG))
    assert longest + max(map(len, (NO_GRANT, NO_REDEMPTION))) <= FIGURES.c.type.type.length  # type: ignore[attr-defined]


def test_amounts_have_the_decimals_of_their_currency() -> None:
    assert [decimals(each) for each in ("EUR", "JPY", "KWD", "XXX", "ZZZ")] == [2, 0, 3, 2, 2]


class Past:
    """Grants of a discount in the past, by minutes before now, straight in the ledger."""

    def __init__(self, harness: ServiceHarness, database: Database, total: int, age: int, **more: Any) -> None:
        made = harness.create(total=total, **more)
        self.id, self.now = made.id, harness.now()
        self._harness, self._database = harness, database
        self._partition = made.partition
        harness.redis.hset(keys.discount(self._partition, made.id), "created_at", f"{self.now - age:016d}")

    def grant(self, ago: int, count: int) -> None:
        at = self.now - ago
        rows = [
            {
                "discount_id": self.id,
                "step": step,
                "at": at - at % size,
                "type": "code.granted",
                "currency": "",
                "brand_id": "IKEA",
                "count": count,
                "amount": 0,
                "discount_amount": 0,
            }
            for step, size in STEPS.items()
        ]
        with self._database.writing() as connection:
            insert(connection, FIGURES, rows, sets={"count": "added"})
        self._harness.redis.hincrby(keys.discount(self._partition, self.id), "granted", count)

    def forecast(self) -> Forecast | None:
        figures = Figures(self._harness.store, self._database)
        report = figures.of_discount(self.id, "day", self.now - DAY, self.now)
        return report.forecasts[0] if report.forecasts else None

    def hours_left(self) -> float | None:
        found = self.forecast()
        assert found is not None
        return None if found.runs_out_at is None else round((found.runs_out_at - self.now) / HOUR, 1)


def test_codes_run_out_at_the_pace_of_the_last_hour(harness: ServiceHarness, database: Database) -> None:
    past = Past(harness, database, total=160, age=3 * DAY)
    past.grant(2 * DAY, 40)
    past.grant(10 * MINUTE, 20)
    # Windows begin with a whole minute, so the hour may be a minute longer.
    assert past.hours_left() in (5.0, 5.1)
    found = past.forecast()
    assert found is not None
    assert (found.remaining, found.granted) == (100, 20)


def test_few_grants_in_the_hour_are_no_pace(harness: ServiceHarness, database: Database) -> None:
    past = Past(harness, database, total=100 + 24, age=3 * DAY)
    past.grant(5 * HOUR, 24 - ENOUGH + 1)
    past.grant(10 * MINUTE, ENOUGH - 1)
    assert past.hours_left() in (100.0, 100.1)


def test_a_single_grant_in_a_week_is_a_pace(harness: ServiceHarness, database: Database) -> None:
    past = Past(harness, database, total=3, age=30 * DAY)
    past.grant(3 * DAY, 1)
    assert past.hours_left() in (336.0, 336.1)


def test_the_pace_of_a_young_discount_counts_from_its_beginning(harness: ServiceHarness, database: Database) -> None:
    past = Past(harness, database, total=40, age=30 * MINUTE)
    past.grant(10 * MINUTE, 10)
    assert past.hours_left() == 1.5


def test_a_discount_that_ends_before_its_codes_has_no_such_time(harness: ServiceHarness, database: Database) -> None:
    past = Past(harness, database, total=1000, age=3 * DAY, expires_at=harness.now() + DAY)
    past.grant(10 * MINUTE, 20)
    assert past.hours_left() is None


def test_there_is_no_forecast_where_none_applies(harness: ServiceHarness, database: Database) -> None:
    quiet = Past(harness, database, total=10, age=30 * DAY)
    assert quiet.forecast() is None
    quiet.grant(8 * DAY, 3)
    assert quiet.forecast() is None
    sold_out = Past(harness, database, total=3, age=DAY)
    sold_out.grant(HOUR, 3)
    assert sold_out.forecast() is None
    paused = Past(harness, database, total=9, age=DAY)
    paused.grant(HOUR, 3)
    assert paused.forecast() is not None
    harness.change(paused.id, paused=True)
    assert paused.forecast() is None
    endless = harness.create_kind("shared", total=None).id
    harness.grant(endless, "ann")
    read_all(harness, database)
    report = Figures(harness.store, database).of_discount(endless, "day", 0, harness.now() + 1)
    assert (report.total.granted, report.forecasts) == (1, [])


def test_a_brand_shows_first_what_runs_out_first(harness: ServiceHarness, database: Database) -> None:
    for total in (300, 100, 200):
        past = Past(harness, database, total=total, age=DAY)
        past.grant(10 * MINUTE, 20)
    never = Past(harness, database, total=900, age=DAY, expires_at=harness.now() + HOUR)
    never.grant(10 * MINUTE, 20)
    report = Figures(harness.store, database).of_brand("IKEA", "day", never.now - DAY, never.now)
    assert [each.remaining for each in report.forecasts] == [80, 180, 280]


def test_old_figures_go_by_step_and_days_stay(harness: ServiceHarness, database: Database) -> None:
    past = Past(harness, database, total=10, age=1000 * DAY)
    for days in (900, 100, 10):
        past.grant(days * DAY, 1)
    retention = RowRetention(database, {"minute": 90, "hour": 730})
    assert retention.turn(past.now) == 3
    assert stored(database, "code.granted") == {"minute": 1, "hour": 2, "day": 3}
    assert retention.turn(past.now) == 0


def test_figures_by_discount_are_those_of_the_whole_minutes(harness: ServiceHarness, database: Database) -> None:
    several = [Past(harness, database, total=10, age=DAY) for _ in range(2)]
    for past in several:
        past.grant(3 * HOUR, 2)
        past.grant(HOUR, 1)
    now = several[0].now
    found = Figures(harness.store, database).of_each("IKEA", now - 2 * HOUR, now)
    assert {each: figure.granted for each, figure in found.items()} == {past.id: 1 for past in several}


def test_after_a_restore_a_share_has_no_second_event(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=20)
    for number in range(17):
        harness.grant(discount.id, f"user-{number}")
    harness.rest()
    read_all(harness, database)
    harness.redis.flushall()
    harness.store.prepare()
    restore(harness, database)
    for number in range(17, 20):
        harness.grant(discount.id, f"user-{number}")
    shares = harness.events(discount, "discount.running-low")
    assert [(each["percent"], each["granted"]) for each in shares] == [("80", "16"), ("95", "19")]
