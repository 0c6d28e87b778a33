"""What Redis lost is put back from the ledger: everything, or its last moment."""

import re
from contextlib import suppress
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from structlog.testing import capture_logs

from discount.app import create_app
from discount.config import Settings
from discount.domain import code_kinds
from discount.domain.audience import Audience, Customer
from discount.domain.combinations import CLASSES
from discount.domain.errors import Unavailable
from discount.domain.order_lines import Line, Products, Selection
from discount.domain.releases import Release
from discount.domain.rules import Order, Rule
from discount.ledger import LedgerError
from discount.ledger.consumer import Consumer
from discount.ledger.database import Database
from discount.ledger.reconcile import Reconciler
from discount.ledger.restore import Restore
from discount.ledger.tables import DISCOUNTS
from discount.security import signing
from discount.security.sealing import Sealer
from discount.security.signing import Signer
from discount.services import (
    discount_changes,
    moved_codes,
    outbox,
    redemption_lists,
    redemptions,
    revocations,
    several_codes,
    users,
    waiting_lists,
)
from discount.services.checkouts import Checkout
from discount.services.moved_codes import MovedCode
from discount.store import keys
from discount.store.connection import Store
from discount.store.replay import ReplayStore
from discount.store.scripts import REPLAYED
from tests.ledger.test_consumer import read_all, redeem
from tests.services.harness import GIVEN, ServiceHarness
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer

WEEK = 7 * 86_400
USERS = [f"user {number}" for number in range(12)]
_OF_THE_MOMENT = ("guesses", "idempotency", "ledger", "events", "trimmed", "installation", "rate", "waits", "mark")


def fill(harness: ServiceHarness) -> list[str]:
    """Make discounts of all four kinds, and do with them whatever can be done; return their ids."""
    store = harness.store
    made = [harness.create_kind(kind, total=40).id for kind in GIVEN]
    made.append(harness.create_kind("personal", total=None, template="{brand}-N{seq}").id)
    made.append(harness.create(total=5, limits={"per_user": 5, "per_user_per_day": 3}, returns_use=False).id)
    made.append(harness.create(total=2000, metadata={"channel": "mail"}).id)
    made += [harness.create(total=3).id for _ in range(9)]
    for discount in made[:4]:
        codes = {user: harness.grant(discount, user).code for user in USERS[:9]}
        for user in USERS[:3]:
            redeem(harness, discount, user, codes[user], f"{discount} {user}", metadata={"till": "4"})
        redemptions.roll_back(
            store, redeem(harness, discount, USERS[3], codes[USERS[3]], f"{discount} back"), reason="returned"
        )
        held = redeem(harness, discount, USERS[4], codes[USERS[4]], f"{discount} held", hold_seconds=600)
        redemptions.confirm(store, held)
        redeem(harness, discount, USERS[5], codes[USERS[5]], f"{discount} open", hold_seconds=600)
        # A second checkout of the same user releases the first hold.
        redeem(harness, discount, USERS[5], codes[USERS[5]], f"{discount} again", hold_seconds=500)
        released = redeem(harness, discount, USERS[6], codes[USERS[6]], f"{discount} off", hold_seconds=600)
        redemptions.roll_back(store, released, reason="changed mind")
        revocations.revoke(store, discount, USERS[0], reason="stolen", back="void")
        revocations.revoke(store, discount, USERS[7], back="pool", reissue=True)
        revocations.revoke(store, discount, USERS[8], back="next", next_user_id="next one")
        revocations.revoke(store, discount, USERS[0], back="void", reissue=True)
        harness.grant(discount, USERS[0])
    several = made[5]
    code = harness.grant(several, "ann").code
    for order in range(3):
        used = redeem(harness, several, "ann", code, f"several {order}")
    redemptions.roll_back(store, used)
    discount_changes.change(store, several, {"total_count": 4, "limits": {"per_user": 9}, "paused": True})
    discount_changes.change(store, several, {"paused": False, "discount_code": "Spring"})
    for user in USERS[:5]:
        harness.grant(made[4], user)
    for number in range(150):
        harness.grant(made[6], f"many {number}")
    # More discounts than the first part of a user's list has room for.
    for discount in made[7:]:
        harness.grant(discount, USERS[1])
    for user in USERS[:2]:
        harness.grant(made[-1], user)
    harness.close(made[-2])
    harness.close(made[-3], void=True)
    harness.import_lines(made[1], ["Later 1", "Later 2", "Own 3"])
    made.append(move_in(harness))
    return [*made, *redeem_together(harness), *fill_lists(harness)]


