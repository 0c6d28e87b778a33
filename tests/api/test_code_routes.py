"""Codes over HTTP: the four kinds, imports, exports, and the picture of a code."""

import csv
import io
import json
import re
import struct
import zlib
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
import segno
from werkzeug.test import TestResponse

from tests.api.client import Client, check_problem

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


def imported(client: Client, *codes: str, **changes: Any) -> str:
    """Create a discount for a brand's own codes, and return its id."""
    discount_id = str(client.create(codes={"kind": "imported"}, **changes)["id"])
    if codes:
        assert send(client, discount_id, "\n".join(codes)).get_json()["added_count"] == len(codes)
    return discount_id


def send(client: Client, discount_id: str, body: str | bytes, media_type: str = "text/plain", **query: str) -> Any:
    return client.http.post(f"/discount/{discount_id}/codes", data=body, content_type=media_type, query_string=query)


def report(answer: TestResponse) -> tuple[int, int, int, list[tuple[int, str]]]:
    """Return the added, repeated and bad counts, and the lines that are named."""
    counts = answer.get_json()
    assert answer.status_code == 200, counts
    assert set(counts) == {"discount_id", "added_count", "repeated_count", "bad_count", "lines"}
    lines = [(each["line"], each["reason"]) for each in counts["lines"]]
    return counts["added_count"], counts["repeated_count"], counts["bad_count"], lines


def waiting(client: Client, discount_id: str) -> list[str]:
    """Return the codes that no user holds, by the export."""
    answer = client.http.get(f"/discount/{discount_id}/codes?format=ndjson")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    return [row["code"] for row in rows if row["state"] == "waiting"]


def granted(client: Client, discount_id: str, user: str = "User 1") -> str:
    answer = client.grant(discount_id, user)
    assert answer.status_code == 201, answer.text
    return str(answer.get_json()["code"])


# The four kinds


@pytest.mark.parametrize(
    ("given", "shown", "code"),
    [
        ({}, {"kind": "unique", "pattern": "####-####-####", "alphabet": LETTERS}, r"[2-9A-Z]{4}(-[2-9A-Z]{4}){2}"),
        (
            {"kind": "unique", "pattern": "IKEA-######", "alphabet": "ABCDEFGH"},
            {"kind": "unique", "pattern": "IKEA-######", "alphabet": "ABCDEFGH"},
            r"IKEA-[A-H]{6}",
        ),
        (
            {"prefix": "XMAS.", "pattern": "########"},
            {"kind": "unique", "pattern": "XMAS.########", "alphabet": LETTERS},
            r"XMAS\.[2-9A-Z]{8}",
        ),
        (
            {"kind": "personal", "template": "{brand}-thinks-{user}-is-awesome-{id}"},
            {"kind": "personal", "template": "{brand}-thinks-{user}-is-awesome-{id}"},
            r"ikea-thinks-user-1-is-awesome-[2-9A-Za-z]{22}",
        ),
        (
            {"kind": "personal", "template": "no-{seq}"},
            {"kind": "personal", "template": "no-{seq}"},
            r"no-1",
        ),
        ({"kind": "shared", "code": "AHMED2022BILLO"}, {"kind": "shared", "code": "AHMED2022BILLO"}, "AHMED2022BILLO"),
    ],
    ids=["unique", "unique of a pattern", "unique with a prefix", "personal", "personal numbered", "shared"],
)
def test_a_discount_of_each_kind_shows_how_its_codes_are_made_and_gives_one(
    client: Client, given: dict[str, str], shown: dict[str, str], code: str
) -> None:
    found = client.create(codes=given)
    assert found["codes"] == shown
    assert client.http.get(f"/discount/{found['id']}").get_json()["codes"] == shown
    assert client.http.get("/discount").get_json()["discounts"][0]["codes"] == shown
    assert re.fullmatch(code, granted(client, found["id"]))


def test_imported_codes_are_given_in_the_order_of_the_file(client: Client) -> None:
    found = client.create(codes={"kind": "imported"})
    assert found["codes"] == {"kind": "imported"}
    assert (found["total_count"], found["remaining_count"], found["status"]) == (0, 0, "empty")
    check_problem(client.grant(found["id"]), 409, "sold-out")
    send(client, found["id"], "first\nsecond\n")
    assert [granted(client, found["id"], user) for user in "AB"] == ["first", "second"]
    check_problem(client.grant(found["id"], "C"), 409, "sold-out")
    shown = client.http.get(f"/discount/{found['id']}").get_json()
    assert (shown["total_count"], shown["granted_count"], shown["remaining_count"]) == (2, 2, 0)


