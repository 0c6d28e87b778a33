"""The client of the HTTP tests, and the check of a problem document."""

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support import stored_data
from tests.support.patience import PATIENCE

DISCOUNT = {"brand_id": "IKEA", "discount_code": "Christmas 2020 discount", "total_count": 100}
JSON = "application/json"
SECRET = "s" * 32


class Client:
    """The service over HTTP, and a look at the data in Redis."""

    def __init__(self, http: FlaskClient, redis: Any) -> None:
        self.http = http
        self.redis = redis

    def create(self, **changes: Any) -> dict[str, Any]:
        """Create a discount, and return the answer."""
        answer = self.http.post("/discount", json=DISCOUNT | changes)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    def grant(self, discount_id: str, user: str = "User 1") -> TestResponse:
        return self.http.post(f"/discount/{discount_id}/grant", json={"user_id": user})

    def state(self) -> dict[str, bytes]:
        """Wait until no codes are made ahead, and return all data in Redis, to compare."""
        self.http.application.extensions["store"].background.submit(int).result(PATIENCE)
        return stored_data.dump(self.redis)

    def refused(self, method: str, path: str, status: int, slug: str, place: str | None = None, **call: Any) -> Any:
        """Make a call that must be refused and change nothing; return its problem document."""
        before = self.state()
        answer = self.http.open(path, method=method, **call)
        assert self.state() == before
        return check_problem(answer, status, slug, place)


def check_problem(answer: TestResponse, status: int, slug: str, place: str | None = None) -> Any:
    """Check and return a problem document. `place` is a JSON pointer, or the name of a parameter or header."""
    problem = answer.get_json(force=True)
    assert (answer.status_code, problem["type"]) == (status, f"/problems/{slug}"), problem
    assert answer.content_type == "application/problem+json"
    assert (problem["status"], problem["request_id"]) == (status, answer.headers["X-Request-Id"])
    assert problem["title"].endswith(".")
    places = [each.get("pointer", each.get("parameter")) for each in problem.get("errors", [])]
    assert places == ([] if place is None else [place]), problem
    for each in problem.get("errors", []):
        assert each["detail"]
        assert ("pointer" in each) == (place is not None and (place == "" or place.startswith("/")))
    return problem
