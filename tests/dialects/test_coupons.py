"""The dialect of coupons with repeat counts, line by line."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.api.client import Client
from tests.security.issuer import signed
from tests.security.two_brands import ADMIN, TwoBrands
from tests.support.clock import Clock

TEN = {"code": "TEN", "discount_percentage": "10", "expiry_date": "2280-12-31"}
ANN = {"name": "Ann", "email_id": "ann@user.example"}
COUNTS = "/coupon/TEN/repeat_count"
STATUS = "/coupon/TEN/status"
NONE_LEFT = "Coupon exists, but global count is zero."
KINDS = ("global_total", "user_total", "user_daily", "user_weekly")


def check(answer: TestResponse, status: int, message: Any) -> None:
    assert (answer.status_code, answer.content_type) == (status, "application/json"), answer.text
    assert answer.get_json() == {"message": message}


@pytest.fixture
def clock(redis: Any, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that only the test moves, so that no day ends by surprise."""
    return Clock(redis, monkeypatch)


def create(http: FlaskClient, **changes: Any) -> None:
    check(http.post("/coupon", data=TEN | changes), 200, "Coupon created successfully")


def enrol(http: FlaskClient, count: int = 1) -> None:
    for number in range(1, count + 1):
        body = {"name": f"user {number}", "email_id": f"user{number}@user.example"}
        check(http.post("/user", data=body), 200, "User created successfully")


def allow(http: FlaskClient, **counts: int) -> None:
    """Set counts by their kinds; `all` stands for the kinds not named."""
    rest = counts.pop("all", None)
    wanted = {} if rest is None else dict.fromkeys(KINDS, rest)
    fields = {f"{kind}_repeat_count": count for kind, count in (wanted | counts).items()}
    check(http.put(COUNTS, data=fields), 200, "Coupon repeat counts updated")


def apply(http: FlaskClient, user: Any = 1, code: str = "TEN") -> TestResponse:
    return http.post("/coupon/apply", data={"user_id": user, "coupon_code": code})


def check_applied(answer: TestResponse) -> None:
    check(answer, 200, "Successfully coupon applied.")


def expire(http: FlaskClient) -> None:
    (found,) = http.get("/discount?brand_id=coupons").get_json()["discounts"]
    assert http.patch(f"/discount/{found['id']}", json={"expires_at": "2020-01-01T00:00:00Z"}).status_code == 200


def test_a_coupon_is_made_with_counts_of_0(raw: FlaskClient) -> None:
    create(raw)
    coupon = {
        "id": 1,
        "code": "TEN",
        "discount_percentage": 10.0,
        "expiry_date": "Fri, 31 Dec 2280 00:00:00 GMT",
        **{f"{kind}_repeat_count": 0 for kind in KINDS},
        "coupons_left": 0,
    }
    check(raw.get("/coupon"), 200, [coupon])
    assert '"discount_percentage":10.0,' in raw.get("/coupon").text
    assert list(raw.get("/coupon").get_json()["message"][0]) == list(coupon)
    create(raw, code="ELEVEN", discount_percentage="11.5")
    listed = raw.get("/coupon").get_json()["message"]
    assert [(each["id"], each["code"], each["discount_percentage"]) for each in listed] == [
        (1, "TEN", 10.0),
        (2, "ELEVEN", 11.5),
    ]


def test_json_and_forms_of_both_sorts_are_accepted(raw: FlaskClient) -> None:
    assert raw.post("/coupon", json=TEN | {"discount_percentage": 10}).status_code == 200
    assert raw.post("/coupon", json=TEN | {"code": "A"}).status_code == 200
    assert raw.post("/coupon", data=TEN | {"code": "B"}).status_code == 200
    assert raw.post("/coupon", data=TEN | {"code": "C"}, content_type="multipart/form-data").status_code == 200
    # What it does not know does not matter, as it never did here.
    assert raw.post("/coupon", data=TEN | {"code": "D", "colour": "red"}).status_code == 200
    assert len({str(each | {"code": "", "id": 0}) for each in raw.get("/coupon").get_json()["message"]}) == 1


@pytest.mark.parametrize("percentage", ["0", "0.01", "100", "99.99"])
def test_any_percentage_from_0_to_100_is_accepted(raw: FlaskClient, percentage: str) -> None:
    create(raw, discount_percentage=percentage)
    assert raw.get("/coupon").get_json()["message"][0]["discount_percentage"] == float(percentage)


