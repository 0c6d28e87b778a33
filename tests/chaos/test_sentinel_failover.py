"""One primary, two replicas and three Sentinels: the primary is killed, cut off, and comes back."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from discount.domain.errors import NotGranted, NotYetDurable
from discount.services import deliveries, grants
from discount.store.connection import Store
from discount.store.durability import Mode
from tests.chaos import failovers
from tests.chaos.failovers import Granting, judge, make_offer
from tests.support.clusters import Sentinels
from tests.support.service import wait_until

SOME = 30


@pytest.fixture(scope="module")
def servers() -> Iterator[Sentinels]:
    with Sentinels(replicas=2) as running:
        yield running


@pytest.fixture
def sentinels(servers: Sentinels) -> Iterator[Sentinels]:
    yield servers
    servers.heal()


def store_of(sentinels: Sentinels, mode: Mode) -> Store:
    store = Store.at(sentinels.url, 1.0, 16)
    store.set_durability(mode, 1)
    store.prepare()
    failovers.await_safety(store)
    return store


def test_a_killed_primary_is_replaced_and_serves_no_more_when_it_returns(sentinels: Sentinels) -> None:
    store = store_of(sentinels, "replicated")
    offer = make_offer(store, 0)
    with Granting(store, [offer]) as granting:
        granting.wait_for(SOME)
        failovers.kill_primary(sentinels)
        granting.wait_for(SOME)
        # The old primary comes back with its older data. Sentinels make it a replica.
        sentinels.heal()
        granting.wait_for(SOME)
    found = judge(store, granting.answers)
    assert (found.lost, found.doubled) == ([], [])


@pytest.mark.parametrize("mode", ["fast", "replicated"])
def test_only_fast_loses_what_a_primary_that_is_cut_off_answers(sentinels: Sentinels, mode: Mode) -> None:
    store = store_of(sentinels, mode)
    offer = make_offer(store, 1)
    with Granting(store, [offer]) as granting:
        granting.wait_for(SOME)
        old = failovers.partition_primary(sentinels)
        granting.wait_for(SOME)
        sentinels.rejoin(old)
        sentinels.heal()
        granting.wait_for(SOME)
    found = judge(store, granting.answers)
    if mode == "fast":
        assert found.lost
        assert found.doubled, "the promoted list begins with the codes that were lost"
    else:
        assert (found.lost, found.doubled) == ([], [])
        assert any(each.slug == "not-yet-durable" for each in granting.failures)
