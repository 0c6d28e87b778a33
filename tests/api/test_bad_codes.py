"""Bad input about codes: a problem names the field, or a report names the line, and nothing refused is stored."""

import io
import json
import random
import re
import tracemalloc
from typing import Any

import pytest
from flask import Flask

from discount.api.routes import codes as routes
from discount.app import create_app
from discount.config import Settings
from discount.store.connection import Store
from tests.api.client import DISCOUNT, JSON, Client, check_problem
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer

TEXT, CSV = "text/plain", "text/csv"


@pytest.fixture
def discount_id(client: Client) -> str:
    """A discount for a brand's own codes, without any yet."""
    return str(client.create(codes={"kind": "imported"})["id"])


def send(client: Client, discount_id: str, body: bytes, media_type: str = TEXT, query: str = "") -> Any:
    return client.http.post(f"/discount/{discount_id}/codes{query}", data=body, content_type=media_type)


def refuse(
    client: Client,
    discount_id: str,
    body: bytes,
    media_type: str,
    status: int,
    word: str,
    place: str | None = None,
    query: str = "",
) -> Any:
    path = f"/discount/{discount_id}/codes{query}"
    return client.refused("POST", path, status, word, place, data=body, content_type=media_type)


def counts(answer: Any) -> tuple[int, int, int]:
    counts = answer.get_json()
    assert answer.status_code == 200, counts
    return counts["added_count"], counts["repeated_count"], counts["bad_count"]


def reasons(answer: Any) -> list[tuple[int, str]]:
    return [(each["line"], each["reason"]) for each in answer.get_json()["lines"]]


def stored(client: Client, discount_id: str) -> list[str]:
    answer = client.http.get(f"/discount/{discount_id}/codes?format=ndjson")
    return [json.loads(line)["code"] for line in answer.text.splitlines()]


# Creating


@pytest.mark.parametrize(
    ("codes", "place"),
    [
        ({"kind": "unique", "template": "{id}"}, "/codes/template"),
        ({"kind": "unique", "code": "A"}, "/codes/code"),
        ({"template": "{id}"}, "/codes/template"),
        ({"kind": "imported", "pattern": "####-####-####"}, "/codes/pattern"),
        ({"kind": "imported", "alphabet": "ABCDEF"}, "/codes/alphabet"),
        ({"kind": "imported", "prefix": "A"}, "/codes/prefix"),
        ({"kind": "imported", "code": "A"}, "/codes/code"),
        ({"kind": "imported", "template": "{id}"}, "/codes/template"),
        ({"kind": "personal"}, "/codes/template"),
        ({"kind": "personal", "template": "{id}", "prefix": "A"}, "/codes/prefix"),
        ({"kind": "personal", "pattern": "####-####-####"}, "/codes/pattern"),
        ({"kind": "personal", "template": "{id}", "code": "A"}, "/codes/code"),
        ({"kind": "shared"}, "/codes/code"),
        ({"kind": "shared", "code": "A", "pattern": "####-####-####"}, "/codes/pattern"),
        ({"kind": "shared", "template": "{id}"}, "/codes/template"),
        ({"kind": "secret"}, "/codes/kind"),
        ({"kind": "Unique"}, "/codes/kind"),
        ({"kind": ""}, "/codes/kind"),
        ({"kind": None}, "/codes/kind"),
        ({"kind": 1}, "/codes/kind"),
        ({"kind": ["unique"]}, "/codes/kind"),
        ({"colour": "red"}, "/codes/colour"),
        ({"total_count": 1}, "/codes/total_count"),
        (None, "/codes"),
        ([], "/codes"),
        ("unique", "/codes"),
        (True, "/codes"),
    ],
)
def test_fields_that_do_not_belong_together_are_refused(client: Client, codes: Any, place: str) -> None:
    client.refused("POST", "/discount", 422, "invalid", place, json=DISCOUNT | {"codes": codes})


