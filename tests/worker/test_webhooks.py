"""The webhooks of brands and discounts over HTTP: their fields, the secret that is shown once, refusals."""

from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook as Reference

from discount.security.signing import Signer
from discount.services import webhooks
from discount.services.webhooks import MOST
from discount.store.connection import Store
from tests.api.client import DISCOUNT, Client, check_problem
from tests.faults.lossy import LossyLine
from tests.support.fixtures import ON_CLUSTER
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer

URL = "https://ikea.example/discounts"
NOWHERE = "whk-00" + "0" * 24


def make(client: Client, *, key: str | None = None, **changes: Any) -> dict[str, Any]:
    answer = client.http.post("/webhook", json={"brand_id": "IKEA", "url": URL} | changes, headers=_headers(key))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def _headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def listed(client: Client, brand: str = "IKEA") -> list[Any]:
    found: list[Any] = client.http.get("/webhook", query_string={"brand_id": brand}).get_json()["webhooks"]
    return found


def show(client: Client, webhook_id: str) -> Any:
    answer = client.http.get(f"/webhook/{webhook_id}")
    assert answer.status_code == 200
    return answer.get_json()


def change(client: Client, webhook_id: str, **changes: Any) -> Any:
    answer = client.http.patch(f"/webhook/{webhook_id}", json=changes)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


# Made and shown.


def test_a_webhook_is_made_with_its_secret_and_shown_without(client: Client) -> None:
    made = make(client, types=["code.granted"])
    secret = made.pop("secret")
    assert Reference(secret)
    assert made == {
        "id": made["id"],
        "brand_id": "IKEA",
        "discount_id": None,
        "url": URL,
        "types": ["code.granted"],
        "on": True,
        "off_reason": "",
        "off_at": None,
        "failing_since": None,
        "created_at": made["created_at"],
    }
    assert show(client, made["id"]) == made
    assert listed(client) == [made]


