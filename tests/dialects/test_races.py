"""Races in the dialects: two replicas, all calls at once, and exact counts."""

from collections import Counter
from typing import Any

import pytest

from tests.races.test_redemption_races import where_it_is_noon
from tests.support.load import Answer, Call, drive, shuffled, twice
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask

LATER = "2280-12-31T00:00:00Z"


@pytest.fixture(autouse=True)
def _empty(redis_server: RedisServer, service: Service) -> None:
    redis_server.client().flushall()


def statuses(answers: list[Answer]) -> Counter[int]:
    assert not any(answer.errors for answer in answers)
    return Counter(answer.status for answer in answers)


def count_by(answers: list[Answer], field: str) -> Counter[tuple[int, Any]]:
    return Counter((answer.status, answer.body[field]) for answer in answers)


def done(service: Service, method: str, path: str, body: Any = None) -> Any:
    reply = ask(service.urls[0], method, path, body)
    assert reply.status in (200, 201), reply.raw
    return reply.json


def events(redis_server: RedisServer, kind: str) -> int:
    client: Any = redis_server.client()
    streams = [client.xrange(name) for name in client.keys("*:events")]
    return sum(fields["type"] == kind for entries in streams for _, fields in entries)


def test_300_codes_of_a_pool_go_to_300_of_400_users_who_ask_twice(service: Service, redis_server: RedisServer) -> None:
    made = done(service, "POST", "/v1/discount/create", {"brand": "brand1", "number_to_create": 300})
    users = twice([f"user{number}" for number in range(400)], "pairs")

    answers = drive(service.urls, [Call(user, "GET", f"/v1/discount/fetch/brand1/{user}") for user in users])

    assert statuses(answers) == {200: 600, 404: 200}
    of_users: dict[str, set[str]] = {}
    for answer in answers:
        if answer.status == 200:
            of_users.setdefault(answer.user, set()).add(answer.body["discount_code"])
    assert {len(codes) for codes in of_users.values()} == {1}
    assert sorted(code for codes in of_users.values() for code in codes) == sorted(made)
    assert events(redis_server, "code.granted") == 300


def test_brands_that_make_codes_at_once_get_each_code_once(service: Service, redis_server: RedisServer) -> None:
    body = {"brand": "brand1", "number_to_create": 20}
    fetches = [Call(f"user{number}", "GET", f"/v1/discount/fetch/brand1/user{number}") for number in range(100)]

    answers = drive(service.urls, shuffled([Call("", "POST", "/v1/discount/create", body)] * 20 + fetches))

    made = [code for answer in answers if not answer.user for code in answer.body]
    assert len(set(made)) == len(made) == 400
    held = [answer.body["discount_code"] for answer in answers if answer.user and answer.status == 200]
    assert len(set(held)) == len(held)
    assert set(held) < set(made)
    (pool,) = done(service, "GET", "/discount?brand_id=brand1")["discounts"]
    assert (pool["total_count"], pool["granted_count"]) == (400, len(held))
    assert events(redis_server, "discount.created") == 1


def test_a_readable_code_is_used_once_by_each_user(service: Service, redis_server: RedisServer) -> None:
    body = {"id": "HELLO", "discount": 10, "validity": LATER, "brand": "Billo"}
    done(service, "POST", "/api/v1/discountcode/", body)
    users = [f"user{number}" for number in range(100)]
    calls = [
        Call(user, "POST", "/api/v1/discountcodeusage/", {"discount_code": "HELLO", "user": user}) for user in users
    ]

    answers = drive(service.urls, [call for call in calls for _ in range(4)])

    assert statuses(answers) == {201: 100, 400: 300}
    assert {answer.user for answer in answers if answer.status == 201} == set(users)
    assert len(done(service, "GET", "/api/v1/discountcodeusage/")) == 100
    assert events(redis_server, "code.redeemed") == 100


def test_a_readable_code_is_of_one_brand_of_many_that_want_it(service: Service, redis_server: RedisServer) -> None:
    calls = [
        Call(brand, "POST", "/api/v1/discountcode/", {"id": code, "discount": 5, "validity": LATER, "brand": brand})
        for code in (f"CODE{number}" for number in range(20))
        for brand in (f"brand{number}" for number in range(5))
        for _ in range(2)
    ]

    answers = drive(service.urls, shuffled(calls))

    assert statuses(answers) == {201: 20, 400: 20, 403: 160}
    made = {answer.body["id"]: answer.user for answer in answers if answer.status == 201}
    assert len(made) == 20
    listed = done(service, "GET", "/api/v1/discountcode/")
    assert {each["id"]: each["rule"]["brand"] for each in listed} == made
    assert events(redis_server, "discount.created") == 20


COUNTS = {f"{kind}_repeat_count": 1000 for kind in ("global_total", "user_total", "user_daily", "user_weekly")}


@pytest.mark.parametrize(
    ("counts", "applied", "sentence"),
    [
        ({"global_total_repeat_count": 150}, 150, "Coupon exists, but global count is zero."),
        ({"user_total_repeat_count": 3}, 120, "User total redemption count reached."),
        ({"user_weekly_repeat_count": 2}, 80, "User weekly redemption count reached."),
        ({"user_daily_repeat_count": 1}, 40, "User daily redemption count reached."),
    ],
)
def test_no_count_of_a_coupon_is_exceeded(
    service: Service, redis_server: RedisServer, counts: dict[str, int], applied: int, sentence: str
) -> None:
    # Made natively: only so the day can be one that does not end meanwhile.
    native = {"brand_id": "coupons", "discount_code": "TEN", "codes": {"kind": "shared", "code": "TEN"}}
    done(service, "POST", "/discount", native | {"timezone": where_it_is_noon()})
    done(service, "PUT", "/coupon/TEN/repeat_count", COUNTS | counts)
    for number in range(40):
        done(service, "POST", "/user", {"name": "x", "email_id": f"user{number}@user.example"})
    users = range(1, 41)
    calls = [Call(str(user), "POST", "/coupon/apply", {"user_id": user, "coupon_code": "TEN"}) for user in users]

    answers = drive(service.urls, shuffled(calls * 6))

    assert count_by(answers, "message") == {
        (200, "Successfully coupon applied."): applied,
        (400, sentence): 240 - applied,
    }
    most = min(counts.values())
    if "global_total_repeat_count" not in counts:
        assert set(Counter(each.user for each in answers if each.status == 200).values()) == {most}
    (coupon,) = done(service, "GET", "/coupon")["message"]
    assert coupon["coupons_left"] == (COUNTS | counts)["global_total_repeat_count"] - applied
    assert events(redis_server, "code.redeemed") == applied


def test_users_enrolled_at_the_same_time_get_different_ids(service: Service) -> None:
    addresses = [f"user{number}@user.example" for number in range(100)]
    calls = [Call(each, "POST", "/user", {"name": "x", "email_id": each}) for each in twice(addresses, "pairs")]

    answers = drive(service.urls, calls)

    assert statuses(answers) == {200: 100, 400: 100}
    found = done(service, "GET", "/user")["message"]
    assert [each["id"] for each in found] == list(range(1, 101))
    assert {each["email_id"] for each in found} == set(addresses)


def test_a_coupon_that_many_make_at_once_is_made_once(service: Service) -> None:
    body = {"code": "TEN", "discount_percentage": 10, "expiry_date": "2280-12-31"}

    answers = drive(service.urls, [Call("", "POST", "/coupon", body)] * 60)

    assert statuses(answers) == {200: 1, 400: 59}
    assert len(done(service, "GET", "/coupon")["message"]) == 1
