"""Waiting lists, paced release and claims over HTTP."""

from typing import Any

import pytest

from discount.store import keys
from tests.api.client import Client, check_problem


def sold_out(client: Client, **changes: Any) -> str:
    """Create a discount with one code, which Ann holds."""
    discount_id = str(client.create(total_count=1, **changes)["id"])
    assert client.grant(discount_id, "Ann").status_code == 201
    return discount_id


def wait(client: Client, discount_id: str, user: str = "Bob") -> Any:
    return client.http.post(f"/discount/{discount_id}/wait", json={"user_id": user})


def test_a_wait_has_a_place_until_it_ends(client: Client) -> None:
    discount_id = sold_out(client)
    begun = wait(client, discount_id)
    assert (begun.status_code, begun.get_json()["place"]) == (201, 1)
    again = wait(client, discount_id)
    assert (again.status_code, again.get_json()) == (200, begun.get_json())
    assert wait(client, discount_id, "Cid").get_json()["place"] == 2
    path = f"/discount/{discount_id}/wait?user_id=Bob"
    assert client.http.get(path).get_json() == begun.get_json()
    page = client.http.get(f"/discount/{discount_id}/waits?limit=1").get_json()
    assert page["waits"] == [begun.get_json()]
    rest = client.http.get(f"/discount/{discount_id}/waits?limit=1&cursor={page['next']}").get_json()
    assert ([each["place"] for each in rest["waits"]], rest["next"]) == ([2], None)
    assert client.http.delete(path).status_code == 204
    client.refused("DELETE", path, 404, "not-waiting")
    client.refused("GET", path, 404, "not-waiting")


def test_a_wait_that_makes_no_sense_is_refused_with_its_slug(client: Client) -> None:
    discount_id = sold_out(client)
    call: dict[str, Any] = {"json": {"user_id": "Ann"}}
    client.refused("POST", f"/discount/{discount_id}/wait", 409, "already-granted", **call)
    free = client.create()["id"]
    client.refused("POST", f"/discount/{free}/wait", 409, "codes-left", **call)
    client.http.delete(f"/discount/{free}")
    client.refused("POST", f"/discount/{free}/wait", 409, "closed", **call)
    unknown = "dsc-000" + "2" * 22
    for method, path in (
        ("POST", "wait"),
        ("GET", "wait?user_id=Ann"),
        ("DELETE", "wait?user_id=Ann"),
        ("GET", "waits"),
    ):
        client.refused(method, f"/discount/{unknown}/{path}", 404, "not-found", **(call if method == "POST" else {}))
    client.refused("POST", f"/discount/{discount_id}/wait", 422, "invalid", "/user_id", json={"user_id": ""})
    client.refused(
        "POST", f"/discount/{discount_id}/wait", 422, "invalid", "/email", json={"user_id": "A", "email": "a"}
    )
    client.refused("GET", f"/discount/{discount_id}/waits?cursor=x", 422, "invalid", "cursor")
    client.refused("GET", f"/discount/{discount_id}/wait", 422, "invalid", "user_id")


def test_a_grant_before_its_release_says_when_the_next_code_comes(client: Client) -> None:
    made = client.create(release={"at": "2280-01-01T00:00:00Z", "per_minute": 30})
    assert made["release"] == {"at": "2280-01-01T00:00:00Z", "per_minute": 30}
    problem = check_problem(client.grant(made["id"]), 409, "not-released")
    assert problem["opens_at"] == "2280-01-01T00:00:00Z"
    wait(client, made["id"], "Cid")
    assert check_problem(client.grant(made["id"]), 409, "not-released")["opens_at"] == "2280-01-01T00:00:02Z"
    bulk = client.http.post(f"/discount/{made['id']}/grants", json={"user_ids": ["Ann"]}).get_json()
    assert bulk["grants"] == [{"user_id": "Ann", "granted": False, "refusal": "not-released"}]
    # From any discount of the brand, one that releases later is passed over.
    check_problem(client.http.post("/brand/IKEA/grant", json={"user_id": "Ann"}), 409, "sold-out")
    changed = client.http.patch(f"/discount/{made['id']}", json={"release": None}).get_json()
    assert (changed["release"], changed["granted_count"], changed["waiting_count"]) == (None, 1, 0)


