"""Identities over HTTP: who shares one, what is kept of it, and the calls of the page."""

from typing import Any

import pytest

from discount.domain.identity import canonical
from tests.api.client import Client
from tests.api.page_calls import send_calls

ANN = {
    "email": "ann.smith@gmail.com",
    "device": "device-7f3a90c1",
    "address": "17 Very High Street",
    "card": "4000-1234-5678",
}


def opened(client: Client, most: int = 1, **more: Any) -> str:
    body = {"brand_id": "IKEA", "discount_code": "Welcome", "total_count": 10, "limits": {"per_identity": most}}
    made = client.http.post("/discount", json=body | more)
    assert made.status_code == 201, made.text
    assert made.get_json()["limits"]["per_identity"] == most
    return str(made.get_json()["id"])


def grant(client: Client, discount_id: str, user: str, **identity: str) -> tuple[int, Any]:
    body = {"user_id": user} | ({"identity": identity} if identity else {})
    answer = client.http.post(f"/discount/{discount_id}/grant", json=body)
    return answer.status_code, answer.get_json()


def test_the_calls_of_the_page_work_from_top_to_bottom(client: Client) -> None:
    answers = send_calls(client, "identity.md")
    assert [status for status, _ in answers] == [201, 201, 409]
    _, problem = answers[2]
    assert (problem["type"], problem["part"], problem["most"]) == ("/problems/already-granted-elsewhere", "email", 1)


@pytest.mark.parametrize("part", ["email", "device", "address", "card"])
def test_each_part_alone_identifies_two_users_as_one_person(client: Client, part: str) -> None:
    discount_id = opened(client)
    assert grant(client, discount_id, "Ann", **ANN)[0] == 201
    status, problem = grant(client, discount_id, "Bo", **{part: ANN[part].upper()})
    assert (status, problem["part"]) == (409, part)
    assert grant(client, discount_id, "Ann", **{part: ANN[part]})[0] == 200
    assert grant(client, discount_id, "Bo", **{part: "x" + ANN[part]})[0] == 201
    events = client.http.get("/event?brand_id=IKEA&types=identity.repeated").get_json()["events"]
    assert [each["data"] for each in events] == [{"discount_id": discount_id, "part": part}]


def test_a_repeat_is_reported_once(client: Client) -> None:
    discount_id = opened(client)
    grant(client, discount_id, "Ann", **ANN)
    for n in range(3):
        assert grant(client, discount_id, f"User {n}", card=ANN["card"])[0] == 409
    events = client.http.get("/event?brand_id=IKEA&types=identity.repeated").get_json()["events"]
    assert len(events) == 1


def test_as_many_users_as_the_limit_says_share_an_identity(client: Client) -> None:
    discount_id = opened(client, 2)
    statuses = [grant(client, discount_id, user, card="1234")[0] for user in ("Ann", "Bo", "Cy", "Ann", "Bo")]
    assert statuses == [201, 201, 409, 200, 200]
    assert client.http.get(f"/discount/{discount_id}").get_json()["granted_count"] == 2


def test_without_an_identity_no_code_is_granted_unless_the_user_has_claimed_one(client: Client) -> None:
    discount_id = opened(client, codes={"kind": "shared", "code": "HELLO"}, total_count=None)
    assert grant(client, discount_id, "Ann")[1]["type"] == "/problems/identity-missing"
    bulk = client.http.post(f"/discount/{discount_id}/grants", json={"user_ids": ["Ann"]}).get_json()
    assert bulk["grants"][0]["refusal"] == "identity-missing"
    assert grant(client, discount_id, "Ann", device="d")[0] == 201
    body = {"discount_id": discount_id, "user_id": "Ann", "code": "hello"}
    order = {"id": "1", "amount": 1000, "currency": "EUR"}
    assert client.http.post("/redemption", json=body | {"order": order}).status_code == 201


def test_a_refused_grant_gives_the_claim_back(client: Client) -> None:
    discount_id = opened(client, total_count=1)
    assert grant(client, discount_id, "Ann", card="1")[0] == 201
    assert grant(client, discount_id, "Bo", card="2")[1]["type"] == "/problems/sold-out"
    client.http.patch(f"/discount/{discount_id}", json={"total_count": 2})
    assert grant(client, discount_id, "Cy", card="2")[0] == 201


def test_a_refused_use_gives_the_claim_back_and_a_wrong_code_claims_nothing(client: Client) -> None:
    discount_id = opened(client, codes={"kind": "shared", "code": "HELLO"}, total_count=None)

    def redeem(user: str, code: str, order: str, path: str = "/redemption") -> Any:
        body = {"discount_id": discount_id, "user_id": user, "code": code, "identity": {"card": "1"}}
        return client.http.post(path, json=body | {"order": {"id": order, "amount": 1000, "currency": "EUR"}})

    assert redeem("Ann", "wrong", "1").status_code == 404
    assert redeem("Bo", "hello", "2", "/validation").get_json()["valid"] is True
    assert redeem("Cy", "hello", "3").status_code == 201
    assert redeem("Cy", "hello", "3").status_code == 200
    assert redeem("Cy", "hello", "4").get_json()["type"] == "/problems/already-redeemed"
    seen = redeem("Ann", "hello", "5", "/validation").get_json()
    assert [(each["word"], each["part"]) for each in seen["reasons"]] == [("already-granted-elsewhere", "card")]
    assert redeem("Ann", "hello", "5").get_json()["type"] == "/problems/already-granted-elsewhere"
    assert redeem("Ann", "wrong", "5").get_json()["type"] == "/problems/not-granted"