@pytest.mark.parametrize(
    "codes", [{"kind": "personal", "template": "{user}-{random}"}, {"kind": "shared", "code": "EASTER"}]
)
def test_personal_and_shared_codes_need_no_total_and_keep_one_that_is_given(client: Client, codes: Any) -> None:
    endless = client.create(codes=codes, total_count=None)
    assert (endless["total_count"], endless["remaining_count"], endless["status"]) == (None, None, "active")
    assert len({granted(client, endless["id"], f"User {number}") for number in range(5)}) in (1, 5)
    limited = client.create(codes=codes, total_count=2, brand_id="Other")
    for user in "AB":
        granted(client, limited["id"], user)
    check_problem(client.grant(limited["id"], "C"), 409, "sold-out")


def test_two_users_of_one_name_get_personal_codes_that_differ(client: Client) -> None:
    found = client.create(codes={"kind": "personal", "template": "hi-{user}"})
    names = ["Ann Lee", "ann-lee", "Ann  Lee", "ANN.LEE", "ann_lee", "änn lee"]
    codes = [granted(client, found["id"], name) for name in names]
    assert codes[0] == "hi-ann-lee"
    assert len({code.casefold().replace("-", "") for code in codes}) == len(codes)


def test_a_shared_code_may_be_another_brands_too(client: Client) -> None:
    for brand in ("IKEA", "Märklin"):
        found = client.create(brand_id=brand, codes={"kind": "shared", "code": "SUMMER"})
        assert granted(client, found["id"]) == "SUMMER"


def test_ten_million_codes_cost_no_more_than_the_first_block(client: Client) -> None:
    found = client.create(total_count=10_000_000)
    assert (found["total_count"], found["remaining_count"]) == (10_000_000, 10_000_000)
    (pool,) = client.redis.keys("*:codes")
    assert 0 < client.redis.llen(pool) <= 1000
    assert re.fullmatch(r"[2-9A-Z]{4}(-[2-9A-Z]{4}){2}", granted(client, found["id"]))


def test_a_pool_is_filled_again_when_it_is_empty_and_no_code_comes_twice(client: Client) -> None:
    found = client.create(total_count=2500)
    users = [f"User {number}" for number in range(2600)]
    answer = client.http.post(f"/discount/{found['id']}/grants", json={"user_ids": users})
    codes = [each["code"] for each in answer.get_json()["grants"] if each["granted"]]
    assert len(codes) == len(set(codes)) == 2500


# Imports


def test_a_text_of_one_code_a_line_is_imported(client: Client) -> None:
    discount_id = imported(client)
    assert report(send(client, discount_id, "AB-1\n  AB-2\t\n\n\nAB-3")) == (3, 0, 0, [])
    assert waiting(client, discount_id) == ["AB-1", "AB-2", "AB-3"]


@pytest.mark.parametrize(
    "body",
    [b"A1\r\nB2\r\n", b"\xef\xbb\xbfA1\nB2\n", b"\xef\xbb\xbfA1\r\n\r\nB2", b"A1 \n\tB2\n\n"],
    ids=["CRLF", "byte order mark", "both", "blanks"],
)
def test_a_text_may_come_from_any_editor(client: Client, body: bytes) -> None:
    discount_id = imported(client)
    assert report(send(client, discount_id, body, "text/plain; charset=utf-8")) == (2, 0, 0, [])
    assert waiting(client, discount_id) == ["A1", "B2"]


@pytest.mark.parametrize(
    ("body", "query"),
    [
        (b"code\nA1\nB2\n", {}),
        (b"code\r\nA1\r\nB2\r\n", {}),
        (b"\xef\xbb\xbfcode,note\nA1,x\nB2,y\n", {}),
        (b'\xef\xbb\xbf"code"\r\n"A1"\r\n"B2"', {}),
        (b'note,code\n"first, with a comma",A1\n"second ""quoted""",B2\n', {}),
        (b'note,code\n"over\ntwo lines",A1\n\nz,"B2"\n', {}),
        ("Nummer,Gutschein für\n1,A1\n2, B2 \n".encode(), {"column": "Gutschein für"}),
        (b"code,CODE\nA1,x\nB2,y\n", {"column": "code"}),
        (b"x,CODE\nx,A1\ny,B2,more\n", {"column": "CODE"}),
    ],
    ids=["plain", "CRLF", "byte order mark", "all quoted", "quoted comma", "quoted line break", "another column",
         "lower case", "upper case"],
)  # fmt: skip
def test_a_column_of_csv_is_imported(client: Client, body: bytes, query: dict[str, str]) -> None:
    discount_id = imported(client)
    assert report(send(client, discount_id, body, "text/csv", **query)) == (2, 0, 0, [])
    assert waiting(client, discount_id) == ["A1", "B2"]


