"""What the ledger answers over HTTP, and who may ask."""

import pytest

from discount.domain.errors import NoLedger, NotFound
from discount.ledger.database import Database
from discount.ledger.history import History
from discount.services import redemptions
from tests.ledger.test_consumer import read_all, redeem
from tests.services.harness import ServiceHarness


def test_a_code_is_found_in_any_spelling_with_its_uses(harness: ServiceHarness, database: Database) -> None:
    discount = harness.create(total=3).id
    code = harness.grant(discount, "ann").code
    used = redeem(harness, discount, "ann", code)
    redemptions.roll_back(harness.store, used, reason="returned")
    read_all(harness, database)
    (holder,) = History(database).find_code("IKEA", code.lower().replace("-", " "))
    assert (holder.discount_id, holder.user_id, holder.code) == (discount, "ann", code)
    assert [(each.id, each.state, each.reason) for each in holder.redemptions] == [(used, "rolled-back", "returned")]
    assert [each.type for each in holder.events] == ["code.granted", "code.redeemed", "redemption.rolled-back"]
    assert holder.events[0].data == {"discount_id": discount, "user_id": "ann", "code": code, "metadata": {}}


def test_a_code_of_another_brand_is_not_found(harness: ServiceHarness, database: Database) -> None:
    code = harness.grant(harness.create(total=3).id, "ann").code
    read_all(harness, database)
    with pytest.raises(NotFound):
        History(database).find_code("Other", code)


def test_without_a_ledger_nothing_is_known() -> None:
    with pytest.raises(NoLedger):
        History(None).find_code("IKEA", "ABC")