@pytest.mark.parametrize(
    "changes",
    [
        *({"discount_percentage": wrong} for wrong in ("100.01", "ten", "", "NaN", "1.234", "Infinity")),
        *({"expiry_date": wrong} for wrong in ("31-12-2280", "soon", "", "9999-12-30", "2280-02-30", "2280-12-31 ")),
        *({"code": wrong} for wrong in ("", "a/b", " A", "-", "x" * 65, "..")),
    ],
    ids=str,
)
def test_an_invalid_coupon_is_refused(client: Client, changes: dict[str, str]) -> None:
    for given in ({"data": TEN | changes}, {"json": TEN | changes}):
        answer = client.http.post("/coupon", **given)
        assert (answer.status_code, list(answer.get_json())) == (400, ["message"])
        assert answer.get_json()["message"].startswith(f"{next(iter(changes))} ")
    assert client.state() == {}


@pytest.mark.parametrize("field", TEN)
def test_a_field_that_is_missing_is_refused(raw: FlaskClient, field: str) -> None:
    body = {name: value for name, value in TEN.items() if name != field}
    check(raw.post("/coupon", data=body), 400, f"{field} is missing.")


def test_a_code_that_exists_is_refused(raw: FlaskClient) -> None:
    create(raw)
    check(raw.post("/coupon", data=TEN), 400, "Coupon Code already exists")
    check(raw.post("/coupon", data=TEN | {"code": "t-e-n"}), 400, "Coupon Code already exists")
    assert len(raw.get("/coupon").get_json()["message"]) == 1


def test_a_coupon_is_good_to_the_end_of_its_last_day(raw: FlaskClient, clock: Clock) -> None:
    today = datetime.fromtimestamp(clock.now() / 1e6, UTC).date()
    check(
        raw.post("/coupon", data=TEN | {"expiry_date": str(today - timedelta(1))}),
        400,
        "Expiry date cannot be less than today",
    )
    create(raw, expiry_date=str(today))
    enrol(raw)
    allow(raw, all=9)
    midnight = datetime.combine(today + timedelta(1), datetime.min.time(), UTC)
    clock.go_to(int(midnight.timestamp()) * 1_000_000 - 2)
    check(raw.get(STATUS), 200, "Valid coupon")
    check_applied(apply(raw))
    clock.move(0.000_002)
    check(raw.get(STATUS), 403, "Coupon expired.")
    check(apply(raw), 400, "Coupon expired.")
    shown = raw.get("/coupon").get_json()["message"][0]["expiry_date"]
    assert shown == today.strftime("%a, %d %b %Y 00:00:00 GMT")


def test_users_get_ids_from_1_and_a_known_address_is_answered_with_a_bare_string(raw: FlaskClient) -> None:
    check(raw.get("/user"), 200, [])
    enrol(raw, 3)
    known = raw.post("/user", data={"name": "other", "email_id": "user2@user.example"})
    assert (known.status_code, known.get_json()) == (400, "User with the same email id exists")
    listed = [{"id": n, "name": f"user {n}", "email_id": f"user{n}@user.example"} for n in (1, 2, 3)]
    check(raw.get("/user"), 200, listed)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x\ny"}, "name"),
        ({"email_id": "nobody"}, "email_id"),
        ({"email_id": "a@b\r\nBcc: c@d"}, "email_id"),
        ({"email_id": ""}, "email_id"),
    ],
)
def test_a_user_that_cannot_be_is_refused(client: Client, changes: dict[str, str], field: str) -> None:
    answer = client.http.post("/user", data=ANN | changes)
    assert answer.status_code == 400
    assert answer.get_json()["message"].startswith(f"{field} ")
    assert client.state() == {}


def test_any_of_the_counts_are_set_and_shown_with_the_coupon(raw: FlaskClient) -> None:
    create(raw)
    allow(raw, global_total=7, user_daily=2)
    counts = {f"{kind}_repeat_count": 0 for kind in KINDS}
    counts |= {"global_total_repeat_count": 7, "user_daily_repeat_count": 2}
    shown = raw.get(COUNTS)
    assert (shown.status_code, shown.get_json()) == (200, {"coupon": "TEN"} | counts)
    assert raw.put(COUNTS, json={"user_weekly_repeat_count": 3}).status_code == 200
    counts |= {"user_weekly_repeat_count": 3}
    assert raw.get(COUNTS).get_json() == {"coupon": "TEN"} | counts
    (listed,) = raw.get("/coupon").get_json()["message"]
    assert {**listed, **counts} == listed
    assert listed["coupons_left"] == 7


