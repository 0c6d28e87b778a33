"""Bad input is refused with the right 4xx and the name of the field, and stores nothing."""

import io
import json
from typing import Any

import pytest

from discount.domain.ids import MAX_TOTAL
from tests.api.client import DISCOUNT, JSON, Client

BAD_IDS = {
    "empty": "",
    "one too long": "x" * 129,
    "ten thousand characters": "x" * 10_000,
    "NUL": "a\0b",
    "line break": "a\nb",
    "line break at the end": "a\n",
    "carriage return": "a\rb",
    "tab": "a\tb",
    "escape": "a\x1b[2Jb",
    "delete": "a\x7fb",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "opening brace": "{00}",
    "closing brace": "a}b",
    "slash": "a/b",
    "backslash": "a\\b",
    "emoji": "🎄",
    "emoji among letters": "a🎄b",
    "heart with variation": "a❤️b",
    "right-to-left mark": "a\u200fb",
    "right-to-left override": "\u202eabc",
    "isolate": "a\u2066b",
    "zero-width space": "a\u200bb",
    "byte order mark": "\ufeffa",
    "soft hyphen": "a\u00adb",
    "no-break space": "a\u00a0b",
    "ideographic space": "a\u3000b",
    "private use": "a\ue000b",
    "beyond the private use": "a\U0010ffffb",
    "blank": " ",
    "blank first": " a",
    "blank last": "a ",
    "dot": ".",
    "two dots": "..",
    "number": 7,
    "null": None,
    "true": True,
    "list": ["a"],
    "object": {"a": "b"},
}
GOOD_IDS = {
    "one letter": "x",
    "as long as allowed": "x" * 128,
    "as long as allowed in three bytes each": "本" * 128,
    "mail address": "a.b+c@example.org",
    "colon and percent": "a:b%3A",
    "quotes": "a'b\"c",
    "three dots": "...",
    "combining": "e\u0301",
    "right-to-left letters": "אבג",
    "blank within": "User 1",
    "looks like a formula": "=1+1",
    "looks like null": "null",
}
BAD_TOTALS = {
    "zero": 0,
    "negative": -1,
    "fraction": 1.5,
    "text": "10",
    "far too large": 10**18,
    "beyond 64 bits": 10**30,
    "one too large": MAX_TOTAL + 1,
    "true": True,
    "null": None,
    "list": [1],
    "object": {},
    "tiny": 1e-9,
    "huge float": 1e300,
}
BAD_NAMES = {
    "empty": "",
    "one too long": "x" * 201,
    "ten thousand characters": "x" * 10_000,
    "NUL": "a\0b",
    "line break": "a\nb",
    "line break last": "a\n",
    "escape": "\x1b[2J",
    "blank": "   ",
    "blank first": " a",
    "blank last": "a ",
    "number": 7,
    "null": None,
}
BAD_MOMENTS = {
    "words": "tomorrow",
    "empty": "",
    "a day": "2030-12-24",
    "no offset": "2030-12-24T18:00:00",
    "seconds since 1970": 1893456000,
    "digits": "1893456000",
    "month 13": "2030-13-01T00:00:00Z",
    "day 30 of February": "2030-02-30T00:00:00Z",
    "hour 25": "2030-01-01T25:00:00Z",
    "too early": "2001-09-09T23:59:59Z",
    "year 1": "0001-01-01T00:00:00+14:00",
    "too late": "2286-11-20T00:00:01Z",
    "year 9999": "9999-12-31T23:59:59-14:00",
    "true": True,
    "list": [],
}


