"""Bad input to the dialects is refused in their own shapes, stores nothing, and never leads to a 5xx."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from discount.app import create_app
from discount.config import DIALECTS, Settings
from discount.store.connection import Store
from tests.api.client import JSON, Client, check_problem
from tests.security.two_brands import TwoBrands

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=limit"


@dataclass(frozen=True)
class Place:
    """An operation that takes a body, and the shape of its refusals."""

    method: str
    path: str
    key: str
    body: dict[str, Any]
    form: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


COUNTS = {f"{kind}_repeat_count": 1 for kind in ("global_total", "user_total", "user_daily", "user_weekly")}
PLACES = [
    Place("POST", "/v1/discount/create", "error", {"brand": "b", "number_to_create": 1}),
    Place(
        "POST",
        "/api/v1/discountcode/",
        "detail",
        {"id": "A", "discount": 1, "validity": "2280-01-01T00:00:00Z", "brand": "b", "rule": {"discount": 1}},
    ),
    Place("POST", "/api/v1/discountcodeusage/", "detail", {"discount_code": "HELLO", "user": "u", "amount": "1.00"}),
    Place(
        "POST",
        "/coupon",
        "message",
        {"code": "A", "discount_percentage": 1, "expiry_date": "2280-01-01"},
        form=True,
    ),
    Place("POST", "/user", "message", {"name": "x", "email_id": "x@user.example"}, form=True),
    Place("PUT", "/coupon/TEN/repeat_count", "message", COUNTS, form=True),
    Place("PUT", "/coupon/TEN/expiry_date", "message", {"expiry_date": "2280-01-01"}, form=True),
    Place("POST", "/coupon/apply", "message", {"user_id": 1, "coupon_code": "TEN"}, form=True),
    Place("POST", "/create-discount-codes", "message", {"name": "x", "num_codes": 1, "webhook_url": None}),
]
# Who asks, where an earlier service has a header for that.
ASKING = {"HTTP_BRAND_AUTH_TOKEN": "b", "HTTP_USER_AUTH_TOKEN": "u"}
LISTS = {
    "/v1/discount/fetch/b/u": "error",
    "/test": "error",
    "/api/v1/discountcode/": "detail",
    "/api/v1/discountcode/A/": "detail",
    "/api/v1/discountcodeusage/": "detail",
    "/coupon": "message",
    "/user": "message",
    "/coupon/TEN/repeat_count": "message",
    "/coupon/TEN/status": "message",
}
NOT_JSON = [
    *(b"", b" ", b"{", b"}", b"nul", b"{'a': 1}", b'{"a": 1,}', b'{"a": 1} {"a": 1}', b"\xff", b'{"a": "\xff"}'),
    *(b"\xef\xbb\xbf{}", b"{}\x00", b"\x00", b'{"a": NaN}', b'{"a": 1e999999}', b'{"a": "\\ud800"}', b'{"a": "\n"}'),
    *(b"[" * 30_000, b'{"a":' * 10_000),
]
NOT_AN_OBJECT = [b"[]", b"null", b"true", b"1", b'"text"', b"[{}]", b"{}"]
NOT_A_FORM = [
    *(
        b"--limit",
        b"--limit--",
        b"--other\r\n\r\nx\r\n--other--",
        b"x" * 1000,
        b"--limit\r\nbroken\r\n\r\nx\r\n--limit--",
    ),
    b'--limit\r\nContent-Disposition: form-data; name="code"\r\n\r\nno end',
    b'--limit\r\nContent-Disposition: form-data; name="code"; filename="a"\r\n\r\nx\r\n--limit--\r\n',
    b'--limit\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 200 + b"--limit--\r\n",
]
FORMS = [b"", b"&&&", b"=", b"=x", b"code", b"a=%ff", b"a=%zz&b=%", b"\xff\xfe", b"a=1&" * 500, b"%00=%00"]
places = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)


@pytest.fixture
def stocked(client: Client) -> Client:
    """The service with data that good input would find."""
    http = client.http
    http.environ_base |= ASKING
    assert http.post("/v1/discount/create", json=PLACES[0].body).status_code == 200
    assert http.post("/api/v1/discountcode/", json=PLACES[1].body | {"id": "HELLO"}).status_code == 201
    assert http.post("/coupon", json=PLACES[3].body | {"code": "TEN"}).status_code == 200
    assert http.put("/coupon/TEN/repeat_count", json=COUNTS).status_code == 200
    assert http.post("/user", json={"name": "x", "email_id": "first@user.example"}).status_code == 200
    return client


def check(answer: TestResponse, status: int, key: str) -> str:
    """Check a refusal in a dialect, and return its sentence."""
    body = answer.get_json()
    assert (answer.status_code, answer.content_type, list(body)) == (status, JSON, [key]), answer.text
    sentence: str = body[key]
    assert sentence[-1] in ".!" or " not found" in sentence
    return sentence


@places
def test_the_bodies_of_this_table_are_good(stocked: Client, place: Place) -> None:
    assert stocked.http.open(place.path, method=place.method, json=place.body).status_code in (200, 201)


@places
def test_a_body_that_is_not_a_json_object_is_refused(stocked: Client, place: Place) -> None:
    before = stocked.state()
    for body in NOT_JSON + NOT_AN_OBJECT:
        answer = stocked.http.open(place.path, method=place.method, data=body, content_type=JSON)
        check(answer, 400, place.key)
    assert stocked.state() == before


@places
def test_a_repeated_field_is_refused(stocked: Client, place: Place) -> None:
    before = stocked.state()
    name = next(iter(place.body))
    twice = f'{{"{name}": 1, "{name}": 1}}'.encode()
    answer = stocked.http.open(place.path, method=place.method, data=twice, content_type=JSON)
    check(answer, 400, place.key)
    if place.form:
        answer = stocked.http.open(place.path, method=place.method, data=f"{name}=1&{name}=1", content_type=FORM)
        assert check(answer, 400, place.key) == f"{name} is given twice."
    assert stocked.state() == before


@places
def test_a_malformed_form_is_refused(stocked: Client, place: Place) -> None:
    before = stocked.state()
    for content_type, bodies in ((FORM, FORMS), (MULTIPART, NOT_A_FORM), ("multipart/form-data", NOT_A_FORM)):
        for body in bodies:
            answer = stocked.http.open(place.path, method=place.method, data=body, content_type=content_type)
            check(answer, 400, place.key)
    assert stocked.state() == before


@places
@pytest.mark.parametrize("content_type", ["", "text/plain", "application/xml", "application/json2", "x", ";", "*/*"])
def test_a_body_of_another_type_is_refused(stocked: Client, place: Place, content_type: str) -> None:
    before = stocked.state()
    answer = stocked.http.open(place.path, method=place.method, data=b"{}", content_type=content_type)
    assert check(answer, 400, place.key).startswith("Content-Type is ")
    assert stocked.state() == before


@places
def test_a_body_that_is_too_large_is_refused(stocked: Client, place: Place) -> None:
    before = stocked.state()
    for content_type in (JSON, FORM) if place.form else (JSON,):
        large = b'{"a": "' + b"x" * 70_000 + b'"}'
        answer = stocked.http.open(place.path, method=place.method, data=large, content_type=content_type)
        check(answer, 413, place.key)
        assert answer.headers["Connection"] == "close"
    assert stocked.state() == before


@places
def test_a_parameter_that_is_not_known_is_refused(stocked: Client, place: Place) -> None:
    answer = stocked.http.open(place.path + "?colour=red", method=place.method, json=place.body)
    assert check(answer, 400, place.key) == "colour is not a parameter of this address."


@pytest.mark.parametrize(("path", "key"), LISTS.items())
def test_a_list_refuses_unknown_parameters(stocked: Client, path: str, key: str) -> None:
    sentence = check(stocked.http.get(path + "?x=1"), 400, key)
    assert sentence.startswith("x is not a parameter of this address")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["1", "-1", "NaN", "1E+99"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@places
def test_no_field_values_cause_a_server_error(stocked: Client, place: Place) -> None:
    fields = st.fixed_dictionaries({}, optional={name: anything | st.just(value) for name, value in place.body.items()})

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(body=fields)
    def call(body: dict[str, Any]) -> None:
        answer = stocked.http.open(place.path, method=place.method, json=body)
        assert answer.status_code < 500
        assert answer.status_code in (200, 201) or list(answer.get_json()) == [place.key] or place.path == "/user"

    call()


@pytest.mark.parametrize("place", [each for each in PLACES if each.form], ids=lambda place: place.name)
def test_no_form_causes_a_server_error(stocked: Client, place: Place) -> None:
    # No surrogates: a client has no way to send them.
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    fields = st.dictionaries(st.sampled_from(list(place.body)) | text, text | st.sampled_from(["1", "-1", "TEN"]))

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(body=fields, multipart=st.booleans())
    def call(body: dict[str, str], multipart: bool) -> None:
        content_type = "multipart/form-data" if multipart else FORM
        answer = stocked.http.open(place.path, method=place.method, data=body, content_type=content_type)
        assert answer.status_code < 500

    call()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(word=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200) | st.binary(min_size=1))
def test_no_path_causes_a_server_error(app: Flask, client: Client, word: str | bytes) -> None:
    part = quote(word, safe="")
    for path in (
        f"/v1/discount/fetch/{part}/u",
        f"/v1/discount/fetch/b/{part}",
        f"/api/v1/discountcode/{part}/",
        f"/coupon/{part}/status",
        f"/coupon/{part}/repeat_count",
    ):
        assert client.http.get(path).status_code in (400, 404), path


def test_a_method_that_an_address_does_not_know_is_a_problem(stocked: Client) -> None:
    for path, allowed in (("/coupon", "GET, HEAD, POST"), ("/api/v1/discountcode/", "GET, HEAD, POST")):
        answer = stocked.http.delete(path)
        check_problem(answer, 405, "method-not-allowed")
        assert ", ".join(sorted(answer.headers["Allow"].split(", "))) == allowed


@pytest.fixture(scope="module")
def cut_off() -> Flask:
    """The service without its Redis."""
    nowhere = "unix:///nowhere"
    return create_app(Settings(redis_url=nowhere), Store.at(nowhere, 1, 16))


@places
def test_without_redis_a_call_may_be_repeated_later(cut_off: Flask, place: Place) -> None:
    http = cut_off.test_client()
    http.environ_base |= ASKING
    answer = http.open(place.path, method=place.method, json=place.body)
    assert check(answer, 503, place.key) == "Redis cannot be reached."
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(("path", "key"), [each for each in LISTS.items() if each[0] != "/test"])
def test_a_list_is_refused_without_redis(cut_off: Flask, path: str, key: str) -> None:
    check(cut_off.test_client().get(path), 503, key)


@pytest.fixture
def hurried(redis_server: Any, redis: Any) -> TwoBrands:
    return TwoBrands(redis_server.url, redis, rate_key="2/minute")


@places
def test_too_many_requests_are_answered_with_retry_after(hurried: TwoBrands, place: Place) -> None:
    hurried.done("POST", "/brand", "admin-" + "a" * 32, json={"id": "b"})
    key = hurried.make_key("b")
    answers = [hurried.ask(place.method, place.path, key, json=place.body) for _ in range(3)]
    assert [answer.status_code == 429 for answer in answers] == [False, False, True]
    check(answers[2], 429, place.key)
    assert 0 < int(answers[2].headers["Retry-After"]) <= 60


SPOKEN = {
    "brand-pools": {"/v1/discount/create", "/v1/discount/fetch/{brand_id}/{user_id}", "/test"},
    "readable-codes": {"/api/v1/discountcode/", "/api/v1/discountcode/{code}/", "/api/v1/discountcodeusage/"}
    | {"/api/v1/discountcodeusage/{redemption_id}/", "/api/discountcodeusage/{redemption_id}/"},
    "personal-codes": {"/create-discount-codes", "/get-discount-code"},
    "coupons": {"/coupon", "/coupon/apply", "/coupon/{code}/repeat_count", "/coupon/{code}/status", "/test"}
    | {"/coupon/{code}", "/coupon/{code}/expiry_date"},
}


@pytest.mark.parametrize("spoken", [*SPOKEN, "off", "brand-pools,coupons", ",".join(DIALECTS)])
def test_a_disabled_dialect_is_not_found(redis_server: Any, spoken: str) -> None:
    http = create_app(Settings(redis_url=redis_server.url, dialects=spoken)).test_client()
    document = http.get("/openapi.json").get_json()["paths"]
    on = set[str]().union(*(SPOKEN[name] for name in SPOKEN if name in spoken.split(",")))
    assert on | {"/discount"} <= set(document)
    assert set[str]().union(*SPOKEN.values()) & set(document) == on
    for place in PLACES:
        known = place.path.replace("TEN", "{code}") in on or (place.path == "/user" and "/coupon" in on)
        assert (http.open(place.path, method=place.method).status_code == 404) != known
