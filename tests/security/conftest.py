"""Fixtures of the security suite: the service with tokens on, on a real Redis that each test finds empty."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.security.issuer import Issuer
from tests.security.two_brands import TwoBrands
from tests.support.fixtures import redis, redis_server
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture
def two_brands(redis_server: RedisServer, redis: Any) -> TwoBrands:
    """The service with tokens on; users' tokens are signed with a shared secret."""
    return TwoBrands(redis_server.url, redis)


@pytest.fixture
def published(redis_server: RedisServer, redis: Any, issuer: Issuer) -> TwoBrands:
    """The service with tokens on; users' tokens are signed with keys that their issuer publishes."""
    issuer.restart()
    return TwoBrands(redis_server.url, redis, jwt_secret="", jwks_url=issuer.url)
