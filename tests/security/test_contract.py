"""Random calls that fit the OpenAPI document, or just do not, with any token: no 5xx, and only documented answers."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS

from tests.security.issuer import signed
from tests.security.two_brands import ADMIN, TwoBrands
from tests.support.described import operations


def test_any_call_with_any_token_is_answered_as_the_document_says(two_brands: TwoBrands) -> None:
    shop = two_brands.open_shop("IKEA")
    two_brands.read_into_ledger()
    tokens = [shop.key, ADMIN, signed("Ann"), two_brands.make_key("IKEA", "read"), "garbage"]
    ids = {"discount_id": shop.discount, "redemption_id": shop.redemption, "brand_id": "IKEA", "user_id": "Ann"}
    ids |= {"webhook_id": shop.webhook, "delivery_id": shop.delivery}
    called = set()
    for operation in operations(two_brands.app):
        if operation.label == "DELETE /brand/{brand_id}":
            continue

        @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(), real=st.booleans(), token=st.sampled_from(tokens))
        def call(case: Any, real: bool, token: str) -> None:
            called.add(case.operation.label)
            if real:
                for name in case.path_parameters or {}:
                    case.path_parameters[name] = ids.get(name, case.path_parameters[name])
            if (case.query or {}).get("wait"):
                case.query["wait"] = 0
            # What the second takes for a fault is the brand's own end.
            excluded = [CHECKS.get_one(name) for name in ("positive_data_acceptance", "ignored_auth")]
            case.call_and_validate(excluded_checks=excluded, headers={"Authorization": f"Bearer {token}"})

        call()
    paths = two_brands.http.get("/openapi.json").get_json()["paths"]
    assert called == {f"{m.upper()} {p}" for p, item in paths.items() for m in item} - {"DELETE /brand/{brand_id}"}