BAD_PATTERNS = {
    "no sign to fill": "ABCDEF",
    "empty": "",
    "blank": "#### ####",
    "line break": "####\n",
    "brace": "{####}",
    "percent": "%s####",
    "other script": "####本",
    "NUL": "####\0",
    "too long": "#" * 65,
    "number": 7,
    "null": None,
}
BAD_ALPHABETS = {
    "two cases of a letter": "ABCDEFGHa",
    "a letter twice": "ABCDEFGHA",
    "one letter": "A",
    "empty": "",
    "dash": "ABCDEFGH-",
    "sign to fill": "ABCDEFGH#",
    "blank": "ABCD EFGH",
    "wide letters": "ABCDEFGHＡ",
    "umlaut": "ABCDEFGHÄ",
    "line break last": "ABCDEFGH\n",
    "too long": "ABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890",
    "number": 23456789,
    "null": None,
}
BAD_PREFIXES = {
    "empty": "",
    "too long": "A" * 33,
    "sign to fill": "A#",
    "brace": "{user}",
    "blank": "A ",
    "line break last": "A\n",
    "number": 7,
    "null": None,
}
BAD_TEMPLATES = {
    "empty": "",
    "blank": "  ",
    "nothing that differs": "SUMMER",
    "only the brand": "{brand}-SUMMER",
    "unknown placeholder": "{nickname}-{id}",
    "index": "{0}-{id}",
    "attribute": "{user.__class__}-{id}",
    "conversion": "{user!r}-{id}",
    "format": "{seq:05}",
    "upper case": "{ID}",
    "blank in a placeholder": "{ id }",
    "opening brace": "{-{id}",
    "closing brace": "}-{id}",
    "doubled braces": "{{id}}",
    "nested": "{us{id}er}",
    "number twice": "{seq}-{seq}",
    "number beside a digit": "1{seq}{user}",
    "number between what varies": "{user}{seq}{random}",
    "number before what varies": "{seq}{user}",
    "umlaut": "ä-{id}",
    "line break": "a\n{id}",
    "line break last": "{id}\n",
    "NUL": "\0{id}",
    "too long": "x" * 97 + "{id}",
    "number": 7,
    "null": None,
    "list": ["{id}"],
}
BAD_SHARED = {
    "empty": "",
    "blank": " ",
    "blank first": " A",
    "blank last": "A ",
    "nothing to read": "--",
    "dashes and blanks": "- –—",
    "line break": "A\nB",
    "line break last": "A\n",
    "NUL": "A\0",
    "escape": "A\x1b[2J",
    "too long": "A" * 65,
    "number": 7,
    "null": None,
    "list": ["A"],
}


