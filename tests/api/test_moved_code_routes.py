"""Codes that are moved in over HTTP: the columns of the file, its bad lines, and what becomes of it."""

from typing import Any

import pytest

from tests.api.client import Client, check_problem
from tests.api.page_calls import send_calls


def send(client: Client, discount_id: str, body: str | bytes, *, query: str = "", media_type: str = "text/csv") -> Any:
    return client.http.post(f"/discount/{discount_id}/codes/move-in{query}", data=body, content_type=media_type)


def moved(client: Client, discount_id: str, body: str | bytes, **more: Any) -> tuple[int, int, int, int, list[Any]]:
    """Send a file; return its granted codes, those that wait, uses, repeated lines, and the refused lines."""
    answer = send(client, discount_id, body, **more)
    found = answer.get_json()
    assert answer.status_code == 200, found
    assert found["bad_count"] >= len(found["lines"])
    lines = [(each["line"], each["reason"]) for each in found["lines"]]
    names = ("granted", "waiting", "used", "repeated")
    return (*(found[f"{name}_count"] for name in names), lines)


@pytest.fixture
def discount_id(client: Client) -> str:
    return str(client.create(codes={"kind": "imported"}, total_count=None)["id"])


def test_the_calls_of_the_page_on_moving_in_work_from_top_to_bottom(client: Client) -> None:
    answers = send_calls(client, "moving-in.md")
    assert [status for status, _ in answers] == [201, 200, 200, 200, 200]
    created, moved_in, again, held, used = (body for _, body in answers)
    assert created["total_count"] == 0
    counts = ("granted_count", "waiting_count", "used_count", "repeated_count", "bad_count")
    assert [moved_in[name] for name in counts] == [3, 1, 4, 0, 1]
    assert moved_in["lines"] == [{"line": 7, "reason": "the user holds another code of this discount"}]
    assert [again[name] for name in counts] == [0, 0, 0, 5, 1]
    assert (held["code"], held["granted_at"]) == ("SPRING-1", "2024-03-01T09:00:00Z")
    shown = used["redemptions"]
    assert [each["order"] for each in shown] == [
        {"id": "1002", "amount": 4000, "currency": "EUR"},
        {"id": "1001", "amount": 5900, "currency": "EUR"},
    ]
    assert shown[1]["redeemed_at"].startswith("2024-03-02T10:30:00.")


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbfcode,user_id,uses\r\nA-1,ann,1\r\n\r\nA-2,bob,\r\n",
        b'"CODE","User_ID","USES"\n"A-1","ann","1"\n\n" A-2 ",bob,\n,,\n',
        b"uses,user_id,code\n1,ann,A-1\n,bob,A-2",
        b"user_id,code,uses\nann,A-1,1\nbob,A-2",
    ],
    ids=["mark and CRLF", "quotes and empty lines", "another order", "short rows"],
)
def test_a_file_is_read_as_spreadsheets_write_it(client: Client, discount_id: str, body: bytes) -> None:
    assert moved(client, discount_id, body) == (2, 0, 1, 0, [])
    assert client.grant(discount_id, "bob").get_json()["code"] == "A-2"


def test_a_file_may_be_in_another_charset(client: Client, discount_id: str) -> None:
    body = "code,user_id\nÄ-1,Zoë".encode("cp1252")
    assert moved(client, discount_id, body, media_type="text/csv; charset=windows-1252") == (1, 0, 0, 0, [])
    assert client.grant(discount_id, "Zoë").get_json()["code"] == "Ä-1"
    found = moved(client, discount_id, b"code,user_id\nB-\xff,ann\nB-1,\xff")
    assert [line for line, _ in found[4]] == [2, 3]