def test_a_quoted_cell_keeps_its_comma_and_its_quotes(client: Client) -> None:
    discount_id = imported(client)
    assert report(send(client, discount_id, 'code\n"A,1"\n"B""2"\n', "text/csv")) == (2, 0, 0, [])
    assert waiting(client, discount_id) == ["A,1", 'B"2']


def test_a_list_in_json_is_imported(client: Client) -> None:
    discount_id = imported(client)
    body = json.dumps({"codes": ["A1", "B2", "Ü-3", "\u672c4"]})
    assert report(send(client, discount_id, body, "application/json")) == (4, 0, 0, [])
    assert report(send(client, discount_id, '{"codes": []}', "application/json")) == (0, 0, 0, [])
    assert waiting(client, discount_id) == ["A1", "B2", "Ü-3", "本4"]


def test_a_report_names_each_line_that_was_not_added_and_why(client: Client) -> None:
    discount_id = imported(client, "OLD-1")
    body = "\n".join(["A1", "a1", "old 1", "", "x" * 65, "--", "a\tb", "B2", "B—2"]).encode() + b"\nC\xff3\nD4"
    assert report(send(client, discount_id, body)) == (
        3,
        3,
        4,
        [
            (2, "was imported already"),
            (3, "was imported already"),
            (5, "is longer than 64 characters"),
            (6, "has only spaces and dashes"),
            (7, "has an unprintable character"),
            (9, "was imported already"),
            (10, "has bytes that are not valid in UTF-8 or in the declared charset"),
        ],
    )
    assert waiting(client, discount_id) == ["OLD-1", "A1", "B2", "D4"]
    assert client.http.get(f"/discount/{discount_id}").get_json()["total_count"] == 4


def test_lines_of_csv_are_counted_with_the_first_one_and_elements_of_json_from_one(client: Client) -> None:
    discount_id = imported(client)
    in_csv = send(client, discount_id, 'n,code\n1,A1\n2\n3,""\n"4\n5",A1\n', "text/csv")
    assert report(in_csv) == (1, 1, 2, [(3, "is empty"), (4, "is empty"), (6, "was imported already")])
    in_json = send(client, discount_id, '{"codes": ["B2", "A1", "", " "]}', "application/json")
    assert report(in_json) == (1, 1, 2, [(2, "was imported already"), (3, "is empty"), (4, "is empty")])


def test_an_import_that_is_sent_again_adds_nothing(client: Client) -> None:
    codes = [f"AB-{number:05}" for number in range(9001)]
    discount_id = imported(client, *codes)
    added, repeated, bad, lines = report(send(client, discount_id, "\n".join([*codes, "NEW"])))
    assert (added, repeated, bad) == (1, 9001, 0)
    assert lines == [(number, "was imported already") for number in range(1, 101)]
    assert waiting(client, discount_id) == [*codes, "NEW"]


def test_a_granted_code_is_not_imported_again(client: Client) -> None:
    discount_id = imported(client, "A1", "B2")
    assert granted(client, discount_id) == "A1"
    assert report(send(client, discount_id, "a-1\nC3\n")) == (1, 1, 0, [(1, "was imported already")])
    assert waiting(client, discount_id) == ["B2", "C3"]


def test_two_discounts_may_hold_the_same_imported_codes(client: Client) -> None:
    for _ in range(2):
        assert waiting(client, imported(client, "A1", "B2")) == ["A1", "B2"]


def test_the_longest_code_and_unusual_signs_are_taken(client: Client) -> None:
    codes = ["x" * 64, "本" * 64, "a b", "<b>&amp;'\"", "=1+1", "{user}", "%s", "🎄🎄", "e\u0301", "\\n", "#"]
    discount_id = imported(client)
    assert report(send(client, discount_id, json.dumps({"codes": codes}), "application/json"))[:3] == (11, 0, 0)
    assert [granted(client, discount_id, f"User {number}") for number in range(len(codes))] == codes


# Exports


