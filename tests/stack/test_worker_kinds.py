"""Hot and pool workers of one replica: connections move between them, and each is replaced by one of its kind."""

import http.client
import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, create, pytest_runtest_makereport, wait_until  # noqa: F401


@pytest.fixture(scope="module")
def service(redis_server: RedisServer) -> Iterator[Service]:
    with Service(redis_server.url, replicas=1, workers=2, threads=2) as running:
        yield running


def is_hot(pid: int) -> bool:
    """Return whether a worker accepts connections."""
    return any(each.status == psutil.CONN_LISTEN for each in psutil.Process(pid).net_connections("inet"))


def await_another(service: Service, before: set[int]) -> None:
    wait_until(lambda: len(service.workers(0) - before) == 1, "a worker is replaced")


def grant(service: Service, discount_id: str, user: str) -> int:
    return ask(service.urls[0], "POST", f"/discount/{discount_id}/grant", {"user_id": user}).status


def show(service: Service, discount_id: str) -> int:
    return ask(service.urls[0], "GET", f"/discount/{discount_id}").status


def test_one_connection_serves_calls_of_both_kinds_in_turn(service: Service) -> None:
    discount_id = create(service.urls[0], 20)
    connection = http.client.HTTPConnection("127.0.0.1", service.ports[0], timeout=PATIENCE)
    connection.connect()
    own = connection.sock
    for number in range(10):
        body = f'{{"user_id": "User {number}"}}'
        for method, path, sent, status in (
            ("POST", f"/discount/{discount_id}/grant", body, 201),
            ("GET", f"/discount/{discount_id}", None, 200),
            ("GET", "/healthy", None, 200),
            ("GET", "/ready", None, 200),
        ):
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            assert response.status == status
            # It was never closed in between.
            assert connection.sock is own
    connection.close()


def test_a_killed_worker_is_replaced_by_one_of_its_kind(service: Service) -> None:
    discount_id = create(service.urls[0], 20)
    for number, kind in enumerate((True, False)):
        before = service.workers(0)
        victim = next(pid for pid in before if is_hot(pid) is kind)
        os.kill(victim, signal.SIGKILL)
        await_another(service, before)
        wait_until(lambda: sum(map(is_hot, service.workers(0))) == 2, "two of them are hot")
        assert grant(service, discount_id, f"User {number}") == 201
        assert show(service, discount_id) == 200


def test_requests_wait_for_a_pool_worker_that_is_being_replaced(service: Service) -> None:
    discount_id = create(service.urls[0], 20)
    victim = next(pid for pid in service.workers(0) if not is_hot(pid))
    # Stopped before it is killed: what is sent to it now stays in the channel.
    os.kill(victim, signal.SIGSTOP)
    connection = http.client.HTTPConnection("127.0.0.1", service.ports[0], timeout=PATIENCE)
    connection.request("GET", f"/discount/{discount_id}")
    assert grant(service, discount_id, "User 1") == 201
    os.kill(victim, signal.SIGKILL)
    assert connection.getresponse().status == 200
    connection.close()


def test_a_reload_replaces_all_workers_and_refuses_no_call(service: Service) -> None:
    discount_id = create(service.urls[0], 20)
    before = service.workers(0)
    os.kill(psutil.Process(min(before)).ppid(), signal.SIGHUP)
    calls = 0
    while before & service.workers(0):
        assert grant(service, discount_id, "User 1") in (200, 201)
        assert show(service, discount_id) == 200
        calls += 1
    assert calls > 0
    assert len(service.workers(0)) == 3


def test_a_stop_lets_calls_of_both_kinds_end(redis_server: RedisServer) -> None:
    with Service(redis_server.url, replicas=1) as service:
        stop_during_a_long_poll(service)


def stop_during_a_long_poll(service: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.ports[0], timeout=PATIENCE)
    connection.request("GET", "/event?brand_id=nobody&wait=3")
    # Answered after the one above was passed on.
    assert ask(service.urls[0], "GET", "/ready").status == 200
    service.terminate(0)
    assert connection.getresponse().status == 200
    connection.close()
    assert service.wait(0) == 0
