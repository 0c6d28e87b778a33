"""The dialect of readable codes, line by line."""

from datetime import datetime
from hashlib import sha256
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from discount.dialects.adapters import readable_codes
from discount.domain.errors import Unavailable
from discount.services import discounts, exclusive_codes
from tests.api.client import Client
from tests.security.issuer import signed
from tests.security.two_brands import TwoBrands

CODES = "/api/v1/discountcode/"
USES = "/api/v1/discountcodeusage/"
AHMED = {"id": "AHMED2022BILLO", "discount": 10, "validity": "2280-12-31T00:00:00Z"}
OF_BILLO = AHMED | {"brand": "Billo"}


def create(http: FlaskClient, **changes: Any) -> dict[str, Any]:
    answer = http.post(CODES, json=OF_BILLO | changes)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def use(http: FlaskClient, user: str = "user-1", code: str = "AHMED2022BILLO", **more: Any) -> TestResponse:
    return http.post(USES, json={"discount_code": code, "user": user} | more)


def expire(http: FlaskClient, code: dict[str, Any]) -> None:
    answer = http.patch(f"/discount/{code['rule']['id']}", json={"expires_at": "2020-01-01T00:00:00Z"})
    assert answer.status_code == 200, answer.text


def check(answer: TestResponse, status: int, sentence: str) -> None:
    assert (answer.status_code, answer.get_json()) == (status, {"detail": sentence})


def test_a_code_is_made_with_its_rule_and_its_validity(raw: FlaskClient) -> None:
    made = create(raw)
    rule_id = made["rule"]["id"]
    assert rule_id.startswith("dsc-")
    assert made == {
        "id": "AHMED2022BILLO",
        "rule": {"id": rule_id, "brand": "Billo", "discount": 10},
        "validity": "2280-12-31T00:00:00Z",
    }


def test_the_discount_may_be_given_inside_a_rule(raw: FlaskClient) -> None:
    body = {name: value for name, value in OF_BILLO.items() if name != "discount"}
    answer = raw.post(CODES, json=body | {"rule": {"discount": 25}})
    assert (answer.status_code, answer.get_json()["rule"]["discount"]) == (201, 25)


@pytest.mark.parametrize(("given", "shown"), [(0, 0), (100, 100), (12.5, 12.5), ("7", 7), (0.01, 0.01)])
def test_any_percentage_from_0_to_100_is_accepted(raw: FlaskClient, given: Any, shown: float) -> None:
    assert create(raw, discount=given)["rule"]["discount"] == shown
    assert raw.get(f"{CODES}AHMED2022BILLO/").get_json()["rule"]["discount"] == shown


NOT_PERCENTAGES: list[Any] = [-1, -0.01, 100.01, 101, "ten", "NaN", "Infinity", "1E+9", None, 1.234, []]


@pytest.mark.parametrize(
    "changes",
    [
        *({"discount": wrong} for wrong in NOT_PERCENTAGES),
        *(
            {"validity": wrong}
            for wrong in ("2020-01-01T00:00:00Z", "2280-12-31", "soon", None, "9999-01-01T00:00:00Z")
        ),
        *({"id": wrong} for wrong in ("", "a/b", " A", "A\n", "x" * 65, 5, None, "-")),
        *({"brand": wrong} for wrong in ("", None, 5)),
        {"rule": {"discount": 11}},
        {"rule": {}},
    ],
    ids=str,
)
def test_an_invalid_field_is_refused_and_claims_no_code(client: Client, changes: dict[str, Any]) -> None:
    answer = client.http.post(CODES, json=OF_BILLO | changes)
    assert (answer.status_code, list(answer.get_json())) == (400, ["detail"]), answer.text
    assert client.state() == {}
    assert answer.get_json()["detail"].split()[0].split("/")[0] == next(iter(changes)).replace("rule", "discount") or (
        changes.get("rule") == {}
    )


