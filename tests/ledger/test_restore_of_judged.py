"""Grants and uses of discounts that judge their users, or ask who they are, are put back without a new judgement."""

from typing import Any

from discount.domain import code_kinds
from discount.domain.audience import Audience, Customer
from discount.domain.combinations import CLASSES
from discount.domain.identity import Identity
from discount.domain.rules import Order, Rule
from discount.ledger.database import Database
from discount.services import grant_lists, grants, redemptions, several_codes
from discount.services.checkouts import Checkout
from tests.ledger.test_consumer import read_all
from tests.ledger.test_restore import differing, restore
from tests.services.harness import ServiceHarness

ANN = Identity((("card", b"1"),))
NEW = Customer(orders=0)


def test_what_was_granted_and_redeemed_is_put_back_without_the_facts_of_then(
    harness: ServiceHarness, database: Database
) -> None:
    store = harness.store
    asked: dict[str, Any] = {"limits": {"per_user": 2, "per_identity": 1}, "audience": Audience(first_order=True)}
    made = harness.create(total=5, **asked)
    personal = harness.create(
        kind=code_kinds.make("personal", 5, {"template": "{brand}-{user}"}), total=5, limits=asked["limits"]
    )
    for code in ("ONE", "TWO"):
        kind = code_kinds.make("shared", None, {"code": code})
        harness.create(total=None, kind=kind, rule=Rule(percent=1_000, combines=CLASSES), **asked)
    given: dict[str, Any] = {"customer": NEW, "identity": ANN}
    code = grants.grant(store, made.id, "Ann", metadata={"till": "4"}, **given).code
    grants.grant(store, personal.id, "Ann", **given)
    one = Checkout("Ann", code, Order("A-1", 1000, "EUR"), discount_id=made.id, **given)
    used = [redemptions.redeem(store, one), redemptions.redeem(store, one_of("A-2", one), hold_seconds=600)]
    both = Checkout("Ann", "", Order("A-3", 1000, "EUR"), brand_id="IKEA", **given)
    used += several_codes.redeem(store, both, ["one", "two"])
    read_all(harness, database)
    before = shown(harness, [made.id, personal.id], [each.id for each in used])

    harness.redis.flushall()
    store.definitions.clear()

    assert restore(harness, database) == []
    assert differing(shown(harness, [made.id, personal.id], [each.id for each in used]), before) == {}


def one_of(order_id: str, checkout: Checkout) -> Checkout:
    """Return the same checkout with another order."""
    order = Order(order_id, 1000, "EUR")
    return Checkout(
        checkout.user_id, checkout.code, order, discount_id=checkout.discount_id, customer=NEW, identity=ANN
    )


def shown(harness: ServiceHarness, discount_ids: list[str], redemption_ids: list[str]) -> dict[str, object]:
    found: dict[str, object] = {each: list(grant_lists.list_all(harness.store, each)) for each in discount_ids}
    return found | {each: redemptions.find(harness.store, each) for each in redemption_ids}
