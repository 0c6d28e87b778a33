"""Redis did the work but its reply is lost: clients of the dialects do not notice."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from discount.app import create_app
from discount.config import Settings
from discount.services import (
    code_pools,
    contacts,
    discount_changes,
    discounts,
    exclusive_codes,
    grants,
    redemptions,
)
from discount.store.connection import Store
from tests.faults.lossy import LossyLine
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer


@pytest.fixture
def line() -> Iterator[LossyLine]:
    with RedisServer(tcp=True) as server, LossyLine("127.0.0.1", server.port) as lossy:
        yield lossy


@pytest.fixture
def http(line: LossyLine) -> FlaskClient:
    url = f"redis://127.0.0.1:{line.port}/0"
    return create_app(Settings(redis_url=url), Store.at(url, PATIENCE, 16)).test_client()


@pytest.fixture
def lose(line: LossyLine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make each call of a service lose the reply to the first script that it runs."""

    def lose_answers_of(*calls: tuple[Any, str]) -> None:
        for module, name in calls:
            function = getattr(module, name)

            def losing(*given: Any, function: Any = function, **named: Any) -> Any:
                line.lose(1)
                return function(*given, **named)

            monkeypatch.setattr(module, name, losing)

    return lose_answers_of


def check(answer: Any, status: int) -> Any:
    assert answer.status_code == status, answer.text
    return answer.get_json()


def test_a_pool_has_the_codes_that_its_brand_got(http: FlaskClient, line: LossyLine, lose: Callable[..., None]) -> None:
    lose((discounts, "create"), (code_pools, "import_codes"), (grants, "grant"))
    replies = [
        code
        for count in (3, 700)
        for code in check(http.post("/v1/discount/create", json={"brand": "b", "number_to_create": count}), 200)
    ]
    assert line.lost == 4
    assert len(set(replies)) == 703
    (found,) = check(http.get("/discount"), 200)["discounts"]
    assert found["total_count"] == 703
    users = [f"user {number}" for number in range(5)]
    held = [check(http.get(f"/v1/discount/fetch/b/{user}"), 200)["discount_code"] for user in users]
    assert held == replies[:5]
    assert line.lost == 9


def test_a_readable_code_is_made_and_used_once(http: FlaskClient, line: LossyLine, lose: Callable[..., None]) -> None:
    lose((exclusive_codes, "claim"), (discounts, "create"), (redemptions, "redeem"))
    code = {"id": "HELLO", "discount": 10, "validity": "2280-01-01T00:00:00Z", "brand": "b"}
    use = {"discount_code": "HELLO", "user": "u"}
    check(http.post("/api/v1/discountcode/", json=code), 201)
    check(http.post("/api/v1/discountcode/", json=code), 400)
    used = check(http.post("/api/v1/discountcodeusage/", json=use), 201)
    check(http.post("/api/v1/discountcodeusage/", json=use), 400)
    assert check(http.get("/api/v1/discountcodeusage/"), 200) == [used]
    assert line.lost == 6


def test_a_coupon_and_its_users_are_made_once_and_each_use_is_counted_once(
    http: FlaskClient, line: LossyLine, lose: Callable[..., None]
) -> None:
    lose((discounts, "create"), (contacts, "enrol"), (discount_changes, "change"), (redemptions, "redeem"))
    coupon = {"code": "TEN", "discount_percentage": 10, "expiry_date": "2280-01-01"}
    person = {"name": "Ann", "email_id": "ann@user.example"}
    counts = {f"{kind}_repeat_count": 3 for kind in ("global_total", "user_total", "user_daily", "user_weekly")}
    check(http.post("/coupon", data=coupon), 200)
    check(http.post("/coupon", data=coupon), 400)
    check(http.post("/user", data=person), 200)
    check(http.post("/user", data=person), 400)
    check(http.put("/coupon/TEN/repeat_count", data=counts), 200)
    for _ in range(3):
        check(http.post("/coupon/apply", data={"user_id": 1, "coupon_code": "TEN"}), 200)
    check(http.post("/coupon/apply", data={"user_id": 1, "coupon_code": "TEN"}), 400)
    assert check(http.get("/coupon"), 200)["message"][0]["coupons_left"] == 0
    assert [each["id"] for each in check(http.get("/user"), 200)["message"]] == [1]
    # A code that is known is refused before anything is made.
    assert line.lost == 8
