"""Discounts made, changed and closed while grants run."""

from collections import Counter

from tests.support import history
from tests.support.load import Call, Load, drive, grant_call
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, create


def test_50_creates_with_one_key_make_one_discount(service: Service, redis_server: RedisServer) -> None:
    body = {"brand_id": "Steiff", "discount_code": "Christmas 2020 discount", "total_count": 100}
    call = Call("", "POST", "/discount", body, {"Idempotency-Key": "one-and-only"})

    answers = drive(service.urls, [call] * 50)

    assert history.statuses(answers) == {(201, ""): 50}
    discount_id = answers[0].body["id"]
    assert {answer.body["id"] for answer in answers} == {discount_id}
    listed = ask(service.urls[1], "GET", "/discount?brand_id=Steiff").json["discounts"]
    assert [each["id"] for each in listed] == [discount_id]
    assert history.event_counts(redis_server.client(), discount_id) == {"discount.created": 1}
    history.check(redis_server.client(), service.urls[1], discount_id, [])


def test_64_creates_at_once_without_a_key_make_64(service: Service, redis_server: RedisServer) -> None:
    body = {"brand_id": "Ravensburger", "discount_code": "Christmas 2020 discount", "total_count": 3}

    answers = drive(service.urls, [Call("", "POST", "/discount", body)] * 64)

    assert history.statuses(answers) == {(201, ""): 64}
    made = {answer.body["id"] for answer in answers}
    assert len(made) == 64
    listed = ask(service.urls[1], "GET", "/discount?brand_id=Ravensburger&limit=1000").json["discounts"]
    assert {each["id"] for each in listed} == made
    moments = [each["created_at"] for each in listed]
    assert moments == sorted(moments, reverse=True)
    assert len(set(moments)) == 64
    numbers = {history.stored(redis_server.client(), each).fields["number"] for each in made}
    assert len(numbers) == 64


def test_total_goes_down_and_up_while_grants_run(service: Service, redis_server: RedisServer) -> None:
    discount_id = create(service.urls[0], 1500)
    calls = [grant_call(discount_id, f"user {number}") for number in range(1500)]

    def resize(replica: int, total_count: int) -> tuple[int, str]:
        reply = ask(service.urls[replica], "PATCH", f"/discount/{discount_id}", {"total_count": total_count})
        return reply.status, reply.slug if reply.status != 200 else ""

    def granted() -> int:
        return int(ask(service.urls[0], "GET", f"/discount/{discount_id}").json["granted_count"])

    with Load(service.urls, calls) as load:
        for step in range(10):
            load.wait_for(step * 120)
            # Down to hardly more than is granted, where a cut and a grant meet, then up past the end of a block.
            assert resize(0, granted() + 20) in ((200, ""), (409, "below-granted"))
            assert resize(1, 1500) == (200, "")
    last = granted() + 20
    assert resize(0, last) == (200, "")
    again = drive(service.urls, calls)

    assert set(history.statuses(load.answers)) <= {(201, ""), (409, "sold-out")}
    found = history.check(redis_server.client(), service.urls[1], discount_id, load.answers + again)
    # With room to spare, if every user had a code before the total went down.
    assert int(found.fields["total"]) == last
    assert len(found.grants) == min(last, 1500)
    assert history.statuses(load.answers)[201, ""] == last - 20
    assert history.statuses(again)[201, ""] == min(last, 1500) - (last - 20)


def test_no_code_is_granted_after_the_close(service: Service, redis_server: RedisServer) -> None:
    discount_id = create(service.urls[0], 1000)

    with Load(service.urls, [grant_call(discount_id, f"user {number}") for number in range(800)]) as load:
        load.wait_for(200)
        closed = ask(service.urls[0], "DELETE", f"/discount/{discount_id}").json
    answers = load.answers

    counts = history.statuses(answers)
    # On a busy machine all calls may be answered before the close.
    assert counts == Counter({(201, ""): closed["granted_count"], (409, "closed"): 800 - closed["granted_count"]})
    found = history.check(redis_server.client(), service.urls[1], discount_id, answers)
    assert len(found.grants) == closed["granted_count"]
    assert history.event_counts(redis_server.client(), discount_id)["discount.closed"] == 1
