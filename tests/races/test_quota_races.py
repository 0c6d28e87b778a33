"""Many users ask at once for codes of a brand with a quota."""

from tests.support import history
from tests.support.load import Call, drive, grant_call
from tests.support.service import Service, ask, create


def test_a_brand_never_exceeds_a_quota_under_concurrent_calls(service: Service) -> None:
    assert ask(service.urls[0], "POST", "/brand", {"id": "Bounded"}).status == 201
    most = {"quotas": {"grants_a_day": 100}}
    assert ask(service.urls[0], "PATCH", "/brand/Bounded", most).status == 200
    discounts = [create(service.urls[0], 200, "Bounded") for _ in range(2)]

    answers = drive(service.urls, [grant_call(each, f"user {n}") for n in range(150) for each in discounts])

    assert history.statuses(answers) == {(201, ""): 100, (409, "quota-reached"): 200}
    quotas = ask(service.urls[1], "GET", "/brand/Bounded").json["quotas"]
    assert (quotas["grants_a_day"]["limit"], quotas["grants_a_day"]["used"]) == (100, 100)
    granted = [ask(service.urls[1], "GET", f"/discount/{each}").json["granted_count"] for each in discounts]
    assert sum(granted) == 100


def test_discounts_that_are_made_at_once_pass_no_quota(service: Service) -> None:
    assert ask(service.urls[0], "POST", "/brand", {"id": "Few"}).status == 201
    assert ask(service.urls[0], "PATCH", "/brand/Few", {"quotas": {"discounts": 3, "codes": 25}}).status == 200
    body = {"brand_id": "Few", "discount_code": "Sale", "total_count": 10}

    answers = drive(service.urls, [Call("", "POST", "/discount", body)] * 20)

    assert history.statuses(answers) == {(201, ""): 2, (409, "quota-reached"): 18}