def read(redis: Any, name: str) -> Any:
    """Return what a key of any type holds, if it is text."""
    kind = redis.type(name)
    if kind in ("zset", "list"):
        return (redis.zrange if kind == "zset" else redis.lrange)(name, 0, -1)
    return {"hash": redis.hgetall, "set": redis.smembers, "stream": redis.xrange, "string": redis.get}[kind](name)


def test_nothing_of_an_identity_can_be_read_and_a_forgotten_user_frees_it(client: Client, redis: Any) -> None:
    discount_id, plain = opened(client, 2), client.create()["id"]
    grant(client, discount_id, "Ann", **ANN)
    grant(client, discount_id, "Bo", **ANN)
    grant(client, plain, "Ann", **ANN)

    kept = {name: redis.hgetall(name) for name in redis.scan_iter("*:identities:*", count=1000)}
    everything = "".join(str(read(redis, name)) for name in redis.scan_iter("*", count=1000) if ":buckets" not in name)

    assert kept
    assert all(discount_id in name for name in kept)
    for part, value in ANN.items():
        assert value not in everything
        assert canonical(part, value) not in everything  # type: ignore[arg-type]
    assert not any("Ann" in str(fields) for fields in kept.values())
    assert grant(client, discount_id, "Cy", **ANN)[0] == 409
    assert client.http.delete("/user/Ann").status_code == 200
    assert grant(client, discount_id, "Cy", **ANN)[0] == 201
    for user in ("Bo", "Cy"):
        client.http.delete(f"/user/{user}")
    assert not list(redis.scan_iter("*:identities:*", count=1000))


def test_the_digests_of_two_discounts_differ(client: Client, redis: Any) -> None:
    for _ in range(2):
        grant(client, opened(client), "Ann", email="ann@x.example")
    fields = [set(redis.hgetall(name)) for name in redis.scan_iter("*:identities:*", count=1000)]
    digests = [each for found in fields for each in found if each.startswith("e")]
    assert len(digests) == len(set(digests)) == 2


IDENTITIES: list[tuple[Any, str]] = [
    *[(value, "/identity") for value in [5, [], "ann@x.example"]],
    *[({"email": value}, "/identity/email") for value in ["", "ann", 5, "a@b c", "x" * 250 + "@x.example"]],
    *[({name: value}, f"/identity/{name}") for name in ("device", "address", "card") for value in ["", " - ", 5]],
    ({"card": "1" * 501}, "/identity/card"),
    ({"phone": "1"}, "/identity/phone"),
]


@pytest.mark.parametrize(("identity", "place"), IDENTITIES, ids=lambda value: repr(value)[:40])
def test_a_bad_identity_is_named(client: Client, identity: Any, place: str) -> None:
    discount_id = opened(client)
    body = {"user_id": "Ann", "identity": identity}
    client.refused("POST", f"/discount/{discount_id}/grant", 422, "invalid", place, json=body)


def test_the_limit_cannot_be_changed(client: Client) -> None:
    discount_id = opened(client)
    for most in (0, 11, "1", None):
        body = {"brand_id": "IKEA", "discount_code": "x", "total_count": 1, "limits": {"per_identity": most}}
        client.refused("POST", "/discount", 422, "invalid", "/limits/per_identity", json=body)
    changes = {"limits": {"per_identity": 2}}
    client.refused("PATCH", f"/discount/{discount_id}", 422, "invalid", "/limits/per_identity", json=changes)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ann@X.example", "ann@x.example", True),
        ("ann+shop@x.example", "ann@x.example", True),
        ("a.n.n+1@gmail.com", "ann@googlemail.com", True),
        ("a.nn@x.example", "ann@x.example", False),
        ("+ann@x.example", "+bo@x.example", False),
        ("ann@x.example", "ann@y.example", False),
    ],
)
def test_an_email_is_compared_as_its_host_does(one: str, other: str, same: bool) -> None:
    assert (canonical("email", one) == canonical("email", other)) is same


def test_several_codes_claim_the_identity_for_each_discount_or_for_none(client: Client) -> None:
    shared: dict[str, Any] = {"total_count": None, "combines": "all"}
    one = opened(client, codes={"kind": "shared", "code": "ONE"}, **shared)
    other = opened(client, codes={"kind": "shared", "code": "OTHER"}, **shared)
    client.create(codes={"kind": "shared", "code": "FULL"}, limits={"total": 0}, **shared)

    def redeem(user: str, codes: list[str], order: str, card: str) -> Any:
        body = {"brand_id": "IKEA", "user_id": user, "codes": codes, "identity": {"card": card}}
        return client.http.post("/redemption", json=body | {"order": {"id": order, "amount": 1000, "currency": "EUR"}})

    assert redeem("Ann", ["one", "full"], "1", "77").get_json()["type"] == "/problems/limit-reached"
    assert redeem("Bo", ["one", "other"], "2", "77").status_code == 201
    assert redeem("Bo", ["one", "other"], "2", "77").status_code == 200
    refused = redeem("Cy", ["other", "one"], "3", "77").get_json()
    assert (refused["type"], refused["part"]) == ("/problems/already-granted-elsewhere", "card")
    assert [grant(client, each, "Cy", card="77")[0] for each in (one, other)] == [409, 409]
    assert redeem("Cy", ["other", "one"], "3", "78").status_code == 201
