"""Whatever one tenant does, a neighbour's grants and `/healthy` are answered. `make hostile` measures it."""

from collections.abc import Iterator

import pytest

from tests.hostile.attacks import ATTACKS, Attack, Size
from tests.hostile.street import Street
from tests.support.service import pytest_runtest_makereport  # noqa: F401

# How long the neighbour is watched, in seconds.
LONG = 3


@pytest.fixture(scope="module")
def street() -> Iterator[Street]:
    with Street() as running:
        yield running


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_neighbour_is_answered_during_any_attack_by_a_tenant(street: Street, attack: Attack) -> None:
    with attack(street, Size()):
        seen = street.watch(LONG)
    assert set(seen.statuses) == {201}
    assert set(seen.health) == {200}
    # No check of speed: only that no call waits for the attack to end.
    assert max(seen.times + seen.health_times) < 20