def test_an_existing_code_is_refused_in_any_spelling(client: Client) -> None:
    create(client.http)
    for typed in ("AHMED2022BILLO", "ahmed-2022 billo"):
        check(
            client.http.post(CODES, json=OF_BILLO | {"id": typed}), 400, "Another discount of this brand has that code."
        )
        refused = client.http.post(CODES, json=OF_BILLO | {"id": typed, "brand": "IKEA"})
        check(refused, 403, "Another brand has this code.")
    assert len(client.http.get("/discount").get_json()["discounts"]) == 1


def test_a_code_stays_with_its_brand_after_the_discount_is_closed(raw: FlaskClient) -> None:
    made = create(raw)
    assert raw.delete(f"/discount/{made['rule']['id']}").status_code == 200
    assert raw.post(CODES, json=OF_BILLO | {"brand": "IKEA"}).status_code == 403
    assert raw.post(CODES, json=OF_BILLO).status_code == 400


def test_a_call_that_was_cut_off_after_its_claim_is_finished_by_the_same_brand(
    raw: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: Any, **__: Any) -> None:
        raise Unavailable()

    with monkeypatch.context() as patched:
        patched.setattr(discounts, "create", cut)
        answer = raw.post(CODES, json=OF_BILLO)
    check(answer, 503, Unavailable.title)
    assert answer.headers["Retry-After"] == "1"
    assert raw.get(f"{CODES}AHMED2022BILLO/").status_code == 404
    assert use(raw).status_code == 404
    assert raw.post(CODES, json=OF_BILLO | {"brand": "IKEA"}).status_code == 403
    create(raw)
    assert raw.get(f"{CODES}AHMED2022BILLO/").status_code == 200


def test_a_call_that_was_cut_off_before_its_claim_leaves_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: Any) -> None:
        raise Unavailable()

    monkeypatch.setattr(exclusive_codes, "claim", cut)
    assert client.http.post(CODES, json=OF_BILLO).status_code == 503
    assert client.state() == {}


def test_a_code_is_shown_and_an_unknown_code_is_not_found(raw: FlaskClient) -> None:
    made = create(raw)
    shown = raw.get(f"{CODES}AHMED2022BILLO/")
    assert (shown.status_code, shown.get_json()) == (200, made)
    check(raw.get(f"{CODES}NOBODY/"), 404, "There is no such code.")


def test_codes_are_listed_newest_first_without_unrelated_ones(raw: FlaskClient) -> None:
    assert raw.get(CODES).get_json() == []
    made = [create(raw, id=f"CODE{number}") for number in range(3)]
    native = {"brand_id": "Billo", "discount_code": "x", "codes": {"kind": "shared", "code": "NATIVE"}}
    assert raw.post("/discount", json=native).status_code == 201
    assert raw.post("/discount", json={"brand_id": "Billo", "discount_code": "x", "total_count": 1}).status_code == 201
    assert raw.get(CODES).get_json() == made[::-1]
    assert raw.get(CODES.rstrip("/")).get_json() == made[::-1]


def test_a_use_is_recorded_with_its_time_and_a_repeat_is_refused(raw: FlaskClient) -> None:
    create(raw)
    used = use(raw)
    assert used.status_code == 201
    assert used.get_json() == {
        "id": used.get_json()["id"],
        "discount_code": "AHMED2022BILLO",
        "user": "user-1",
        "time": used.get_json()["time"],
    }
    assert datetime.fromisoformat(used.get_json()["time"]).tzinfo
    check(use(raw), 400, "The user has redeemed this code.")
    check(use(raw, code="ahmed2022-billo"), 400, "The user has redeemed this code.")
    assert use(raw, "user-2").status_code == 201
    assert [each["user"] for each in raw.get(USES).get_json()] == ["user-2", "user-1"]


def test_an_expired_code_is_refused_and_an_unknown_code_is_not_found(raw: FlaskClient) -> None:
    made = create(raw)
    expire(raw, made)
    check(use(raw), 400, "The discount has expired.")
    check(use(raw, code="NOBODY"), 404, "There is no such code.")
    assert raw.get(USES).get_json() == []


