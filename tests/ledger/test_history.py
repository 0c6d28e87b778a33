"""What the ledger answers over HTTP, and who may ask."""

import pytest

from discount.domain import code_kinds
from discount.domain.errors import NoLedger, NotFound
from discount.domain.model import DeliveryKind
from discount.ledger.database import Database
from discount.ledger.found_codes import find
from discount.ledger.history import History
from discount.services import deliveries, redemptions, revocations, webhooks
from discount.services.deliveries import PlannedDelivery, id_of
from tests.ledger.test_consumer import read_all, redeem
from tests.services.harness import GIVEN, ServiceHarness

KINDS = tuple(GIVEN)


def test_a_code_is_found_in_any_spelling_with_its_uses(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=3).id
    code = harness.grant(discount, "ann").code
    used = redeem(harness, discount, "ann", code)
    redemptions.roll_back(harness.store, used, reason="returned")
    read_all(harness, database)
    (holder,) = History(database).find_code("IKEA", code.lower().replace("-", " "), harness.now())
    assert (holder.discount_id, holder.user_id, holder.code) == (discount, "ann", code)
    assert [(each.id, each.state, each.reason) for each in holder.redemptions] == [(used, "rolled-back", "returned")]
    assert [each.type for each in holder.events] == ["code.granted", "code.redeemed", "redemption.rolled-back"]
    assert {"discount_id": discount, "user_id": "ann", "code": code, "metadata": {}}.items() <= holder.events[
        0
    ].data.items()


def test_a_code_of_another_brand_is_not_found(harness: ServiceHarness, database: Database) -> None:
    code = harness.grant(harness.create(total=3).id, "ann").code
    read_all(harness, database)
    with pytest.raises(NotFound):
        find(harness.store, History(database), "Other", code)


def test_without_a_ledger_nothing_is_known() -> None:
    with pytest.raises(NoLedger):
        History(None).find_code("IKEA", "ABC", 0)


def test_a_code_shows_its_discount_its_state_and_its_uses(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=3, limits={}).id
    code = harness.grant(discount, "ann").code
    for order in ("one", "two"):
        redeem(harness, discount, "ann", code, order)
    redemptions.roll_back(harness.store, redeem(harness, discount, "ann", code, "three"))
    read_all(harness, database)
    found = find(harness.store, History(database), "IKEA", code)
    (only,) = found.holders
    assert only.discount == harness.show(discount)
    assert (only.holder.state, only.holder.redeemed, len(only.holder.redemptions)) == ("granted", 2, 3)
    assert found.unheld == []


def test_a_code_that_was_passed_on_shows_both_and_why(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=3).id
    code = harness.grant(discount, "ann").code
    revocations.revoke(harness.store, discount, "ann", reason="stolen", back="next", next_user_id="bob")
    read_all(harness, database)
    states = {
        each.holder.user_id: (each.holder.state, each.holder.reason, each.holder.next_user_id)
        for each in find(harness.store, History(database), "IKEA", code).holders
    }
    assert states == {"ann": ("next", "stolen", "bob"), "bob": ("granted", "", None)}


def test_what_happened_with_another_code_of_the_user_is_not_shown(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=3).id
    first = harness.grant(discount, "ann").code
    redeem(harness, discount, "ann", first, "one")
    revocations.revoke(harness.store, discount, "ann", reissue=True)
    second = harness.grant(discount, "ann").code
    read_all(harness, database)
    (before,) = find(harness.store, History(database), "IKEA", first).holders
    (after,) = find(harness.store, History(database), "IKEA", second).holders
    assert [each.type for each in before.holder.events] == ["code.granted", "code.redeemed", "code.revoked"]
    assert [each.type for each in after.holder.events] == ["code.granted"]
    assert (len(before.holder.redemptions), len(after.holder.redemptions)) == (1, 0)


def test_a_code_shows_the_webhook_calls_and_e_mails_about_it(harness: ServiceHarness, database: Database) -> None:
    store = harness.store
    made = harness.create(total=3)
    webhook = webhooks.create(store, "IKEA", "https://ikea.example/x")
    code = harness.grant(made.id, "ann").code
    other = harness.grant(made.id, "bob").code
    read_all(harness, database)
    (only,) = find(store, History(database), "IKEA", code).holders
    assert only.deliveries == []
    event = only.holder.events[0].id
    targets: list[tuple[DeliveryKind, str]] = [("webhook", webhook.id), ("email", "user:ann"), ("email", "user:bob")]
    planned = [
        PlannedDelivery(
            id_of(made.partition, event, kind, target), "IKEA", kind, target, "code.granted", event, made.id, "", 1
        )
        for kind, target in targets
    ]
    deliveries.plan(store, made.partition, store.now(), [("", [each]) for each in planned])
    (only,) = find(store, History(database), "IKEA", code).holders
    assert {each.id for each in only.deliveries} == {planned[0].id, planned[1].id}
    assert find(store, History(database), "IKEA", other).holders[0].deliveries == []


@pytest.mark.parametrize("kind", ["unique", "imported", "shared"])
def test_a_code_that_nobody_holds_shows_its_discount(
    harness: ServiceHarness, database: Database, kind: code_kinds.Kind
) -> None:
    for each in KINDS:
        if each not in ("shared", kind):
            harness.create_kind(each, brand="Other")
    made = harness.create_kind(kind)
    code = made.codes.code if kind == "shared" else harness.pool(made.id)[-1]
    read_all(harness, database)
    found = find(harness.store, History(database), "IKEA", f" {code.lower()}")
    assert ([each.id for each in found.unheld], found.holders) == ([made.id], [])
    with pytest.raises(NotFound):
        find(harness.store, History(database), "Other", code)


def test_a_code_that_went_back_shows_who_held_it_and_that_nobody_does(
    harness: ServiceHarness, database: Database
) -> None:
    discount = harness.create(total=3).id
    code = harness.grant(discount, "ann").code
    revocations.revoke(harness.store, discount, "ann", back="pool")
    read_all(harness, database)
    found = find(harness.store, History(database), "IKEA", code)
    assert [each.holder.state for each in found.holders] == ["pool"]
    assert [each.id for each in found.unheld] == [discount]


def test_no_code_of_any_kind_is_not_found(harness: ServiceHarness, database: Database) -> None:
    for kind in KINDS:
        harness.create_kind(kind)
    for code in ("nothing", "", "IK-ZZZZ-ZZZZ-ZZZZ", "\u0130", "x" * 200):
        with pytest.raises(NotFound):
            find(harness.store, History(database), "IKEA", code)


def test_a_discount_that_redis_lost_has_its_holders_still(harness: ServiceHarness, database: Database) -> None:
    code = harness.grant(harness.create(total=3).id, "ann").code
    read_all(harness, database)
    harness.redis.flushall()
    harness.store.prepare()
    (only,) = find(harness.store, History(database), "IKEA", code).holders
    assert (only.discount, only.holder.user_id, only.deliveries) == (None, "ann", [])
