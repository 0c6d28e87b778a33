"""Fixtures of the service suite: each test runs on fakeredis and on a real Redis, and ends with a check of the data."""

from collections.abc import Iterator

import pytest

from discount.services import grants
from tests.services.harness import ServiceHarness, fake_harness, real_harness
from tests.support.fixtures import redis_server


@pytest.fixture(params=["fakeredis", "redis"])
def harness(request: pytest.FixtureRequest) -> Iterator[ServiceHarness]:
    """A store on an empty Redis, fake and real in turn."""
    found = fake_harness() if request.param == "fakeredis" else real_harness(request.getfixturevalue("redis_server"))
    yield found
    found.check()


@pytest.fixture
def fake() -> ServiceHarness:
    """A harness on fakeredis without the check at the end: codes were taken back, or users wait."""
    return fake_harness()


@pytest.fixture(params=["fakeredis", "redis"])
def any_redis(request: pytest.FixtureRequest) -> ServiceHarness:
    """A harness on fakeredis and on a real Redis in turn, without the check at the end."""
    return fake_harness() if request.param == "fakeredis" else real_harness(request.getfixturevalue("redis_server"))


@pytest.fixture
def short_pipelines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send many grants in short pipelines: fakeredis takes four times as long for one of twice the length."""
    monkeypatch.setattr(grants, "SLICE", 40)
