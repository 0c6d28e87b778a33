"""HTTP itself: addresses, methods, headers, request ids, media types."""

import csv
import io
import re
from typing import Any
from unittest import mock

import pytest
from flask import Flask
from flask.testing import FlaskClient

from discount.domain.errors import Unavailable
from discount.services import discount_lists
from discount.store.connection import Store
from tests.api.client import (
    DISCOUNT,
    JSON,
    Client,
    check_problem,
)

OPERATIONS = {
    "/healthy": {"GET"},
    "/ready": {"GET"},
    "/metrics": {"GET"},
    "/discount": {"GET", "POST"},
    "/discount/dsc-x": {"GET", "PATCH", "DELETE"},
    "/discount/dsc-x/grant": {"GET", "POST"},
    "/discount/dsc-x/grant/revoke": {"POST"},
    "/discount/dsc-x/grant/picture": {"GET"},
    "/discount/dsc-x/grant/page": {"GET"},
    "/discount/dsc-x/grants": {"GET", "POST"},
    "/discount/dsc-x/codes": {"GET", "POST"},
    "/discount/dsc-x/codes/move-in": {"POST"},
    "/discount/dsc-x/wait": {"GET", "POST", "DELETE"},
    "/discount/dsc-x/waits": {"GET"},
    "/brand": {"GET", "POST"},
    "/brand/IKEA": {"GET", "PATCH", "DELETE"},
    "/brand/IKEA/grant": {"POST"},
    "/brand/IKEA/keys": {"GET", "POST"},
    "/brand/IKEA/keys/k-x": {"DELETE"},
    "/token/introspect": {"POST"},
    "/user/A": {"DELETE", "GET", "PUT"},
    "/unsubscribe/t": {"GET", "POST"},
    "/webhook": {"GET", "POST"},
    "/webhook/test": {"GET", "POST", "PATCH", "DELETE"},
    "/webhook/whk-x": {"GET", "PATCH", "DELETE"},
    "/webhook/whk-x/secret": {"POST"},
    "/code": {"POST"},
    "/discount/dsc-x/figures": {"GET"},
    "/brand/IKEA/figures": {"GET"},
    "/brand/IKEA/export/t": {"GET"},
    "/change": {"GET"},
    "/event": {"GET"},
    "/delivery": {"GET"},
    "/delivery/resend": {"GET", "POST"},
    "/delivery/dlv-x": {"GET"},
    "/delivery/dlv-x/resend": {"POST"},
    "/discount/dsc-x/redemptions": {"GET"},
    "/user/A/grants": {"GET"},
    "/user/A/redemptions": {"GET"},
    "/validation": {"POST"},
    "/redemption": {"POST"},
    "/redemption/rdm-x": {"GET"},
    "/redemption/rdm-x/confirm": {"POST"},
    "/redemption/rdm-x/rollback": {"POST"},
    "/openapi.json": {"GET"},
    "/": {"GET"},
    "/apidocs": {"GET"},
    "/apidocs/": {"GET"},
    "/problems/sold-out": {"GET"},
    "/test": {"GET"},
    "/v1/discount/create": {"POST"},
    "/v1/discount/fetch/IKEA/A": {"GET"},
    "/api/v1/discountcode/": {"GET", "POST"},
    "/api/v1/discountcode/A/": {"GET"},
    "/api/v1/discountcodeusage/": {"GET", "POST"},
    "/api/v1/discountcodeusage/A/": {"GET"},
    "/api/discountcodeusage/A/": {"GET"},
    "/create-discount-codes": {"POST"},
    "/get-discount-code": {"GET", "POST"},
    "/coupon": {"GET", "POST"},
    "/coupon/A": {"DELETE"},
    "/coupon/apply": {"POST", "DELETE"},
    "/coupon/A/expiry_date": {"PUT"},
    "/coupon/A/repeat_count": {"GET", "PUT"},
    "/coupon/A/status": {"GET"},
    "/user": {"GET", "POST"},
    "/brand/IKEA/export/A": {"GET"},
    "/brand/IKEA/list": {"GET"},
    "/brand/IKEA/list/A": {"GET", "POST", "DELETE"},
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


# Addresses and methods


@pytest.mark.parametrize(
    "path",
    ["/problems", "/problems/", "/problems/sold-out/", "/discounts", "/discount/", "/Discount",
     "/discount/a/b", "/discount/a/grant/", "/users",
     "/user//grants",
     "/user/a%2Fb/grants", "/brand//grant", "/healthy/", "/static/x", "/discount/../healthy", "/%F0%9F%8E%84", "/%00",
     "/%FF", "/" + "x" * 20_000],
)  # fmt: skip
def test_an_unknown_address_is_not_found(client: Client, path: str) -> None:
    client.refused("GET", path, 404, "not-found")
    client.refused("POST", path, 404, "not-found", json=DISCOUNT)


@pytest.mark.parametrize("path", list(OPERATIONS))
def test_a_wrong_method_is_refused_with_the_allowed_ones(client: Client, path: str) -> None:
    known = OPERATIONS[path]
    for method in sorted(set(METHODS) - known):
        before = client.state()
        answer = client.http.open(path, method=method, json={})
        check_problem(answer, 405, "method-not-allowed")
        assert set(answer.headers["Allow"].split(", ")) - {"HEAD"} == known
        assert client.state() == before


def test_the_addresses_are_all_the_service_has(app: Flask) -> None:
    named = {
        re.sub(r"dsc-x|sold-out|rdm-x|whk-x|dlv-x|k-x|IKEA|(?:A|(?<=/)t)(?=/|$)", "<>", path) for path in OPERATIONS
    } | {"/apidocs/<>"}
    rules = {each.rule for each in app.url_map.iter_rules() if not each.rule.startswith("/console")}
    assert {re.sub(r"<[^>]*>", "<>", rule) for rule in rules} == named


@pytest.mark.parametrize("path", [path for path, known in OPERATIONS.items() if "GET" in known])
def test_a_head_request_gets_no_body(client: Client, path: str) -> None:
    answer = client.http.head(path)
    assert answer.data == b""
    assert answer.status_code == client.http.get(path).status_code


# Request ids


@pytest.mark.parametrize("given", ["a", "9f8e-7d.6c_5B", "x" * 64, "0"])
def test_a_safe_request_id_comes_back(client: Client, given: str) -> None:
    answer = client.http.get("/healthy", headers={"X-Request-Id": given})
    assert answer.headers.getlist("X-Request-Id") == [given]


@pytest.mark.parametrize(
    "given", ["", "x" * 65, "a b", "a,b", "é", "{a}", "<script>", "a;b", 'a"b', "a\tb", "%0a", "../a", " "]
)
def test_an_unsafe_request_id_is_replaced(client: Client, given: str) -> None:
    answer = client.http.get("/healthy", headers={"X-Request-Id": given})
    assert len(answer.headers.getlist("X-Request-Id")) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])


