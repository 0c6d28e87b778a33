"""Codes are taken back while they are redeemed and granted."""

from collections import Counter

from tests.support.load import Answer, Call, drive, grant_call
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, create

USERS = 60


def revoke_call(discount_id: str, user: str, **more: object) -> Call:
    return Call("", "POST", f"/discount/{discount_id}/grant/revoke", {"user_id": user} | more)


def slug(answer: Answer) -> str:
    return "" if answer.status < 300 else str(answer.body["type"]).rpartition("/")[2]


def test_a_code_is_redeemed_before_it_is_taken_back_or_refused(service: Service, redis_server: RedisServer) -> None:
    discount_id = create(service.urls[0], USERS, "Revoked at the till")
    names = [f"user {number}" for number in range(USERS)]
    codes = {
        each.body["user_id"]: each.body["code"]
        for each in drive(service.urls, [grant_call(discount_id, n) for n in names])
    }
    order = {"amount": 1000, "currency": "EUR"}
    calls = []
    for name in names:
        body = {"discount_id": discount_id, "user_id": name, "code": codes[name], "order": order | {"id": f"of {name}"}}
        calls += [Call("", "POST", "/redemption", body), revoke_call(discount_id, name, back="pool")]

    answers = drive(service.urls, calls)

    found = Counter((each.status, slug(each)) for each in answers)
    assert set(found) <= {(200, ""), (201, ""), (409, "revoked")}
    assert found[200, ""] == USERS
    shown = ask(service.urls[1], "GET", f"/discount/{discount_id}").json
    assert (shown["redeemed_count"], shown["granted_count"]) == (found[201, ""], 0)
    # Every code is in the pool again, once.
    later = drive(service.urls, [grant_call(discount_id, f"later {number}") for number in range(USERS + 5)])
    assert Counter((each.status, slug(each)) for each in later) == {(201, ""): USERS, (409, "sold-out"): 5}
    assert {each.body["code"] for each in later if each.status == 201} == set(codes.values())


def test_a_code_passed_on_never_makes_two_grants_of_a_user(service: Service, redis_server: RedisServer) -> None:
    discount_id = create(service.urls[0], 2 * USERS, "Passed on")
    drive(service.urls, [grant_call(discount_id, f"user {number}") for number in range(USERS)])
    calls = []
    for number in range(USERS):
        following = f"next {number}"
        calls += [
            revoke_call(discount_id, f"user {number}", back="next", next_user_id=following),
            grant_call(discount_id, following),
        ]

    answers = drive(service.urls, calls)

    found = Counter((each.status, slug(each)) for each in answers)
    assert set(found) <= {(200, ""), (201, ""), (409, "already-granted")}
    refused = found[409, "already-granted"]
    # A grant that came first took a code of its own; every other one found the code that was passed on.
    assert found[201, ""] == refused
    shown = ask(service.urls[1], "GET", f"/discount/{discount_id}").json
    assert shown["granted_count"] == USERS + refused
    listed = ask(service.urls[1], "GET", f"/discount/{discount_id}/grants?limit=1000").json["grants"]
    held = Counter(each["user_id"] for each in listed)
    assert set(held.values()) == {1}
    assert len(held) == USERS + refused
    assert len({each["code"] for each in listed}) == len(listed)