@pytest.mark.parametrize(
    ("percent", "amount", "reduced"),
    [
        (10, "100.00", "90.00"),
        (10, "99.99", "89.99"),
        (33.33, "0.01", "0.01"),
        (50, "0.01", "0.00"),
        (0, "12.30", "12.30"),
        (100, "12.30", "0.00"),
        (12.5, "80", "70.00"),
        (10, "0", "0.00"),
        (10, "1E+2", "90.00"),
        (1, "10000000000.00", "9900000000.00"),
    ],
)
def test_an_amount_is_shown_reduced(raw: FlaskClient, percent: float, amount: str, reduced: str) -> None:
    create(raw, discount=percent)
    used = use(raw, amount=amount)
    assert (used.status_code, used.get_json()["reduced_amount"]) == (201, reduced)


@pytest.mark.parametrize(
    "amount", ["-1", "x", "", "1.234", "NaN", "-Infinity", "10000000000.01", "1E+99999999", [], {}]
)
def test_an_amount_that_cannot_be_is_refused_and_nothing_is_counted(client: Client, amount: Any) -> None:
    create(client.http)
    before = client.state()
    answer = use(client.http, amount=amount)
    assert (answer.status_code, answer.get_json()["detail"].split()[0]) == (400, "amount")
    assert client.state() == before


def test_a_use_without_a_user_is_refused(raw: FlaskClient) -> None:
    create(raw)
    check(raw.post(USES, json={"discount_code": "AHMED2022BILLO"}), 400, "user is missing.")


def test_the_brand_gets_an_event_of_each_use(client: Client) -> None:
    made = create(client.http)
    used = use(client.http, amount="5.00").get_json()
    partition = made["rule"]["id"][4:6]
    entries = [entry for _, entry in client.redis.xrange(f"{{{partition}}}:events")]
    (event,) = [entry for entry in entries if entry["type"] == "code.redeemed"]
    assert (event["brand"], event["user"], event["code"]) == ("Billo", "user-1", "AHMED2022BILLO")
    assert (event["redemption"], event["amount"], event["discount_amount"]) == (used["id"], "500", "50")


def test_users_with_an_address_are_granted_a_new_code_and_so_get_an_e_mail(
    two_brands: TwoBrands,
) -> None:
    billo, ikea = two_brands.open_shop("Billo"), two_brands.open_shop("IKEA")
    for number, shop in enumerate((billo, billo, ikea)):
        two_brands.done("POST", "/user", shop.key, data={"name": "x", "email_id": f"user{number}@user.example"})
    made = two_brands.done("POST", CODES, billo.key, json=AHMED)
    grants = two_brands.done("GET", f"/discount/{made['rule']['id']}/grants", billo.key)["grants"]
    assert sorted(each["user_id"] for each in grants) == ["1", "2", "Ann"]
    assert {each["code"] for each in grants} == {AHMED["id"]}


def test_with_tokens_brands_create_and_users_use(two_brands: TwoBrands) -> None:
    billo, ikea = two_brands.open_shop("Billo"), two_brands.open_shop("IKEA")
    made = two_brands.done("POST", CODES, billo.key, json=AHMED)
    assert made["rule"]["brand"] == "Billo"
    check(two_brands.ask("POST", CODES, ikea.key, json=AHMED), 403, "Another brand has this code.")
    assert two_brands.ask("POST", CODES, signed("Ann"), json=AHMED | {"id": "X"}).status_code == 403
    assert two_brands.done("GET", f"{CODES}AHMED2022BILLO/", signed("Ann")) == made
    check(two_brands.ask("GET", f"{CODES}AHMED2022BILLO/", ikea.key), 404, "There is no such code.")
    body = {"discount_code": "AHMED2022BILLO"}
    check(
        two_brands.ask("POST", USES, signed("Ann"), json=body | {"user": "Bo"}),
        403,
        "A user's token is good for that user only.",
    )
    check(two_brands.ask("POST", USES, ikea.key, json=body | {"user": "Bo"}), 404, "There is no such code.")
    assert two_brands.done("POST", USES, signed("Ann"), json=body)["user"] == "Ann"
    assert two_brands.done("POST", USES, billo.key, json=body | {"user": "Bo"})["user"] == "Bo"