def rows(table: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("value", list(table.values()), ids=list(table))


# Creating


@rows(BAD_IDS)
def test_a_bad_brand_is_refused(client: Client, value: Any) -> None:
    client.refused("POST", "/discount", 422, "invalid", "/brand_id", json=DISCOUNT | {"brand_id": value})


@rows(GOOD_IDS)
def test_an_unusual_but_valid_id_is_accepted(client: Client, value: str) -> None:
    found = client.create(brand_id=value)
    assert found["brand_id"] == value
    assert client.grant(found["id"], value).get_json()["user_id"] == value


@rows(BAD_NAMES)
def test_a_bad_name_is_refused(client: Client, value: Any) -> None:
    client.refused("POST", "/discount", 422, "invalid", "/discount_code", json=DISCOUNT | {"discount_code": value})


@rows(BAD_TOTALS)
def test_a_bad_total_is_refused(client: Client, value: Any) -> None:
    client.refused("POST", "/discount", 422, "invalid", "/total_count", json=DISCOUNT | {"total_count": value})


@pytest.mark.parametrize("field", ["starts_at", "expires_at"])
@rows(BAD_MOMENTS)
def test_a_bad_time_is_refused(client: Client, field: str, value: Any) -> None:
    client.refused("POST", "/discount", 422, "invalid", f"/{field}", json=DISCOUNT | {field: value})


@pytest.mark.parametrize("field", list(DISCOUNT))
def test_a_missing_field_is_named(client: Client, field: str) -> None:
    body = {name: value for name, value in DISCOUNT.items() if name != field}
    problem = client.refused("POST", "/discount", 422, "invalid", f"/{field}", json=body)
    assert problem["errors"][0]["detail"] == "is missing"


@pytest.mark.parametrize(
    ("name", "pointer"),
    [("colour", "/colour"), ("", "/"), ("a/b~c", "/a~1b~0c"), ("id", "/id"), ("Brand_id", "/Brand_id"), ("ü", "/ü")],
)
def test_an_unknown_field_is_named(client: Client, name: str, pointer: str) -> None:
    client.refused("POST", "/discount", 422, "invalid", pointer, json=DISCOUNT | {name: 1})


def test_an_unknown_field_of_ten_thousand_letters_is_not_repeated_whole(client: Client) -> None:
    problem = client.refused("POST", "/discount", 422, "invalid", "/" + "x" * 200, json=DISCOUNT | {"x" * 10_000: 1})
    assert len(json.dumps(problem)) < 2000


def test_an_expiry_that_is_past_or_not_after_the_start_is_refused(client: Client) -> None:
    for times in (
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"starts_at": "2030-01-02T00:00:00Z", "expires_at": "2030-01-01T00:00:00Z"},
        {"starts_at": "2030-01-02T00:00:00Z", "expires_at": "2030-01-02T00:00:00Z"},
        {"starts_at": "2030-01-02T00:00:00+02:00", "expires_at": "2030-01-01T22:00:00Z"},
    ):
        client.refused("POST", "/discount", 422, "invalid", "/expires_at", json=DISCOUNT | times)


@pytest.mark.parametrize(
    "key", ["", "x" * 256, "a b", "é", "a\tb", " "], ids=["empty", "too long", "blank", "letter", "tab", "only a blank"]
)
def test_a_bad_idempotency_key_is_refused(client: Client, key: str) -> None:
    client.refused(
        "POST", "/discount", 422, "invalid", "Idempotency-Key", json=DISCOUNT, headers={"Idempotency-Key": key}
    )


def test_the_longest_idempotency_key_is_accepted(client: Client) -> None:
    answer = client.http.post("/discount", json=DISCOUNT, headers={"Idempotency-Key": "~" * 255})
    assert answer.status_code == 201


# Bodies as such


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{", b"nonsense", b"{'brand_id': 1}", b'{"brand_id": "IKEA",}', b'{"total_count": NaN}', b"\x00",
     b'{"total_count": Infinity}', b'{"total_count": 01}', json.dumps(DISCOUNT).encode() + b" {}",
     b'{"brand_id": "\xff"}',
     b'\xff\xfe{\x00}\x00', b'{"brand_id": "\xed\xa0\x80"}', b'{"brand_id": "a\nb"}', b'{"brand_id": "\\x41"}',
     b'\xef\xbb\xbf{"brand_id": "IKEA", "discount_code": "A", "total_count": 1}', b'{"brand_id": "\xc0\xaf"}',
     b'{"brand_id": "\\ud800", "discount_code": "A", "total_count": 1}', b'{"brand_id": "\\udc00"}'],
)  # fmt: skip
def test_a_body_that_is_not_json_is_refused(client: Client, body: bytes) -> None:
    client.refused("POST", "/discount", 400, "malformed", data=body, content_type=JSON)


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"IKEA"', b"true", b"1.5"])
def test_a_body_that_is_not_an_object_is_refused(client: Client, body: bytes) -> None:
    client.refused("POST", "/discount", 422, "invalid", "", data=body, content_type=JSON)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("around", ["%s", '{"brand_id": %s}', '{"colour": %s}', '{"user_ids": %s}'])