def exported(client: Client, discount_id: str, kind: str) -> list[dict[str, str]]:
    answer = client.http.get(f"/discount/{discount_id}/codes", query_string={"format": kind})
    media_type = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}[kind]
    assert (answer.status_code, answer.content_type) == (200, media_type)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{discount_id}-codes.{kind}"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if kind == "ndjson":
        return [{"user_id": "", "granted_at": ""} | json.loads(line) for line in answer.text.splitlines()]
    assert answer.text.startswith("code,state,user_id,granted_at\r\n")
    return list(csv.DictReader(io.StringIO(answer.text, newline=""), strict=True))


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
@pytest.mark.parametrize("codes", [{"kind": "unique"}, {"kind": "imported"}])
def test_an_export_has_each_code_once_waiting_or_with_its_user_and_time(client: Client, kind: str, codes: Any) -> None:
    found = client.create(total_count=1700, codes=codes)
    if codes["kind"] == "imported":
        send(client, found["id"], "\n".join(f"AB-{number}" for number in range(1700)))
    users = ["User 1", 'a,b "c"', "本", "null"]
    grants = {user: client.grant(found["id"], user).get_json() for user in users}
    rows = exported(client, found["id"], kind)
    assert len(rows) == len({row["code"] for row in rows}) == 1700
    assert [row["state"] for row in rows] == ["waiting"] * 1696 + ["granted"] * 4
    assert all((row["user_id"], row["granted_at"]) == ("", "") for row in rows[:1696])
    assert {row["user_id"]: row["code"] for row in rows[1696:]} == {user: grants[user]["code"] for user in users}
    for row in rows[1696:]:
        assert re.fullmatch(MOMENT, row["granted_at"])
        assert row["granted_at"] == grants[row["user_id"]]["granted_at"]


def test_an_export_is_csv_by_default(client: Client) -> None:
    discount_id = imported(client, "A1")
    plain = client.http.get(f"/discount/{discount_id}/codes")
    assert (plain.content_type, plain.text) == (
        "text/csv; charset=utf-8",
        "code,state,user_id,granted_at\r\nA1,waiting,,\r\n",
    )


def test_waiting_unique_codes_are_given_in_the_order_of_the_export(client: Client) -> None:
    found = client.create(total_count=20)
    order = waiting(client, found["id"])
    assert [granted(client, found["id"], f"User {number}") for number in range(20)] == order


def test_an_export_of_a_closed_discount_includes_unused_codes(client: Client) -> None:
    for codes in ({"kind": "unique"}, {"kind": "imported"}):
        found = client.create(codes=codes)
        if codes["kind"] == "imported":
            send(client, found["id"], "A1\nB2\nC3")
        granted(client, found["id"])
        before = exported(client, found["id"], "csv")
        shown = client.http.delete(f"/discount/{found['id']}").get_json()
        after = exported(client, found["id"], "csv")
        assert [row | {"state": row["state"].replace("waiting", "unused")} for row in before] == after
        assert [row["state"] for row in after].count("unused") == shown["remaining_count"] == len(after) - 1


@pytest.mark.parametrize("codes", [{"kind": "personal", "template": "p-{id}"}, {"kind": "shared", "code": "EASTER"}])
def test_codes_made_at_the_grant_are_exported_only_after_it(client: Client, codes: Any) -> None:
    found = client.create(codes=codes)
    assert exported(client, found["id"], "csv") == exported(client, found["id"], "ndjson") == []
    code = granted(client, found["id"])
    for kind in ("csv", "ndjson"):
        assert [(row["code"], row["user_id"]) for row in exported(client, found["id"], kind)] == [(code, "User 1")]


def test_a_cell_that_a_spreadsheet_would_run_is_text_in_csv_and_untouched_in_ndjson(client: Client) -> None:
    codes = ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x","y")', "a=b", "'=1", "''+2", "'a", "＝2+2", "＋2x"]
    codes += ["－3", "＠4"]
    discount_id = imported(client, *codes)
    assert [row["code"] for row in exported(client, discount_id, "ndjson")] == codes
    # One more before an apostrophe that stands there already: each cell is read back as it was.
    wanted = ["'" + code if code.lstrip("'")[0] in "=+-@＝＋－＠" else code for code in codes]
    assert [row["code"] for row in exported(client, discount_id, "csv")] == wanted
    client.grant(discount_id, "=cmd")
    assert [row["user_id"] for row in exported(client, discount_id, "csv")][-1] == "'=cmd"
    listed = client.http.get(f"/discount/{discount_id}/grants?format=csv").text
    assert "'=cmd" in listed
    assert "'=1+1" in listed


