"""Lists in pages: a link leads to the next page, and a cursor is valid for its own list only."""

from typing import Any

import pytest
from werkzeug.http import parse_options_header

from discount.store.connection import Store
from tests.api.client import Client
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.sqlite_ledger import SqliteLedger
from tests.worker.harness import plan


def link_of(answer: Any) -> str | None:
    """Return the address of the next page from an answer's header."""
    header = answer.headers.get("Link")
    if header is None:
        return None
    address, options = header.partition(";")[0], parse_options_header(header)[1]
    assert options == {"rel": "next"}
    assert (address[0], address[-1]) == ("<", ">")
    found: str = address[1:-1]
    return found


def follow(client: Client, address: str) -> list[Any]:
    """Return the items of all pages, found by the links alone."""
    rows: list[Any] = []
    following: str | None = address
    pages = 0
    while following is not None:
        answer = client.http.get(following)
        assert answer.status_code == 200, answer.text
        page = answer.get_json()
        own = link_of(answer)
        assert (own is None) == (page["next"] is None) or "/event" in address
        (name,) = set(page) - {"next"}
        rows += page[name]
        following = own
        pages += 1
        assert pages < 50
    return rows


@pytest.fixture
def filled(client: Client, redis_server: RedisServer) -> str:
    """Create three brands, each with three discounts, grants, uses, webhooks and deliveries; return a discount."""
    for brand in ("IKEA", "Åhlens & Co", "H+M"):
        client.http.post("/brand", json={"id": brand})
        for name in "abc":
            made = client.create(brand_id=brand, discount_code=name, percent_off=10)["id"]
            for user in ("Ann", "Bo", "Åsa"):
                code = client.grant(made, user).get_json()["code"]
                order = {"id": f"{made}-{user}", "amount": 100, "currency": "EUR"}
                body = {"discount_id": made, "user_id": user, "code": code, "order": order}
                assert client.http.post("/redemption", json=body).status_code == 201
        client.http.post("/webhook", json={"brand_id": brand, "url": f"https://{len(brand)}.example/"})
        client.grant(made, "Cleo")
    plan(Store.at(redis_server.url, PATIENCE, 16))
    return str(made)


def test_every_list_that_has_a_cursor_links_to_its_next_page(
    client: Client, filled: str, ledger: SqliteLedger, redis_server: RedisServer
) -> None:
    for paused in (True, False):
        client.http.patch(f"/discount/{filled}", json={"paused": paused})
    sold_out = client.create(discount_code="Sold out", total_count=1)["id"]
    client.grant(sold_out, "First")
    for user in ("Ann", "Bo", "Cy"):
        assert client.http.post(f"/discount/{sold_out}/wait", json={"user_id": user}).status_code in (200, 201, 202)
    ledger.read(Store.at(redis_server.url, PATIENCE, 16))
    document = client.http.get("/openapi.json").get_json()
    lists = {
        path
        for path, methods in document["paths"].items()
        for each in methods.get("get", {}).get("parameters", [])
        if each["name"] in ("cursor", "after")
    }
    brand = "brand_id=%C3%85hlens%20%26%20Co"
    asked = {
        "/discount": (f"/discount?{brand}&status=active&limit=1", 3),
        "/discount/{discount_id}/grants": (f"/discount/{filled}/grants?limit=1", 4),
        "/discount/{discount_id}/redemptions": (f"/discount/{filled}/redemptions?limit=1", 3),
        "/discount/{discount_id}/waits": (f"/discount/{sold_out}/waits?limit=1", 3),
        "/user/{user_id}/grants": ("/user/%C3%85sa/grants?limit=2", 9),
        "/user/{user_id}/redemptions": (f"/user/%C3%85sa/redemptions?{brand}&limit=1", 3),
        "/brand": ("/brand?limit=1", 3),
        "/event": (f"/event?{brand}&types=code.granted&limit=4", 10),
        "/delivery": ("/delivery?brand_id=IKEA&limit=1", None),
        "/change": ("/change?brand_id=H%2BM&limit=1", None),
    }
    assert {each for each in lists if not each.startswith(("/v1", "/api", "/coupon")) and each != "/user"} == set(asked)
    for address, count in asked.values():
        rows = follow(client, address)
        assert len({str(row) for row in rows}) == len(rows)
        assert len(rows) == count if count is not None else rows, address


def test_a_page_without_a_limit_has_a_hundred_and_a_link(client: Client) -> None:
    for number in range(101):
        client.create(discount_code=str(number))
    answer = client.http.get("/discount")
    assert len(answer.get_json()["discounts"]) == 100
    assert len(client.http.get(link_of(answer) or "").get_json()["discounts"]) == 1


def test_a_cursor_of_one_list_is_refused_by_every_other(client: Client, filled: str) -> None:
    other = client.create(brand_id="IKEA")["id"]
    lists = [
        "/discount?limit=1",
        "/discount?brand_id=IKEA&limit=1",
        "/discount?brand_id=H%2BM&limit=1",
        f"/discount/{filled}/grants?limit=1",
        f"/discount/{other}/grants?limit=1",
        f"/discount/{filled}/redemptions?limit=1",
        "/user/Ann/grants?limit=1",
        "/user/Ann/grants?brand_id=IKEA&limit=1",
        "/user/Bo/grants?limit=1",
        "/user/Ann/redemptions?limit=1",
        "/user/Ann/redemptions?brand_id=IKEA&limit=1",
        "/brand?limit=1",
        "/delivery?brand_id=IKEA&limit=1",
        "/delivery?brand_id=H%2BM&limit=1",
    ]
    cursors = {address: client.http.get(address).get_json()["next"] for address in lists}
    assert cursors.pop(lists[4]) is None
    for giver, cursor in cursors.items():
        for taker in lists:
            path = f"{taker}&cursor={cursor}"
            if taker == giver:
                assert client.http.get(path).status_code == 200
            else:
                client.refused("GET", path, 422, "invalid", "cursor")


def test_a_cursor_in_a_body_is_one_of_its_brand_too(client: Client, filled: str) -> None:
    assert filled
    body = {"brand_id": "IKEA", "limit": 1, "state": "waiting"}
    done = client.http.post("/delivery/resend", json=body).get_json()
    assert done["next"]
    assert client.http.post("/delivery/resend", json=body | {"cursor": done["next"]}).status_code == 202
    wrong = body | {"brand_id": "H+M", "cursor": done["next"]}
    client.refused("POST", "/delivery/resend", 422, "invalid", "/cursor", json=wrong)
