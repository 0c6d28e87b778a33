"""Many users spend one budget at once: it is never passed, and a cap spends it to the last unit."""

from tests.races.test_redemption_races import where_it_is_noon
from tests.support import history, ledger
from tests.support.ledger import HOLD, confirm_call, open_discount, redeem_call, rollback_call
from tests.support.load import drive, shuffled
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask

NO_LIMIT = {"per_user": None}


def test_a_budget_is_spent_exactly_by_concurrent_users(service: Service, redis_server: RedisServer) -> None:
    discount_id = open_discount(service.urls[0], limits=NO_LIMIT | {"amount": {"EUR": 5_000}})
    # Each takes 100 off.
    calls = [redeem_call(discount_id, f"user {n}", f"order {n}", hold=HOLD if n % 2 else None) for n in range(300)]

    answers = drive(service.urls, calls)

    assert history.statuses(answers) == {(201, ""): 50, (409, "limit-reached"): 250}
    assert {(each.body["limit"], each.body["left"]) for each in answers if each.status == 409} == {("amount", 0)}
    ledger.check(redis_server.client(), service.urls[1], discount_id, answers)
    made = [each["id"] for each in ledger.shown_redemptions(answers)]
    # Every second one is given back while new orders come.
    later = [rollback_call(each) for each in made[::2]] + [confirm_call(each) for each in made[1::2]]
    later += [redeem_call(discount_id, f"user {n}", f"late order {n}") for n in range(60)]

    drive(service.urls, shuffled(later))

    last = drive(service.urls, [redeem_call(discount_id, f"user {n}", f"last order {n}") for n in range(60)])
    found = ledger.check(redis_server.client(), service.urls[1], discount_id)
    assert found.counts["redeemed"] + found.counts["held"] == 50
    assert history.statuses(last)[409, "limit-reached"] >= 35


def test_a_budget_that_caps_is_spent_to_the_last_unit(service: Service, redis_server: RedisServer) -> None:
    limits = NO_LIMIT | {"amount": {"EUR": 4_990}, "budget_caps": True}
    discount_id = open_discount(service.urls[0], limits=limits)

    answers = drive(service.urls, [redeem_call(discount_id, f"user {n}", f"order {n}") for n in range(120)])

    assert history.statuses(answers) == {(201, ""): 50, (409, "limit-reached"): 70}
    taken = sorted(each["discount_amount"] for each in ledger.shown_redemptions(answers))
    assert taken == [90] + [100] * 49
    ledger.check(redis_server.client(), service.urls[1], discount_id, answers)
    sums = ask(service.urls[1], "GET", f"/discount/{discount_id}").json["sums"]
    assert sums["EUR"] == {"orders": 50_000, "discounts": 4_990}


def test_limits_of_all_users_and_windows_allow_exactly_their_numbers(
    service: Service, redis_server: RedisServer
) -> None:
    limits = NO_LIMIT | {"per_month": 40, "windows": [{"period": "P30D", "per_user": 3}]}
    discount_id = open_discount(service.urls[0], limits=limits, timezone=where_it_is_noon())
    calls = [redeem_call(discount_id, f"user {n % 20}", f"order {n}") for n in range(200)]

    answers = drive(service.urls, shuffled(calls))

    found = ledger.check(redis_server.client(), service.urls[1], discount_id, answers)
    assert found.counts == {"redeemed": 40}
    assert max(found.users("redeemed").values()) <= 3
