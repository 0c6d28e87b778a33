"""nginx in front of three replicas: requests that it passes on, that it blocks, and its own answers."""

import http.client
import json
import re
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.stack.proxy import NGINX, Proxy
from tests.support.ports import Port
from tests.support.replica_stub import ReplicaStub
from tests.support.service import Reply, Service, ask, create, wait_until


def assert_problem(reply: Reply, status: int, word: str) -> None:
    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/problem+json"), reply.raw
    assert (reply.json["status"], reply.slug) == (status, word)
    assert reply.json["title"]
    assert reply.headers.get_all("X-Request-Id") == [reply.json["request_id"]]


def test_every_replica_serves_its_turn(proxy: Proxy, service: Service) -> None:
    served = Counter(ask(proxy.url, "GET", "/healthy").headers["X-Served-By"] for _ in range(12))

    assert served == dict.fromkeys(service.addresses, 4)


def test_least_connections_can_be_selected_for_load_balancing(tmp_path: Path) -> None:
    with (
        ReplicaStub() as one,
        ReplicaStub() as other,
        ThreadPoolExecutor(1) as pool,
        Proxy([one.address, other.address], tmp_path, "least-conn") as proxy,
    ):
        waiting = pool.submit(ask, proxy.url, "GET", "/held")
        wait_until(lambda: one.requests or other.requests, "the request that is held")
        free = other if one.requests else one
        served = {ask(proxy.url, "GET", "/healthy").headers["X-Served-By"] for _ in range(6)}
        one.lets_go.set()
        other.lets_go.set()
        assert waiting.result(30).status == 200
    assert served == {free.address}


def test_sticky_addresses_can_be_selected_for_load_balancing(service: Service, tmp_path: Path) -> None:
    with Proxy(service.addresses, tmp_path, "address") as proxy:
        served = {ask(proxy.url, "GET", "/healthy").headers["X-Served-By"] for _ in range(12)}
    assert len(served) == 1
    assert served < set(service.addresses)


def test_the_ways_of_balancing_are_those_that_the_page_names() -> None:
    root = NGINX.parent
    ways = {path.stem for path in (NGINX / "balance").iterdir()}
    page = (root / "doc" / "settings.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| `BALANCE` \|.*$", page, re.MULTILINE)
    assert ways == set(re.findall(r"`([a-z-]+)`", row)) == {"round-robin", "least-conn", "address"}
    compose = (root / "docker-compose.yml").read_text(encoding="utf-8")
    assert (
        "source: ./nginx/balance/${BALANCE:-round-robin}.conf\n        target: /etc/discount-balance.conf\n" in compose
    )
    assert "    include /etc/discount-balance.conf;\n" in (NGINX / "upstream.conf").read_text(encoding="utf-8")


def test_client_keeps_its_connection(proxy: Proxy) -> None:
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=30)
    connection.connect()
    socket_at_first = connection.sock
    for _ in range(10):
        connection.request("GET", "/healthy")
        assert connection.getresponse().read() == b"OK"
        assert connection.sock is socket_at_first
    connection.close()


def test_proxy_keeps_its_connections_to_replicas(tmp_path: Path) -> None:
    with ReplicaStub() as stub, Proxy([stub.address], tmp_path) as proxy:
        connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=30)
        for _ in range(20):
            connection.request("GET", "/healthy")
            assert connection.getresponse().read() == b"OK"
        connection.close()

    assert (len(stub.requests), stub.connections) == (20, 1)


def test_request_id_goes_through_and_into_the_log(proxy: Proxy, service: Service) -> None:
    reply = ask(proxy.url, "GET", "/discount/nothing", headers={"X-Request-Id": "from-outside.1"})

    assert_problem(reply, 404, "not-found")
    assert reply.json["request_id"] == "from-outside.1"
    lines = wait_until(lambda: [line for line in proxy.log().splitlines() if "from-outside.1" in line], "its log line")
    assert len(lines) == 1
    entry = json.loads(lines[0])
    assert (entry["request_id"], entry["status"], entry["method"], entry["path"]) == (
        "from-outside.1",
        404,
        "GET",
        "/discount/nothing",
    )
    assert entry["replica"] == reply.headers["X-Served-By"]
    assert entry["replica"] in service.addresses


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/unsubscribe/SECRET.token?x=1", "/unsubscribe/*"),
        ("/coupon/SECRET/repeat_count?x=1", "/coupon/*/repeat_count"),
        ("/coupon/SECRET/status", "/coupon/*/status"),
        ("/api/v1/discountcode/SECRET/", "/api/v1/discountcode/*"),
        ("/api/v1/discountcode/", "/api/v1/discountcode/"),
        ("/discount/dsc-1?code=SECRET", "/discount/dsc-1"),
    ],
)
def test_the_log_has_no_code_and_no_link_of_an_e_mail(proxy: Proxy, path: str, logged: str) -> None:
    request_id = f"log-{abs(hash(path))}"
    ask(proxy.url, "GET", path, headers={"X-Request-Id": request_id})
    lines = wait_until(lambda: [line for line in proxy.log().splitlines() if request_id in line], "its log line")
    assert [json.loads(line)["path"] for line in lines] == [logged]
    assert "SECRET" not in proxy.log()