def test_a_line_break_in_a_request_id_is_dropped(raw: FlaskClient) -> None:
    answer = raw.get("/healthy", environ_overrides={"HTTP_X_REQUEST_ID": "a\r\nSet-Cookie: b"})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])
    assert "Set-Cookie" not in answer.headers


def test_each_request_has_a_unique_id(client: Client) -> None:
    ids = {client.http.get("/healthy").headers["X-Request-Id"] for _ in range(50)}
    assert len(ids) == 50


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nowhere"), ("PUT", "/discount"), ("GET", "/discount/x"), ("POST", "/discount")]
)
def test_a_problem_carries_the_request_id(client: Client, method: str, path: str) -> None:
    answer = client.http.open(path, method=method, headers={"X-Request-Id": "mine"})
    assert (answer.headers["X-Request-Id"], answer.get_json(force=True)["request_id"]) == ("mine", "mine")


# Media types


def test_answers_are_json_and_problems_are_problems(client: Client) -> None:
    found = client.create()
    for path in (
        "/discount",
        f"/discount/{found['id']}",
        f"/discount/{found['id']}/grants",
        "/user/A/grants",
        "/ready",
    ):
        assert client.http.get(path).content_type == JSON
    assert client.http.get("/discount/x").content_type == "application/problem+json"
    assert client.http.get("/healthy").content_type == "text/plain; charset=utf-8"


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*;q=0", "nonsense", ""])
def test_any_accept_header_gets_json(client: Client, accept: str) -> None:
    answer = client.http.get("/discount", headers={"Accept": accept})
    assert (answer.status_code, answer.content_type) == (200, JSON)


def test_an_answer_in_utf_8_is_not_escaped_away(client: Client) -> None:
    client.create(brand_id="Ålens", discount_code="クリスマス 🎄")
    assert "クリスマス 🎄" in client.http.get("/discount").data.decode()


# CSV


def rows(answer: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(answer.data.decode(), newline="")))


def test_grants_as_csv_are_all_of_them(client: Client) -> None:
    found = client.create(total_count=1500)
    users = [f"User {number}" for number in range(1203)]
    client.http.post(f"/discount/{found['id']}/grants", json={"user_ids": users})
    answer = client.http.get(f"/discount/{found['id']}/grants?format=csv")
    header, *lines = rows(answer)
    assert header == ["user_id", "code", "granted_at", "good_until", "void", "metadata"]
    assert sorted(line[0] for line in lines) == sorted(users)
    assert len({line[1] for line in lines}) == 1203
    assert answer.data.count(b"\r\n") == 1204
    assert answer.data.endswith(b"\r\n")


