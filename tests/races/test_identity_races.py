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
