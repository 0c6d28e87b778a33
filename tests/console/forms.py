"""A browser without a screen."""

import re
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.console.site import Site


class Form:
    """A browser without a screen: it keeps cookies, and sends the token of the last page."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.http: FlaskClient = site.app.test_client()
        self.token = ""

    def get(self, path: str) -> TestResponse:
        answer = self.http.get(path)
        found = re.search(r'name="token" value="(\w+)"', answer.text)
        self.token = found[1] if found else self.token
        return answer

    def post(self, path: str, fields: dict[str, Any], headers: dict[str, str] | None = None) -> TestResponse:
        return self.http.post(path, data={"token": self.token} | fields, headers=headers)

    def sign_in(self, key: str) -> "Form":
        self.get("/console/sign-in")
        assert self.post("/console/session", {"key": key}).status_code == 303
        self.get("/console/")
        return self
