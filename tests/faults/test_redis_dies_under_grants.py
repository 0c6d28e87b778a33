"""Redis is killed and comes back with its data from disk."""

from pathlib import Path

import pytest

from tests.stack.proxy import Proxy
from tests.support import history
from tests.support.load import Load, Order, grant_call, twice
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, create, wait_until


@pytest.mark.parametrize("order", ["pairs", "shuffled"])
def test_no_answered_grant_is_lost_while_redis_is_killed(
    redis_server: RedisServer, tmp_path: Path, order: Order
) -> None:
    with Service(redis_server.url, replicas=3) as service, Proxy(service.addresses, tmp_path) as proxy:
        discount_id = create(proxy.url, 500)
        users = [f"user {number}" for number in range(1000)]

        with Load([proxy.url], [grant_call(discount_id, user) for user in twice(users, order)], retries=300) as load:
            for round_ in range(4):
                load.wait_for(100 + 400 * round_)
                redis_server.kill()
                redis_server.start()
        answers = load.answers

        # What a killed Redis had in hand may be done or not; asked again, the user has the code or gets it.
        counts = history.statuses(answers)
        assert counts[201, ""] + counts[200, ""] == 1000
        assert counts[409, "sold-out"] == 1000
        found = history.check(redis_server.client(), proxy.url, discount_id, answers)
        assert {answer.user: answer.code for answer in answers if answer.code} == found.grants
        assert len(found.grants) == 500


def test_the_service_reports_that_redis_is_down_and_recovers_by_itself(redis_server: RedisServer) -> None:
    with Service(redis_server.url, replicas=1) as service:
        url = service.urls[0]
        discount_id = create(url, 10)
        grant = ("POST", f"/discount/{discount_id}/grant", {"user_id": "User 1"})
        code = ask(url, *grant).json["code"]
        redis_server.kill()

        assert ask(url, "GET", "/healthy").raw == b"OK"
        assert ask(url, "GET", "/ready").status == 503
        new = {"brand_id": "IKEA", "discount_code": "New", "total_count": 1}
        for call in (grant, ("GET", "/discount"), ("GET", f"/discount/{discount_id}"), ("POST", "/discount", new)):
            reply = ask(url, *call)
            assert (reply.status, reply.slug) == (503, "unavailable")
            assert int(reply.headers["Retry-After"]) > 0

        redis_server.start()
        wait_until(lambda: ask(url, "GET", "/ready").status == 200, "the service is ready again")
        reply = ask(url, *grant)
        assert (reply.status, reply.json["code"]) == (200, code)
        assert len(ask(url, "GET", "/discount").json["discounts"]) == 1


def test_a_service_that_starts_before_its_redis_serves_once_it_is_there(redis_server: RedisServer) -> None:
    redis_server.kill()
    with Service(redis_server.url, replicas=1) as service:
        url = service.urls[0]
        assert ask(url, "GET", "/ready").status == 503
        redis_server.start()
        wait_until(lambda: ask(url, "GET", "/ready").status == 200, "the service is ready")
        assert create(url, 1)


def test_scripts_are_loaded_again_after_redis_lost_them(redis_server: RedisServer) -> None:
    with Service(redis_server.url, replicas=2) as service:
        discount_id = create(service.urls[0], 300)
        users = [f"user {number}" for number in range(400)]
        with Load(service.urls, [grant_call(discount_id, user) for user in users]) as load:
            for round_ in range(6):
                load.wait_for(60 * round_)
                redis_server.client().script_flush()

        assert history.statuses(load.answers) == {(201, ""): 300, (409, "sold-out"): 100}
        assert [answer.errors for answer in load.answers if answer.errors] == []
        history.check(redis_server.client(), service.urls[0], discount_id, load.answers)
