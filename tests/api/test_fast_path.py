"""The fast path answers exactly as the framework does."""

from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client as WsgiClient

from discount.api.fast_path import FastPath
from discount.api.middleware import RequestMiddleware
from tests.api.client import Client

ORDER = {"id": "A-17", "amount": 1000, "currency": "EUR"}


@pytest.fixture
def slow(app: Flask) -> WsgiClient:
    """The same app without a fast path."""
    return WsgiClient(RequestMiddleware(app.wsgi_app._app, FastPath()))  # type: ignore[attr-defined]


def call(http: Any, path: str, **how: Any) -> tuple[int, dict[str, str], str]:
    answer = http.open(path, method="POST", headers={"X-Request-Id": "mine"}, **how)
    return answer.status_code, dict(answer.headers), answer.get_data(as_text=True)


@pytest.mark.parametrize(
    "how",
    [
        {"json": {"user_id": "User 1"}},
        {"json": {"user_id": ""}},
        {"json": {}},
        {"data": b"{", "content_type": "application/json"},
        {"data": b"{}", "content_type": "text/plain"},
        {"data": b"", "content_type": "application/json"},
        {"data": b"x" * 70_000, "content_type": "application/json"},
        {"json": {"user_id": "User 1"}, "query_string": {"a": "b"}},
    ],
    ids=str,
)
def test_a_grant_is_answered_alike(client: Client, slow: WsgiClient, how: dict[str, Any]) -> None:
    found = client.create()
    client.grant(found["id"])
    for discount_id in (found["id"], "dsc-x", "a b", "é", "a%2Fb", ""):
        path = f"/discount/{discount_id}/grant"
        assert call(client.http, path, **how) == call(slow, path, **how)


def test_a_refused_grant_is_answered_alike(client: Client, slow: WsgiClient) -> None:
    found = client.create(total_count=1)
    client.grant(found["id"], "Somebody")
    path, body = f"/discount/{found['id']}/grant", {"user_id": "User 1"}
    answer = call(client.http, path, json=body)
    assert answer == call(slow, path, json=body)
    assert answer[0] == 409


@pytest.mark.parametrize("path", ["/validation", "/redemption"])
@pytest.mark.parametrize(
    "changes", [{}, {"code": "wrong"}, {"order": {}}, {"hold_seconds": 0}, {"discount_id": "x"}], ids=str
)
def test_a_checkout_is_answered_alike(client: Client, slow: WsgiClient, path: str, changes: dict[str, Any]) -> None:
    found = client.create()
    code = client.grant(found["id"]).get_json()["code"]
    body = {"discount_id": found["id"], "user_id": "User 1", "code": code, "order": ORDER} | changes
    # The first one may do something, which the others then find done.
    call(client.http, path, json=body)
    assert call(client.http, path, json=body) == call(slow, path, json=body)


def test_the_busiest_operations_and_the_health_check_are_on_the_fast_path(app: Flask) -> None:
    fast_path = app.wsgi_app._fast_path  # type: ignore[attr-defined]
    assert set(fast_path._exact) == {("POST", "/validation"), ("POST", "/redemption"), ("GET", "/healthy")}
    assert [(before, after) for _, before, after, _, _ in fast_path._variable] == [("/discount/", "/grant")]