@pytest.mark.parametrize(
    ("header", "place", "reason"),
    [
        ("code,user_id,colour", "/colour", "is not a column of this file; "),
        ("code,user_id,", "/", "is not a column"),
        ("code,user_id,Code", "/code", "is given twice in the first line"),
        ("code,user_id,a/b~", "/a~1b~0", "is not a column"),
        ("", "/user_id", "is missing"),
        ("code", "/user_id", "is missing"),
    ],
)
def test_a_column_that_is_unknown_repeated_or_missing_is_named(
    client: Client, discount_id: str, header: str, place: str, reason: str
) -> None:
    path = f"/discount/{discount_id}/codes/move-in"
    body = {"data": f"{header}\nA-1,ann,red", "content_type": "text/csv"}
    problem = client.refused("POST", path, 422, "invalid", place, **body)
    assert reason in problem["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",ann", "code is empty"),
        ("A\x00,ann", "code has an unprintable character"),
        ("A-1,a/n", "user_id has '/' (U+002F) as character 2; letters, digits and most signs"),
        (f"A-1,{'x' * 129}", "user_id has 129 characters"),
        ("A-1,ann,2024-03-01", "granted_at is not a time"),
        ("A-1,ann,1999-03-01T00:00:00Z", "granted_at must be from 2001-09-10 to 2286-11-20"),
        ("A-1,ann,,many", "uses is not"),
        ("A-1,ann,,-1", "uses"),
        ("A-1,ann,,101", "uses"),
        ("A-1,ann,,0,,17", "order_id is for a row with one use; give each order a row of its own"),
        ("A-1,ann,,2,,,500,EUR", "amount is for a row with one use; give each order a row of its own"),
        ("A-1,ann,,0,2024-03-01T00:00:00Z", "redeemed_at is given without a use"),
        ("A-1,ann,,1,,17,500", "currency is missing: an amount needs a currency"),
        ("A-1,ann,,1,,17,500,XXY", "currency is not an ISO 4217 currency code, such as EUR"),
        ("A-1,ann,,1,,17,500,EUR,501", "discount_amount is more than the amount"),
        ("A-1,ann,,,,,,,,more", "has more cells than the first line"),
        ("A-1,,,1", "user_id is empty"),
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_reason_and_the_others_are_moved_in(
    client: Client, discount_id: str, row: str, reason: str
) -> None:
    header = "code,user_id,granted_at,uses,redeemed_at,order_id,amount,currency,discount_amount"
    granted, _, used, _, lines = moved(client, discount_id, f"{header}\nB-1,bob\n{row}\nB-2,eve,,1")
    assert (granted, used, len(lines), lines[0][0]) == (2, 1, 1, 3)
    assert reason in lines[0][1]


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"code,user_id\nA-1,ann\n" + b"x" * 10 * 2**20, 400, "malformed"),
        (b'code,user_id\nA-1,ann\n"never closed,bob\nA-3,eve', 400, "malformed"),
    ],
    ids=["a line of 10 MB", "an open quote"],
)
def test_a_file_that_is_no_csv_is_refused_and_can_be_sent_again_mended(
    client: Client, discount_id: str, body: bytes, status: int, slug: str
) -> None:
    check_problem(send(client, discount_id, body), status, slug)
    assert moved(client, discount_id, b"code,user_id\nA-1,ann\nA-2,bob")[:1] <= (2,)
    assert client.http.get(f"/discount/{discount_id}").get_json()["granted_count"] == 2


def test_a_shared_code_needs_no_column_and_codes_of_the_service_are_refused(client: Client) -> None:
    shared = client.create(codes={"kind": "shared", "code": "SALE"}, total_count=None)["id"]
    assert moved(client, shared, "user_id,uses\nann,1\nbob,") == (2, 0, 1, 0, [])
    unique = client.create()["id"]
    check_problem(send(client, unique, "code,user_id\nA,ann"), 409, "wrong-kind")
    check_problem(send(client, unique, "A", media_type="text/plain"), 415, "unsupported-media-type")
    check_problem(send(client, "dsc-000" + "2" * 22, "code,user_id\nA,ann"), 404, "not-found")
    check_problem(send(client, shared, "user_id\nzoe", query="?tell=maybe"), 422, "invalid", "tell")


def test_events_of_what_is_moved_in_say_so(client: Client, discount_id: str) -> None:
    body = "code,user_id,granted_at,redeemed_at\nA-1,ann,2024-03-01T00:00:00Z,2024-03-02T00:00:00.5Z"
    assert moved(client, discount_id, body)[:3] == (1, 0, 1)
    client.grant(discount_id, "bob")
    events = client.http.get("/event?brand_id=IKEA&types=code.granted,code.redeemed").get_json()["events"]
    granted, redeemed = (each["data"] for each in events)
    assert (granted["imported"], granted["granted_at"]) == (True, "2024-03-01T00:00:00Z")
    assert (redeemed["imported"], redeemed["redeemed_at"]) == (True, "2024-03-02T00:00:00.500000Z")