def move_in(harness: ServiceHarness) -> str:
    """Move codes in with more uses than the first list of a discount holds; return the id of the discount."""
    found = harness.create(kind=code_kinds.make("imported", None, {}), limits={"per_user": 3, "per_month": 200})
    at = harness.now() - WEEK * 1_000_000
    lines = [MovedCode(f"Moved {user}", user, at, 12, at + n) for n, user in enumerate(USERS)]
    lines += [MovedCode("Moved and waiting"), MovedCode("Moved ann", "ann", uses=1, order_id="of ann")]
    moved_codes.move_in(harness.store, found.id, enumerate(lines))
    moved_codes.move_in(harness.store, found.id, [(1, MovedCode("Moved ann", "ann", uses=2))])
    redemptions.roll_back(harness.store, redemption_lists.list_of_discount(harness.store, found.id).items[0].id)
    harness.grant(found.id, "next")
    return found.id


def redeem_together(harness: ServiceHarness) -> list[str]:
    """Redeem, hold, confirm and roll back orders with lines and several codes; return the ids of the discounts."""
    chairs = Selection(applies_to=Products(skus=("CHAIR",)))
    given = [
        ("CHAIRS", Rule(percent=5_000, selection=chairs, combines=CLASSES), Audience(first_order=True, at="checkout")),
        ("FIVE", Rule(amount_off=500, currency="EUR", combines=CLASSES), None),
    ]
    made = [
        harness.create(
            total=None,
            kind=code_kinds.make("shared", None, {"code": code}),
            rule=rule,
            audience=audience,
            limits={"per_user": None},
        ).id
        for code, rule, audience in given
    ]
    lines = (Line("1", 600, 1, "CHAIR"), Line("2", 400))
    codes = ["FIVE", "CHAIRS"]
    for order, hold in (("one", None), ("two", 600), ("three", 600)):
        checkout = Checkout(
            USERS[9], "", Order(order, 1000, "EUR", lines), brand_id="IKEA", customer=Customer(orders=0)
        )
        found = several_codes.redeem(harness.store, checkout, codes, hold_seconds=hold, metadata={"till": "5"})
        if order == "two":
            redemptions.roll_back(harness.store, found[1].id, "one of them")
            several_codes.confirm(harness.store, found[0].id)
        elif order == "three":
            several_codes.roll_back(harness.store, found[0].id, "all of them")
    return made


def fill_lists(harness: ServiceHarness) -> list[str]:
    """Make discounts that users wait for, and let some get a code; return their ids."""
    store = harness.store
    made = [harness.create_kind(kind, total=2).id for kind in ("unique", "imported")]
    made.append(harness.create_kind("personal", 2, template="{brand}-waited-for-{user}").id)
    for discount in made:
        for user in USERS[:2]:
            harness.grant(discount, user)
        for user in USERS[2:8]:
            waiting_lists.wait(store, discount, user)
        revocations.revoke(store, discount, USERS[0], back="pool")
        waiting_lists.leave(store, discount, USERS[4])
    harness.change(made[0], total_count=3)
    harness.import_lines(made[1], ["Waited 1", "Waited 2"])
    harness.change(made[2], total_count=9)
    paced = harness.create(total=5, release=Release(harness.now() - 1, 1))
    harness.grant(paced.id, USERS[0])
    waiting_lists.wait(store, paced.id, USERS[1])
    return [*made, paced.id]


@pytest.fixture
def http(harness: ServiceHarness) -> FlaskClient:
    return create_app(Settings(), harness.store).test_client()


def answers(http: FlaskClient, made: list[str]) -> dict[str, bytes]:
    """Return the answers to all reading calls about discounts."""
    paths = ["/discount", "/discount?brand_id=IKEA&status=active", "/event?brand_id=IKEA&limit=1000"]
    paths += [f"/user/{user}/{noun}?brand_id=IKEA" for user in [*USERS, "ann"] for noun in ("grants", "redemptions")]
    for discount in made:
        nouns = ("", "/grants", "/redemptions", "/codes", "/grants?limit=3")
        paths += [f"/discount/{discount}{noun}" for noun in nouns]
    found = {path: http.get(path).data for path in paths}
    for discount in made[:4]:
        for each in http.get(f"/discount/{discount}/redemptions").get_json()["redemptions"]:
            found[each["id"]] = http.get(f"/redemption/{each['id']}").data
        for user in USERS[1:3]:
            # Grants and redemptions that are repeated change nothing.
            grant = http.post(f"/discount/{discount}/grant", json={"user_id": user})
            assert grant.status_code == 200
            order = {"id": f"{discount} {user}", "amount": 1000, "currency": "EUR"}
            body = {"user_id": user, "code": grant.get_json()["code"], "order": order, "discount_id": discount}
            found[f"{discount} {user}"] = grant.data + http.post("/redemption", json=body).data
    for discount in made[:2]:
        # The next user got this code.
        code = http.get(f"/discount/{discount}/grant?user_id=next%20one").get_json()["code"]
        order = {"id": "new", "amount": 1000, "currency": "EUR"}
        body = {"user_id": USERS[8], "code": code, "order": order, "discount_id": discount}
        refused = http.post("/redemption", json=body).get_json()
        assert refused["type"].endswith("revoked")
        found[f"{discount} refused"] = _without_request(refused)
    return found