def test_an_unknown_coupon_is_not_found(raw: FlaskClient) -> None:
    enrol(raw)
    check(raw.put("/coupon/NO/repeat_count", data={"user_daily_repeat_count": 1}), 404, "Coupon not found")
    check(raw.get("/coupon/NO/repeat_count"), 404, "Coupon not found")
    check(raw.delete("/coupon/NO"), 404, "Coupon not found")
    check(raw.put("/coupon/NO/expiry_date", data={"expiry_date": "2280-12-31"}), 404, "Coupon not found")
    for path in ("/coupon/NO/status", "/coupon/-/status"):
        answer = raw.get(path)
        assert (answer.status_code, answer.get_json()) == (404, "Coupon not found")
    check(apply(raw, code="NO"), 404, "Coupon not found")
    # However often.
    assert {apply(raw, code=f"NO{number}").status_code for number in range(30)} == {404}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [-1, "-1", "x", "", "1.5", 1.5, None, True, [], {}, 10**9 + 1, 10**30], ids=repr)
def test_a_count_that_is_negative_or_no_number_is_refused(client: Client, kind: str, count: Any) -> None:
    create(client.http)
    before = client.state()
    answer = client.http.put(COUNTS, json={f"{kind}_repeat_count": count})
    assert answer.status_code == 400
    assert answer.get_json()["message"].startswith(f"{kind}_repeat_count ")
    assert client.state() == before


def test_a_call_that_sets_no_count_is_refused(raw: FlaskClient) -> None:
    create(raw)
    calls: list[dict[str, Any]] = [{"json": {}}, {"data": {"global": 1}}]
    for call in calls:
        answer = raw.put(COUNTS, **call)
        assert answer.status_code == 400
        assert answer.get_json()["message"].startswith("The body has none of ")


@pytest.mark.usefixtures("clock")
def test_a_coupon_is_applied_until_a_count_is_reached(raw: FlaskClient) -> None:
    create(raw)
    enrol(raw, 3)
    check(apply(raw), 400, "User total redemption count reached.")
    allow(raw, all=9, user_total=3)
    for _ in range(3):
        check_applied(apply(raw))
    check(apply(raw), 400, "User total redemption count reached.")
    check_applied(apply(raw, "2"))
    allow(raw, user_total=9, user_weekly=3)
    check(apply(raw), 400, "User weekly redemption count reached.")
    allow(raw, user_weekly=9, user_daily=3)
    check(apply(raw), 400, "User daily redemption count reached.")
    allow(raw, user_daily=9, global_total=4)
    check(apply(raw), 400, NONE_LEFT)
    check(apply(raw, 3), 400, NONE_LEFT)
    (coupon,) = raw.get("/coupon").get_json()["message"]
    assert coupon["coupons_left"] == 0
    allow(raw, global_total=5)
    assert raw.get("/coupon").get_json()["message"][0]["coupons_left"] == 1
    check_applied(apply(raw, 3))
    check(apply(raw, 3), 400, NONE_LEFT)


def test_the_answer_names_the_users_total_first_then_week_day_and_all_users(raw: FlaskClient) -> None:
    create(raw)
    enrol(raw)
    check(apply(raw), 400, "User total redemption count reached.")
    allow(raw, user_total=1)
    check(apply(raw), 400, "User weekly redemption count reached.")
    allow(raw, user_weekly=1)
    check(apply(raw), 400, "User daily redemption count reached.")
    allow(raw, user_daily=1)
    check(apply(raw), 400, NONE_LEFT)
    allow(raw, global_total=1)
    check_applied(apply(raw))


def test_a_user_with_one_use_is_refused_for_the_total(raw: FlaskClient) -> None:
    create(raw)
    enrol(raw)
    allow(raw, all=9, user_total=1)
    check_applied(apply(raw))
    check(apply(raw), 400, "User total redemption count reached.")


