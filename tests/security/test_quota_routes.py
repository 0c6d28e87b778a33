"""Quotas over HTTP: the admin sets them, the brand sees them, and a problem names the exceeded one."""

from typing import Any

import pytest

from discount.app import create_app
from discount.config import Settings
from tests.api.client import check_problem
from tests.security.two_brands import ADMIN, TwoBrands
from tests.unit.fake import fake_store

SALE = {"brand_id": "IKEA", "discount_code": "Sale", "total_count": 5}


@pytest.fixture
def key(two_brands: TwoBrands) -> str:
    two_brands.done("POST", "/brand", ADMIN, json={"id": "IKEA"})
    return two_brands.make_key("IKEA")


def set_quotas(two_brands: TwoBrands, **most: Any) -> Any:
    return two_brands.done("PATCH", "/brand/IKEA", ADMIN, json={"quotas": most})["quotas"]


def test_the_admin_sets_quotas_and_the_brand_sees_its_usage(two_brands: TwoBrands, key: str) -> None:
    before = set_quotas(two_brands, discounts=3, codes=None, emails_a_day="off")
    discount = two_brands.done("POST", "/discount", key, json=SALE)["id"]
    two_brands.done("POST", f"/discount/{discount}/grant", key, json={"user_id": "Ann"})
    seen = two_brands.done("GET", "/brand/IKEA", key)["quotas"]
    assert {name: each["limit"] for name, each in seen.items()} == {
        "discounts": 3,
        "codes": int(two_brands.settings.quota_codes),
        "grants_a_day": int(two_brands.settings.quota_grants_a_day),
        "emails_a_day": None,
        "stored_bytes": int(two_brands.settings.quota_stored_bytes),
    }
    assert {name: each["used"] for name, each in seen.items() if name != "stored_bytes"} == {
        **{"discounts": 1, "codes": 5, "grants_a_day": 1, "emails_a_day": 0}
    }
    assert seen["stored_bytes"]["used"] > before["stored_bytes"]["used"] == 0
    assert seen["grants_a_day"]["opens_at"]


def test_a_brand_cannot_set_its_quotas(two_brands: TwoBrands, key: str) -> None:
    answer = two_brands.ask("PATCH", "/brand/IKEA", key, json={"name": "New", "quotas": {"discounts": "off"}})
    assert check_problem(answer, 403, "forbidden")["scope"] == "admin"
    assert two_brands.done("GET", "/brand/IKEA", key)["name"] == "IKEA"


@pytest.mark.parametrize("most", [-1, "none", 1.5, 10**15, True])
def test_an_invalid_quota_is_refused(two_brands: TwoBrands, key: str, most: Any) -> None:
    answer = two_brands.ask("PATCH", "/brand/IKEA", ADMIN, json={"quotas": {"codes": most}})
    check_problem(answer, 422, "invalid", "/quotas/codes")


def test_every_way_to_pass_a_quota_is_refused(two_brands: TwoBrands, key: str) -> None:
    discount = two_brands.done("POST", "/discount", key, json=SALE)["id"]
    own = two_brands.done("POST", "/discount", key, json=SALE | {"codes": {"kind": "imported"}})["id"]
    set_quotas(two_brands, discounts=2, codes=5, grants_a_day=0)
    codes = {"codes": ["A"]}
    asked: list[tuple[str, str, Any, str, int]] = [
        ("POST", "/discount", SALE, "discounts", 2),
        ("PATCH", f"/discount/{discount}", {"total_count": 6}, "codes", 5),
        ("POST", f"/discount/{own}/codes", codes, "codes", 5),
        ("POST", f"/discount/{discount}/grant", {"user_id": "Ann"}, "grants_a_day", 0),
        ("POST", "/brand/IKEA/grant", {"user_id": "Ann"}, "grants_a_day", 0),
    ]
    for method, path, body, name, most in asked:
        problem = check_problem(two_brands.ask(method, path, key, json=body), 409, "quota-reached")
        assert (problem["quota"], problem["quota_limit"]) == (name, most)
        assert ("opens_at" in problem) == (name == "grants_a_day")
    many = two_brands.done("POST", f"/discount/{discount}/grants", key, json={"user_ids": ["Ann"]})
    assert many["grants"] == [{"user_id": "Ann", "granted": False, "refusal": "quota-reached"}]
    assert two_brands.done("GET", f"/discount/{discount}", key)["granted_count"] == 0


def test_a_grant_that_is_counted_is_one_round_trip(two_brands: TwoBrands, key: str) -> None:
    discount = two_brands.done("POST", "/discount", key, json=SALE)["id"]
    set_quotas(two_brands, grants_a_day=10)
    two_brands.done("POST", f"/discount/{discount}/grant", key, json={"user_id": "Ann"})
    before = two_brands.trips
    two_brands.done("POST", f"/discount/{discount}/grant", key, json={"user_id": "Bob"})
    assert two_brands.trips == before + 1


def test_while_the_service_is_open_a_brand_without_a_record_has_the_quotas_of_the_settings() -> None:
    http = create_app(Settings(quota_discounts="1"), fake_store()).test_client()
    assert http.post("/discount", json=SALE).status_code == 201
    check_problem(http.post("/discount", json=SALE), 409, "quota-reached")
    assert http.post("/discount", json=SALE | {"brand_id": "Billo"}).status_code == 201