@pytest.mark.parametrize("unsafe", ["a b", 'a"b', "a" * 65, "ä"])
def test_unsafe_request_id_is_replaced(proxy: Proxy, unsafe: str) -> None:
    reply = ask(proxy.url, "GET", "/healthy", headers={"X-Request-Id": unsafe})

    assert reply.status == 200
    (made,) = reply.headers.get_all("X-Request-Id") or []
    assert made.isalnum()
    assert len(made) == 32


def test_metrics_are_not_reachable_through_the_proxy(proxy: Proxy, service: Service) -> None:
    for path in ("/metrics", "/metrics?", "//metrics", "/%6detrics", "/healthy/../metrics"):
        reply = ask(proxy.url, "GET", path)
        assert (path, reply.status) == (path, 404)
        assert b"discount_request_seconds" not in reply.raw
    assert_problem(ask(proxy.url, "GET", "/metrics"), 404, "not-found")
    assert ask(service.urls[0], "GET", "/metrics").status == 200


def test_small_address_takes_64_kilobytes(proxy: Proxy) -> None:
    body = b'{"brand_id": "IKEA", "discount_code": "Christmas 2020 discount", "total_count": 100%s}'
    at_most = body.replace(b"%s", b" " * (64 * 1024 - len(body) + 2))
    assert len(at_most) == 64 * 1024

    assert ask(proxy.url, "POST", "/discount", at_most).status == 201
    refused = ask(proxy.url, "POST", "/discount", at_most + b" ")
    assert_problem(refused, 413, "too-large")
    assert "X-Served-By" not in refused.headers


def test_bulk_address_takes_10_000_users_of_longest_ids(proxy: Proxy) -> None:
    discount_id = create(proxy.url, 10_000)
    users = [f"{number:05}" + "ü" * 123 for number in range(10_000)]

    reply = ask(proxy.url, "POST", f"/discount/{discount_id}/grants", {"user_ids": users})

    assert reply.status == 200
    assert sum(each["granted"] for each in reply.json["grants"]) == 10_000
    assert len({each["code"] for each in reply.json["grants"]}) == 10_000


def test_bulk_address_takes_no_more_than_8_megabytes(proxy: Proxy) -> None:
    discount_id = create(proxy.url, 1)

    reply = ask(proxy.url, "POST", f"/discount/{discount_id}/grants", b" " * (8 * 1024 * 1024 + 1))

    assert_problem(reply, 413, "too-large")
    assert "X-Served-By" not in reply.headers


def test_long_address_is_a_problem(proxy: Proxy) -> None:
    assert_problem(ask(proxy.url, "GET", "/" + "a" * 20_000), 414, "uri-too-long")


def test_long_header_is_a_problem(proxy: Proxy) -> None:
    assert_problem(ask(proxy.url, "GET", "/healthy", headers={"X-Long": "a" * 20_000}), 431, "headers-too-large")


