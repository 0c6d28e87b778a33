"""Users wait for codes while codes are taken back, added and granted."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from discount.services import claims
from discount.store import keys
from discount.store.connection import Store
from tests.races.test_revoke_races import revoke_call, slug
from tests.support.load import Call, drive, grant_call, shuffled
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, create

HELD, WAITING = 40, 60
PARTITIONS = 16


def wait_call(discount_id: str, user: str) -> Call:
    return Call("", "POST", f"/discount/{discount_id}/wait", {"user_id": user})


def holders(service: Service, discount_id: str) -> dict[str, str]:
    listed = ask(service.urls[1], "GET", f"/discount/{discount_id}/grants?limit=1000").json["grants"]
    found = {each["user_id"]: each["code"] for each in listed}
    assert len(found) == len(listed)
    assert len(set(found.values())) == len(found)
    return found


def granted_in_order(redis: Any, discount_id: str, names: set[str]) -> list[str]:
    """Return the users of `names` in the order of their grants."""
    number = redis.hget(keys.discount(int(discount_id[4:6], 16), discount_id), "number")
    return [
        entry["user"]
        for _, entry in redis.xrange(keys.events(int(discount_id[4:6], 16)))
        if entry["type"] == "code.granted" and entry.get("number") == number and entry["user"] in names
    ]


def test_codes_taken_back_go_to_waiting_users_and_to_no_other(service: Service, redis_server: RedisServer) -> None:
    discount_id = create(service.urls[0], HELD, "Waited for")
    drive(service.urls, [grant_call(discount_id, f"user {number}") for number in range(HELD)])
    before = holders(service, discount_id)
    waiters = [f"waiter {number}" for number in range(WAITING)]
    joined = drive(service.urls, [wait_call(discount_id, name) for name in waiters])
    assert sorted(each.body["place"] for each in joined) == list(range(1, WAITING + 1))
    in_line = [each["user_id"] for each in ask(service.urls[0], "GET", f"/discount/{discount_id}/waits").json["waits"]]
    calls = [revoke_call(discount_id, f"user {number}", back="pool") for number in range(HELD)]
    calls += [grant_call(discount_id, f"newcomer {number}") for number in range(200)]

    answers = drive(service.urls, shuffled(calls))

    found = Counter((each.status, slug(each)) for each in answers)
    assert found == {(200, ""): HELD, (409, "sold-out"): 200}
    # Exactly the first forty got a code each, in their order; it is a code that was taken back.
    after = holders(service, discount_id)
    assert set(after) == set(in_line[:HELD])
    assert set(after.values()) == set(before.values())
    assert granted_in_order(redis_server.client(), discount_id, set(waiters)) == in_line[:HELD]
    shown = ask(service.urls[1], "GET", f"/discount/{discount_id}").json
    assert (shown["granted_count"], shown["waiting_count"]) == (HELD, WAITING - HELD)


def test_codes_of_a_raised_total_go_to_waiting_users_first(service: Service, redis_server: RedisServer) -> None:
    discount_id = create(service.urls[0], 1, "Raised")
    drive(service.urls, [grant_call(discount_id, "first")])
    waiters = [f"waiter {number}" for number in range(WAITING)]
    drive(service.urls, [wait_call(discount_id, name) for name in waiters])
    raise_call = Call("", "PATCH", f"/discount/{discount_id}", {"total_count": 1 + WAITING + 5})
    newcomers = [grant_call(discount_id, f"newcomer {number}") for number in range(60)]

    drive(service.urls, [*newcomers[:30], raise_call, *newcomers[30:]])
    # Whoever asks next has the rest of the list served; after that five codes are left.
    answers = drive(service.urls, newcomers)

    after = holders(service, discount_id)
    assert set(waiters) <= set(after)
    assert len(after) == 1 + WAITING + 5
    assert {each.status for each in answers} <= {200, 201, 409}
    order = granted_in_order(redis_server.client(), discount_id, set(after) - {"first"})
    assert set(order[:WAITING]) == set(waiters)


def test_a_paced_release_grants_exactly_what_is_released(service: Service, redis_server: RedisServer) -> None:
    discount_id = create(service.urls[0], 500, "Paced")
    redis: Any = redis_server.client()
    discount = keys.discount(int(discount_id[4:6], 16), discount_id)
    seconds, _ = redis.time()
    # One an hour and a bit ago, and a code a minute since: sixty-two, until the minute is over.
    redis.hset(discount, "release", f"{(int(seconds) - 3690) * 1_000_000:016d} 1")
    wait = [wait_call(discount_id, f"waiter {number}") for number in range(80)]
    assert {slug(each) for each in drive(service.urls, wait)} == {"codes-left"}

    answers = drive(service.urls, [grant_call(discount_id, f"user {number}") for number in range(300)])

    ended, _ = redis.time()
    found = Counter((each.status, slug(each)) for each in answers)
    released = {1 + (3690 + passed) // 60 for passed in (0, int(ended) - int(seconds) + 1)}
    assert found[201, ""] in range(min(released), max(released) + 1)
    assert found[409, "not-released"] == 300 - found[201, ""]
    assert int(redis.hget(discount, "granted")) == found[201, ""]


def test_unused_codes_are_used_or_handed_on_once(service: Service, redis_server: RedisServer) -> None:
    body: dict[str, Any] = {"brand_id": "IKEA", "discount_code": "Use it", "total_count": HELD, "claim_within": "PT1S"}
    discount_id = ask(service.urls[0], "POST", "/discount", body).json["id"]
    names = [f"user {number}" for number in range(HELD)]
    granted = drive(service.urls, [grant_call(discount_id, name) for name in names])
    codes = {each.body["user_id"]: each.body["code"] for each in granted}
    drive(service.urls, [wait_call(discount_id, f"waiter {number}") for number in range(HELD)])
    orders = {name: {"id": f"of {name}", "amount": 1000, "currency": "EUR"} for name in names}
    uses = [{"discount_id": discount_id, "user_id": name, "code": codes[name], "order": orders[name]} for name in names]
    store = Store.at(redis_server.url, PATIENCE, PARTITIONS)
    partition = int(discount_id[4:6], 16)
    with ThreadPoolExecutor(1) as pool:
        # As the worker ends claims, long after their time.
        ending = pool.submit(
            lambda: {name for name in reversed(names) if claims.end(store, partition, f"{discount_id} {name}", 9**16)}
        )
        answers = drive(service.urls, [Call("", "POST", "/redemption", each) for each in uses])
        taken_back = ending.result(PATIENCE)

    redeemed = {each.body["user_id"] for each in answers if each.status == 201}
    assert {slug(each) for each in answers if each.status != 201} <= {"revoked"}
    # Who redeemed first keeps the code; every other code went to one who waited.
    assert taken_back == set(names) - redeemed
    after = holders(service, discount_id)
    assert set(after) & set(names) == redeemed
    assert set(after.values()) == set(codes.values())
    assert ask(service.urls[0], "GET", f"/discount/{discount_id}").json["waiting_count"] == len(redeemed)
