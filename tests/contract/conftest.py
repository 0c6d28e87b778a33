"""Every test of the contract runs on fakeredis and on a real Redis, and ends with a look at all that is stored."""

from collections.abc import Iterator

import pytest

from tests.contract.stage import Stage, fake_stage, real_stage
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["fakeredis", "redis"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A store on an empty Redis of either kind."""
    found = fake_stage() if request.param == "fakeredis" else real_stage(request.getfixturevalue("redis_server"))
    yield found
    found.check()
