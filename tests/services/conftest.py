"""Fixtures of the service suite: each test runs on fakeredis and on a real Redis, and ends with a check of the data."""

from collections.abc import Iterator

import pytest

from tests.services.harness import ServiceHarness, fake_harness, real_harness
from tests.support.fixtures import redis_server


@pytest.fixture(params=["fakeredis", "redis"])
def harness(request: pytest.FixtureRequest) -> Iterator[ServiceHarness]:
    """A store on an empty Redis, fake and real in turn."""
    found = fake_harness() if request.param == "fakeredis" else real_harness(request.getfixturevalue("redis_server"))
    yield found
    found.check()
