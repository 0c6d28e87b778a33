"""The first four calls exactly as specified, then all others in one walk through the service."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from flask.testing import FlaskClient

from tests.api.client import (
    DISCOUNT,
    JSON,
    Client,
    check_problem,
)

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
LATER = "2280-01-01T00:00:00Z"


def test_the_four_calls_of_the_start_page_work_to_the_letter(raw: FlaskClient) -> None:
    healthy = raw.get("/healthy")
    assert (healthy.status_code, healthy.data) == (200, b"OK")
    body = '{"brand_id": "IKEA", "discount_code": "Christmas 2020 discount", "total_count": 100}'
    created = raw.post("/discount", headers={"Content-Type": JSON}, data=body)
    assert (created.status_code, created.content_type) == (201, JSON)
    found: dict[str, Any] = json.loads(created.data)
    assert (found["brand_id"], found["discount_code"], found["total_count"]) == (
        "IKEA",
        "Christmas 2020 discount",
        100,
    )
    assert found["id"].startswith("dsc-")
    assert re.fullmatch(MOMENT, found["created_at"])
    listed = raw.get("/discount")
    assert (listed.status_code, json.loads(listed.data)["discounts"]) == (200, [found])
    body = '{"user_id": "User 1"}'
    granted = raw.post(f"/discount/{found['id']}/grant", headers={"Content-Type": JSON}, data=body)
    grant = json.loads(granted.data)
    assert (granted.status_code, grant["discount_id"], grant["granted"]) == (201, found["id"], True)
    assert re.fullmatch(r"[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{4}", grant["code"])


def test_a_discount_shows_exactly_its_fields(client: Client) -> None:
    found = client.create(total_count=3, expires_at=LATER)
    assert re.fullmatch(MOMENT, found.pop("created_at"))
    assert re.fullmatch(r"dsc-[0-9a-f]{2}0[2-9A-Za-z]{22}", found.pop("id"))
    assert found == {
        "brand_id": "IKEA",
        "discount_code": "Christmas 2020 discount",
        "total_count": 3,
        "granted_count": 0,
        "remaining_count": 3,
        "status": "active",
        "starts_at": None,
        "expires_at": "2280-01-01T00:00:00Z",
        "valid_for": None,
        "claim_within": None,
        "release": None,
        "waiting_count": 0,
        "codes": {"kind": "unique", "pattern": "####-####-####", "alphabet": "23456789ABCDEFGHJKMNPQRSTUVWXYZ"},
        "percent_off": None,
        "amount_off": None,
        "currency": None,
        "minimum_amount": None,
        "maximum_discount": None,
        "limits": {"total": None, "per_user": 1, "per_user_per_day": None, "per_user_per_week": None},
        "timezone": "UTC",
        "returns_use": True,
        "redeemed_count": 0,
        "on_hold_count": 0,
        "rolled_back_count": 0,
        "revoked_count": 0,
        "metadata": {},
        "webhook_id": None,
        "sums": {},
    }


def test_a_grant_shows_exactly_its_fields(client: Client) -> None:
    found = client.create()
    answer = client.grant(found["id"])
    grant = answer.get_json()
    assert re.fullmatch(MOMENT, grant["granted_at"])
    assert set(grant) == {"discount_id", "user_id", "granted", "code", "granted_at", "good_until", "void"}
    assert (grant["good_until"], grant["void"]) == (None, False)
    assert (grant["user_id"], grant["granted"]) == ("User 1", True)


def test_a_grant_is_created_once_and_shown_after_that(client: Client) -> None:
    found = client.create()
    answers = [client.grant(found["id"]) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert [answer.get_json() for answer in answers] == [answers[0].get_json()] * 3


def test_counts_are_live(client: Client) -> None:
    found = client.create(total_count=2)
    counts = []
    for user in ("A", "B"):
        client.grant(found["id"], user)
        shown = client.http.get(f"/discount/{found['id']}").get_json()
        counts.append((shown["granted_count"], shown["remaining_count"], shown["status"]))
    assert counts == [(1, 1, "active"), (2, 0, "sold-out")]


def test_a_grant_that_is_held_is_shown(client: Client) -> None:
    found = client.create()
    given = client.grant(found["id"]).get_json()
    shown = client.http.get(f"/discount/{found['id']}/grant?user_id=User%201")
    assert (shown.status_code, shown.get_json()) == (200, given)
    check_problem(client.http.get(f"/discount/{found['id']}/grant?user_id=User"), 404, "not-granted")


def test_every_refusal_of_a_grant_has_its_problem(client: Client) -> None:
    found = client.create(total_count=1)
    address = f"/discount/{found['id']}"
    client.grant(found["id"], "Holder")
    check_problem(client.grant(found["id"]), 409, "sold-out")
    client.http.patch(address, json={"starts_at": LATER})
    assert check_problem(client.grant(found["id"]), 409, "not-started")["starts_at"] == LATER
    past = "2020-01-01T00:00:00.000001Z"
    client.http.patch(address, json={"starts_at": None, "expires_at": past})
    assert check_problem(client.grant(found["id"]), 409, "expired")["expires_at"] == past
    client.http.patch(address, json={"paused": True})
    check_problem(client.grant(found["id"]), 409, "paused")
    client.http.delete(address)
    check_problem(client.grant(found["id"]), 409, "closed")
    check_problem(client.grant("dsc-x"), 404, "not-found")


def test_a_discount_is_changed(client: Client) -> None:
    found = client.create()
    address = f"/discount/{found['id']}"
    given = {"paused": True, "total_count": 7, "discount_code": "Easter", "starts_at": LATER}
    changed = client.http.patch(address, json=given)
    assert changed.status_code == 200
    assert changed.get_json() == found | {
        "total_count": 7,
        "remaining_count": 7,
        "discount_code": "Easter",
        "starts_at": LATER,
        "status": "paused",
    }
    assert client.http.get(address).get_json() == changed.get_json()
    assert client.http.patch(address, json={"paused": False}).get_json()["status"] == "scheduled"
    assert client.http.patch(address, json={"starts_at": None}).get_json()["status"] == "active"


def test_a_total_below_the_granted_count_is_refused_with_that_count(client: Client) -> None:
    found = client.create()
    for user in "ABC":
        client.grant(found["id"], user)
    address = f"/discount/{found['id']}"
    problem = client.refused("PATCH", address, 409, "below-granted", json={"total_count": 2})
    assert problem["granted_count"] == 3


def test_a_discount_is_closed_for_good(client: Client) -> None:
    found = client.create()
    address = f"/discount/{found['id']}"
    closed = client.http.delete(address)
    assert (closed.status_code, closed.get_json()["status"]) == (200, "closed")
    assert client.http.delete(address + "?granted_codes=void").status_code == 200
    client.refused("PATCH", address, 409, "closed", json={"paused": True})
    client.refused("DELETE", "/discount/dsc-x", 404, "not-found")


def test_the_same_idempotency_key_gives_the_same_discount(client: Client) -> None:
    answers = [client.http.post("/discount", json=DISCOUNT, headers={"Idempotency-Key": "order-1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].get_json() == answers[1].get_json()
    client.refused(
        "POST",
        "/discount",
        422,
        "idempotency-mismatch",
        json=DISCOUNT | {"total_count": 5},
        headers={"Idempotency-Key": "order-1"},
    )


def test_the_same_moment_in_another_offset_is_the_same_request(client: Client) -> None:
    answers = [
        client.http.post("/discount", json=DISCOUNT | {"starts_at": at}, headers={"Idempotency-Key": "order-1"})
        for at in ("2030-01-01T12:00:00Z", "2030-01-01T14:00:00+02:00", "2030-01-01T12:00:00.000Z")
    ]
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.get_json()["id"] for answer in answers} == {answers[0].get_json()["id"]}
    assert answers[1].get_json()["starts_at"] == "2030-01-01T12:00:00Z"


def test_many_users_get_their_outcome_each_in_their_order(client: Client) -> None:
    found = client.create(total_count=2)
    users = ["B", "A", "B", "C"]
    answer = client.http.post(f"/discount/{found['id']}/grants", json={"user_ids": users})
    outcomes = answer.get_json()["grants"]
    assert (answer.status_code, answer.get_json()["discount_id"]) == (200, found["id"])
    assert [(each["user_id"], each["granted"]) for each in outcomes] == [
        ("B", True),
        ("A", True),
        ("B", True),
        ("C", False),
    ]
    assert outcomes[0] == outcomes[2]
    assert set(outcomes[0]) == {"user_id", "granted", "code", "granted_at", "good_until", "void"}
    assert outcomes[3] == {"user_id": "C", "granted": False, "refusal": "sold-out"}


def test_ten_thousand_users_are_granted_in_one_call(client: Client) -> None:
    found = client.create(total_count=9_990)
    users = [f"Ü{number:05d}" + "ü" * 122 for number in range(10_000)]
    answer = client.http.post(f"/discount/{found['id']}/grants", json={"user_ids": users})
    outcomes = answer.get_json()["grants"]
    assert [each["user_id"] for each in outcomes] == users
    assert [each["granted"] for each in outcomes] == [True] * 9_990 + [False] * 10
    assert len({each["code"] for each in outcomes[:9_990]}) == 9_990


def test_grants_are_listed_in_pages(client: Client) -> None:
    found = client.create()
    given = {user: client.grant(found["id"], user).get_json() for user in "ABCDE"}
    address = f"/discount/{found['id']}/grants?limit=2"
    listed: list[Any] = []
    sizes = []
    cursor = ""
    while cursor is not None:
        page = client.http.get(address + (f"&cursor={cursor}" if cursor else "")).get_json()
        assert set(page) == {"grants", "next"}
        listed += page["grants"]
        sizes.append(len(page["grants"]))
        cursor = page["next"]
    assert sizes == [2, 2, 1]
    assert {each["user_id"]: each for each in listed} == given


def test_discounts_are_listed_in_pages_newest_first(client: Client) -> None:
    made = [client.create(brand_id=f"Brand {number}") for number in range(5)][::-1]
    first = client.http.get("/discount?limit=3").get_json()
    second = client.http.get(f"/discount?limit=3&cursor={first['next']}").get_json()
    assert set(first) == {"discounts", "next"}
    assert first["discounts"] + second["discounts"] == made
    assert (len(first["discounts"]), second["next"]) == (3, None)


def test_discounts_are_listed_by_brand_and_status(client: Client) -> None:
    own = client.create()
    paused = client.create()
    client.create(brand_id="Other")
    client.http.patch(f"/discount/{paused['id']}", json={"paused": True})

    def ids(query: str) -> list[str]:
        return [each["id"] for each in client.http.get("/discount?" + query).get_json()["discounts"]]

    assert ids("brand_id=IKEA") == [paused["id"], own["id"]]
    assert ids("brand_id=IKEA&status=active") == [own["id"]]
    assert ids("brand_id=Nobody") == []


def test_a_user_s_grants_are_listed_over_brands(client: Client) -> None:
    made = [client.create(brand_id=brand) for brand in ("IKEA", "Other", "Third")]
    given = [client.grant(each["id"]).get_json() for each in made]
    listed = client.http.get("/user/User%201/grants").get_json()
    assert sorted(each["code"] for each in listed["grants"]) == sorted(each["code"] for each in given)
    of_other = client.http.get("/user/User%201/grants?brand_id=Other").get_json()
    assert (len(of_other["grants"]), of_other["next"]) == (1, None)
    assert of_other["grants"][0] == of_other["grants"][0] | given[1]
    assert client.http.get("/user/User%202/grants").get_json() == {"grants": [], "next": None}


def test_a_brand_grants_from_any_of_its_discounts(client: Client) -> None:
    found = client.create()
    answers = [client.http.post("/brand/IKEA/grant", json={"user_id": "User 1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].get_json() == answers[1].get_json()
    assert answers[0].get_json()["discount_id"] == found["id"]
    client.refused("POST", "/brand/Nobody/grant", 404, "not-found", json={"user_id": "User 1"})
    client.http.delete(f"/discount/{found['id']}")
    client.refused("POST", "/brand/IKEA/grant", 409, "sold-out", json={"user_id": "User 2"})


def test_ids_with_signs_that_urls_quote_work_everywhere(client: Client) -> None:
    for brand, user in (("Ålens & Co?", "a+b@c.example #1"), ("50%25", "100%"), ("日本", "Ünïcode ' \" ;")):
        found = client.create(brand_id=brand)
        given = client.grant(found["id"], user).get_json()
        assert given["user_id"] == user
        shown = client.http.get(f"/discount/{found['id']}/grant", query_string={"user_id": user})
        assert shown.get_json() == given
        quoted = user.replace("%", "%25").replace("#", "%23").replace("?", "%3F")
        listed = client.http.get(f"/user/{quoted}/grants", query_string={"brand_id": brand}).get_json()
        assert [each | given for each in listed["grants"]] == listed["grants"]
        assert (
            client.http.get("/discount", query_string={"brand_id": brand}).get_json()["discounts"][0]["id"]
            == found["id"]
        )


def test_times_are_the_redis_server_s(client: Client) -> None:
    seconds, rest = client.redis.time()
    before = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
    made = datetime.fromisoformat(client.create()["created_at"])
    assert before <= made


def test_the_service_is_ready_while_redis_answers(client: Client) -> None:
    answer = client.http.get("/ready")
    assert (answer.status_code, answer.get_json()) == (200, {"ready": True})


def test_a_head_request_gets_the_same_head_as_a_get(client: Client) -> None:
    answer = client.http.head("/healthy")
    assert (answer.status_code, answer.data) == (200, b"")