def _without_request(problem: dict[str, Any]) -> bytes:
    return str({name: value for name, value in problem.items() if name != "request_id"}).encode()


def data(harness: ServiceHarness) -> dict[str, Any]:
    """Return what Redis holds of discounts, by key."""
    harness.rest()
    client, found = harness.redis, {}
    for name in client.keys("*"):
        # What expires, what a worker writes, and wrong codes belong to the moment.
        if name.split(":")[1] in (
            "guesses",
            "idempotency",
            "ledger",
            "events",
            "trimmed",
            "installation",
            "rate",
            "waits",
            "mark",
            "targets",
            "uncopied",
        ):
            continue
        kind = client.type(name)
        reads = {
            "string": client.dump,
            "hash": client.hgetall,
            "list": lambda key: client.lrange(key, 0, -1),
            "set": client.smembers,
            "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
            "stream": client.xrange,
        }
        found[name] = reads[kind](name)
        # How many codes are made ahead depends on the calls that asked for them; which ones these are does not.
        if name.endswith(":codes"):
            found[name] = found[name][:3]
        elif name.startswith("{0c}:discount:dsc-") and name.count(":") == 2 and found[name]["kind"] == "unique":
            del found[name]["made"]
    return found


def differing(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs, by key."""
    names = sorted(found.keys() | wanted.keys())
    return {name: (found.get(name), wanted.get(name)) for name in names if found.get(name) != wanted.get(name)}


def restore(harness: ServiceHarness, database: Database, keep: int = WEEK) -> list[str]:
    """Restore all partitions, and return what was refused."""
    for partition in range(harness.store.partitions):
        # Wherever answers wait for replicas, each partition has one.
        harness.redis.set(keys.mark(partition), 1)
    with_secret = Restore(harness.store, database, Sealer(Signer(harness.store, "")), keep)
    wanted = with_secret.begin()
    with_secret.restore_secret()
    return [each for n in wanted for each in with_secret.partition(n).refused]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_after_everything_was_lost_and_restored_every_answer_is_as_before(
    harness: ServiceHarness, database: Database, http: FlaskClient
) -> None:
    made = fill(harness)
    read_all(harness, database)
    before, stored, events = answers(http, made), data(harness), harness.redis.xrange(keys.events(12))
    harness.redis.flushall()
    assert restore(harness, database) == []
    assert differing(data(harness), stored) == {}
    assert differing(answers(http, made), before) == {}
    assert harness.redis.xrange(keys.events(12)) == events
    # The next codes are those that would have come, and events go on behind those of before.
    for discount in made[:3]:
        assert harness.grant(discount, "new").fresh
    assert read_all(harness, database, "later") == 3
    assert Reconciler(harness.store, database, lambda _: None).partition(12).differences == []


def test_a_restore_that_was_interrupted_goes_on(
    harness: ServiceHarness, database: Database, http: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fill(harness)
    read_all(harness, database)
    before, stored = answers(http, made), data(harness)
    harness.redis.flushall()
    calls = 0
    run_many = ReplayStore.run_many

    def fail_sometimes(store: ReplayStore, name: str, *rest: Any) -> Any:
        nonlocal calls
        done = run_many(store, name, *rest)
        calls += name in REPLAYED
        if name in REPLAYED and calls % 7 == 0:
            # The script has run, and its answer is lost.
            raise Unavailable
        return done

    monkeypatch.setattr(ReplayStore, "run_many", fail_sometimes)
    for _ in range(200):
        with suppress(Unavailable):
            assert restore(harness, database) == []
            break
    assert calls > 100
    assert not harness.redis.keys("*:restoring")
    assert differing(data(harness), stored) == {}
    assert differing(answers(http, made), before) == {}


def test_only_an_empty_redis_is_restored(harness: ServiceHarness, database: Database) -> None:
    harness.create()
    read_all(harness, database)
    with pytest.raises(LedgerError, match="not empty"):
        restore(harness, database)


def test_events_that_are_no_longer_kept_stay_out_of_the_outbox(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=5)
    code = harness.grant(discount.id, "ann").code
    read_all(harness, database)
    harness.redis.flushall()
    assert restore(harness, database, keep=-10) == []
    stream = keys.events(discount.partition)
    assert harness.redis.xlen(stream) == 0
    harness.grant(discount.id, "bob")
    assert read_all(harness, database, "later") == 1
    again = harness.grant(discount.id, "ann")
    assert (again.code, again.fresh) == (code, False)


def test_forgotten_users_stay_forgotten(harness: ServiceHarness, database: Database, http: FlaskClient) -> None:
    def without_traces() -> dict[str, Any]:
        # The bucket of the user, and the digest of the code with the user's name, stay where they were.
        return {name: value for name, value in data(harness).items() if not re.search(":taken:|:buckets$", name)}

    personal, unique = harness.create_kind("personal", total=None).id, harness.create(total=9).id
    for discount in (personal, unique):
        redeem(harness, discount, "Zoltan", harness.grant(discount, "Zoltan").code, f"order {discount}")
    revocations.revoke(harness.store, unique, "Zoltan", reason="Zoltan asked")
    read_all(harness, database)
    users.forget(harness.store, "Zoltan")
    read_all(harness, database)
    outbox.cut_read(harness.store, keys.partition_of("IKEA", 16))
    stored = without_traces()
    harness.redis.flushall()
    assert restore(harness, database) == []
    assert differing(without_traces(), stored) == {}
    assert all("Zoltan" not in str(entry) for entry in harness.redis.xrange(keys.events(12)))


def test_what_codes_are_made_with_is_sealed_in_the_ledger(
    harness: ServiceHarness, database: Database, redis_server: RedisServer
) -> None:
    store = Store.at(redis_server.url, PATIENCE, 16, secret="s" * 40)
    store.prepare()
    discount = harness.create(total=5)
    consumer = Consumer(store, database, "one", "s" * 40)
    consumer.open()
    consumer.turn()
    key = harness.redis.hget(keys.discount(discount.partition, discount.id), "key")
    with database.reading() as connection:
        (sealed,) = connection.execute(select(DISCOUNTS.c.key)).scalars()
    assert key[4:] not in sealed
    assert Sealer(Signer(store, "s" * 40)).open(sealed, discount.id) == key
    assert Sealer(Signer(store, "s" * 40)).open(sealed, "another") is None
    assert Sealer(Signer(store, "t" * 40)).open(sealed, discount.id) is None
    # After the secret was replaced, a worker seals what Redis has with the new one.
    signing.replace_secret(store, "t" * 40)
    Consumer(store, database, "two", "t" * 40).open()
    with database.reading() as connection:
        (again,) = connection.execute(select(DISCOUNTS.c.key)).scalars()
    assert Sealer(Signer(store, "t" * 40)).open(again, discount.id) == key


def lose_after(harness: ServiceHarness, stored: dict[str, bytes]) -> None:
    """Let Redis be as it was at an earlier moment."""
    harness.redis.flushall()
    for name, value in stored.items():
        if not name.endswith(":ledger"):
            harness.redis.restore(name, 0, value, replace=True)


def test_a_last_moment_that_redis_lost_is_put_back_before_anything_else(
    harness: ServiceHarness, database: Database, http: FlaskClient
) -> None:
    early = harness.create(total=30).id
    for user in USERS[:3]:
        harness.grant(early, user)
    read_all(harness, database)
    moment = harness.state()
    made = fill(harness)
    codes = {user: harness.grant(early, user).code for user in USERS}
    read_all(harness, database)
    before, stored, events = answers(http, made), data(harness), harness.redis.xrange(keys.events(12))
    lose_after(harness, moment)
    reader = Consumer(harness.store, database, "three")
    with capture_logs() as lines:
        reader.open()
        assert reader.turn() == 0
    assert reader.lost == set()
    logged = [each["event"] for each in lines if each["log_level"] == "error"]
    assert logged == ["Redis has lost events that the ledger has", "what Redis had lost is put back"]
    assert differing(data(harness), stored) == {}
    assert differing(answers(http, made), before) == {}
    assert harness.redis.xrange(keys.events(12)) == events
    assert harness.grant(early, "new").code not in codes.values()


def test_a_redis_that_lost_everything_is_left_to_the_operator(harness: ServiceHarness, database: Database) -> None:
    harness.grant(harness.create().id, "ann")
    read_all(harness, database)
    harness.redis.flushall()
    reader = Consumer(harness.store, database, "two")
    reader.open()
    assert reader.turn() == 0
    assert reader.lost == {12}
    restore(harness, database)
    assert reader.turn() == 0
    assert reader.lost == set()
