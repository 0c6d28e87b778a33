"""Data that was written with other settings, and data that Redis is still loading."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from discount.domain.errors import Unavailable
from discount.store.connection import Store
from discount.store.installation import LayoutError
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
        discount_id = create(url, 200)
        with redis_server.client() as client:
            for number in range(200):
                client.set(f"filler {number}", random.randbytes(2000))
            client.bgrewriteaof()
            wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the file is rewritten")
        # Each key of the file takes a while, and after each the server answers that it is loading.
        redis_server.settings |= {"key_load_delay": 20_000, "loading_process_events_interval_bytes": 1024}
        redis_server.kill()
        with ThreadPoolExecutor(1) as starter:
            started = starter.submit(redis_server.start)
            statuses = set()
            while not started.done():
                before = is_loading(redis_server)
                status = ask(url, "GET", f"/discount/{discount_id}").status
                if before and is_loading(redis_server):
                    statuses.add(status)
            started.result()
        assert statuses == {503}
        wait_until(lambda: ask(url, "GET", "/ready").status == 200, "the service is ready")
        assert ask(url, "GET", f"/discount/{discount_id}").json["remaining_count"] == 200


def refusal(redis_url: str, *command: str, **settings: str) -> str:
    """Return the one line with which a process ends that cannot start."""
    given = {"REDIS_URL": redis_url, "PORT": "0", "WORKER_PORT": "0", "PATH": "", **settings}
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=given,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    # Before that the server logs that it starts.
    *before, line = ended.stderr.splitlines()
    assert all('"level":"info"' in each for each in before), ended.stderr
    return line


USED = "discount: SECRET: this data uses another SECRET; see `discount secret replace`"
NONE = "discount: SECRET: this data uses a SECRET; set the same one here"


SERVER = (
    "gunicorn",
    "-c",
    "python:discount.serving.gunicorn_config",
    "--bind",
    "127.0.0.1:0",
    "discount.app:create_app()",
)


@pytest.mark.parametrize("part", [("discount", "run"), ("discount", "worker"), SERVER], ids=["run", "worker", "app"])
@pytest.mark.parametrize(("secret", "line"), [("t" * 32, USED), ("", NONE)])
def test_a_process_with_another_secret_does_not_start(
    redis_server: RedisServer, part: tuple[str, ...], secret: str, line: str
) -> None:
    Store.at(redis_server.url, PATIENCE, 16, secret="s" * 32).prepare()
    assert refusal(redis_server.url, *part, SECRET=secret) == line


def test_a_process_with_a_secret_does_not_start_on_data_that_has_its_own(redis_server: RedisServer) -> None:
    Store.at(redis_server.url, PATIENCE, 16, secret="").prepare()
    line = refusal(redis_server.url, "discount", "worker", SECRET="s" * 32)
    assert line == "discount: SECRET: this data uses a generated secret; see `discount secret replace`"


def test_no_api_key_is_made_with_another_secret(redis_server: RedisServer) -> None:
    Store.at(redis_server.url, PATIENCE, 16, secret="s" * 32).prepare()
    assert refusal(redis_server.url, "discount", "brand", "create", "IKEA", SECRET="t" * 32) == USED


def test_a_secret_that_was_replaced_is_the_one_that_processes_start_with(redis_server: RedisServer) -> None:
    Store.at(redis_server.url, PATIENCE, 16, secret="s" * 32).prepare()
    replaced = subprocess.run(
        [sys.executable, "-m", "discount", "secret", "replace", "--yes"],
        cwd=ROOT,
        env={"REDIS_URL": redis_server.url, "SECRET": "t" * 32, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert replaced.stdout.startswith("SECRET is replaced")
    Store.at(redis_server.url, PATIENCE, 16, secret="t" * 32).prepare()
    with pytest.raises(LayoutError):
        Store.at(redis_server.url, PATIENCE, 16, secret="s" * 32).prepare()
    with redis_server.client() as client:
        assert "t" * 32 not in client.hget("{00}:installation", "secret")


def test_a_process_that_finds_another_secret_later_serves_nothing(redis_server: RedisServer) -> None:
    # Redis was away when it started: nothing is signed with the wrong secret then.
    Store.at(redis_server.url, PATIENCE, 16, secret="s" * 32).prepare()
    late = Store.at(redis_server.url, PATIENCE, 16, secret="t" * 32)
    with pytest.raises(Unavailable, match="uses another SECRET"):
        late.now()