def test_a_body_ten_thousand_levels_deep_is_refused(client: Client, opening: str, closing: str, around: str) -> None:
    body = around % (opening * 10_000 + "1" + closing * 10_000)
    before = client.state()
    for path in ("/discount", f"/discount/{'dsc-000' + 'a' * 22}/grants"):
        answer = client.http.post(path, data=body, content_type=JSON)
        assert answer.status_code in (400, 413, 422)
        assert answer.content_type == "application/problem+json"
    assert client.state() == before


@pytest.mark.parametrize(
    "body",
    [
        b'{"brand_id": "A", "discount_code": "A", "total_count": 1, "brand_id": "B"}',
        b'{"brand_id": "A", "discount_code": "A", "total_count": 1, "brand_id": "A"}',
        b'{"brand\\u005fid": "A", "discount_code": "A", "total_count": 1, "brand_id": "B"}',
        b'{"brand_id": "A", "discount_code": "A", "total_count": 1, "\\u0062rand_id": "B"}',
    ],
)
def test_a_repeated_field_is_refused(client: Client, body: bytes) -> None:
    client.refused("POST", "/discount", 422, "invalid", "/brand_id", data=body, content_type=JSON)


def test_a_value_that_looks_like_a_repeated_field_is_accepted(client: Client) -> None:
    assert client.create(discount_code='say "brand_id" twice: "brand_id"')["brand_id"] == "IKEA"


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/jsonp",
        "json",
        "text/json",
    ],
)
def test_a_body_of_another_type_is_refused(client: Client, media_type: str) -> None:
    body = json.dumps(DISCOUNT)
    client.refused("POST", "/discount", 415, "unsupported-media-type", data=body, content_type=media_type)


def test_a_body_of_no_type_is_refused(client: Client) -> None:
    client.refused("POST", "/discount", 415, "unsupported-media-type", data=json.dumps(DISCOUNT))


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8", JSON + " "]
)
def test_json_is_accepted_in_any_spelling_of_its_media_type(client: Client, media_type: str) -> None:
    answer = client.http.post("/discount", data=json.dumps(DISCOUNT), content_type=media_type)
    assert answer.status_code == 201


