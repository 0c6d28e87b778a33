"""Many users with one identity ask at once: exactly as many get a code as the limit allows."""

from tests.support import history
from tests.support.load import Call, drive, shuffled
from tests.support.service import Service, ask, create


def test_an_identity_gets_exactly_its_number_of_codes(service: Service) -> None:
    discount_id = create(service.urls[0], 1_000, "One person", limits={"per_identity": 2})
    path = f"/discount/{discount_id}/grant"
    bodies = [{"user_id": f"user {n}", "identity": {"card": f"card {n % 20}"}} for n in range(200)]
    calls = [Call(str(body["user_id"]), "POST", path, body) for body in bodies]

    answers = drive(service.urls, shuffled(calls * 2))

    counts = history.statuses(answers)
    assert counts[201, ""] == 40
    assert counts[200, ""] == 40
    assert counts[409, "already-granted-elsewhere"] == 320
    assert ask(service.urls[1], "GET", f"/discount/{discount_id}").json["granted_count"] == 40


def test_an_identity_redeems_exactly_its_number_of_times(service: Service) -> None:
    shared = {"codes": {"kind": "shared", "code": "ONE"}, "limits": {"per_user": None, "per_identity": 1}}
    create(service.urls[0], 1_000_000, "Persons", **shared)
    order = {"amount": 1000, "currency": "EUR"}
    bodies = [
        {"user_id": f"user {n}", "order": order | {"id": f"order {n}"}, "identity": {"card": f"card {n % 20}"}}
        for n in range(100)
    ]
    shop = {"brand_id": "Persons", "code": "one"}
    calls = [Call(str(body["user_id"]), "POST", "/redemption", shop | body) for body in bodies]

    counts = history.statuses(drive(service.urls, shuffled(calls * 2)))

    assert counts == {(201, ""): 20, (200, ""): 20, (409, "already-granted-elsewhere"): 160}
