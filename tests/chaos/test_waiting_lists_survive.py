"""Processes are killed while codes go to users who wait: no code is lost, and none has two holders."""

from collections import Counter
from typing import Any

from discount.store import keys
from tests.chaos.worker_processes import SECRET, WorkerProcesses
from tests.races.test_revoke_races import revoke_call
from tests.races.test_waiting_races import wait_call
from tests.support.load import Load, drive, grant_call
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, wait_until

HELD, WAITING = 60, 120


def test_replicas_and_workers_are_killed_while_waiting_users_get_codes(redis_server: RedisServer) -> None:
    with Service(redis_server.url, replicas=2, secret=SECRET) as service:
        body = {"brand_id": "IKEA", "discount_code": "Killed", "total_count": HELD, "claim_within": "PT1S"}
        discount_id = ask(service.urls[0], "POST", "/discount", body).json["id"]
        drive(service.urls, [grant_call(discount_id, f"user {number}") for number in range(HELD)])
        drive(service.urls, [wait_call(discount_id, f"waiter {number}") for number in range(WAITING)])
        calls = [revoke_call(discount_id, f"user {number}", back="pool", reissue=True) for number in range(HELD)]
        # The workers take back what was not used, while the brand takes the same codes back.
        with WorkerProcesses(redis_server.url, workers=2) as workers:
            with Load(service.urls, calls, retries=300) as load:
                load.wait_for(10)
                service.kill(0)
                workers.kill(0)
                load.wait_for(30)
                service.start(0)
                workers.start(0)
                workers.kill(1)
            workers.start(1)

            def shown() -> Any:
                return ask(service.urls[1], "GET", f"/discount/{discount_id}").json

            # Each unused code goes on: to each user who waits, and then back to the pool.
            wait_until(lambda: shown()["granted_count"] == 0, "every code is back")
        assert (shown()["remaining_count"], shown()["waiting_count"]) == (HELD, 0)
        rows = ask(service.urls[1], "GET", f"/discount/{discount_id}/codes").raw.decode().splitlines()[1:]
        codes = {row.split(",")[0] for row in rows}
        assert len(codes) == len(rows) == HELD
        redis: Any = redis_server.client()
        entries = redis.xrange(keys.events(int(discount_id[4:6], 16)))
        holder: dict[str, str] = {}
        turns = Counter[str]()
        for entry in (each for _, each in entries):
            if entry["type"] == "code.granted":
                assert entry["code"] not in holder
                holder[entry["code"]] = entry["user"]
                turns[entry["user"]] += 1
            elif entry["type"] == "code.revoked":
                assert holder.pop(entry["code"]) == entry["user"]
        assert holder == {}
        everybody = {f"user {number}" for number in range(HELD)} | {f"waiter {number}" for number in range(WAITING)}
        assert turns == dict.fromkeys(everybody, 1)
