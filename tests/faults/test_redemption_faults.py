"""Redemptions while Redis is killed or full: no answered one is lost, and none counts twice."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.test_redis_full import everything
from tests.stack.proxy import Proxy
from tests.support import history, ledger
from tests.support.ledger import CODE, CURRENCY, open_discount, redeem_call
from tests.support.load import Load
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask


def test_no_answered_redemption_is_lost_while_redis_is_killed(redis_server: RedisServer, tmp_path: Any) -> None:
    with Service(redis_server.url, replicas=3) as service, Proxy(service.addresses, tmp_path) as proxy:
        discount_id = open_discount(proxy.url, limits={"total": 400, "per_user": 2})
        # Each order twice, as a checkout that got no answer sends it again.
        orders = [redeem_call(discount_id, f"user {n % 300}", f"order {n}") for n in range(600)]

        with Load([proxy.url], [call for order in orders for call in (order, order)], retries=300) as load:
            for round_ in range(3):
                load.wait_for(100 + 300 * round_)
                redis_server.kill()
                redis_server.start()
        counts = history.statuses(load.answers)

        assert sum(counts.values()) == 1200
        assert counts[201, ""] + counts[200, ""] == 800
        assert counts[409, "limit-reached"] == 400
        found = ledger.check(redis_server.client(), proxy.url, discount_id)
        assert found.counts == {"redeemed": 400}
        shown = {each["id"] for each in ledger.shown_redemptions(load.answers)}
        assert shown == set(found.records)


def test_holds_confirms_and_rollbacks_survive_a_killed_redis(redis_server: RedisServer) -> None:
    with Service(redis_server.url, replicas=2) as service:
        base = service.urls[0]
        discount_id = open_discount(base, limits={"per_user": 1000})
        last: dict[str, str] = {}
        stopped = threading.Event()

        def answered(method: str, path: str, body: Any = None) -> Any:
            """Repeat a call until Redis is back."""
            while True:
                reply = ask(base, method, path, body)
                if reply.status != 503:
                    assert reply.status in (200, 201), reply.raw
                    return reply.json
                stopped.wait(0.01)

        def shop(user: str) -> None:
            for n in range(60):
                if stopped.is_set():
                    return
                body = redeem_call(discount_id, user, f"{user}, order {n}", hold=600).body
                held = answered("POST", "/redemption", body)
                if n % 3:
                    held = answered("POST", f"/redemption/{held['id']}/confirm")
                if n % 2:
                    held = answered("POST", f"/redemption/{held['id']}/rollback")
                last[held["id"]] = held["state"]

        threads = [threading.Thread(target=shop, args=(f"User {number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            for share in (30, 90, 150):
                while len(last) < share and any(thread.is_alive() for thread in threads):
                    stopped.wait(0.01)
                redis_server.kill()
                redis_server.start()
        finally:
            for thread in threads:
                thread.join(120)
            stopped.set()

        assert len(last) == 240
        found = ledger.check(redis_server.client(), base, discount_id)
        assert {name: found.states[name] for name in last} == last
        assert len(found.records) == 240


@pytest.fixture
def memory_server() -> Iterator[RedisServer]:
    with RedisServer(tcp=True) as server:
        yield server


def test_a_full_redis_refuses_redemptions_and_still_shows_data(memory_server: RedisServer) -> None:
    with Service(memory_server.url, replicas=1) as service, memory_server.client() as redis:
        base = service.urls[0]
        discount_id = open_discount(base, limits={"per_user": 1000})
        call = redeem_call(discount_id, "User 1", "first", hold=600)
        held = ask(base, "POST", "/redemption", call.body).json
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", "1")
        before = everything(redis)
        order = {"id": "new", "amount": 1000, "currency": CURRENCY}
        checkout = {"discount_id": discount_id, "user_id": "User 1", "code": CODE, "order": order}
        for path, body in (
            ("/redemption", checkout),
            ("/redemption", checkout | {"hold_seconds": 60}),
            (f"/redemption/{held['id']}/confirm", None),
            (f"/redemption/{held['id']}/rollback", None),
            ("/validation", checkout | {"code": "WRONG"}),
        ):
            reply = ask(base, "POST", path, body)
            assert (reply.status, reply.slug) == (503, "unavailable"), path
        assert everything(redis) == before
        for path in (f"/redemption/{held['id']}", f"/discount/{discount_id}/redemptions", "/user/User%201/redemptions"):
            assert ask(base, "GET", path).status == 200
        redis.config_set("maxmemory", "0")
        assert ask(base, "POST", f"/redemption/{held['id']}/confirm").json["state"] == "redeemed"
        ledger.check(redis, base, discount_id)