def rows(table: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("value", list(table.values()), ids=list(table))


@rows(BAD_PATTERNS)
def test_a_bad_pattern_is_refused(client: Client, value: Any) -> None:
    body = DISCOUNT | {"codes": {"pattern": value}}
    client.refused("POST", "/discount", 422, "invalid", "/codes/pattern", json=body)


@rows(BAD_ALPHABETS)
def test_a_bad_alphabet_is_refused(client: Client, value: Any) -> None:
    body = DISCOUNT | {"codes": {"alphabet": value}}
    client.refused("POST", "/discount", 422, "invalid", "/codes/alphabet", json=body)


@rows(BAD_PREFIXES)
def test_a_bad_prefix_is_refused(client: Client, value: Any) -> None:
    body = DISCOUNT | {"codes": {"prefix": value}}
    client.refused("POST", "/discount", 422, "invalid", "/codes/prefix", json=body)


@rows(BAD_TEMPLATES)
def test_a_bad_template_is_refused(client: Client, value: Any) -> None:
    body = DISCOUNT | {"codes": {"kind": "personal", "template": value}}
    client.refused("POST", "/discount", 422, "invalid", "/codes/template", json=body)


@rows(BAD_SHARED)
def test_a_bad_shared_code_is_refused(client: Client, value: Any) -> None:
    body = DISCOUNT | {"codes": {"kind": "shared", "code": value}}
    client.refused("POST", "/discount", 422, "invalid", "/codes/code", json=body)


@pytest.mark.parametrize(
    ("total", "codes", "figures"),
    [
        (100, {"pattern": "##"}, ("961", "100", "9")),
        (1, {"pattern": "#", "alphabet": "AB"}, ("2", "1", "2")),
        (100_000_000, {"pattern": "#####"}, ("28,629,151", "100,000,000", "1")),
        (30, {"pattern": "A-###"}, ("29,791", "30", "993")),
        (1049, {"pattern": "####", "alphabet": "0123456789abcdefghijklmnopqrstuv"}, ("1,048,576", "1,049", "999")),
        (1, {"pattern": "#", "prefix": "LONG-PREFIX-"}, ("31", "1", "31")),
    ],
)
def test_a_code_space_that_is_too_small_is_refused_with_numbers(
    client: Client, total: int, codes: dict[str, str], figures: tuple[str, str, str]
) -> None:
    body = DISCOUNT | {"total_count": total, "codes": codes}
    problem = client.refused("POST", "/discount", 422, "invalid", "/codes/pattern", json=body)
    space, made, guesses = figures
    detail = problem["errors"][0]["detail"]
    assert f"gives {space} codes, and with {made} made one guess in {guesses} would be right" in detail


def test_the_largest_total_that_fits_a_pattern_is_accepted(client: Client) -> None:
    assert client.create(total_count=29, codes={"pattern": "A-###"})["total_count"] == 29


def test_a_total_that_no_longer_fits_the_pattern_is_refused(client: Client) -> None:
    found = client.create(total_count=29, codes={"pattern": "A-###"})
    path = f"/discount/{found['id']}"
    problem = client.refused("PATCH", path, 422, "invalid", "/total_count", json={"total_count": 30})
    assert "29,791" in problem["errors"][0]["detail"]


@pytest.mark.parametrize("codes", [{}, {"kind": "unique"}, {"pattern": "########"}])
def test_unique_codes_need_a_total(client: Client, codes: Any) -> None:
    for body in (
        {"brand_id": "IKEA", "discount_code": "A", "codes": codes},
        DISCOUNT | {"total_count": None, "codes": codes},
    ):
        client.refused("POST", "/discount", 422, "invalid", "/total_count", json=body)


def test_the_total_of_imported_codes_is_not_set_from_outside(client: Client, discount_id: str) -> None:
    path = f"/discount/{discount_id}"
    for total in (5, None):
        client.refused("PATCH", path, 422, "invalid", "/total_count", json={"total_count": total})


@pytest.mark.parametrize("code", ["SUMMER-24", "summer24", "SUMMER 24", "ＳＵＭＭＥＲ24", "Summer–2 4"])
def test_a_shared_code_that_reads_like_another_of_the_brand_is_taken_already(client: Client, code: str) -> None:
    found = client.create(codes={"kind": "shared", "code": "SUMMER-24"})
    body = DISCOUNT | {"discount_code": "Another", "codes": {"kind": "shared", "code": code}}
    client.refused("POST", "/discount", 409, "code-taken", json=body)
    client.http.delete(f"/discount/{found['id']}")
    client.refused("POST", "/discount", 409, "code-taken", json=body)
    client.http.delete(f"/discount/{found['id']}?granted_codes=void")
    assert client.create(codes=body["codes"])["codes"]["code"] == code
    assert client.create(brand_id="Other", codes=body["codes"])["codes"]["code"] == code


# Who may import


@pytest.mark.parametrize(
    "codes", [{"kind": "unique"}, {"kind": "personal", "template": "{id}"}, {"kind": "shared", "code": "A"}]
)
@pytest.mark.parametrize(
    ("media_type", "body"), [(TEXT, b"A1"), (CSV, b"code\nA1"), (JSON, b'{"codes": ["A1"]}'), (TEXT, b"")]
)
def test_codes_of_another_kind_are_not_imported(client: Client, codes: Any, media_type: str, body: bytes) -> None:
    found = client.create(codes=codes)
    refuse(client, found["id"], body, media_type, 409, "wrong-kind")


def test_a_closed_discount_refuses_imports(client: Client, discount_id: str) -> None:
    client.http.delete(f"/discount/{discount_id}")
    refuse(client, discount_id, b"A1", TEXT, 409, "closed")


@pytest.mark.parametrize("unknown", ["x", "dsc-000" + "a" * 22, "dsc-ff0" + "a" * 22, "%00", "x" * 5000])
def test_codes_of_a_malformed_discount_id_are_not_found(client: Client, unknown: str) -> None:
    refuse(client, unknown, b"A1\nB2", TEXT, 404, "not-found")
    client.refused("GET", f"/discount/{unknown}/codes", 404, "not-found")
    client.refused("GET", f"/discount/{unknown}/codes?format=ndjson", 404, "not-found")
    client.refused("GET", f"/discount/{unknown}/grant/picture?user_id=A", 404, "not-found")
    client.refused("GET", f"/discount/{unknown}/grant/page?user_id=A", 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "place"),
    [
        ("POST", "codes?column=", "column"),
        ("POST", "codes?column=" + "x" * 65, "column"),
        ("POST", "codes?column=a&column=b", "column"),
        ("POST", "codes?format=csv", "format"),
        ("GET", "codes?format=xlsx", "format"),
        ("GET", "codes?format=", "format"),
        ("GET", "codes?format=csv&format=csv", "format"),
        ("GET", "codes?limit=1", "limit"),
        ("GET", "grant/picture", "user_id"),
        ("GET", "grant/picture?user_id=", "user_id"),
        ("GET", "grant/picture?user_id=a%2Fb", "user_id"),
        ("GET", "grant/picture?user_id=a&format=gif", "format"),
        ("GET", "grant/picture?user_id=a&size=9", "size"),
        ("GET", "grant/page", "user_id"),
        ("GET", "grant/page?user_id=%0A", "user_id"),
        ("GET", "grant/page?user_id=a&format=svg", "format"),
    ],
)
def test_a_bad_parameter_is_named(client: Client, discount_id: str, method: str, path: str, place: str) -> None:
    call = {"data": b"A1", "content_type": TEXT} if method == "POST" else {}
    client.refused(method, f"/discount/{discount_id}/{path}", 422, "invalid", place, **call)