def test_a_secret_is_in_no_answer_but_the_one_that_made_it(client: Client) -> None:
    made = make(client)
    discount = client.create(webhook_url=URL)
    answers = [
        client.http.get("/webhook?brand_id=IKEA"),
        client.http.get(f"/webhook/{made['id']}"),
        client.http.patch(f"/webhook/{made['id']}", json={"on": False}),
        client.http.get(f"/webhook/{discount['webhook_id']}"),
        client.http.get(f"/discount/{discount['id']}"),
        client.http.get("/discount"),
        client.http.get("/event?brand_id=IKEA"),
        client.http.delete(f"/webhook/{made['id']}"),
    ]
    assert [each.status_code // 100 for each in answers] == [2] * len(answers)
    for each in answers:
        assert "secret" not in each.text
        assert "whsec_" not in each.text


def test_no_secret_of_a_webhook_is_stored(client: Client) -> None:
    make(client)
    client.create(webhook_url=URL)
    for name in client.redis.scan_iter("*webhook:*"):
        assert "whsec" not in str(client.redis.hgetall(name))


def test_the_webhooks_of_a_brand_are_listed_oldest_first(client: Client) -> None:
    made = [make(client, url=f"https://ikea.example/{number}")["id"] for number in range(3)]
    make(client, brand_id="Billy")
    assert [each["id"] for each in listed(client)] == made
    assert listed(client, "Nobody") == []


def test_a_brand_has_at_most_twenty_webhooks(client: Client) -> None:
    assert MOST == 20
    made = [make(client)["id"] for _ in range(MOST)]
    assert len(set(made)) == MOST
    body = {"brand_id": "IKEA", "url": URL}
    client.refused("POST", "/webhook", 409, "too-many-webhooks", json=body)
    # Those of discounts do not count, nor do another brand's.
    client.create(webhook_url=URL)
    make(client, discount_id=client.create()["id"])
    make(client, brand_id="Billy")
    assert client.http.delete(f"/webhook/{made[7]}").status_code == 204
    make(client)
    client.refused("POST", "/webhook", 409, "too-many-webhooks", json=body)


def test_a_change_of_a_webhook_affects_only_the_named_fields(client: Client) -> None:
    made = make(client, types=["code.granted"])
    made.pop("secret")
    assert change(client, made["id"], url=URL + "/2") == made | {"url": URL + "/2"}
    assert change(client, made["id"], types=[]) == made | {"url": URL + "/2", "types": []}
    assert show(client, made["id"]) == made | {"url": URL + "/2", "types": []}


def test_a_webhook_is_switched_off_and_on(client: Client) -> None:
    made = make(client)
    made.pop("secret")
    off = change(client, made["id"], on=False)
    assert off == made | {"on": False, "off_reason": "asked", "off_at": off["off_at"]}
    assert off["off_at"] >= made["created_at"]
    assert change(client, made["id"], on=True) == made


def test_a_removed_webhook_is_gone(client: Client) -> None:
    made = make(client)["id"]
    answer = client.http.delete(f"/webhook/{made}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert listed(client) == []
    gone: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("GET", f"/webhook/{made}", {}),
        ("DELETE", f"/webhook/{made}", {}),
        ("PATCH", f"/webhook/{made}", {"json": {"on": True}}),
        ("POST", f"/webhook/{made}/secret", {}),
        ("POST", "/webhook/test", {"json": {"webhook_id": made}}),
    )
    for method, path, call in gone:
        client.refused(method, path, 404, "not-found", **call)


@pytest.mark.parametrize("name", [NOWHERE, "whk-ff" + "0" * 24, "whk-", "dsc-1", "ä"])
def test_an_unknown_webhook_is_not_found(client: Client, name: str) -> None:
    client.refused("GET", f"/webhook/{name}", 404, "not-found")
    client.refused("DELETE", f"/webhook/{name}", 404, "not-found")
    client.refused("PATCH", f"/webhook/{name}", 404, "not-found", json={"url": URL})
    client.refused("POST", f"/webhook/{name}/secret", 404, "not-found")


# A discount's own.


def test_a_discount_can_be_created_with_a_webhook(client: Client) -> None:
    made = client.create(webhook_url=URL, webhook_types=["discount.sold-out"])
    assert Reference(made["webhook_secret"])
    found = show(client, made["webhook_id"])
    assert (found["brand_id"], found["discount_id"], found["url"]) == ("IKEA", made["id"], URL)
    assert (found["types"], found["on"]) == (["discount.sold-out"], True)
    assert client.http.get(f"/discount/{made['id']}").get_json()["webhook_id"] == found["id"]
    assert listed(client) == []


def test_a_discount_without_a_webhook_has_no_webhook_id(client: Client) -> None:
    made = client.create()
    assert made["webhook_id"] is None
    assert "webhook_secret" not in made


def test_a_discount_is_given_a_webhook_later_once(client: Client) -> None:
    discount = client.create()["id"]
    made = make(client, discount_id=discount)
    assert made["discount_id"] == discount
    assert client.http.get(f"/discount/{discount}").get_json()["webhook_id"] == made["id"]
    body = {"brand_id": "IKEA", "url": URL, "discount_id": discount}
    client.refused("POST", "/webhook", 409, "webhook-taken", json=body)
    client.refused("POST", "/webhook", 409, "webhook-taken", json=body, headers=_headers("k"))


def test_a_discount_made_with_a_webhook_takes_no_second(client: Client) -> None:
    discount = client.create(webhook_url=URL)["id"]
    body = {"brand_id": "IKEA", "url": URL, "discount_id": discount}
    client.refused("POST", "/webhook", 409, "webhook-taken", json=body)


def test_a_removed_discount_webhook_can_be_replaced_with_a_new_secret(client: Client) -> None:
    made = client.create(webhook_url=URL)
    secrets = {made["webhook_secret"], client.http.post(f"/webhook/{made['webhook_id']}/secret").get_json()["secret"]}
    assert client.http.delete(f"/webhook/{made['webhook_id']}").status_code == 204
    assert client.http.get(f"/discount/{made['id']}").get_json()["webhook_id"] is None
    again = make(client, discount_id=made["id"], url=URL + "/2")
    assert show(client, again["id"])["url"] == URL + "/2"
    assert again["secret"] not in secrets


def test_a_closed_discount_has_its_webhook_still(client: Client) -> None:
    made = client.create(webhook_url=URL)
    closed = client.http.delete(f"/discount/{made['id']}").get_json()
    assert closed["webhook_id"] == made["webhook_id"]
    assert show(client, made["webhook_id"])["on"]
    # It gets the events of codes that users hold.
    assert make(client, discount_id=client.http.delete(f"/discount/{client.create()['id']}").get_json()["id"])


@pytest.mark.parametrize("discount", ["dsc-0c0k46KbodvdNc34ceyPuDevT", "dsc-", "", "x"])
def test_a_webhook_for_an_unknown_discount_is_refused(client: Client, discount: str) -> None:
    body = {"brand_id": "IKEA", "url": URL, "discount_id": discount}
    client.refused("POST", "/webhook", 404, "not-found", json=body)


def test_another_brands_discount_has_no_webhook_of_this_brand(client: Client) -> None:
    body = {"brand_id": "Billy", "url": URL, "discount_id": client.create()["id"]}
    client.refused("POST", "/webhook", 404, "not-found", json=body)


# Once more.


def test_the_same_key_and_request_is_the_same_webhook_with_the_same_secret(client: Client) -> None:
    made = make(client, key="k", types=["code.granted"])
    assert make(client, key="k", types=["code.granted"]) == made
    assert len(listed(client)) == 1


@pytest.mark.parametrize("changes", [{"url": URL + "/2"}, {"types": ["code.granted"]}])
def test_the_same_key_for_another_webhook_is_refused(client: Client, changes: dict[str, Any]) -> None:
    make(client, key="k")
    body = {"brand_id": "IKEA", "url": URL} | changes
    client.refused("POST", "/webhook", 422, "idempotency-mismatch", json=body, headers=_headers("k"))


def test_idempotency_keys_are_separate_for_each_brand(client: Client) -> None:
    assert make(client, key="k")["id"] != make(client, key="k", brand_id="Billy")["id"]


def test_a_key_is_recognized_even_if_its_brand_has_all_its_webhooks(client: Client) -> None:
    made = [make(client, key=f"k{number}") for number in range(MOST)]
    assert make(client, key="k3") == made[3]


def test_a_discounts_webhook_is_made_once_with_a_key(client: Client) -> None:
    discount = client.create()["id"]
    made = make(client, key="k", discount_id=discount)
    assert make(client, key="k", discount_id=discount) == made


def test_each_call_without_a_key_creates_another_webhook(client: Client) -> None:
    assert make(client)["secret"] != make(client)["secret"]
    assert len(listed(client)) == 2


def test_a_repeated_create_with_its_key_returns_the_same_secret(client: Client) -> None:
    body = DISCOUNT | {"webhook_url": URL, "webhook_types": ["code.granted"]}
    answers = [client.http.post("/discount", json=body, headers=_headers("k")).get_json() for _ in range(3)]
    assert len({(each["id"], each["webhook_id"], each["webhook_secret"]) for each in answers}) == 1
    assert answers[0]["webhook_secret"].startswith("whsec_")


@pytest.mark.parametrize(
    "changes", [{"webhook_url": URL + "/2"}, {"webhook_types": []}, {"webhook_url": None, "webhook_types": []}]
)
def test_the_key_of_a_discount_with_another_webhook_is_refused(client: Client, changes: dict[str, Any]) -> None:
    body = DISCOUNT | {"webhook_url": URL, "webhook_types": ["code.granted"]}
    assert client.http.post("/discount", json=body, headers=_headers("k")).status_code == 201
    client.refused("POST", "/discount", 422, "idempotency-mismatch", json=body | changes, headers=_headers("k"))


def test_types_of_a_discount_without_a_webhook_are_refused(client: Client) -> None:
    client.refused(
        "POST", "/discount", 422, "invalid", "/webhook_types", json=DISCOUNT | {"webhook_types": ["code.granted"]}
    )


def test_a_repeat_after_a_rotation_returns_the_current_secret(client: Client, signatures: Signer) -> None:
    body = DISCOUNT | {"webhook_url": URL}
    made = client.http.post("/discount", json=body, headers=_headers("k")).get_json()
    rotated = client.http.post(f"/webhook/{made['webhook_id']}/secret").get_json()["secret"]
    assert client.http.post("/discount", json=body, headers=_headers("k")).get_json()["webhook_secret"] == rotated


def test_a_repeat_after_the_webhook_was_removed_returns_no_secret(client: Client) -> None:
    body = DISCOUNT | {"webhook_url": URL}
    made = client.http.post("/discount", json=body, headers=_headers("k")).get_json()
    client.http.delete(f"/webhook/{made['webhook_id']}")
    again = client.http.post("/discount", json=body, headers=_headers("k")).get_json()
    assert (again["id"], again["webhook_id"], "webhook_secret" in again) == (made["id"], None, False)


def test_a_webhook_created_again_after_removal_has_a_new_secret(client: Client) -> None:
    made = make(client, key="k")
    client.http.delete(f"/webhook/{made['id']}")
    assert make(client, key="k")["secret"] != made["secret"]


# Secrets rotate.


def test_a_rotated_secret_is_shown_once_and_is_another(client: Client) -> None:
    made = make(client)
    answer = client.http.post(f"/webhook/{made['id']}/secret")
    assert answer.status_code == 201
    rotated = answer.get_json()
    assert rotated.pop("secret") != made.pop("secret")
    assert rotated == made


@pytest.fixture
def line(redis_server: RedisServer) -> Iterator[LossyLine]:
    if ON_CLUSTER:
        pytest.skip("the nodes of a Cluster are not asked through this line")
    with LossyLine("127.0.0.1", redis_server.port) as lossy:
        yield lossy


@pytest.fixture
def lossy(line: LossyLine, client: Client) -> Store:
    return Store.at(f"redis://127.0.0.1:{line.port}/0", PATIENCE, 16)


def test_a_webhook_is_created_once_despite_a_lost_reply(line: LossyLine, lossy: Store, client: Client) -> None:
    webhooks.list_of_brand(lossy, "IKEA")
    line.lose(1)
    made = webhooks.create(lossy, "IKEA", URL)
    assert line.lost == 1
    assert webhooks.list_of_brand(lossy, "IKEA") == [made]


def test_a_discount_webhook_is_created_once_despite_a_lost_reply(line: LossyLine, lossy: Store, client: Client) -> None:
    discount = client.create()["id"]
    line.lose(1)
    made = webhooks.create(lossy, "IKEA", URL, discount_id=discount)
    assert (line.lost, made.discount_id) == (1, discount)


def test_a_rotation_with_a_lost_reply_keeps_the_previous_secret(line: LossyLine, lossy: Store, client: Client) -> None:
    made = webhooks.create(lossy, "IKEA", URL)
    line.lose(1)
    rotated = webhooks.rotate(lossy, made.id)
    assert line.lost == 1
    assert webhooks.versions(rotated, rotated.created_at) == [made.version + 1, made.version]


# Tests.


def test_a_test_returns_its_event_and_the_coming_delivery(client: Client) -> None:
    made = make(client, types=["code.granted"])["id"]
    answer = client.http.post("/webhook/test", json={"webhook_id": made})
    assert answer.status_code == 202
    events = client.http.get("/event?brand_id=IKEA").get_json()["events"]
    assert [(each["id"], each["type"], each["data"]) for each in events] == [
        (answer.get_json()["event_id"], "webhook.test", {"webhook_id": made})
    ]


def test_a_webhook_that_is_off_is_not_tested(client: Client) -> None:
    made = make(client)["id"]
    change(client, made, on=False)
    client.refused("POST", "/webhook/test", 409, "webhook-off", json={"webhook_id": made})


# Refused.


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ikea.example",
        "//ikea.example",
        "ftp://ikea.example/",
        "javascript:alert(1)",
        "https://",
        "https:///x",
        "https:// ikea.example/",
        "https://ikea.example/ä",
        "https://ikea.example/\n",
        "https://ikea.example/a b",
        "https://user@ikea.example/",
        "https://ikea.example:x/",
        "https://10.0.0.1/",
        "https://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "https://167772161/",
        "https://[fd00::1]/",
        "https://" + "a" * 2048,
    ],
)
def test_a_bad_address_is_refused_everywhere(client: Client, url: str) -> None:
    made = make(client)["id"]
    client.refused("POST", "/webhook", 422, "invalid", "/url", json={"brand_id": "IKEA", "url": url})
    client.refused("PATCH", f"/webhook/{made}", 422, "invalid", "/url", json={"url": url})
    client.refused("POST", "/discount", 422, "invalid", "/webhook_url", json=DISCOUNT | {"webhook_url": url})