class Blanks(io.RawIOBase):
    """A body of spaces that takes no memory."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.largest_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self.left)
        buffer[:count] = b" " * count
        self.left -= count
        self.largest_read = max(self.largest_read, count)
        return count


def test_a_body_of_a_hundred_megabytes_is_refused_without_being_kept(client: Client) -> None:
    body = Blanks(100 * 1024 * 1024)
    answer = client.refused(
        "POST",
        "/discount",
        413,
        "too-large",
        content_type=JSON,
        environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": str(body.left)},
    )
    assert answer["detail"] == "The body may be at most 65,536 bytes."
    assert body.largest_read <= 64 * 1024


def test_a_body_of_unknown_length_is_cut_off(client: Client) -> None:
    body = Blanks(10 * 1024 * 1024)
    client.refused(
        "POST",
        "/discount",
        413,
        "too-large",
        content_type=JSON,
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )


def test_a_body_of_unknown_length_is_read(client: Client) -> None:
    answer = client.http.post(
        "/discount",
        content_type=JSON,
        environ_overrides={
            "wsgi.input": io.BytesIO(json.dumps(DISCOUNT).encode()),
            "wsgi.input_terminated": True,
            "CONTENT_LENGTH": "",
        },
    )
    assert answer.status_code == 201


@pytest.mark.parametrize("length", ["x", "-1", "1.5", "١", "0x10", "1_000", "+5"])
def test_a_length_that_is_not_a_number_is_refused(client: Client, length: str) -> None:
    client.refused(
        "POST",
        "/discount",
        400,
        "bad-request",
        data=b"{}",
        content_type=JSON,
        environ_overrides={"CONTENT_LENGTH": length},
    )


def test_the_largest_body_is_read_and_one_byte_more_is_not(client: Client) -> None:
    body = json.dumps(DISCOUNT).encode()
    whole = body + b" " * (64 * 1024 - len(body))
    assert client.http.post("/discount", data=whole, content_type=JSON).status_code == 201
    client.refused("POST", "/discount", 413, "too-large", data=whole + b" ", content_type=JSON)


# Granting


@rows(BAD_IDS)
def test_a_bad_user_is_refused(client: Client, value: Any) -> None:
    found = client.create()
    for path in (f"/discount/{found['id']}/grant", "/brand/IKEA/grant"):
        client.refused("POST", path, 422, "invalid", "/user_id", json={"user_id": value})


@rows(BAD_IDS)
def test_a_bad_user_among_many_is_named_by_its_position(client: Client, value: Any) -> None:
    found = client.create()
    users = [f"User {number}" for number in range(40)] + [value, "Last"]
    problem = client.refused(
        "POST", f"/discount/{found['id']}/grants", 422, "invalid", "/user_ids/40", json={"user_ids": users}
    )
    assert len(json.dumps(problem)) < 2000


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "/user_id"),
        ({"user_id": "A", "user_ids": ["A"]}, "/user_ids"),
        ({"user_id": "A", "colour": 1}, "/colour"),
        ([], ""),
        (None, ""),
    ],
)
def test_a_grant_of_another_shape_is_refused(client: Client, body: Any, place: str) -> None:
    found = client.create()
    client.refused(
        "POST",
        f"/discount/{found['id']}/grant",
        422,
        "invalid",
        place,
        data=json.dumps(body),
        content_type=JSON,
    )


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "/user_ids"),
        ({"user_ids": []}, "/user_ids"),
        ({"user_ids": None}, "/user_ids"),
        ({"user_ids": "A"}, "/user_ids"),
        ({"user_ids": {"A": 1}}, "/user_ids"),
        ({"user_ids": ["A"] * 10_001}, "/user_ids"),
        ({"user_ids": ["A"], "user_id": "A"}, "/user_id"),
        ({"user_ids": [["A"]]}, "/user_ids/0"),
        ({"user_ids": ["A", "B", 3]}, "/user_ids/2"),
    ],
    ids=["missing", "nobody", "null", "text", "object", "one too many", "user_id too", "nested", "number"],
)
def test_a_list_of_users_of_another_shape_is_refused(client: Client, body: Any, place: str) -> None:
    found = client.create()
    client.refused("POST", f"/discount/{found['id']}/grants", 422, "invalid", place, json=body)


def test_a_list_of_users_larger_than_eight_megabytes_is_refused(client: Client) -> None:
    found = client.create()
    body = b" " * (8 * 1024 * 1024 + 1)
    client.refused("POST", f"/discount/{found['id']}/grants", 413, "too-large", data=body, content_type=JSON)


# Changing


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, ""),
        ({"paused": None}, "/paused"),
        ({"paused": 1}, "/paused"),
        ({"paused": "true"}, "/paused"),
        ({"total_count": 0}, "/total_count"),
        ({"total_count": None}, "/total_count"),
        ({"total_count": MAX_TOTAL + 1}, "/total_count"),
        ({"discount_code": ""}, "/discount_code"),
        ({"discount_code": None}, "/discount_code"),
        ({"starts_at": "soon"}, "/starts_at"),
        ({"expires_at": "1999-01-01T00:00:00Z"}, "/expires_at"),
        ({"starts_at": "2030-01-02T00:00:00Z", "expires_at": "2030-01-01T00:00:00Z"}, "/expires_at"),
        ({"brand_id": "Other"}, "/brand_id"),
        ({"granted_count": 0}, "/granted_count"),
        ({"status": "active"}, "/status"),
        ([], ""),
    ],
)
def test_a_bad_change_is_refused(client: Client, body: Any, place: str) -> None:
    found = client.create()
    client.refused("PATCH", f"/discount/{found['id']}", 422, "invalid", place, data=json.dumps(body), content_type=JSON)


def test_a_bad_field_among_good_ones_changes_nothing(client: Client) -> None:
    found = client.create()
    body = {"paused": True, "discount_code": "Easter", "total_count": 0}
    client.refused("PATCH", f"/discount/{found['id']}", 422, "invalid", "/total_count", json=body)


# Parameters


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/discount?limit=0", "limit"),
        ("/discount?limit=1001", "limit"),
        ("/discount?limit=-1", "limit"),
        ("/discount?limit=1.5", "limit"),
        ("/discount?limit=ten", "limit"),
        ("/discount?limit=", "limit"),
        ("/discount?limit=99999999999999999999", "limit"),
        ("/discount?limit=1&limit=2", "limit"),
        ("/discount?status=open", "status"),
        ("/discount?status=", "status"),
        ("/discount?brand_id=", "brand_id"),
        ("/discount?brand_id=%7B00%7D", "brand_id"),
        ("/discount?brand_id=%00", "brand_id"),
        ("/discount?brand_id=" + "x" * 129, "brand_id"),
        ("/discount?cursor=", "cursor"),
        ("/discount?cursor=x", "cursor"),
        ("/discount?cursor=" + "x" * 1025, "cursor"),
        ("/discount?colour=red", "colour"),
        ("/discount?Limit=1", "Limit"),
        ("/discount?limit[]=1", "limit[]"),
        ("/discount/{id}?limit=1", "limit"),
        ("/discount/{id}/grant", "user_id"),
        ("/discount/{id}/grant?user_id=", "user_id"),
        ("/discount/{id}/grant?user_id=a%2Fb", "user_id"),
        ("/discount/{id}/grant?user_id=a&brand_id=b", "brand_id"),
        ("/discount/{id}/grants?limit=0", "limit"),
        ("/discount/{id}/grants?format=xml", "format"),
        ("/discount/{id}/grants?cursor=%20", "cursor"),
        ("/user/User%201/grants?limit=0", "limit"),
        ("/user/User%201/grants?brand_id=%F0%9F%8E%84", "brand_id"),
        ("/user/User%201/grants?cursor=MTph", "cursor"),
        ("/user/%F0%9F%8E%84/grants", "user_id"),
        ("/user/a%00b/grants", "user_id"),
        ("/user/%20/grants", "user_id"),
        ("/user/" + "x" * 129 + "/grants", "user_id"),
        ("/healthy?a=1", "a"),
        ("/ready?a=1", "a"),
        ("/metrics?name=a", "name"),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_named(client: Client, path: str, place: str) -> None:
    found = client.create()
    client.refused("GET", path.replace("{id}", found["id"]), 422, "invalid", place)


@pytest.mark.parametrize(
    ("method", "path", "place"),
    [
        ("POST", "/discount?dry_run=1", "dry_run"),
        ("POST", "/discount/{id}/grant?user_id=A", "user_id"),
        ("POST", "/discount/{id}/grants?limit=1", "limit"),
        ("POST", "/brand/IKEA/grant?limit=1", "limit"),
        ("PATCH", "/discount/{id}?total_count=5", "total_count"),
    ],
)
def test_a_parameter_on_a_write_is_refused(client: Client, method: str, path: str, place: str) -> None:
    found = client.create()
    bodies: dict[str, Any] = {"/discount": DISCOUNT, "grant": {"user_id": "A"}, "grants": {"user_ids": ["A"]}}
    body = bodies.get(path.partition("?")[0].rpartition("/")[2], {"paused": True}) if "{" in path else None
    body = body or (DISCOUNT if path.startswith("/discount") else {"user_id": "A"})
    client.refused(method, path.replace("{id}", found["id"]), 422, "invalid", place, json=body)


@pytest.mark.parametrize(
    "query", ["granted_codes=maybe", "granted_codes=", "force=1", "granted_codes=keep&granted_codes=void"]
)
def test_a_bad_parameter_of_a_close_closes_nothing(client: Client, query: str) -> None:
    found = client.create()
    client.refused("DELETE", f"/discount/{found['id']}?{query}", 422, "invalid", query.partition("=")[0])


@pytest.mark.parametrize("brand", ["%F0%9F%8E%84", "%7B00%7D", "a%0Ab", "x" * 129, "%20a", "a%E2%80%8Fb"])
def test_a_bad_brand_in_the_address_is_named(client: Client, brand: str) -> None:
    client.refused("POST", f"/brand/{brand}/grant", 422, "invalid", "brand_id", json={"user_id": "A"})


@pytest.mark.parametrize(
    "discount_id", ["x", "dsc-", "dsc-000" + "a" * 22, "dsc-ff0" + "a" * 22, "%00", "%F0%9F%8E%84", "x" * 5000]
)
def test_a_discount_that_cannot_be_is_not_found(client: Client, discount_id: str) -> None:
    client.create()
    address = f"/discount/{discount_id}"
    client.refused("GET", address, 404, "not-found")
    client.refused("DELETE", address, 404, "not-found")
    client.refused("PATCH", address, 404, "not-found", json={"paused": True})
    client.refused("POST", f"{address}/grant", 404, "not-found", json={"user_id": "A"})
    client.refused("GET", f"{address}/grant?user_id=A", 404, "not-found")
    client.refused("POST", f"{address}/grants", 404, "not-found", json={"user_ids": ["A"]})
    client.refused("GET", f"{address}/grants", 404, "not-found")
    client.refused("GET", f"{address}/grants?format=csv", 404, "not-found")


def test_a_tampered_cursor_is_refused_or_pages_on(client: Client) -> None:
    for number in range(6):
        client.create(brand_id=f"Brand {number}")
    cursor = client.http.get("/discount?limit=2").get_json()["next"]
    before = client.state()
    for place in range(len(cursor)):
        for letter in "A_9":
            answer = client.http.get(f"/discount?limit=2&cursor={cursor[:place]}{letter}{cursor[place + 1 :]}")
            assert answer.status_code in (200, 422), answer.text
    for cut in range(1, len(cursor)):
        assert client.http.get(f"/discount?cursor={cursor[:cut]}").status_code in (200, 422)
    assert client.state() == before


def test_a_cursor_of_another_list_is_refused(client: Client) -> None:
    found = client.create()
    client.create()
    client.grant(found["id"], "A")
    client.grant(found["id"], "B")
    of_discounts = client.http.get("/discount?limit=1").get_json()["next"]
    of_grants = client.http.get(f"/discount/{found['id']}/grants?limit=1").get_json()["next"]
    client.refused("GET", f"/discount?cursor={of_grants}", 422, "invalid", "cursor")
    client.refused("GET", f"/user/A/grants?cursor={of_discounts}", 422, "invalid", "cursor")
    client.refused("GET", f"/user/A/grants?cursor={of_grants}", 422, "invalid", "cursor")


def test_a_brand_is_named_where_no_key_names_it(client: Client) -> None:
    discount = {"discount_code": "A", "total_count": 1}
    client.refused("POST", "/discount", 422, "invalid", "/brand_id", json=discount)
    client.refused("POST", "/discount", 422, "invalid", "/brand_id", json=discount | {"brand_id": None})
    client.refused("POST", "/webhook", 422, "invalid", "/brand_id", json={"url": "https://ikea.example/"})
    client.refused("POST", "/delivery/resend", 422, "invalid", "/brand_id", json={})
    for path in ("/webhook", "/delivery", "/event"):
        client.refused("GET", path, 422, "invalid", "brand_id")


def test_empty_limits_change_nothing(client: Client) -> None:
    path = f"/discount/{client.create()['id']}"
    bodies: list[dict[str, Any]] = [{}, {"limits": {}}]
    for body in bodies:
        answer = client.refused("PATCH", path, 422, "invalid", "", json=body)
        assert answer["detail"] == "The body must name at least one field to change."
    assert client.http.patch(path, json={"limits": {}, "paused": True}).get_json()["status"] == "paused"
