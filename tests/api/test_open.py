"""An open service refuses calls from web pages of other sites."""

import io
from typing import Any

import pytest
from flask.testing import FlaskClient

from discount.app import create_app
from discount.config import Settings
from discount.store.connection import Store
from tests.api.client import DISCOUNT, Client, check_problem
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer

PAGES = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
]
OWN = [
    {},
    {"Origin": "http://localhost"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"},
    # Behind a proxy that names the service in another way than its pages do, the browser knows best.
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8080"},
    {"Sec-Fetch-Site": "none"},
]


@pytest.mark.parametrize("headers", PAGES)
def test_a_page_of_another_site_changes_nothing(client: Client, headers: dict[str, str]) -> None:
    discount_id = client.create()["id"]
    grant = {"json": {"user_id": "User 1"}}
    for method, path, call in (
        ("POST", "/discount", {"json": DISCOUNT}),
        ("POST", f"/discount/{discount_id}/grant", grant),
        ("POST", f"/discount/{discount_id}/grants", {"json": {"user_ids": ["User 1"]}}),
        ("DELETE", f"/discount/{discount_id}", {}),
        ("POST", f"/discount/{discount_id}/codes", {"data": b"A1", "content_type": "text/plain"}),
    ):
        client.refused(method, path, 403, "cross-site", headers=headers, **call)
    # Dialects change things by forms, and hand codes out by GET.
    before = client.state()
    form = {"code": "FREE", "discount_percentage": "100", "expiry_date": "2280-12-31"}
    assert client.http.post("/coupon", data=form, headers=headers).status_code == 403
    assert client.http.get("/v1/discount/fetch/IKEA/Ann", headers=headers).status_code == 403
    assert client.state() == before


@pytest.mark.parametrize("headers", OWN)
def test_pages_of_the_service_and_programs_may_write(client: Client, headers: dict[str, str]) -> None:
    answer = client.http.post("/discount", json=DISCOUNT, headers=headers)
    assert answer.status_code == 201
    path = f"/discount/{answer.get_json()['id']}/grant"
    assert client.http.post(path, json={"user_id": "User 1"}, headers=headers).status_code == 201


def test_a_link_from_elsewhere_may_be_followed(client: Client) -> None:
    assert client.http.get("/discount", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::2]", "a b"])
def test_a_name_that_only_points_here_is_refused(client: Client, host: str) -> None:
    discount_id = client.create()["id"]
    answer = client.refused("GET", "/discount", 403, "cross-site", headers={"Host": host})
    assert f"Host is '{host}'." in answer["detail"]
    client.refused("POST", f"/discount/{discount_id}/grant", 403, "cross-site", headers={"Host": host}, json={})
    assert client.http.get("/healthy", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST", "shop.localhost", "127.0.0.1:80", "127.1.2.3", "[::1]:8000"]
)
def test_names_of_this_machine_are_accepted(client: Client, host: str) -> None:
    assert client.http.get("/discount", headers={"Host": host}).status_code == 200
    discount_id = client.create()["id"]
    origin = {"Host": host, "Origin": f"http://{host}"}
    grant = client.http.post(f"/discount/{discount_id}/grant", json={"user_id": "User 1"}, headers=origin)
    assert grant.status_code == 201


@pytest.fixture
def public(redis_server: RedisServer, redis: Any) -> FlaskClient:
    """A service that is open to all on purpose."""
    settings = Settings(redis_url=redis_server.url, host="0.0.0.0", allow_open=True)
    return create_app(settings, Store.at(redis_server.url, PATIENCE, settings.partitions)).test_client()


def test_a_service_that_is_open_to_all_answers_to_any_name_but_not_to_other_sites(public: FlaskClient) -> None:
    host = {"Host": "shop.example"}
    assert public.post("/discount", json=DISCOUNT, headers=host).status_code == 201
    own = host | {"Origin": "https://shop.example"}
    assert public.post("/discount", json=DISCOUNT, headers=own).status_code == 201
    check_problem(
        public.post("/discount", json=DISCOUNT, headers=host | {"Origin": "https://evil.example"}), 403, "cross-site"
    )


def test_the_answer_to_another_site_does_not_wait_for_its_body(client: Client) -> None:
    class Unread(io.RawIOBase):
        def read(self, _size: int = -1) -> bytes:
            raise AssertionError("somebody read it")

    answer = client.http.post(
        "/discount",
        content_type="application/json",
        headers={"Origin": "null"},
        environ_overrides={"wsgi.input": Unread(), "CONTENT_LENGTH": "100"},
    )
    check_problem(answer, 403, "cross-site")