@pytest.mark.usefixtures("clock")
def test_raising_a_count_opens_it_at_once_and_lowering_closes_it(raw: FlaskClient) -> None:
    create(raw)
    enrol(raw)
    allow(raw, all=2)
    check_applied(apply(raw))
    check_applied(apply(raw))
    for kind, sentence in (("user_total", "total"), ("user_weekly", "weekly"), ("user_daily", "daily")):
        allow(raw, all=3, **{kind: 2})
        check(apply(raw), 400, f"User {sentence} redemption count reached.")
    allow(raw, all=3)
    check_applied(apply(raw))
    allow(raw, all=1)
    check(apply(raw), 400, "User total redemption count reached.")
    assert raw.get("/coupon").get_json()["message"][0]["coupons_left"] == 0


def test_counts_of_a_day_and_of_a_week_open_again_by_themselves(raw: FlaskClient, clock: Clock) -> None:
    monday = datetime(2279, 1, 6, 12, tzinfo=UTC)
    assert monday.weekday() == 0
    clock.reset(int(monday.timestamp()) * 1_000_000)
    create(raw)
    enrol(raw)
    allow(raw, all=9, user_daily=1, user_weekly=2)
    check_applied(apply(raw))
    check(apply(raw), 400, "User daily redemption count reached.")
    clock.move(12 * 3600)
    check_applied(apply(raw))
    clock.move(24 * 3600)
    check(apply(raw), 400, "User weekly redemption count reached.")
    clock.move(5 * 24 * 3600 - 1)
    check(apply(raw), 400, "User weekly redemption count reached.")
    clock.move(1)
    check_applied(apply(raw))
    assert raw.get("/coupon").get_json()["message"][0]["coupons_left"] == 6


def test_an_unknown_user_is_not_found(raw: FlaskClient) -> None:
    create(raw)
    enrol(raw)
    allow(raw, all=9)
    for user in (2, "2", "nobody", "0", "01", -1, "#", "a:b", "x" * 1000):
        check(apply(raw, user), 404, "User not found")
    check(raw.post("/coupon/apply", json={"user_id": "2", "coupon_code": "TEN"}), 404, "User not found")
    check_applied(raw.post("/coupon/apply", json={"user_id": 1, "coupon_code": "TEN"}))
    check_applied(raw.post("/coupon/apply", json={"user_id": "1", "coupon_code": "TEN"}))


@pytest.mark.parametrize("field", ["user_id", "coupon_code"])
def test_a_use_with_a_missing_field_is_refused(raw: FlaskClient, field: str) -> None:
    body = {"user_id": 1, "coupon_code": "TEN"}
    check(raw.post("/coupon/apply", data={n: v for n, v in body.items() if n != field}), 400, f"{field} is missing.")


def test_the_status_shows_whether_a_coupon_can_be_used(raw: FlaskClient) -> None:
    create(raw)
    enrol(raw)
    check(raw.get(STATUS), 403, NONE_LEFT)
    allow(raw, all=1)
    check(raw.get(STATUS), 200, "Valid coupon")
    check_applied(apply(raw))
    check(raw.get(STATUS), 403, NONE_LEFT)
    allow(raw, all=2)
    check(raw.get(STATUS), 200, "Valid coupon")
    expire(raw)
    check(raw.get(STATUS), 403, "Coupon expired.")
    check(apply(raw), 400, "Coupon expired.")
    # With both reasons, the answer names the total first.
    allow(raw, all=1)
    check(raw.get(STATUS), 403, NONE_LEFT)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"paused": True}, "Coupon is paused."),
        ({"starts_at": "2279-01-01T00:00:00Z"}, "Coupon is not valid yet."),
    ],
)
def test_native_changes_show_in_the_dialect(raw: FlaskClient, change: dict[str, Any], sentence: str) -> None:
    create(raw)
    enrol(raw)
    allow(raw, all=9)
    (found,) = raw.get("/discount?brand_id=coupons").get_json()["discounts"]
    path = f"/discount/{found['id']}"
    answer = raw.patch(path, json=change)
    assert answer.status_code == 200, answer.text
    check(raw.get(STATUS), 403, sentence)
    check(apply(raw), 400, sentence)


def test_a_natively_closed_coupon_can_no_longer_be_used(raw: FlaskClient) -> None:
    create(raw)
    enrol(raw)
    allow(raw, all=9)
    (found,) = raw.get("/discount?brand_id=coupons").get_json()["discounts"]
    assert raw.delete(f"/discount/{found['id']}").status_code == 200
    # Coupons are used without a grant, and a close keeps granted codes alone.
    check(raw.get(STATUS), 403, "Coupon is closed.")
    check(apply(raw), 400, "Coupon is closed.")