def test_request_that_is_no_http_is_a_problem(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as connection:
        connection.sendall(b"GET /healthy HTTP/1.1\r\nHost: a\r\nContent-Length: many\r\n\r\n")
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert_problem(Reply(response), 400, "bad-request")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/discount", "/discount/nothing/grant"])
def test_no_replica_at_all_is_unavailable(tmp_path: Path, method: str, path: str) -> None:
    with Port() as one, Port() as two, Proxy([one.address, two.address], tmp_path) as proxy:
        reply = ask(proxy.url, method, path, {} if method == "POST" else None)

    assert_problem(reply, 503, "unavailable")
    assert reply.headers["Retry-After"] == "1"


@pytest.mark.parametrize("path", ["/discount/some/grant", "/get-discount-code"])
def test_a_grant_is_sent_to_another_replica_when_one_dies(tmp_path: Path, path: str) -> None:
    with ReplicaStub() as dying, ReplicaStub() as other, Proxy([dying.address, other.address], tmp_path) as proxy:
        dying.dies = True
        replies = [ask(proxy.url, "POST", path, {}) for _ in range(4)]

    assert [reply.status for reply in replies] == [200] * 4
    assert {reply.headers["X-Served-By"] for reply in replies} == {other.address}
    assert len(other.requests) == 4
    assert len(dying.requests) >= 1


@pytest.mark.parametrize(("method", "path"), [("POST", "/discount/some/grants"), ("GET", "/discount/some/codes")])
def test_an_expensive_request_goes_to_another_replica_when_one_dies(tmp_path: Path, method: str, path: str) -> None:
    with ReplicaStub() as dying, ReplicaStub() as other, Proxy([dying.address, other.address], tmp_path) as proxy:
        dying.dies = True
        replies = [ask(proxy.url, method, path, {} if method == "POST" else None) for _ in range(4)]

    assert [reply.status for reply in replies] == [200] * 4


@pytest.mark.parametrize(("method", "path"), [("POST", "/discount/some/grants"), ("GET", "/discount/some/codes")])
def test_an_expensive_request_is_not_resent_while_it_is_running(tmp_path: Path, method: str, path: str) -> None:
    with ReplicaStub() as one, ReplicaStub() as two:
        proxy = Proxy([one.address, two.address], tmp_path)
        routes = proxy.folder / "routes.conf"
        # The real timeout is two minutes; a short one shows that there is one.
        assert routes.read_text().count("proxy_read_timeout 120s;") == 2
        routes.write_text(routes.read_text().replace("proxy_read_timeout 120s;", "proxy_read_timeout 1s;"))
        one.thinks = two.thinks = 2
        with proxy:
            reply = ask(proxy.url, method, path, {} if method == "POST" else None)

    assert_problem(reply, 502, "no-answer")
    assert len(one.requests + two.requests) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/discount"), ("PATCH", "/discount/a"), ("DELETE", "/discount/a"), ("POST", "/create-discount-codes")],
)
def test_a_request_that_must_not_happen_twice_is_sent_once(tmp_path: Path, method: str, path: str) -> None:
    with ReplicaStub() as dying, ReplicaStub() as other, Proxy([dying.address, other.address], tmp_path) as proxy:
        dying.dies = other.dies = True
        reply = ask(proxy.url, method, path, {})

    assert_problem(reply, 502, "no-answer")
    assert len(dying.requests + other.requests) == 1


@pytest.mark.parametrize(
    "begun",
    [b"GET /healthy HTTP/1.1\r\nHost:", b"POST /discount HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"],
    ids=["headers", "body"],
)
def test_client_that_stops_sending_is_cut_off(service: Service, tmp_path: Path, begun: bytes) -> None:
    proxy = Proxy(service.addresses, tmp_path)
    settings = proxy.folder / "service.conf"
    text = settings.read_text()
    # The real timeout is 10 s; a short one shows that there is one.
    assert text.count("client_header_timeout 10s;") == text.count("client_body_timeout 10s;") == 1
    settings.write_text(text.replace("_timeout 10s;", "_timeout 1s;"))

    with proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as connection:
        connection.sendall(begun)
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass


@pytest.mark.parametrize("brand_id", ["Märklin", "50% off", "a&b=c?d#e", "a+b", "%41", "00:x;y,z", "…"])
def test_any_percent_encoded_id_passes_the_proxy(proxy: Proxy, brand_id: str) -> None:
    user = f"user of {brand_id}"
    discount_id = create(proxy.url, 5, brand_id=brand_id)

    granted = ask(proxy.url, "POST", f"/brand/{quote(brand_id, safe='')}/grant", {"user_id": user})
    listed = ask(proxy.url, "GET", f"/user/{quote(user, safe='')}/grants?brand_id={quote(brand_id, safe='')}")

    assert (granted.status, granted.json["discount_id"], granted.json["user_id"]) == (201, discount_id, user)
    assert [each["code"] for each in listed.json["grants"]] == [granted.json["code"]]
    shown = ask(proxy.url, "GET", f"/discount/{discount_id}/grant?user_id={quote(user, safe='')}")
    assert shown.json["code"] == granted.json["code"]


def test_encoded_slash_does_not_reach_another_address(proxy: Proxy) -> None:
    reply = ask(proxy.url, "POST", "/brand/IKEA%2Fgrant/grant", {"user_id": "User 1"})

    assert_problem(reply, 404, "not-found")
