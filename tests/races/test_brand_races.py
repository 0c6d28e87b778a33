"""A brand with several open discounts: each user gets one code, from whichever discount."""

from tests.support import history
from tests.support.load import Call, drive, shuffled
from tests.support.redis_server import RedisServer
from tests.support.service import Service, create


def test_no_user_is_granted_two_codes_of_one_brand(service: Service, redis_server: RedisServer) -> None:
    discounts = [create(service.urls[0], 50, brand_id="LEGO") for _ in range(6)]
    users = [f"user {number}" for number in range(400)]
    calls = [Call(user, "POST", "/brand/LEGO/grant", {"user_id": user}) for user in users for _ in range(3)]

    # Three calls of one user at once, so that one of them finds the discount of the other sold out by others.
    answers = drive(service.urls, calls)

    counts = history.statuses(answers)
    assert counts[201, ""] == 300
    assert set(counts) == {(201, ""), (200, ""), (409, "sold-out")}
    held = {answer.user: answer.code for answer in answers if answer.status == 201}
    assert len(held) == len(set(held.values())) == 300
    assert all(answer.code == held[answer.user] for answer in answers if answer.status == 200)
    found = [history.check(redis_server.client(), service.urls[1], each, answers) for each in discounts]
    assert [len(each.grants) for each in found] == [50] * 6
    assert [user for each in found for user in each.grants if each.grants[user] != held[user]] == []
    assert len({user for each in found for user in each.grants}) == 300


def test_a_user_with_a_code_never_gets_sold_out_later(service: Service, redis_server: RedisServer) -> None:
    discounts = [create(service.urls[0], 1, brand_id="Playmobil") for _ in range(40)]
    users = [f"user {number}" for number in range(40)]
    calls = [Call(user, "POST", "/brand/Playmobil/grant", {"user_id": user}) for user in users for _ in range(4)]

    answers = drive(service.urls, shuffled(calls))
    # A call tries twenty discounts. On a busy machine others may have emptied all of these, at each call of a user.
    late = set(users) - {answer.user for answer in answers if answer.status == 201}
    answers += drive(service.urls, [Call(user, "POST", "/brand/Playmobil/grant", {"user_id": user}) for user in late])

    since = {answer.user: answer.ended for answer in answers if answer.status == 201}
    assert len(since) == 40
    assert not [answer for answer in answers if answer.status == 409 and answer.started > since[answer.user]]
    assert {answer.status for answer in answers} <= {200, 201, 409}
    for each in discounts:
        assert len(history.check(redis_server.client(), service.urls[1], each, answers).grants) == 1


def test_grants_by_brand_and_by_discount_may_run_at_once(service: Service, redis_server: RedisServer) -> None:
    one, other = (create(service.urls[0], 100, brand_id="Märklin") for _ in range(2))
    users = [f"user {number}" for number in range(100)]
    # `other` is the newer, which the brand's call takes first; a direct call for `one` is a second code by right.
    calls = [Call(user, "POST", "/brand/M%C3%A4rklin/grant", {"user_id": user}) for user in users]
    calls += [Call(user, "POST", f"/discount/{one}/grant", {"user_id": user}) for user in users]

    answers = drive(service.urls, shuffled(calls))

    assert {answer.status for answer in answers} <= {200, 201}
    found = history.check(redis_server.client(), service.urls[1], one, answers)
    assert set(found.grants) == set(users)
    newer = history.check(redis_server.client(), service.urls[1], other, answers)
    of_brand = {answer.user: answer.code for answer in answers if answer.body["discount_id"] == other}
    assert newer.grants == of_brand
