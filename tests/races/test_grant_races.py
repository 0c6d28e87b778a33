"""Many users ask for codes of one discount at once."""

import pytest

from discount.domain.code_sequence import Sequence
from tests.support import history
from tests.support.load import Call, Order, drive, grant_call, shuffled, twice
from tests.support.redis_server import RedisServer
from tests.support.service import Service, create

ONE_OF_EACH = {"discount.created": 1, "discount.running-low": 2, "discount.sold-out": 1}


@pytest.mark.parametrize("order", ["pairs", "shuffled"])
def test_500_codes_go_to_500_of_1000_users_who_ask_twice(
    service: Service, redis_server: RedisServer, order: Order
) -> None:
    discount_id = create(service.urls[0], 500)
    users = [f"user {number}" for number in range(1000)]

    answers = drive(service.urls, [grant_call(discount_id, user) for user in twice(users, order)])

    assert history.statuses(answers) == {(201, ""): 500, (200, ""): 500, (409, "sold-out"): 1000}
    handed_out = {answer.user: answer.code for answer in answers if answer.status == 201}
    assert len(handed_out) == 500
    assert len(set(handed_out.values())) == 500
    assert {answer.user: answer.code for answer in answers if answer.status == 200} == handed_out
    assert not any(answer.errors for answer in answers)
    found = history.check(redis_server.client(), service.urls[1], discount_id, answers)
    assert found.grants == handed_out
    assert history.event_counts(redis_server.client(), discount_id) == {"code.granted": 500, **ONE_OF_EACH}
    history.check_order(answers)


def test_one_user_asking_200_times_at_once_is_given_one_code(service: Service, redis_server: RedisServer) -> None:
    discount_id = create(service.urls[0], 10)

    answers = drive(service.urls, [grant_call(discount_id, "User 1")] * 200)

    assert history.statuses(answers) == {(201, ""): 1, (200, ""): 199}
    assert len({answer.code for answer in answers}) == 1
    assert len(history.check(redis_server.client(), service.urls[1], discount_id, answers).grants) == 1


def test_last_code_goes_to_one_of_8_users(service: Service, redis_server: RedisServer) -> None:
    discounts = [create(service.urls[0], 1) for _ in range(20)]

    answers = drive(service.urls, [grant_call(each, f"user {number}") for each in discounts for number in range(8)])

    assert history.statuses(answers) == {(201, ""): 20, (409, "sold-out"): 140}
    for each in discounts:
        assert len(history.check(redis_server.client(), service.urls[1], each, answers).grants) == 1


def test_bulk_grants_and_single_grants_share_the_codes(service: Service, redis_server: RedisServer) -> None:
    discount_id = create(service.urls[0], 400)
    users = [f"user {number}" for number in range(800)]
    singles = [grant_call(discount_id, user) for user in users]
    # Every user is in two lists, as the end of each list is the beginning of the next.
    lists = [[users[(first + step) % 800] for step in range(100)] for first in range(0, 800, 50)]
    bulks = [Call("", "POST", f"/discount/{discount_id}/grants", {"user_ids": each}) for each in lists]

    answers = drive(service.urls, shuffled(singles + bulks))

    of_users = [answer for answer in answers if answer.user]
    of_lists = [answer for answer in answers if not answer.user]
    assert {answer.status for answer in of_lists} == {200}
    assert {(answer.status, answer.slug) for answer in of_users} <= {(201, ""), (200, ""), (409, "sold-out")}
    outcomes = [outcome for answer in of_lists for outcome in answer.body["grants"]]
    assert len(outcomes) == 1600
    assert {outcome["refusal"] for outcome in outcomes if not outcome["granted"]} == {"sold-out"}
    found = history.check(redis_server.client(), service.urls[1], discount_id, answers)
    assert len(found.grants) == 400
    assert history.event_counts(redis_server.client(), discount_id) == {"code.granted": 400, **ONE_OF_EACH}


def test_pool_that_several_replicas_refill_skips_and_repeats_no_code(
    service: Service, redis_server: RedisServer
) -> None:
    discount_id = create(service.urls[0], 5000)
    users = [f"user {number}" for number in range(5200)]
    # Bulk grants empty a block faster than a replica makes one, so several replicas refill at once.
    lists = [users[first : first + 65] for first in range(0, 5200, 65)]
    calls = [Call("", "POST", f"/discount/{discount_id}/grants", {"user_ids": each}) for each in lists]

    answers = drive(service.urls, calls)

    assert {answer.status for answer in answers} == {200}
    codes = [each.code for each in history.shown_codes(answers)]
    found = history.check(redis_server.client(), service.urls[1], discount_id, answers)
    assert len(codes) == 5000
    assert set(codes) == set(Sequence(found.fields["key"]).codes(0, 5000))
    assert history.event_counts(redis_server.client(), discount_id) == {"code.granted": 5000, **ONE_OF_EACH}


def test_single_grants_across_a_refill_find_every_code(service: Service, redis_server: RedisServer) -> None:
    discount_id = create(service.urls[0], 1100)

    answers = drive(service.urls, [grant_call(discount_id, f"user {number}") for number in range(1300)])

    assert history.statuses(answers) == {(201, ""): 1100, (409, "sold-out"): 200}
    history.check(redis_server.client(), service.urls[1], discount_id, answers)
    history.check_order(answers)
