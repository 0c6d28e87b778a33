"""Targets: events without a recipient are only acknowledged, and a new target is noticed at once."""

from typing import Any

import pytest

from discount.domain.ids import parse_discount_id
from discount.services import contacts, grants, moved_codes, webhooks
from discount.store import keys
from discount.store.connection import Store
from discount.worker import targets as targets_module
from discount.worker.planner import Planner, Turn
from discount.worker.reminders import Reminders
from tests.api.client import Client
from tests.worker.harness import of_brand
from tests.worker.test_deliveries import granted, hook, pending


@pytest.fixture
def planner(client: Client, store: Store) -> Planner:
    found = Planner(store, "one", None)
    found.open()
    return found


def test_events_without_a_recipient_are_acknowledged_together(
    client: Client, store: Store, planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    granted(client, 3)
    monkeypatch.setattr(Planner, "_plan", None)
    assert (planner.turn(), pending(store)) == (Turn(4, 0, is_full=False), 0)
    assert (planner.turn(), of_brand(store)) == (Turn(0, 0, is_full=False), [])


def test_what_is_remembered_is_not_looked_up_again(client: Client, store: Store, planner: Planner) -> None:
    discount = granted(client, 1)
    planner.turn()
    client.grant(discount, "Ann")
    sent: list[Any] = []
    exchange = store._exchange
    store._exchange = lambda commands: (sent.extend(commands), exchange(commands))[1]  # type: ignore[method-assign,func-returns-value]
    assert planner.turn().read == 1
    assert {command[0] for command in sent} == {"XREADGROUP", "GET", "XACK"}


@pytest.mark.parametrize("of_discount", [False, True])
def test_a_new_webhook_gets_the_next_event(
    client: Client, store: Store, planner: Planner, *, of_discount: bool
) -> None:
    discount = granted(client, 1)
    planner.turn()
    hook(store, discount_id=discount if of_discount else None)
    client.grant(discount, "Ann")
    assert planner.turn() == Turn(1, 1, is_full=False)
    assert [each.type for each in of_brand(store)] == ["code.granted"]


def test_a_webhook_gets_a_type_as_soon_as_it_asks_for_it(client: Client, store: Store, planner: Planner) -> None:
    webhook = hook(store, types=["code.redeemed"])
    discount = granted(client, 1)
    assert planner.turn() == Turn(2, 0, is_full=False)
    webhooks.change(store, webhook, types=["code.granted"])
    client.grant(discount, "Ann")
    assert planner.turn() == Turn(1, 1, is_full=False)
    assert [each.type for each in of_brand(store)] == ["code.granted"]


def test_a_webhook_that_a_discount_is_made_with_gets_its_first_event(
    client: Client, store: Store, planner: Planner
) -> None:
    granted(client, 1)
    planner.turn()
    granted(client, 1, webhook_url="https://ikea.example/own", webhook_types=["code.granted"])
    assert planner.turn() == Turn(2, 1, is_full=False)
    assert [each.type for each in of_brand(store)] == ["code.granted"]


def test_a_test_event_goes_to_a_webhook_with_other_types(client: Client, store: Store, planner: Planner) -> None:
    webhook = hook(store, types=["webhook.disabled"])
    webhooks.test(store, webhook)
    assert planner.turn() == Turn(1, 1, is_full=False)


def test_a_grant_is_planned_once_its_user_has_an_address(client: Client, store: Store) -> None:
    planner = Planner(store, "one", Reminders(store, 3))
    planner.open()
    discount = granted(client, 2)
    # The creation may set an end, which reminders need.
    assert planner.turn() == Turn(3, 1, is_full=False)
    contacts.put(store, "Ann", brand_id="IKEA", email="ann@ikea.example")
    contacts.put(store, "Bob", brand_id=None, email="bob@home.example")
    for user in ("Ann", "Bob", "Cid"):
        client.grant(discount, user)
    assert planner.turn() == Turn(3, 2, is_full=False)
    assert [each.target for each in of_brand(store)] == ["user:Ann", "user:Bob"]


def test_an_address_that_comes_with_a_grant_is_noted(client: Client, store: Store, planner: Planner) -> None:
    discount = client.create()["id"]
    grants.grant(store, discount, "Ann", email="ann@ikea.example")
    assert planner.turn() == Turn(2, 1, is_full=False)
    assert contacts.show(store, "Ann", brand_id="IKEA").email == "ann@ikea.example"


def test_the_memory_is_bounded(client: Client, store: Store, planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets_module, "REMEMBERED", 3)
    for _ in range(10):
        granted(client, 1)
        planner.turn()
    known = planner._targets._known[keys.partition_of("IKEA", store.partitions)]
    assert len(known.brands) + len(known.discounts) <= 5


@pytest.mark.parametrize(("tells", "told"), [(False, []), (True, ["code.granted", "code.redeemed"])])
def test_nobody_is_told_of_moved_in_codes_unless_that_is_asked_for(
    client: Client, store: Store, *, tells: bool, told: list[str]
) -> None:
    planner = Planner(store, "one", Reminders(store, 1))
    planner.open()
    discount = str(client.create(codes={"kind": "imported"}, total_count=None, valid_for="P400D")["id"])
    hook(store, types=["code.granted", "code.redeemed"])
    contacts.note_address(store, "IKEA", "Ann", "ann@mail.example")
    granted_at = store.now() // 1_000_000 * 1_000_000 - 86_400_000_000
    line = moved_codes.MovedCode("A-1", "Ann", granted_at, 1)
    moved_codes.move_in(store, discount, [(2, line)], tells=tells)
    while planner.turn().read:
        pass
    planned = of_brand(store)
    assert sorted(each.type for each in planned if each.kind == "webhook") == told
    assert [each.type for each in planned if each.kind == "email"] == told[:1]
    # The reminder before the end is that of every code.
    (partition,) = {each.partition for each in [parse_discount_id(discount)] if each is not None}
    noted = store.command("ZSCORE", keys.expiring(partition), f"{discount} Ann")
    assert int(float(noted)) == granted_at + 399 * 86_400_000_000
