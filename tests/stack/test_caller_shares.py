"""A caller that has used up its share of a pool worker's processor waits; others pass."""

import http.client
import json
from collections.abc import Iterator

import pytest

from discount.serving.shares import WAITING
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, wait_until

ADMIN, SECRET = "admin-" + "a" * 32, "secret-" + "s" * 32


@pytest.fixture(scope="module")
def shared() -> Iterator[Service]:
    """One replica whose callers have four percent of a processor each."""
    tokens = {"auth": "token", "admin_key": ADMIN, "secret": SECRET}
    # A Redis of its own: the data of the suite's has another secret.
    with RedisServer() as redis, Service(redis.url, replicas=1, caller_share=4, **tokens) as service:
        yield service


def open_brand(service: Service, brand: str) -> str:
    """Open a brand, and return a key of it."""
    headers = {"Authorization": f"Bearer {ADMIN}"}
    assert ask(service.urls[0], "POST", "/brand", {"id": brand}, headers=headers).status == 201
    return str(ask(service.urls[0], "POST", f"/brand/{brand}/keys", {"name": "key"}, headers=headers).json["key"])


def send(service: Service, key: str) -> http.client.HTTPConnection:
    """Send a list, and do not wait for the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", service.ports[0], timeout=PATIENCE)
    connection.request("GET", "/discount", headers={"Authorization": f"Bearer {key}"})
    return connection


def test_a_caller_over_its_share_waits_then_is_refused_and_others_pass(shared: Service) -> None:
    heavy, other = open_brand(shared, "Heavy"), open_brand(shared, "Other")
    hot = {"Authorization": f"Bearer {other}"}
    sent: list[http.client.HTTPConnection] = []

    def is_refused() -> bool:
        # Hot workers are at work, so no caller is alone.
        ask(shared.urls[0], "POST", "/validation", {}, headers=hot)
        sent.extend(send(shared, heavy) for _ in range(3 * WAITING))
        assert ask(shared.urls[0], "GET", "/discount", headers=hot).status == 200
        answers = [connection.getresponse() for connection in sent]
        bodies = [answer.read() for answer in answers]
        for connection in sent:
            connection.close()
        sent.clear()
        assert {answer.status for answer in answers} <= {200, 429}
        refused = [number for number, answer in enumerate(answers) if answer.status == 429]
        for number in refused:
            assert json.loads(bodies[number])["type"] == "/problems/too-many-at-once"
            assert 1 <= int(answers[number].headers["Retry-After"]) <= 200
        # Those that waited were answered in the end.
        return bool(refused) and len(refused) < len(answers)

    wait_until(is_refused, "a caller over its share is refused")


def test_the_admin_never_waits(shared: Service) -> None:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    for _ in range(3 * WAITING):
        assert ask(shared.urls[0], "GET", "/discount", headers=headers).status == 200
