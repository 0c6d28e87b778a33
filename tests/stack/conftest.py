"""Fixtures of the stack suite: nginx with the project's files, three replicas, a real Redis."""

from collections.abc import Iterator

import pytest

from tests.stack.proxy import Proxy
from tests.support.fixtures import redis_server
from tests.support.redis_server import RedisServer
from tests.support.service import Service, pytest_runtest_makereport


@pytest.fixture(scope="package")
def service(redis_server: RedisServer) -> Iterator[Service]:
    with Service(redis_server.url, replicas=3) as running:
        yield running


@pytest.fixture(scope="package")
def proxy(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with Proxy(service.addresses, tmp_path_factory.mktemp("proxy")) as running:
        yield running