def test_each_caller_lists_only_its_own_data(two_brands: TwoBrands) -> None:
    billo, ikea = two_brands.open_shop("Billo"), two_brands.open_shop("IKEA")
    for shop, code in ((billo, "BILLO"), (ikea, "HEJ")):
        two_brands.done("POST", CODES, shop.key, json=AHMED | {"id": code})
        for user in ("Ann", "Bo"):
            two_brands.done("POST", USES, signed(user), json={"discount_code": code})
    for shop, code in ((billo, "BILLO"), (ikea, "HEJ")):
        assert [each["id"] for each in two_brands.done("GET", CODES, shop.key)] == [code]
        uses = two_brands.done("GET", USES, shop.key)
        assert [(each["discount_code"], each["user"]) for each in uses] == [(code, "Bo"), (code, "Ann")]
    # What Ann redeemed natively is no use of a readable code.
    mine = two_brands.done("GET", USES, signed("Ann"))
    assert [(each["discount_code"], each["user"]) for each in mine] == [("HEJ", "Ann"), ("BILLO", "Ann")]


def test_a_user_lists_the_codes_that_it_was_granted(two_brands: TwoBrands) -> None:
    billo, ikea = two_brands.open_shop("Billo"), two_brands.open_shop("IKEA")
    assert two_brands.done("GET", CODES, signed("Ann")) == []
    made = [two_brands.done("POST", CODES, shop.key, json=AHMED | {"id": shop.brand}) for shop in (billo, ikea)]
    # Ann, whose address they know, holds a code of each; besides, two that are not readable ones.
    assert sorted(each["id"] for each in two_brands.done("GET", CODES, signed("Ann"))) == ["Billo", "IKEA"]
    assert {str(each) for each in two_brands.done("GET", CODES, signed("Ann"))} == set(map(str, made))
    assert two_brands.done("GET", CODES, signed("Bo")) == []


def test_a_code_is_announced_to_no_more_users_than_one_call_can_handle(
    raw: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readable_codes, "MAX_GRANTED", 2)
    for user in ("a", "b", "c"):
        body = {"email": f"{user}@user.example"}
        assert raw.put(f"/user/{user}?brand_id=Billo", json=body).status_code == 200
    path = f"/discount/{create(raw)['rule']['id']}/grants"
    assert sorted(each["user_id"] for each in raw.get(path).get_json()["grants"]) == ["a", "b"]


def test_a_use_is_shown_by_its_id(raw: FlaskClient) -> None:
    create(raw)
    used = use(raw, amount="5.00").get_json()
    for path in (f"{USES}{used['id']}/", f"{USES}{used['id']}", f"/api/discountcodeusage/{used['id']}"):
        answer = raw.get(path, follow_redirects=True)
        assert (answer.status_code, answer.get_json()) == (200, used)
    for unknown in ("nothing", "1", "rdm-00" + "0" * 24):
        check(raw.get(f"{USES}{unknown}/"), 404, "There is no such redemption.")
    # Neither what was used natively nor what was rolled back is one.
    native = {"brand_id": "Billo", "discount_code": "x", "codes": {"kind": "shared", "code": "NATIVE"}}
    discount = raw.post("/discount", json=native).get_json()["id"]
    order = {"id": "A", "amount": 1, "currency": "EUR"}
    body = {"discount_id": discount, "user_id": "Ann", "code": "NATIVE", "order": order}
    other = raw.post("/redemption", json=body).get_json()["id"]
    check(raw.get(f"{USES}{other}/"), 404, "There is no such use.")
    assert raw.post(f"/redemption/{used['id']}/rollback").status_code == 200
    check(raw.get(f"{USES}{used['id']}/"), 404, "There is no such use.")