def test_a_coupon_without_limits_shows_null(raw: FlaskClient) -> None:
    native = {"brand_id": "coupons", "discount_code": "x", "codes": {"kind": "shared", "code": "TEN"}}
    assert raw.post("/discount", json=native).status_code == 201
    shown = raw.get(COUNTS).get_json()
    assert (shown["global_total_repeat_count"], shown["user_total_repeat_count"]) == (None, 1)
    (listed,) = raw.get("/coupon").get_json()["message"]
    assert (listed["coupons_left"], listed["discount_percentage"]) == (None, 0)
    assert listed["expiry_date"] == "Fri, 31 Dec 9999 00:00:00 GMT"
    check(raw.get(STATUS), 200, "Valid coupon")


def test_coupons_and_users_are_separate_for_each_brand(two_brands: TwoBrands) -> None:
    ikea, lidl = two_brands.open_shop("IKEA"), two_brands.open_shop("Lidl")
    two_brands.done("POST", "/coupon", ikea.key, data=TEN)
    two_brands.done("POST", "/user", ikea.key, data=ANN)
    assert [each["code"] for each in two_brands.done("GET", "/coupon", ikea.key)["message"]] == ["TEN"]
    assert two_brands.done("GET", "/coupon", lidl.key) == {"message": []}
    # Whom a brand knows by an id of its own is listed too.
    ann = {"id": "Ann", "name": "", "email_id": "ann@brand.example"}
    assert two_brands.done("GET", "/user", lidl.key) == {"message": [ann]}
    assert two_brands.done("GET", "/user", ikea.key) == {"message": [ann, {"id": 1} | ANN]}
    check(two_brands.ask("GET", COUNTS, lidl.key), 404, "Coupon not found")
    # The same words are no repeat with another brand.
    two_brands.done("POST", "/coupon", lidl.key, data=TEN)
    two_brands.done("POST", "/user", lidl.key, data=ANN)
    two_brands.done("PUT", COUNTS, ikea.key, data={f"{kind}_repeat_count": 1 for kind in KINDS})
    body = {"user_id": 1, "coupon_code": "TEN"}
    check(two_brands.ask("POST", "/coupon/apply", lidl.key, data=body), 400, "User total redemption count reached.")
    check_applied(two_brands.ask("POST", "/coupon/apply", ikea.key, data=body))


def test_a_user_applies_for_itself(two_brands: TwoBrands) -> None:
    ikea = two_brands.open_shop("IKEA")
    two_brands.done("POST", "/brand", ADMIN, json={"id": "coupons"})
    for key, brand in ((ikea.key, "IKEA"), (two_brands.make_key("coupons"), "coupons")):
        two_brands.done("POST", "/coupon", key, data=TEN)
        two_brands.done("PUT", COUNTS, key, data={f"{kind}_repeat_count": 1 for kind in KINDS})
        two_brands.done("PUT", f"/user/Ann?brand_id={brand}", key, json={"email": "ann@user.example"})
    body = {"coupon_code": "TEN"}
    for more in ({"brand": "IKEA"}, {"user_id": "Ann"}):
        check_applied(two_brands.ask("POST", "/coupon/apply", signed("Ann"), data=body | more))
        used_up = two_brands.ask("POST", "/coupon/apply", signed("Ann"), data=body | more)
        check(used_up, 400, "User total redemption count reached.")
    check(two_brands.ask("POST", "/coupon/apply", signed("Bo"), data=body), 404, "User not found")
    check(two_brands.ask("POST", "/coupon/apply", signed("Bo"), data=body | {"brand": "Lidl"}), 404, "Coupon not found")
    for named in ("Ann", 1, "1"):
        foreign = two_brands.ask("POST", "/coupon/apply", signed("Bo"), json=body | {"user_id": named})
        check(foreign, 403, "A user's token is good for that user only.")
    check(two_brands.ask("POST", "/coupon/apply", ikea.key, data=body), 400, "user_id is missing.")
    foreign = two_brands.ask("POST", "/coupon/apply", ikea.key, data=body | {"user_id": "Ann", "brand": "coupons"})
    check(foreign, 404, "There is no such brand.")
    # A user whose id is a number is the same whether it is sent as one or as text.
    two_brands.done("POST", "/user", ikea.key, data={"name": "One", "email_id": "one@user.example"})
    one = two_brands.ask("POST", "/coupon/apply", signed("1"), json=body | {"user_id": 1, "brand": "IKEA"})
    check(one, 400, NONE_LEFT)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"expiry_date": "2020-01-01"}, "Expiry date cannot be less than today"),
        ({"discount_percentage": "-1"}, "Discount Percentage cannot be less than 0"),
        ({"discount_percentage": "-0.01"}, "Discount Percentage cannot be less than 0"),
        ({"expiry_date": "2020-01-01", "discount_percentage": "-1"}, "Expiry date cannot be less than today"),
    ],
)
def test_refusals_have_the_sentences_and_the_order_of_the_original(
    client: Client, wrong: dict[str, str], sentence: str
) -> None:
    check(client.http.post("/coupon", data=TEN | wrong), 400, sentence)
    assert client.state() == {}
    create(client.http)
    check(client.http.post("/coupon", data=TEN | wrong), 400, "Coupon Code already exists")


