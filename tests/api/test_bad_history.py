"""What cannot be asked of the past is refused, with the field that is wrong."""

import pytest

from discount.store.connection import Store
from tests.api.client import Client
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.sqlite_ledger import SqliteLedger

LONG = "from=2026-01-01T00:00:00Z&to=2026-12-01T00:00:00Z"


@pytest.mark.parametrize("of", ["discount", "brand"])
@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("step=week", "step"),
        ("step=", "step"),
        ("from=yesterday", "from"),
        ("from=2026-11-26T00:00:00", "from"),
        ("from=1990-01-01T00:00:00Z", "from"),
        ("to=2999-01-01T00:00:00Z", "to"),
        ("from=2026-11-26T00:00:00Z&to=2026-11-26T00:00:00Z", "from"),
        ("from=2026-11-27T00:00:00Z&to=2026-11-26T00:00:00Z", "from"),
        (f"{LONG}&step=hour", "step"),
        ("since=2026-11-26T00:00:00Z", "since"),
        ("step=day&step=hour", "step"),
    ],
)
def test_a_query_of_figures_that_cannot_be_is_refused(client: Client, of: str, query: str, parameter: str) -> None:
    path = "/brand/IKEA" if of == "brand" else f"/discount/{client.create()['id']}"
    client.refused("GET", f"{path}/figures?{query}", 422, "invalid", parameter)


def test_the_most_steps_that_are_allowed_are_answered(client: Client) -> None:
    discount = client.create()["id"]
    answer = client.http.get(f"/discount/{discount}/figures?{LONG}&step=day")
    assert (answer.status_code, answer.get_json()["figures"]) == (200, [])
    for step in ("minute", "hour", "day"):
        assert client.http.get(f"/discount/{discount}/figures?step={step}").status_code == 200


def test_changes_are_those_of_the_time_that_is_asked_for(
    client: Client, ledger: SqliteLedger, redis_server: RedisServer
) -> None:
    client.create()
    ledger.read(Store.at(redis_server.url, PATIENCE, 16))
    for query, count in (("from=2020-01-01T00:00:00Z", 1), ("to=2020-01-01T00:00:00Z", 0), (LONG, None)):
        answer = client.http.get(f"/change?brand_id=IKEA&{query}")
        assert answer.status_code == 200
        assert count in (None, len(answer.get_json()["changes"]))
    client.refused("GET", "/change?brand_id=IKEA&since=2026-01-01T00:00:00Z", 422, "invalid", "since")


def test_figures_of_no_discount_are_not_found(client: Client) -> None:
    client.refused("GET", "/discount/dsc-x/figures", 404, "not-found")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"code": "x"}, "/brand_id"),
        ({"brand_id": "IKEA"}, "/code"),
        ({"brand_id": "IKEA", "code": ""}, "/code"),
        ({"brand_id": "IKEA", "code": "x" * 201}, "/code"),
        ({"brand_id": "IKEA", "code": 7}, "/code"),
        ({"brand_id": "a/b", "code": "x"}, "/brand_id"),
        ({"brand_id": "IKEA", "code": "x", "user_id": "Ann"}, "/user_id"),
    ],
)
def test_a_search_that_cannot_be_is_refused(client: Client, body: object, pointer: str) -> None:
    client.refused("POST", "/code", 422, "invalid", pointer, json=body)


@pytest.mark.parametrize("code", ["x", "'; DROP TABLE grants; --", "%", "_", "\u0130ı", "\u200d", "\ud83d\ude00" * 20])
def test_any_code_that_is_not_there_is_not_found(client: Client, code: str) -> None:
    client.create()
    client.refused("POST", "/code", 404, "not-found", json={"brand_id": "IKEA", "code": code})