def test_a_newcomer_is_refused_while_codes_are_for_those_who_wait(client: Client) -> None:
    discount_id = sold_out(client)
    wait(client, discount_id)
    partition = keys.partition_of("IKEA", 16)
    client.redis.hset(keys.usage(partition), "quotas IKEA", "- - 0 - -")
    client.http.patch(f"/discount/{discount_id}", json={"total_count": 2})
    check_problem(client.grant(discount_id, "Newcomer"), 409, "others-wait")
    client.redis.hdel(keys.usage(partition), "quotas IKEA")
    assert client.grant(discount_id, "Bob").status_code == 200
    check_problem(client.grant(discount_id, "Newcomer"), 409, "sold-out")


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"release": {"at": "2280-01-01T00:00:00Z"}}, "/release/per_minute"),
        ({"release": {"at": "2280-01-01T00:00:00Z", "per_minute": 0}}, "/release/per_minute"),
        ({"release": {"at": "1970-01-01T00:00:00Z", "per_minute": 1}}, "/release/at"),
        ({"release": {"at": "2280-01-01", "per_minute": 1}}, "/release/at"),
        ({"release": {"at": "2280-01-01T00:00:00Z", "per_minute": 1, "x": 1}}, "/release/x"),
        ({"release": 5}, "/release"),
        ({"claim_within": "P1M"}, "/claim_within"),
        ({"claim_within": "2 days"}, "/claim_within"),
        ({"claim_within": "P1D", "codes": {"kind": "shared", "code": "X1"}}, "/claim_within"),
    ],
)
def test_a_bad_pace_or_claim_is_refused_with_its_place(client: Client, given: dict[str, Any], place: str) -> None:
    body = {"brand_id": "IKEA", "discount_code": "x", "total_count": 1} | given
    client.refused("POST", "/discount", 422, "invalid", place, json=body)
    if "release" in given:
        discount_id = client.create()["id"]
        client.refused("PATCH", f"/discount/{discount_id}", 422, "invalid", place, json=given)


def test_a_code_to_use_in_time_says_until_when(client: Client) -> None:
    made = client.create(claim_within="PT36H")
    granted = client.grant(made["id"], "Ann").get_json()
    held = client.http.get(f"/discount/{made['id']}/grant?user_id=Ann").get_json()
    assert granted["claim_until"] == held["claim_until"] > granted["granted_at"]
    assert "claim_until" not in client.grant(client.create()["id"], "Ann").get_json()


def test_events_of_a_wait_are_listed(client: Client) -> None:
    discount_id = sold_out(client)
    wait(client, discount_id)
    client.http.delete(f"/discount/{discount_id}/wait?user_id=Bob")
    wait(client, discount_id)
    revoked = {"user_id": "Ann", "back": "pool"}
    assert client.http.post(f"/discount/{discount_id}/grant/revoke", json=revoked).status_code == 200
    listed = client.http.get("/event?brand_id=IKEA").get_json()["events"]
    found = [(each["type"], each["data"].get("user_id")) for each in listed]
    assert found[1:] == [
        *(("code.granted", "Ann"), ("discount.sold-out", None), ("wait.started", "Bob"), ("wait.ended", "Bob")),
        *(("wait.started", "Bob"), ("code.revoked", "Ann"), ("code.granted", "Bob")),
    ]
    assert listed[-1]["data"]["waited_since"] is not None
    assert listed[1]["data"]["waited_since"] is None


def test_only_users_of_the_audience_may_wait(client: Client) -> None:
    discount_id = client.create(total_count=1, audience={"groups": ["vip"]})["id"]
    body: dict[str, Any] = {"user_id": "Ann", "customer": {"groups": ["vip"]}}
    assert client.http.post(f"/discount/{discount_id}/grant", json=body).status_code == 201
    path = f"/discount/{discount_id}/wait"
    client.refused("POST", path, 409, "not-in-audience", json={"user_id": "Bob"})
    assert client.http.post(path, json=body | {"user_id": "Bob"}).status_code == 201
    revoked = {"user_id": "Ann", "back": "pool"}
    assert client.http.post(f"/discount/{discount_id}/grant/revoke", json=revoked).status_code == 200
    assert client.grant(discount_id, "Bob").status_code == 200