@pytest.mark.parametrize(
    "media_type",
    ["", "text", "text/html", "text/tab-separated-values", "application/csv", "application/x-ndjson", "text/json",
     "application/octet-stream", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plainx",
     "text/plain, text/csv"],
)  # fmt: skip
def test_a_file_of_another_type_is_refused(client: Client, discount_id: str, media_type: str) -> None:
    problem = refuse(client, discount_id, b"A1", media_type, 415, "unsupported-media-type")
    assert "text/csv" in problem["detail"]


def test_a_file_of_no_type_is_refused(client: Client, discount_id: str) -> None:
    client.refused("POST", f"/discount/{discount_id}/codes", 415, "unsupported-media-type", data=b"A1")
    client.refused("POST", f"/discount/{discount_id}/codes", 415, "unsupported-media-type")


# How much


@pytest.fixture
def small(redis_server: RedisServer, redis: Any, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A service that takes files of at most 1,000 bytes."""
    monkeypatch.setattr(routes, "IMPORT_BODY", 1000)
    settings = Settings(redis_url=redis_server.url)
    app: Flask = create_app(settings, Store.at(redis_server.url, PATIENCE, settings.partitions))
    return Client(app.test_client(), redis)


@pytest.mark.parametrize("media_type", [TEXT, CSV, JSON])
def test_a_file_that_is_too_large_is_refused_whole(small: Client, media_type: str) -> None:
    discount_id = small.create(codes={"kind": "imported"})["id"]
    start, end = {TEXT: (b"A1\n", b"\n"), CSV: (b"code\nA1\n", b"\n"), JSON: (b'{"codes": ["A1"', b"]}")}[media_type]
    fits = start + b" " * (1000 - len(start + end)) + end
    for body in (fits + b" ", fits[:-1] + b" " * 100_000):
        problem = refuse(small, discount_id, body, media_type, 413, "too-large")
        assert "1,000 bytes" in problem["detail"]
    assert counts(send(small, discount_id, fits, media_type))[0] == 1


def test_a_file_of_unknown_length_is_read_up_to_the_limit(small: Client) -> None:
    discount_id = small.create(codes={"kind": "imported"})["id"]

    def pour(body: bytes) -> Any:
        unknown = {"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
        return small.http.post(f"/discount/{discount_id}/codes", content_type=TEXT, environ_overrides=unknown)

    assert counts(pour(b"A1\nB2")) == (2, 0, 0)
    before = small.state()
    check_problem(pour(b"C3\n" * 400), 413, "too-large")
    assert small.state() == before


def test_a_declared_length_beyond_the_limit_is_refused_before_it_is_read(client: Client, discount_id: str) -> None:
    declared = {"CONTENT_LENGTH": str(256 * 1024 * 1024 + 1)}
    answer = client.refused(
        "POST",
        f"/discount/{discount_id}/codes",
        413,
        "too-large",
        data=b"A1\n",
        content_type=TEXT,
        environ_overrides=declared,
    )
    assert "268,435,456 bytes" in answer["detail"]


@pytest.mark.parametrize("length", ["x", "-1", "1.5", "١", "0x10", "1_000"])
def test_a_length_that_is_not_a_number_is_refused(client: Client, discount_id: str, length: str) -> None:
    client.refused(
        "POST",
        f"/discount/{discount_id}/codes",
        400,
        "bad-request",
        data=b"A1",
        content_type=TEXT,
        environ_overrides={"CONTENT_LENGTH": length},
    )


def test_a_client_that_disconnects_leaves_no_partial_code(client: Client, discount_id: str) -> None:
    for media_type, body in ((TEXT, b"A1\nB2-whole"), (CSV, b"code\nA1\nB2-wh"), (JSON, b'{"codes": ["A1", "B2')):
        client.refused(
            "POST",
            f"/discount/{discount_id}/codes",
            400,
            "bad-request",
            data=body,
            content_type=media_type,
            # As gunicorn says it.
            environ_overrides={"CONTENT_LENGTH": str(len(body) + 1), "wsgi.input_terminated": True},
        )


@pytest.mark.parametrize("body", [b"", b"\n\n\r\n", b"  \n\t", b"\xef\xbb\xbf"])
def test_a_text_without_codes_adds_none(client: Client, discount_id: str, body: bytes) -> None:
    before = client.state()
    assert counts(send(client, discount_id, body)) == (0, 0, 0)
    assert client.state() == before


# Lines that are no codes


BAD_LINES = {
    "NUL": b"A\0B",
    "only NUL": b"\0",
    "tab within": b"A\tB",
    "carriage return within": b"A\rB",
    "escape": b"\x1b[2J",
    "no UTF-8": b"A\xffB",
    "Latin-1": "Märklin".encode("latin-1"),
    "cut off": "本".encode()[:2],
    "surrogate": b"\xed\xa0\x80",
    "overlong": b"\xc0\xaf",
    "UTF-16": "A1".encode("utf-16-le"),
    "replacement character": "A\ufffd".encode(),
    "right-to-left override": "\u202eA".encode(),
    "zero-width space": "A\u200bB".encode(),
    "line separator": "A\u2028B".encode(),
    "no-break space": "A\u00a0B".encode(),
    "private use": "\ue000".encode(),
    "one letter too long": b"x" * 65,
    "five thousand letters": b"x" * 5000,
    "five thousand of two bytes": "ü".encode() * 5000,
    "a million letters": b"x" * 1_000_000,
    "dash": b"-",
    "dashes": "– —".encode(),
}


@rows(BAD_LINES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_bad_line_is_named_and_the_others_are_added(
    client: Client, discount_id: str, value: bytes, end: bytes
) -> None:
    answer = send(client, discount_id, end.join([b"A1", value, b"B2", value]))
    assert counts(answer) == (2, 0, 2)
    (first, reason), (second, again) = reasons(answer)
    assert (first, second) == (2, 4)
    assert reason == again
    assert stored(client, discount_id) == ["A1", "B2"]
    assert client.http.get(f"/discount/{discount_id}").get_json()["total_count"] == 2


LATIN = "Märklin-1\nFrüh-€\n"


@pytest.mark.parametrize("media_type", [TEXT, CSV])
def test_a_file_that_is_not_utf_8_is_reported_as_such(client: Client, discount_id: str, media_type: str) -> None:
    answer = send(client, discount_id, b"code\n" + "Märklin".encode("latin-1"), media_type)
    assert counts(answer)[2] == 1
    assert "not valid in UTF-8" in reasons(answer)[0][1]
    # What is UTF-8, and no code all the same, is not blamed for that.
    assert "UTF-8" not in reasons(send(client, discount_id, b"code\nA\0B\n", media_type))[0][1]


@pytest.mark.parametrize("charset", ["windows-1252", "iso-8859-15", "ISO-8859-1", "utf-8", '"utf-8"'])
@pytest.mark.parametrize("media_type", [TEXT, CSV])
def test_a_file_is_read_in_the_charset_that_is_named(
    client: Client, discount_id: str, media_type: str, charset: str
) -> None:
    codes = LATIN.replace("€", "E") if "8859-1" in charset and "15" not in charset else LATIN
    body = (("code\n" if media_type == CSV else "") + codes).encode(charset.strip('"'))
    assert counts(send(client, discount_id, body, f"{media_type}; charset={charset}")) == (2, 0, 0)
    assert stored(client, discount_id) == codes.split()


@pytest.mark.parametrize("media_type", [TEXT, CSV, JSON])
@pytest.mark.parametrize("charset", ["utf-16", "utf-7", "koi8-r", "rot13", "zip", "nonsense", "x" * 200])
def test_another_charset_is_refused(client: Client, discount_id: str, media_type: str, charset: str) -> None:
    declared = f"{media_type}; charset={charset}"
    problem = refuse(client, discount_id, b"A1", declared, 415, "unsupported-media-type")
    assert "utf-8" in problem["detail"]


def test_json_is_always_utf_8(client: Client, discount_id: str) -> None:
    body = '{"codes": ["Märklin"]}'.encode("latin-1")
    refuse(client, discount_id, body, JSON + "; charset=iso-8859-1", 415, "unsupported-media-type")
    assert counts(send(client, discount_id, b'{"codes": ["A1"]}', JSON + "; charset=UTF-8")) == (1, 0, 0)


@pytest.mark.parametrize("header", [b"Code", b"CODE", b"note,Code", b"Code,code2", "Cöde".encode()])
def test_a_column_is_found_in_any_case(client: Client, discount_id: str, header: bytes) -> None:
    column = "?column=C%C3%96DE" if b"\xc3" in header else ""
    answer = send(client, discount_id, header + b"\nA1,A1\n", CSV, column)
    assert counts(answer) == (1, 0, 0)


def test_a_column_with_the_exact_name_is_preferred(client: Client, discount_id: str) -> None:
    assert counts(send(client, discount_id, b"Code,code\nA1,B2\n", CSV)) == (1, 0, 0)
    assert stored(client, discount_id) == ["B2"]


def test_a_report_names_at_most_a_hundred_of_ten_thousand_bad_lines(client: Client, discount_id: str) -> None:
    answer = send(client, discount_id, b"A\tB\n" * 10_000)
    assert counts(answer) == (0, 0, 10_000)
    assert [line for line, _ in reasons(answer)] == list(range(1, 101))


def test_a_binary_file_gets_a_report_or_a_problem(client: Client, discount_id: str) -> None:
    noise = random.Random(7).randbytes(200_000)
    for media_type in (TEXT, CSV, JSON):
        answer = send(client, discount_id, noise, media_type)
        assert answer.status_code in (200, 400, 422), answer.text
        assert len(answer.data) < 20_000
    assert counts(send(client, discount_id, noise))[0] == 0


# CSV


@pytest.mark.parametrize(
    ("body", "query"),
    [
        (b"", ""),
        (b"\n", ""),
        (b"A1\nB2\n", ""),
        (b"codes\nA1\n", ""),
        (b"code;note\nA1;x\n", ""),
        (b"code\tnote\nA1\tx\n", ""),
        (b" code\nA1\n", ""),
        (b"code\nA1\n", "?column=codes"),
        (b"code\nA1\n", "?column=%F0%9F%8E%84"),
        (b"\ncode\nA1\n", ""),
        ("code\nA1\n".encode("utf-16"), ""),
        (b"x" * 5000 + b",note\nA1,x\n", ""),
    ],
)
def test_a_missing_column_is_refused(client: Client, discount_id: str, body: bytes, query: str) -> None:
    refuse(client, discount_id, body, CSV, 422, "invalid", "column", query)


BROKEN_CSV = {
    "cell that is too long": b'note,code\n"' + b"x" * 200_000 + b'",A1\n',
    "row that is too long": b"note,code\n" + b"x," * 200_000 + b"A1\n",
    "row that never ends": b"code\n" + b'"A\n",' * 200_000,
    "quote that never ends": b'code,note\nA1,"open\nB2,x\nC3,y\n',
    "quote that ends within a cell": b'code\nA1\n"B"2\n',
    "line ends of old": b"code\nA1\rB2\rC3\n",
    "quote that never ends, longer than a cell may be": b'code\n"' + b"x\n" * 100_000,
}


@rows(BROKEN_CSV)
def test_csv_that_cannot_be_read_is_refused(client: Client, discount_id: str, value: bytes) -> None:
    problem = refuse(client, discount_id, value, CSV, 400, "malformed")
    assert re.fullmatch(
        r"Line [\d,]+ cannot be read as CSV: a quote is not closed at the end of its cell, a line ends in CR alone,"
        r" or a cell is too long\.|A line, text or number may be at most 262,144 bytes long\.",
        problem["detail"],
    )


def test_a_long_cell_beside_a_code_takes_nothing_from_the_next_line(client: Client, discount_id: str) -> None:
    body = b'note,code\n"' + b"x" * 5000 + b'",A1\n' + b"y" * 5000 + b",B2\nz,C3\n"
    assert counts(send(client, discount_id, body, CSV)) == (3, 0, 0)
    assert stored(client, discount_id) == ["A1", "B2", "C3"]


@pytest.mark.parametrize("cell", [b"A\0B", b"\xff", b'"A\nB"', b"x" * 5000, b'""', b'" "', b"-", b'"A\r\nB"'])
def test_a_bad_cell_is_named_by_its_line(client: Client, discount_id: str, cell: bytes) -> None:
    answer = send(client, discount_id, b"code,note\nA1,x\n" + cell + b",y\nB2,z\n", CSV)
    assert counts(answer) == (2, 0, 1)
    assert reasons(answer)[0][0] == 3 + cell.count(b"\n")
    assert stored(client, discount_id) == ["A1", "B2"]


# JSON


NOT_JSON = {
    "empty": b"",
    "blank": b" ",
    "cut off in the list": b'{"codes": ["A1", "B2"',
    "cut off in a code": b'{"codes": ["A1", "B',
    "cut off in an escape": b'{"codes": ["A1", "\\u00',
    "cut off after the list": b'{"codes": ["A1"]',
    "something after it": b'{"codes": ["A1"]} {}',
    "comma too many": b'{"codes": ["A1",]}',
    "comma missing": b'{"codes": ["A1" "B2"]}',
    "comment": b'{"codes": ["A1"] /* x */}',
    "other quotes": b"{'codes': ['A1']}",
    "not a number": b'{"codes": [NaN]}',
    "infinity": b'{"codes": [Infinity]}',
    "leading zero": b'{"codes": [01]}',
    "only a minus": b'{"codes": [-]}',
    "line break in a code": b'{"codes": ["A\nB"]}',
    "NUL in a code": b'{"codes": ["A\0B"]}',
    "unknown escape": b'{"codes": ["\\x41"]}',
    "no UTF-8": b'{"codes": ["A\xff"]}',
    "surrogate": b'{"codes": ["\xed\xa0\x80"]}',
    "UTF-16": '{"codes": ["A1"]}'.encode("utf-16"),
    "lines": b'"A1"\n"B2"\n',
    "text": b"A1\nB2\n",
    "brackets crossed": b'{"codes": ["A1"}]',
    "NUL": b"\0",
    "number of five thousand digits": b'{"codes": ["A1", ' + b"9" * 5000 + b"]}",
    "number of five thousand digits elsewhere": b'{"x": ' + b"-" + b"9" * 5000 + b', "codes": ["A1"]}',
    "exponent of twenty digits": b'{"codes": [1e99999999999999999999]}',
    "code of a megabyte": b'{"codes": ["' + b"x" * 1_000_000 + b'"]}',
    "ten thousand levels left open": b'{"codes": ' + b"[" * 10_000,
    "ten thousand objects left open": b'{"codes":' * 10_000,
}
NO_LIST = {
    "list": b'["A1"]',
    "text": b'"A1"',
    "null": b"null",
    "number": b"1",
    "empty object": b"{}",
    "another name": b'{"Codes": ["A1"]}',
    "text in it": b'{"codes": "A1"}',
    "object in it": b'{"codes": {"A1": "B2"}}',
    "null in it": b'{"codes": null}',
    "deeper": b'{"data": {"codes": ["A1"]}}',
    "in a list": b'[{"codes": ["A1"]}]',
    "a name with a dot and a text": b'{"codes.item": "A1"}',
    "a name with a dot": b'{"codes.item": ["A1"], "a.codes": ["B2"]}',
    "an empty name": b'{"": {"codes": ["A1"]}}',
}


@rows(NOT_JSON)
def test_a_body_that_is_not_json_is_refused(client: Client, discount_id: str, value: bytes) -> None:
    problem = refuse(client, discount_id, value, JSON, 400, "malformed")
    assert len(problem["detail"]) < 1000


@rows(NO_LIST)
def test_json_without_the_list_is_refused(client: Client, discount_id: str, value: bytes) -> None:
    refuse(client, discount_id, value, JSON, 422, "invalid", "/codes")


BAD_ELEMENTS = {
    "number": b"7",
    "fraction": b"1.5",
    "exponent": b"1e5",
    "eighteen digits": b"9" * 18,
    "null": b"null",
    "true": b"true",
    "list": b'["C3", "D4"]',
    "empty object": b"{}",
    "object": b'{"C3": "D4"}',
    "object with the name": b'{"codes": ["C3"]}',
    "tiny": b"1e-99999999999999999999",
    "ten thousand levels": b"[" * 10_000 + b'"C3"' + b"]" * 10_000,
    "empty": b'""',
    "NUL": b'"\\u0000"',
    "escaped line break": b'"A\\nB"',
    "five thousand letters": b'"' + b"x" * 5000 + b'"',
    "a hundred levels": b"[" * 100 + b'"C3"' + b"]" * 100,
}


@rows(BAD_ELEMENTS)
def test_a_bad_element_is_named_by_its_position(client: Client, discount_id: str, value: bytes) -> None:
    answer = send(client, discount_id, b'{"codes": ["A1", ' + value + b', "B2"]}', JSON)
    assert counts(answer) == (2, 0, 1)
    assert [line for line, _ in reasons(answer)] == [2]
    assert stored(client, discount_id) == ["A1", "B2"]


@pytest.mark.parametrize("again", [b'"codes"', b'"\\u0063odes"'])
def test_a_repeated_list_is_refused(client: Client, discount_id: str, again: bytes) -> None:
    refuse(client, discount_id, b'{"codes": ["A1"], ' + again + b': ["B2"]}', JSON, 422, "invalid", "/codes")


def test_a_field_with_a_dot_beside_the_list_is_ignored(client: Client, discount_id: str) -> None:
    assert counts(send(client, discount_id, b'{"codes.item": "X", "codes": ["A1"]}', JSON)) == (1, 0, 0)
    assert stored(client, discount_id) == ["A1"]


@pytest.mark.parametrize("around", [b'{"codes": %s}', b'{"x": %s, "codes": []}', b"%s"])
def test_depth_takes_no_memory(client: Client, discount_id: str, around: bytes) -> None:
    body = around % (b"[" * 10_000 + b"]" * 10_000)
    tracemalloc.start()
    try:
        assert send(client, discount_id, body, JSON).status_code in (200, 422)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [b'{"codes": ["A1"', b'{"codes": ["\xff"]}', b"A1"])
def test_a_problem_of_json_is_one_line_that_repeats_nothing(client: Client, discount_id: str, value: bytes) -> None:
    detail = refuse(client, discount_id, value, JSON, 400, "malformed")["detail"]
    assert re.fullmatch(r"After \d codes the body stops being JSON, or ends too early\.", detail)
