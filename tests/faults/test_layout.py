"""Data that was laid out for other settings, and data that is still being loaded."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import redis

from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.service import ROOT, Service, ask, create, wait_until


def test_another_number_of_partitions_is_refused_in_one_line(redis_server: RedisServer) -> None:
    with Service(redis_server.url, replicas=1) as service:
        create(service.urls[0], 1)
    with redis_server.client() as client:
        before = {key: client.dump(key) for key in client.scan_iter()}
        environment = {"REDIS_URL": redis_server.url, "PARTITIONS": "8", "PORT": "0", "PATH": ""}
        ended = subprocess.run(
            [sys.executable, "-m", "discount", "run"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert ended.returncode == 1
        assert ended.stderr == "discount: this Redis holds data with partitions 16, the setting says 8\n"
        assert {key: client.dump(key) for key in client.scan_iter()} == before


def is_loading(server: RedisServer) -> bool:
    try:
        with server.client() as client:
            client.ping()
    except redis.exceptions.BusyLoadingError:
        return True
    except redis.exceptions.ConnectionError:
        pass
    return False


def test_a_redis_that_loads_its_data_is_unavailable_until_it_has_it(redis_server: RedisServer) -> None:
    with Service(redis_server.url, replicas=1) as service:
        url = service.urls[0]
        *_, discount_id = (create(url, 200) for _ in range(20))
        with redis_server.client() as client:
            client.bgrewriteaof()
            wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the file is rewritten")
        # Each key of the file takes a while, and in between the server answers that it is loading.
        redis_server.settings |= {"key_load_delay": 50_000, "loading_process_events_interval_bytes": 1024}
        redis_server.kill()
        with ThreadPoolExecutor(1) as starter:
            started = starter.submit(redis_server.start)
            told = set()
            while not started.done():
                before = is_loading(redis_server)
                status = ask(url, "GET", f"/discount/{discount_id}").status
                if before and is_loading(redis_server):
                    told.add(status)
            started.result()
        assert told == {503}
        wait_until(lambda: ask(url, "GET", "/ready").status == 200, "the service is ready")
        assert ask(url, "GET", f"/discount/{discount_id}").json["remaining_count"] == 200