def test_csv_and_pages_have_the_same_data(client: Client) -> None:
    found = client.create()
    for user in ("A", 'Ünï, "quoted"', "c;d"):
        client.grant(found["id"], user)
    pages = client.http.get(f"/discount/{found['id']}/grants").get_json()["grants"]
    lines = rows(client.http.get(f"/discount/{found['id']}/grants?format=csv"))[1:]
    assert lines == [[each["user_id"], each["code"], each["granted_at"], "", "false", ""] for each in pages]
    client.http.patch(f"/discount/{found['id']}", json={"expires_at": "2280-01-01T00:00:00Z"})
    client.http.delete(f"/discount/{found['id']}?granted_codes=void")
    lines = rows(client.http.get(f"/discount/{found['id']}/grants?format=csv"))[1:]
    assert {tuple(line[3:]) for line in lines} == {("2280-01-01T00:00:00.000000Z", "true", "")}


def test_csv_is_offered_as_a_file(client: Client) -> None:
    found = client.create()
    answer = client.http.get(f"/discount/{found['id']}/grants?format=csv")
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{found["id"]}-grants.csv"'
    assert rows(answer) == [["user_id", "code", "granted_at", "good_until", "void", "metadata"]]


@pytest.mark.parametrize("user", ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http:x")', "=cmd|' '!A0"])
def test_a_cell_that_a_spreadsheet_would_run_is_text(client: Client, user: str) -> None:
    found = client.create()
    client.grant(found["id"], user)
    assert rows(client.http.get(f"/discount/{found['id']}/grants?format=csv"))[1][0] == "'" + user
    assert client.http.get(f"/discount/{found['id']}/grants").get_json()["grants"][0]["user_id"] == user


def test_a_sign_within_a_cell_is_left_alone(client: Client) -> None:
    found = client.create()
    client.grant(found["id"], "a=b+c@d-e")
    assert rows(client.http.get(f"/discount/{found['id']}/grants?format=csv"))[1][0] == "a=b+c@d-e"


# Redis away, and what breaks


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/ready", None),
        ("GET", "/discount", None),
        ("POST", "/discount", DISCOUNT),
        ("POST", f"/discount/dsc-000{'a' * 22}/grant", {"user_id": "A"}),
        ("GET", f"/discount/dsc-000{'a' * 22}/grants?format=csv", None),
        ("GET", "/user/A/grants", None),
    ],
)
def test_an_absent_redis_is_unavailable(client: Client, method: str, path: str, body: Any) -> None:
    with mock.patch.object(Store, "_exchange", side_effect=Unavailable("Redis cannot be reached.")):
        answer = client.http.open(path, method=method, json=body)
    check_problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "1"


def test_the_process_is_healthy_without_redis(client: Client) -> None:
    with mock.patch.object(Store, "_exchange", side_effect=Unavailable()):
        assert client.http.get("/healthy").data == b"OK"
        assert client.http.get("/openapi.json").status_code == 200


def test_an_internal_error_is_a_problem_that_reveals_nothing(client: Client) -> None:
    with mock.patch.object(discount_lists, "list_page", side_effect=RuntimeError("secret")):
        answer = client.http.get("/discount")
    assert check_problem(answer, 500, "internal").keys() == {"type", "title", "status", "request_id"}
    assert "secret" not in answer.text


# Figures


def figures(client: Client) -> dict[str, float]:
    lines = client.http.get("/metrics").data.decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_requests_grants_and_refusals_are_counted(client: Client) -> None:
    before = figures(client)
    found = client.create(total_count=2)
    for user in ("A", "A", "B", "C"):
        client.grant(found["id"], user)
    client.http.get("/nowhere")
    after = figures(client)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0)

    count = 'discount_request_seconds_count{{method="POST",route="{}",status="{}"}}'
    assert more(count.format("/discount", 201)) == 1
    assert more(count.format("/discount/{discount_id}/grant", 201)) == 2
    assert more(count.format("/discount/{discount_id}/grant", 200)) == 1
    assert more(count.format("/discount/{discount_id}/grant", 409)) == 1
    assert more('discount_request_seconds_count{method="other",route="unmatched",status="404"}') == 1
    assert more("discount_grants_total") == 2
    assert more('discount_refusals_total{slug="sold-out"}') == 1
    assert more('discount_refusals_total{slug="not-found"}') == 1


def test_a_bulk_counts_each_grant_once(client: Client) -> None:
    found = client.create()
    before = figures(client)["discount_grants_total"]
    for _ in range(2):
        client.http.post(f"/discount/{found['id']}/grants", json={"user_ids": ["A", "B", "A"]})
    assert figures(client)["discount_grants_total"] - before == 2


def test_no_metric_has_an_id_as_a_label(client: Client) -> None:
    found = client.create(brand_id="Hush brand")
    client.grant(found["id"], "Hush user")
    client.http.get("/user/Hush/grants")
    client.http.open("/hush", method="HUSH")
    shown = client.http.get("/metrics").data.decode()
    assert "hush" not in shown.lower()
    assert found["id"] not in shown
