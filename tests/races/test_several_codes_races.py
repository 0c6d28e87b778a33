"""Many orders with several codes at once: no limit is exceeded, and no order redeems only some of its codes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from tests.support import history, ledger
from tests.support.ledger import HOLD
from tests.support.load import Answer, Call, drive, shuffled
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, create

CREATED, FULL = (201, ""), (409, "limit-reached")


def open_discounts(base: str, brand: str, totals: dict[str, int]) -> dict[str, str]:
    """Create a discount for each code, with that limit of uses in all; they go together."""
    return {
        code: create(
            base,
            1_000_000,
            brand,
            codes={"kind": "shared", "code": code},
            percent_off=10,
            combines="all",
            limits={"total": total, "per_user": None},
        )
        for code, total in totals.items()
    }


def redeem_call(brand: str, codes: Sequence[str], order: str, hold: int | None = None) -> Call:
    body: dict[str, Any] = {"brand_id": brand, "user_id": f"user of {order}", "codes": list(codes)}
    body["order"] = {"id": order, "amount": 1000, "currency": "EUR"}
    return Call(order, "POST", "/redemption", body | ({"hold_seconds": hold} if hold else {}))


def each_redemption(answers: Iterable[Answer]) -> list[Answer]:
    """Return an answer for each redemption in the answers."""
    return [
        replace(answer, body=each)
        for answer in answers
        if answer.status in (200, 201)
        for each in answer.body["redemptions"]
    ]


@pytest.mark.parametrize("hold", [None, HOLD], ids=["redeemed", "held"])
def test_the_narrowest_limit_holds_for_all_codes_of_an_order(
    service: Service, redis_server: RedisServer, hold: int | None
) -> None:
    brand = f"Narrow {hold}"
    found = open_discounts(service.urls[0], brand, {"A": 40, "B": 20})
    calls = [redeem_call(brand, "AB" if n % 2 else "BA", f"order {n}", hold) for n in range(80)]

    answers = drive(service.urls, calls)

    assert history.statuses(answers) == {CREATED: 20, FULL: 60}
    refused = [answer.body for answer in answers if answer.status == 409]
    assert {(each["code"], each["limit"]) for each in refused} == {("B", "total")}
    for discount_id in found.values():
        stored = ledger.check(redis_server.client(), service.urls[1], discount_id, each_redemption(answers))
        assert stored.counts == {"held" if hold else "redeemed": 20}


def test_overlapping_codes_are_redeemed_for_whole_orders_only(service: Service, redis_server: RedisServer) -> None:
    found = open_discounts(service.urls[0], "Overlap", {"A": 30, "B": 30, "C": 30})
    pairs = list(combinations("ABC", 2))
    calls = [redeem_call("Overlap", pair, f"order {n} of {pair}") for pair in pairs for n in range(40)]

    answers = drive(service.urls, shuffled(calls))

    outcomes = history.statuses(answers)
    assert outcomes.keys() <= {CREATED, FULL}
    used = {}
    for code, discount_id in found.items():
        stored = ledger.check(redis_server.client(), service.urls[1], discount_id, each_redemption(answers))
        used[code] = stored.counts["redeemed"]
    # Of each pair one is used up, or an order with both would have been redeemed.
    assert all(30 in (used[one], used[other]) for one, other in pairs)
    assert sum(used.values()) == 2 * outcomes[CREATED]
    assert max(used.values()) == 30


def test_one_order_sent_30_times_at_once_is_redeemed_once(service: Service, redis_server: RedisServer) -> None:
    found = open_discounts(service.urls[0], "Once", {"A": 5, "B": 5})

    answers = drive(service.urls, [redeem_call("Once", "AB" if n % 2 else "BA", "order") for n in range(30)])

    assert history.statuses(answers) == {CREATED: 1, (200, ""): 29}
    for discount_id in found.values():
        assert ledger.check(redis_server.client(), service.urls[1], discount_id).counts == {"redeemed": 1}


def test_rollbacks_and_confirmations_of_whole_orders_meet_single_ones(
    service: Service, redis_server: RedisServer
) -> None:
    found = open_discounts(service.urls[0], "Meet", {"A": 50, "B": 50})
    held = drive(service.urls, [redeem_call("Meet", "AB", f"order {n}", HOLD) for n in range(20)])
    ids = [[each["id"] for each in answer.body["redemptions"]] for answer in held]
    calls = [
        call
        for first, second in ids
        for call in (
            Call("", "POST", f"/redemption/{first}/confirm"),
            Call("", "POST", f"/redemption/{first}/rollback", {"whole_order": True}),
            Call("", "POST", f"/redemption/{second}/rollback", {}),
            Call("", "POST", f"/redemption/{second}/confirm"),
        )
    ]

    answers = drive(service.urls, shuffled(calls))

    assert history.statuses(answers).keys() <= {(200, ""), (409, "hold-ended")}
    for first, second in ids:
        states = {ask(service.urls[1], "GET", f"/redemption/{each}").json["state"] for each in (first, second)}
        assert states == {"rolled-back"}
    for discount_id in found.values():
        assert ledger.check(redis_server.client(), service.urls[1], discount_id).counts == {"rolled-back": 20}