@pytest.mark.parametrize("types", [["code.given"], ["webhook.test"], ["code.granted", ""], [1], "code.granted", {}])
def test_unknown_types_are_refused_everywhere(client: Client, types: Any) -> None:
    made = make(client)["id"]
    for method, path, body in (
        ("POST", "/webhook", {"brand_id": "IKEA", "url": URL, "types": types}),
        ("PATCH", f"/webhook/{made}", {"types": types}),
        ("POST", "/discount", DISCOUNT | {"webhook_url": URL, "webhook_types": types}),
    ):
        before = client.state()
        answer = client.http.open(path, method=method, json=body)
        assert client.state() == before
        assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/invalid")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "/url"),
        ({"brand_id": "IKEA"}, "/url"),
        ({"url": URL}, "/brand_id"),
        ({"brand_id": "IKEA", "url": URL, "secret": "whsec_"}, "/secret"),
        ({"brand_id": "IKEA", "url": None}, "/url"),
        ({"brand_id": "", "url": URL}, "/brand_id"),
    ],
)
def test_a_bad_webhook_is_refused_where_it_is_bad(client: Client, body: Any, place: str) -> None:
    client.refused("POST", "/webhook", 422, "invalid", place, json=body)


@pytest.mark.parametrize(
    ("body", "place"), [({}, ""), ({"on": "yes"}, "/on"), ({"brand_id": "Billy"}, "/brand_id"), ({"url": None}, "")]
)
def test_a_bad_change_is_refused_where_it_is_bad(client: Client, body: Any, place: str) -> None:
    client.refused("PATCH", f"/webhook/{make(client)['id']}", 422, "invalid", place, json=body)


