"""Redis and the ledger are compared: each check finds exactly the damage that is made, and nothing else is reported."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, select, update

from discount.domain.code_sequence import canonical
from discount.domain.ids import DiscountId, parse_discount_id
from discount.ledger.consumer import Consumer
from discount.ledger.database import Database
from discount.ledger.differences import CHECKS, Result
from discount.ledger.reconcile import Reconciler
from discount.ledger.tables import FIGURES, GRANTS, POSITIONS, REDEMPTIONS
from discount.services import redemptions, revocations, users
from discount.store import keys
from tests.ledger.test_consumer import read_all, redeem
from tests.services.harness import GIVEN, ServiceHarness
from tests.support.service import wait_until

#: The users of each discount.
ANN, BOB, EVE = "ann", "bob", "eve"


class World:
    """A discount of each kind with grants, uses and revoked codes, and the ledger that has read all of it."""

    def __init__(self, harness: ServiceHarness, database: Database) -> None:
        self.harness, self.database, self.redis = harness, database, harness.redis
        made = {kind: harness.create_kind(kind, total=40) for kind in GIVEN}
        self.ids: dict[str, str] = {kind: each.id for kind, each in made.items()}
        for kind, discount in self.ids.items():
            codes = {user: harness.grant(discount, user).code for user in (ANN, BOB, EVE, "kim", "zoe")}
            for user in (ANN, BOB):
                redeem(harness, discount, user, codes[user], f"order-{kind}-{user}")
            held = redeem(harness, discount, EVE, codes[EVE], f"order-{kind}-hold", hold_seconds=600)
            assert redemptions.find(harness.store, held).state == "held"
            revocations.revoke(harness.store, discount, "kim", back="void")
            revocations.revoke(harness.store, discount, "zoe", back="pool", reissue=True)
        for order in ("one", "two"):
            used = redeem(harness, self.again(), ANN, self.code_of(self.again(), ANN), f"again-{order}")
            redemptions.roll_back(harness.store, used)
        read_all(harness, database)
        self.unique = self.parsed("unique")

    def again(self) -> str:
        """Return a discount that may be used more than once."""
        if "many" not in self.ids:
            self.ids["many"] = self.harness.create(total=5, limits={"per_user": 9}, returns_use=False).id
            self.harness.grant(self.ids["many"], ANN)
        return self.ids["many"]

    def code_of(self, discount_id: str, user: str) -> str:
        return self.harness.grant(discount_id, user).code

    def parsed(self, kind: str) -> DiscountId:
        found = parse_discount_id(self.ids[kind])
        assert found is not None
        return found

    def bucket(self, user: str) -> str:
        return keys.grants(self.unique.partition, self.unique.text, keys.grant_bucket(user, self.unique.buckets))

    @property
    def fields(self) -> str:
        return keys.discount(self.unique.partition, self.unique.text)

    def write(self, statement: Any) -> None:
        with self.database.writing() as connection:
            connection.execute(statement)

    def row(self, table: Table, user: str) -> Any:
        this = (table.c.user_id == user) & (table.c.discount_id == self.unique.text)
        with self.database.reading() as connection:
            return connection.execute(select(table).where(this)).one()

    def reconcile(self, *, repairs: bool = False) -> Result:
        reconciler = Reconciler(self.harness.store, self.database, lambda _: None, repairs=repairs)
        return reconciler.partition(self.unique.partition)


@pytest.fixture
def world(harness: ServiceHarness, database: Database, monkeypatch: pytest.MonkeyPatch) -> World:
    # All of them are read at each comparison.
    monkeypatch.setattr(keys, "USER_BUCKETS", 512)
    return World(harness, database)


def found(result: Result) -> list[tuple[str, str, str, str]]:
    return [(each.check, each.subject, each.redis, each.ledger) for each in result.differences]


def of_discount(world: World, table: Table) -> Any:
    return table.c.discount_id == world.unique.text


def test_nothing_differs_of_any_kind_after_grants_uses_and_revocations(world: World) -> None:
    result = world.reconcile()
    assert found(result) == []
    assert (result.count, result.discounts, result.unknown) == (0, 5, 0)
    assert result.grants == 4 * 3 + 1
    (place,) = result.places.values()
    with world.database.reading() as connection:
        assert place == connection.execute(select(POSITIONS.c.entry_id)).scalar_one()


def damage_counter(world: World) -> tuple[str, str, str, str]:
    world.redis.hincrby(world.fields, "granted", 1)
    # A code more is counted than was handed out: the pool then has one more than the counter says.
    world.redis.hincrby(world.fields, "made", 1)
    return "grants", "granted", "5", "4"


def damage_total(world: World) -> tuple[str, str, str, str]:
    world.redis.hincrby(world.fields, "total", 1)
    return "total", "total", "41", "40"


def damage_bucket(world: World) -> tuple[str, str, str, str]:
    code = world.code_of(world.unique.text, BOB)
    value = world.redis.hget(world.bucket(BOB), BOB)
    world.redis.hset(world.bucket(BOB), BOB, value.replace(code, "OTHER"))
    return "grants", BOB, "OTHER", code


def damage_map(world: World) -> tuple[str, str, str, str]:
    bits = keys.buckets(world.unique.partition, world.unique.text)
    world.redis.setbit(bits, keys.grant_bucket(BOB, world.unique.buckets), 0)
    return "grants", BOB, "in a bucket that is not listed", "granted"


def lose_grant(world: World) -> tuple[str, str, str, str]:
    code = world.code_of(world.unique.text, BOB)
    world.redis.hdel(world.bucket(BOB), BOB)
    world.redis.hdel(keys.users(world.unique.partition, BOB), BOB)
    # The user's other grants have gone from the list with it.
    return "grants", BOB, "none", code


def lose_row(world: World) -> tuple[str, str, str, str]:
    code = world.code_of(world.unique.text, BOB)
    world.write(delete(GRANTS).where(of_discount(world, GRANTS) & (GRANTS.c.user_id == BOB)))
    return "grants", BOB, code, "none"


def give_twice(world: World) -> tuple[str, str, str, str]:
    code = world.code_of(world.unique.text, ANN)
    row = world.row(GRANTS, BOB)
    of_bob = of_discount(world, GRANTS) & (GRANTS.c.user_id == BOB)
    world.write(update(GRANTS).where(of_bob).values(code=code, canonical=canonical(code)))
    world.redis.hset(world.bucket(BOB), BOB, f"{row.at:016d} {code}")
    return "codes", code, ANN, BOB


def offer_again(world: World) -> tuple[str, str, str, str]:
    code = world.code_of(world.unique.text, ANN)
    pool = keys.codes(world.unique.partition, world.unique.text)
    world.redis.lset(pool, 3, code)
    return "pool", code, "waits", ANN


def forget_in_list(world: World) -> tuple[str, str, str, str]:
    name, number = keys.users(world.unique.partition, BOB), world.redis.hget(world.fields, "number")
    others = [each for each in world.redis.hget(name, BOB).split() if each != number]
    world.redis.hset(name, BOB, " ".join(others))
    return "index", BOB, "0", "1"


def list_in_vain(world: World) -> tuple[str, str, str, str]:
    name, number = keys.users(world.unique.partition, "nobody"), world.redis.hget(world.fields, "number")
    world.redis.hset(name, "nobody", number)
    return "index", "nobody", "1", "0"


def damage_uses_of_user(world: World) -> tuple[str, str, str, str]:
    name = keys.uses(world.unique.partition, world.unique.text, keys.grant_bucket(ANN, world.unique.buckets))
    _, day, _, week, _ = world.redis.hget(name, ANN).split()
    world.redis.hset(name, ANN, f"0 {day} 1 {week} 1")
    shown = "{} in all, 1 on the last day, 1 in the last week"
    return "uses", ANN, shown.format(0), shown.format(1)


def lose_hold(world: World) -> tuple[str, str, str, str]:
    name = keys.uses(world.unique.partition, world.unique.text, keys.grant_bucket(EVE, world.unique.buckets))
    world.redis.hset(name, EVE, " ".join(world.redis.hget(name, EVE).split()[:5]))
    return "uses", EVE, "holds nothing", f"holds {world.row(REDEMPTIONS, EVE).id}"


def damage_used(world: World) -> tuple[str, str, str, str]:
    world.redis.hset(world.fields, "used", 7)
    return "uses", "used", "7", "2"


def damage_sum(world: World) -> tuple[str, str, str, str]:
    world.redis.hincrby(world.fields, "orders:EUR", 5)
    return "sums", "orders:EUR", "2005", "2000"


def damage_figure(world: World) -> tuple[str, str, str, str]:
    of_grants = of_discount(world, FIGURES) & (FIGURES.c.type == "code.granted") & (FIGURES.c.step == "day")
    world.write(update(FIGURES).where(of_grants).values({"count": 6}))
    return "figures", "granted", "6", "5"


def damage_figure_of_sums(world: World) -> tuple[str, str, str, str]:
    of_uses = of_discount(world, FIGURES) & (FIGURES.c.type == "code.redeemed") & (FIGURES.c.step == "day")
    world.write(update(FIGURES).where(of_uses).values(amount=FIGURES.c.amount + 1))
    return "figures", "orders:EUR", "2001", "2000"


DAMAGES: dict[Callable[[World], tuple[str, str, str, str]], bool] = {
    damage_counter: False,
    damage_total: True,
    damage_bucket: False,
    damage_map: True,
    lose_row: True,
    give_twice: False,
    # The code that it took the place of is missing in the pool then.
    offer_again: False,
    forget_in_list: True,
    list_in_vain: True,
    damage_uses_of_user: True,
    lose_hold: False,
    damage_used: True,
    damage_sum: True,
    damage_figure: True,
    damage_figure_of_sums: True,
}


def test_each_check_finds_exactly_its_damage_and_what_is_certain_is_repaired(world: World) -> None:
    before = world.harness.state()
    checks = set()
    for damage, is_certain in DAMAGES.items():
        rows = _rows(world.database)
        expected = damage(world)
        result = world.reconcile()
        assert expected in found(result), damage.__name__
        others = {"figures"} if damage is lose_row else set()
        assert {each.check for each in result.differences} == {expected[0], *others}, damage.__name__
        checks.add(expected[0])
        repaired = world.reconcile(repairs=True)
        assert all(each.repaired for each in repaired.differences if is_certain), damage.__name__
        if is_certain:
            assert world.reconcile().count == 0, damage.__name__
            if damage is not list_in_vain:
                after = world.harness.state()
                names = [name for name, value in before.items() if after.get(name) != value]
                assert [name for name in names if ":users:" not in name] == [], damage.__name__
        for name, value in before.items():
            world.redis.restore(name, 0, value, replace=True)
        for name in set(world.redis.keys("*")) - set(before):
            world.redis.delete(name)
        _write_rows(world.database, rows)
        assert found(world.reconcile()) == [], damage.__name__
    assert checks == set(CHECKS)


def _rows(database: Database) -> dict[Table, list[dict[str, Any]]]:
    with database.reading() as connection:
        return {
            table: [dict(row._mapping) for row in connection.execute(select(table))]
            for table in (GRANTS, FIGURES, REDEMPTIONS)
        }


def _write_rows(database: Database, rows: dict[Table, list[dict[str, Any]]]) -> None:
    with database.writing() as connection:
        for table, values in rows.items():
            connection.execute(delete(table))
            connection.execute(insert(table), values)


def test_a_grant_that_redis_lost_is_found_and_written_again(world: World) -> None:
    expected = lose_grant(world)
    code = expected[3]
    assert expected in found(world.reconcile())
    world.reconcile(repairs=True)
    # The repaired bucket shows what else the list of the user lacks.
    world.reconcile(repairs=True)
    assert found(world.reconcile()) == []
    again = world.harness.grant(world.unique.text, BOB)
    assert (again.code, again.fresh) == (code, False)


def test_discounts_from_before_the_ledger_are_not_compared(harness: ServiceHarness, database: Database) -> None:
    old = harness.create(total=5)
    harness.grant(old.id, ANN)
    harness.redis.delete(keys.events(old.partition))
    harness.create(total=5)
    read_all(harness, database)
    result = Reconciler(harness.store, database, lambda _: None).partition(old.partition)
    assert (result.unknown, result.discounts, result.count) == (1, 1, 0)


def test_forgotten_users_are_no_difference(world: World) -> None:
    users.forget(world.harness.store, ANN)
    users.forget(world.harness.store, "kim")
    read_all(world.harness, world.database)
    assert found(world.reconcile()) == []


def test_changes_that_the_ledger_has_not_read_are_no_difference(world: World) -> None:
    harness, discount = world.harness, world.unique.text
    code = harness.grant(discount, "new").code
    redeem(harness, discount, "new", code, "order-new")
    revocations.revoke(harness.store, discount, BOB, back="next", next_user_id="max")
    revocations.revoke(harness.store, discount, ANN, back="void")
    harness.change(discount, total_count=50)
    harness.import_lines(world.ids["imported"], ["More 1", "More 2"])
    users.forget(harness.store, EVE)
    assert found(world.reconcile()) == []


def test_no_difference_is_seen_while_grants_and_uses_go_on(world: World) -> None:
    harness = world.harness
    many = [harness.create_kind(kind, total=2000).id for kind in ("imported", "unique")]
    consumer = Consumer(harness.store, world.database, "under-way")
    consumer.open()
    ending = threading.Event()

    def write() -> None:
        while not ending.is_set():
            consumer.turn()

    def go_on(thread: int) -> None:
        for number in range(1000):
            discount, user = many[number % 2], f"user-{thread}-{number}"
            used = redeem(harness, discount, user, harness.grant(discount, user).code, f"{thread}-{number}")
            if number % 3 == 0:
                redemptions.roll_back(harness.store, used)
            if number % 5 == 0:
                revocations.revoke(harness.store, discount, user, back="pool", reissue=True)
            if ending.wait(0.002):
                return

    with ThreadPoolExecutor(3) as pool:
        writing, *under_way = [pool.submit(write), *(pool.submit(go_on, thread) for thread in range(2))]
        try:
            wait_until(lambda: harness.show(many[1]).granted_count > 20, "grants go on")
            before = harness.show(many[1]).redeemed_count
            result = world.reconcile()
            wait_until(lambda: harness.show(many[1]).redeemed_count > before, "grants went on")
        finally:
            ending.set()
        for each in under_way:
            each.result()
        writing.result()
    assert found(result) == []