def test_a_use_is_shown_only_to_its_brand_and_user(two_brands: TwoBrands) -> None:
    billo, ikea = two_brands.open_shop("Billo"), two_brands.open_shop("IKEA")
    two_brands.done("POST", CODES, billo.key, json=AHMED)
    used = two_brands.done("POST", USES, signed("Ann"), json={"discount_code": AHMED["id"]})
    for token in (billo.key, signed("Ann")):
        assert two_brands.done("GET", f"{USES}{used['id']}/", token) == used
    for token in (ikea.key, signed("Bo")):
        check(two_brands.ask("GET", f"{USES}{used['id']}/", token), 404, "There is no such redemption.")


def test_a_code_is_found_by_its_hash(raw: FlaskClient) -> None:
    made = create(raw, id="Ahmed 2022-Billo")
    hashed = sha256(b"ahmed2022billo").hexdigest()
    assert raw.get(f"{CODES}{hashed}/").get_json() == made
    check(raw.get(f"{CODES}{sha256(b'other').hexdigest()}/"), 404, "There is no such code.")
    check(raw.get(f"{CODES}{hashed.upper()}/"), 404, "There is no such code.")
    # A code may look like a hash.
    odd = create(raw, id=sha256(b"odd").hexdigest())
    assert raw.get(f"{CODES}{odd['id']}/").get_json() == odd


def pages(http: FlaskClient, path: str, limit: int) -> list[list[Any]]:
    found = []
    following: str | None = f"{path}?limit={limit}"
    while following:
        answer = http.get(following)
        assert answer.status_code == 200, answer.text
        found.append(answer.get_json())
        link = answer.headers.get("Link")
        following = link and link.removeprefix("<").removesuffix('>; rel="next"')
    return found


def test_lists_also_come_in_pages(raw: FlaskClient) -> None:
    for number in range(5):
        create(raw, id=f"CODE{number}")
        native = {"brand_id": "Billo", "discount_code": "x", "codes": {"kind": "shared", "code": f"N{number}"}}
        assert raw.post("/discount", json=native).status_code == 201
        for user in range(number):
            assert use(raw, f"user-{user}", f"CODE{number}").status_code == 201
    for path, count in ((CODES, 5), (USES, 10)):
        whole = raw.get(path)
        assert len(whole.get_json()) == count
        assert "Link" not in whole.headers
        for limit in (1, 2, 3, 7, 100):
            several = pages(raw, path, limit)
            assert all(len(each) <= limit for each in several)
            assert [row for each in several for row in each] == whole.get_json()
        for wrong in ("limit=0", "limit=x", "cursor=x", "cursor=a.b", "cursor=.x", "page=1"):
            answer = raw.get(f"{path}?{wrong}")
            assert (answer.status_code, list(answer.get_json())) == (400, ["detail"]), wrong


def test_a_user_pages_through_their_codes_and_uses(two_brands: TwoBrands) -> None:
    billo = two_brands.open_shop("Billo")
    for number in range(4):
        two_brands.done("POST", CODES, billo.key, json=AHMED | {"id": f"CODE{number}"})
        two_brands.done("POST", USES, signed("Ann"), json={"discount_code": f"CODE{number}"})
    for path in (CODES, USES):
        whole = two_brands.done("GET", path, signed("Ann"))
        assert len(whole) == 4
        found, following = [], f"{path}?limit=2"
        while following:
            answer = two_brands.ask("GET", following, signed("Ann"))
            found += answer.get_json()
            following = answer.headers.get("Link", "").removeprefix("<").removesuffix('>; rel="next"')
        assert found == whole


def test_a_rolled_back_use_is_not_listed(raw: FlaskClient) -> None:
    create(raw)
    used = use(raw).get_json()
    assert raw.post(f"/redemption/{used['id']}/rollback").status_code == 200
    assert raw.get(USES).get_json() == []
    assert use(raw).status_code == 201