def test_a_list_without_a_brand_is_refused(client: Client) -> None:
    check_problem(client.http.get("/webhook"), 422, "invalid", "brand_id")


@pytest.mark.parametrize("named", ["", "whk-1", NOWHERE + "\n", "dlv-00" + "0" * 24])
def test_a_test_of_an_invalid_webhook_id_is_refused(client: Client, named: str) -> None:
    client.refused("POST", "/webhook/test", 422, "invalid", "/webhook_id", json={"webhook_id": named})


@pytest.mark.parametrize("of_discount", [False, True])
def test_a_closed_brand_gets_no_webhook(client: Client, of_discount: bool) -> None:
    client.http.post("/brand", json={"id": "IKEA"})
    body = {"brand_id": "IKEA", "url": URL}
    if of_discount:
        body["discount_id"] = client.http.post("/discount", json=DISCOUNT | {"brand_id": "IKEA"}).get_json()["id"]
    assert client.http.delete("/brand/IKEA").status_code == 200
    check_problem(client.http.post("/webhook", json=body), 409, "brand-closed")
    assert listed(client) == []


def test_a_repeat_finds_the_webhook_of_a_brand_that_was_closed_since(client: Client) -> None:
    client.http.post("/brand", json={"id": "IKEA"})
    made = make(client, key="once")
    client.http.delete("/brand/IKEA")
    assert make(client, key="once")["id"] == made["id"]
