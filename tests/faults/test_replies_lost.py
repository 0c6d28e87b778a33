"""Redis did the work but its reply is lost: nothing is done twice."""

from collections.abc import Iterator

import pytest

from discount.domain.errors import Unavailable
from discount.services import discount_changes, discount_lists, discounts, grants
from discount.store.connection import Store
from tests.faults.lossy import LossyLine
from tests.services.harness import UNIQUE
from tests.support import history
from tests.support.load import Load, grant_call, twice
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.service import Service, create


@pytest.fixture
def line(redis_server: RedisServer) -> Iterator[LossyLine]:
    with LossyLine("127.0.0.1", redis_server.port) as lossy:
        yield lossy


@pytest.fixture
def store(line: LossyLine) -> Store:
    return Store.at(f"redis://127.0.0.1:{line.port}/0", PATIENCE, 16)


def make(store: Store, key: str | None = None) -> str:
    found, _ = discounts.create(
        store, brand_id="IKEA", discount_code="A", total_count=50, kind=UNIQUE, idempotency_key=key
    )
    return found.id


def test_a_repeat_returns_the_grant_after_a_lost_reply(
    line: LossyLine, store: Store, redis_server: RedisServer
) -> None:
    discount_id = make(store)
    for number in range(50):
        line.lose(1)
        given = grants.grant(store, discount_id, f"user {number}")
        assert given.code
    assert line.lost == 50
    with Service(redis_server.url, replicas=1) as service:
        found = history.check(redis_server.client(), service.urls[0], discount_id, [])
    assert len(found.grants) == 50


def test_a_grant_with_two_lost_replies_is_unavailable_and_found_later(line: LossyLine, store: Store) -> None:
    discount_id = make(store)
    line.lose(2)
    with pytest.raises(Unavailable):
        grants.grant(store, discount_id, "User 1")
    found = grants.grant(store, discount_id, "User 1")
    assert not found.fresh
    assert discounts.show(store, discount_id)[0].granted_count == 1


@pytest.mark.parametrize("key", [None, "a key"])
def test_a_discount_is_created_once_despite_a_lost_reply(line: LossyLine, store: Store, key: str | None) -> None:
    other = make(store)
    line.lose(1)
    discount_id = make(store, key)
    assert line.lost == 1
    assert [each.id for each in discount_lists.list_page(store).items] == [discount_id, other]


def test_a_repeated_create_with_its_key_returns_the_same_discount(line: LossyLine, store: Store) -> None:
    other = make(store)
    line.lose(2)
    with pytest.raises(Unavailable):
        make(store, "a key")
    discount_id = make(store, "a key")
    assert [each.id for each in discount_lists.list_page(store).items] == [discount_id, other]


def test_a_change_and_a_close_are_answered_despite_lost_replies(line: LossyLine, store: Store) -> None:
    discount_id = make(store)
    line.lose(1)
    assert discount_changes.change(store, discount_id, {"total_count": 60})[0].total_count == 60
    line.lose(1)
    assert discount_changes.close(store, discount_id)[0].closed
    assert line.lost == 2


def test_an_http_client_behind_a_lossy_line_counts_right(line: LossyLine, redis_server: RedisServer) -> None:
    with Service(f"redis://127.0.0.1:{line.port}/0", replicas=2) as service:
        # The refusals of a discount that is sold out run no script: most codes are left when the last reply is lost.
        discount_id = create(service.urls[0], 600)
        users = twice([f"user {number}" for number in range(700)], "pairs")
        with Load(service.urls, [grant_call(discount_id, user) for user in users], retries=50) as load:
            for round_ in range(10):
                load.wait_for(50 * round_)
                line.lose(5)
        assert line.lost == 50
        counts = history.statuses(load.answers)
        assert counts[409, "sold-out"] == 200
        assert counts[201, ""] + counts[200, ""] == 1200
        assert len(history.check(redis_server.client(), service.urls[0], discount_id, load.answers).grants) == 600