def test_a_coupon_may_have_no_end(raw: FlaskClient, clock: Clock) -> None:
    create(raw, expiry_date="9999-12-31")
    create(raw, code="SOON", expiry_date="2280-1-1")
    never, soon = raw.get("/coupon").get_json()["message"]
    assert never["expiry_date"] == "Fri, 31 Dec 9999 00:00:00 GMT"
    assert soon["expiry_date"] == "Thu, 01 Jan 2280 00:00:00 GMT"
    allow(raw, all=1)
    clock.move(200 * 365 * 24 * 3600)
    check(raw.get(STATUS), 200, "Valid coupon")


def test_the_end_of_a_coupon_can_be_moved(raw: FlaskClient) -> None:
    create(raw)
    for day, shown in (("2281-01-01", "Sat, 01 Jan 2281"), ("9999-12-31", "Fri, 31 Dec 9999")):
        check(raw.put("/coupon/TEN/expiry_date", data={"expiry_date": day}), 200, "Coupon expiry date updated")
        assert raw.get("/coupon").get_json()["message"][0]["expiry_date"] == f"{shown} 00:00:00 GMT"
    past = raw.put("/coupon/TEN/expiry_date", json={"expiry_date": "2020-01-01"})
    check(past, 400, "Expiry date cannot be less than today")
    check(raw.put("/coupon/TEN/expiry_date", json={}), 400, "expiry_date is missing.")


def test_a_removed_coupon_is_not_found(raw: FlaskClient) -> None:
    create(raw)
    create(raw, code="ELEVEN")
    enrol(raw)
    allow(raw, all=9)
    check_applied(apply(raw))
    check(raw.delete("/coupon/TEN"), 200, "Coupon removed successfully")
    assert [(each["id"], each["code"]) for each in raw.get("/coupon").get_json()["message"]] == [(2, "ELEVEN")]
    check(apply(raw), 404, "Coupon not found")
    assert (raw.get(STATUS).status_code, raw.get(STATUS).get_json()) == (404, "Coupon not found")
    check(raw.put(COUNTS, data={"user_daily_repeat_count": 1}), 404, "Coupon not found")
    check(raw.delete("/coupon/TEN"), 404, "Coupon not found")
    assert len(raw.get("/user/1/redemptions").get_json()["redemptions"]) == 1
    # Its code is free again.
    create(raw)
    assert [(each["id"], each["code"]) for each in raw.get("/coupon").get_json()["message"]] == [
        (2, "ELEVEN"),
        (3, "TEN"),
    ]


@pytest.mark.parametrize("path", ["/coupon", "/user"])
def test_a_list_also_comes_in_pages(raw: FlaskClient, path: str) -> None:
    for number in range(7):
        create(raw, code=f"C{number}")
        assert raw.post("/discount", json={"brand_id": "coupons", "discount_code": "x", "total_count": 1}).status_code
    enrol(raw, 7)
    whole = raw.get(path)
    assert len(whole.get_json()["message"]) == 7
    assert "Link" not in whole.headers
    found: list[Any] = []
    following: str | None = f"{path}?limit=3"
    while following:
        answer = raw.get(following)
        assert len(answer.get_json()["message"]) <= 3
        found += answer.get_json()["message"]
        link = answer.headers.get("Link")
        following = link and link.removeprefix("<").removesuffix('>; rel="next"')
    assert found == whole.get_json()["message"]
    for wrong in ("limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=", "limit=1&limit=2", "page=1"):
        answer = raw.get(f"{path}?{wrong}")
        assert (answer.status_code, list(answer.get_json())) == (400, ["message"])
