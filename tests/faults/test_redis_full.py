"""Redis cannot write because its memory is full or its disk fails; reading goes on."""

from typing import Any

import pytest

from tests.support import history
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, create, wait_until

NEW = {"brand_id": "IKEA", "discount_code": "New", "total_count": 5000}
# Bytes: little enough to be full soon.
STEP = 16 * 1024


def everything(redis: Any) -> dict[str, bytes]:
    """Return all data in Redis but the test's own."""
    return {key: redis.dump(key) for key in redis.keys("{*")}


def check_refused(redis: Any, url: str, discount_id: str) -> None:
    """Check that changes are refused and do nothing, and that reads are answered."""
    grant = f"/discount/{discount_id}/grant"
    before = everything(redis)
    for method, path, body in (
        ("POST", grant, {"user_id": "a new one"}),
        ("POST", f"/discount/{discount_id}/grants", {"user_ids": ["a new one", "another"]}),
        ("POST", "/discount", NEW),
        ("PATCH", f"/discount/{discount_id}", {"total_count": 9000}),
    ):
        reply = ask(url, method, path, body)
        assert (reply.status, reply.slug) == (503, "unavailable"), (method, path)
        assert reply.headers["Retry-After"] == "1"
    assert everything(redis) == before
    assert ask(url, "GET", f"/discount/{discount_id}").json["granted_count"] > 0
    assert ask(url, "GET", f"{grant}?user_id=User%201").status == 200
    assert len(ask(url, "GET", "/user/User%201/grants").json["grants"]) == 1
    assert len(ask(url, "GET", "/discount").json["discounts"]) == 1


@pytest.fixture
def memory_server() -> Any:
    with RedisServer(tcp=True) as server:
        yield server


def test_a_full_redis_changes_nothing_or_everything(memory_server: RedisServer) -> None:
    """Memory runs out at another point in each round; a change done by half would show as a difference."""
    with Service(memory_server.url, replicas=1) as service, memory_server.client() as redis:
        url = service.urls[0]
        discount_id = create(url, 3000)
        path = f"/discount/{discount_id}/grant"
        ask(url, "POST", path, {"user_id": "User 1"})
        refused, given, user = 0, 0, 0
        for round_ in range(12):
            redis.config_set("maxmemory", redis.info("memory")["used_memory"] + STEP + 997 * round_)
            for _ in range(400):
                user += 1
                reply = ask(url, "POST", path, {"user_id": f"user {user}"})
                if reply.status == 503:
                    refused += 1
                    break
                given += 1
                assert reply.status == 201
        assert refused >= 6
        redis.config_set("maxmemory", 1)
        check_refused(redis, url, discount_id)

        redis.config_set("maxmemory", 0)
        assert ask(url, "POST", path, {"user_id": "after"}).status == 201
        found = history.check(redis, url, discount_id, [])
        assert len(found.grants) == given + 2


def test_a_redis_that_cannot_save_changes_nothing(memory_server: RedisServer) -> None:
    with Service(memory_server.url, replicas=1) as service, memory_server.client() as redis:
        url = service.urls[0]
        discount_id = create(url, 100)
        ask(url, "POST", f"/discount/{discount_id}/grant", {"user_id": "User 1"})
        # A folder in the place of the file: it cannot be written over.
        (memory_server.folder / "dump.rdb").mkdir()
        redis.config_set("save", "3600 1")
        redis.config_set("stop-writes-on-bgsave-error", "yes")
        redis.bgsave()
        wait_until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err", "a save has failed")

        check_refused(redis, url, discount_id)

        # It would try to save, and not end.
        redis.config_set("save", "")
        redis.config_set("stop-writes-on-bgsave-error", "no")
        assert ask(url, "POST", f"/discount/{discount_id}/grant", {"user_id": "after"}).status == 201
        assert len(history.check(redis, url, discount_id, []).grants) == 2


def test_a_redis_that_only_reads_changes_nothing(memory_server: RedisServer) -> None:
    with Service(memory_server.url, replicas=1) as service, memory_server.client() as redis:
        url = service.urls[0]
        discount_id = create(url, 100)
        ask(url, "POST", f"/discount/{discount_id}/grant", {"user_id": "User 1"})
        # A replica whose master is away: it serves what it has.
        redis.replicaof("127.0.0.1", "1")

        check_refused(redis, url, discount_id)

        redis.replicaof("NO", "ONE")
        assert ask(url, "POST", f"/discount/{discount_id}/grant", {"user_id": "after"}).status == 201
        assert len(history.check(redis, url, discount_id, []).grants) == 2