def test_an_export_that_is_imported_again_adds_nothing(client: Client) -> None:
    codes = ["=1+1", "+1", "-1x", "@SUM(A1)", "a=b", "'=1", "''+2", "'a", "＝2+2", '"q",', "plain"]
    discount_id = imported(client, *codes)
    client.grant(discount_id, "=cmd")
    file = client.http.get(f"/discount/{discount_id}/codes?format=csv").data
    assert report(send(client, discount_id, file, "text/csv"))[:3] == (0, len(codes), 0)
    other = client.create(codes={"kind": "imported"})["id"]
    assert report(send(client, other, file, "text/csv"))[:3] == (len(codes), 0, 0)
    assert sorted(row["code"] for row in exported(client, other, "ndjson")) == sorted(codes)


# Pictures


def picture(client: Client, discount_id: str, **query: str) -> TestResponse:
    answer = client.http.get(f"/discount/{discount_id}/grant/picture", query_string={"user_id": "User 1", **query})
    assert answer.status_code == 200, answer.text
    return answer


def drawn(code: str) -> list[list[bool]]:
    """Return the squares of a code's picture, with a border of four."""
    return [[bool(square) for square in row] for row in segno.make_qr(code, error="m").matrix_iter(border=4)]


def squares_of_png(image: bytes, scale: int = 8) -> list[list[bool]]:
    """Return the dark squares of a PNG with one bit a pixel."""
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    place, packed, header = 8, b"", b""
    while place < len(image):
        (length,) = struct.unpack(">I", image[place : place + 4])
        name, data = image[place + 4 : place + 8], image[place + 8 : place + 8 + length]
        assert struct.unpack(">I", image[place + 8 + length : place + 12 + length])[0] == zlib.crc32(name + data)
        header = data if name == b"IHDR" else header
        packed += data if name == b"IDAT" else b""
        place += 12 + length
    assert name == b"IEND"
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    assert (depth, colour, width, height) == (1, 0, height, width), "one bit of grey a pixel"
    line = 1 + (width + 7) // 8
    plain = zlib.decompress(packed)
    rows: list[bytes] = []
    for y in range(height):
        kind, row = plain[line * y], plain[line * y + 1 : line * (y + 1)]
        assert kind in (0, 2), "as it is, or the difference from the row above"
        rows.append(bytes((here + above) % 256 for here, above in zip(row, rows[-1], strict=True)) if kind else row)
    middles = range(scale // 2, width, scale)
    return [[not rows[y][x // 8] >> (7 - x % 8) & 1 for x in middles] for y in middles]


def squares_of_svg(image: bytes) -> list[list[bool]]:
    """Return the dark squares of an SVG whose path has a horizontal stroke for each run of them."""
    root = ElementTree.fromstring(image)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    size = round(float(root.attrib["viewBox"].split()[2]))
    (path,) = (each for each in root.iter() if each.tag.endswith("path"))
    scale = float(path.attrib.get("transform", "scale(1)").removeprefix("scale(").rstrip(")"))
    size = round(size / scale)
    rows = [[False] * size for _ in range(size)]
    x = y = 0.0
    for letter, numbers in re.findall(r"([Mmh])([-.\d ]+)", path.attrib["d"]):
        values = [float(number) for number in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", numbers)]
        if letter == "h":
            for place in range(int(values[0])):
                rows[int(y)][int(x) + place] = True
            x += values[0]
        else:
            x, y = (values[0], values[1]) if letter == "M" else (x + values[0], y + values[1])
    return rows


CODES = ["AHMED2022BILLO", "x" * 64, "Ä-本-1", "<script>alert(1)</script>", "12345678"]


@pytest.mark.parametrize("code", CODES)
def test_svg_and_png_pictures_encode_the_code(client: Client, code: str) -> None:
    found = client.create(codes={"kind": "shared", "code": code})
    granted(client, found["id"])
    svg, png = picture(client, found["id"]), picture(client, found["id"], format="png")
    assert (svg.content_type, png.content_type) == ("image/svg+xml", "image/png")
    assert squares_of_svg(svg.data) == drawn(code)
    assert squares_of_png(png.data) == drawn(code)
    assert picture(client, found["id"], format="svg").data == svg.data


def test_two_codes_have_two_pictures(client: Client) -> None:
    pictures = set()
    for code in CODES:
        found = client.create(codes={"kind": "shared", "code": code})
        granted(client, found["id"])
        pictures.add(picture(client, found["id"]).data)
    assert len(pictures) == len(CODES)


class Page(HTMLParser):
    """The elements, addresses and text of an HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open and data.strip():
            self.texts.setdefault(self._open[-1], data.strip())


def till(client: Client, discount_id: str, user: str = "User 1") -> TestResponse:
    return client.http.get(f"/discount/{discount_id}/grant/page", query_string={"user_id": user})


def test_a_page_for_the_till_shows_code_picture_and_until_when(client: Client) -> None:
    found = client.create(codes={"kind": "shared", "code": "AHMED2022BILLO"}, expires_at="2280-01-02T18:30:00+02:00")
    granted(client, found["id"])
    answer = till(client, found["id"])
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    page = Page(answer.text)
    assert (page.texts["h1"], page.texts["p"], page.texts["code"]) == (
        "Christmas 2020 discount",
        "IKEA",
        "AHMED2022BILLO",
    )
    assert page.texts["time"] == "2 January 2280, 16:30 UTC"
    assert ("datetime", "2280-01-02T16:30:00+00:00") in page.attributes
    (inside,) = re.findall(r"<svg.*?</svg>", answer.text, re.DOTALL)
    assert squares_of_svg(inside.encode()) == drawn("AHMED2022BILLO")


def test_a_page_shows_whether_a_code_is_expired_paused_or_not_started(client: Client) -> None:
    found = client.create()
    granted(client, found["id"])
    assert set(Page(till(client, found["id"]).text).texts) == {"title", "style", "h1", "p", "code"}
    address = f"/discount/{found['id']}"
    client.http.patch(address, json={"starts_at": "2280-01-02T18:30:00+02:00"})
    assert "Valid from <time" in till(client, found["id"]).text
    client.http.patch(address, json={"starts_at": None, "paused": True})
    assert "This discount is paused." in till(client, found["id"]).text
    client.http.patch(address, json={"paused": False, "expires_at": "2020-01-01T00:00:00Z"})
    assert "Ended on <time" in till(client, found["id"]).text
    short = client.create(valid_for="PT0.000001S")
    granted(client, short["id"])
    assert "Ended on <time" in till(client, short["id"]).text
    long = client.create(valid_for="P1M")
    granted(client, long["id"])
    assert "Valid until <time" in till(client, long["id"]).text


def test_a_page_distinguishes_void_codes_from_kept_ones(client: Client) -> None:
    found = client.create(expires_at="2280-01-02T18:30:00+02:00")
    granted(client, found["id"])
    client.http.patch(f"/discount/{found['id']}", json={"paused": True})
    client.http.delete(f"/discount/{found['id']}")
    kept = till(client, found["id"]).text
    assert "Valid until <time" in kept
    assert "void" not in kept
    client.http.delete(f"/discount/{found['id']}?granted_codes=void")
    void = till(client, found["id"]).text
    assert "This code is void and cannot be used." in void
    assert "Valid until" not in void


def test_the_page_escapes_brand_text_and_runs_or_fetches_nothing(client: Client) -> None:
    script, sneaky = "<script>alert(1)</script>", "</title></code><img src=x onerror=alert(1)>'\"&amp;"
    found = client.create(brand_id="<b>A'\"&lt;", discount_code=script, codes={"kind": "shared", "code": sneaky})
    granted(client, found["id"])
    answer = till(client, found["id"])
    page = Page(answer.text)
    assert (page.texts["title"], page.texts["h1"], page.texts["p"]) == (script, script, "<b>A'\"&lt;")
    assert page.texts["code"] == sneaky
    assert set(page.elements) == {"html", "meta", "title", "style", "h1", "p", "svg", "path", "code"}
    assert not [name for name, _ in page.attributes if name in ("src", "href", "action") or name.startswith("on")]
    assert set(re.findall(r"(?:https?:)?//[^\s\"'<>]+", answer.text)) <= {"http://www.w3.org/2000/svg"}
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not [rule for rule in policy if rule.startswith("script-src")]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("what", ["page", "picture"])
def test_a_user_without_a_grant_is_shown_no_code(client: Client, what: str) -> None:
    found = client.create()
    client.refused("GET", f"/discount/{found['id']}/grant/{what}?user_id=A", 404, "not-granted")
    client.refused("GET", f"/discount/dsc-x/grant/{what}?user_id=A", 404, "not-found")
