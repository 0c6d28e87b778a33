"""A provider of OpenID Connect in a process of its own: `python -m tests.console.provider PORT`.

It is the provider of the package `oidc-provider-mock`, which issues signed tokens, and it also checks PKCE (RFC 7636).
A person's id says the role: `ann:IKEA manager` has the claim `discount` with `IKEA manager`.
"""

import base64
import hashlib
import sys
from urllib.parse import parse_qs, urlsplit

import oidc_provider_mock
from flask import Flask, Response, abort, request
from oidc_provider_mock import User
from werkzeug.serving import make_server

PEOPLE = {
    "ann": {"discount": "IKEA manager", "email": "ann@ikea.example"},
    "bob": {"discount": {"brand": "IKEA", "role": "viewer"}, "email": "bob@ikea.example"},
    "eve": {"discount": {"role": "admin"}},
    "mallory": {"discount": {"brand": "IKEA", "role": "admin"}},
    "nobody": {},
}


def make() -> Flask:
    """Return the provider."""
    app: Flask = oidc_provider_mock.app(user_claims=[User(sub=sub, claims=claims) for sub, claims in PEOPLE.items()])
    challenges: dict[str, str] = {}

    @app.after_request
    def remember(response: Response) -> Response:
        code = parse_qs(urlsplit(response.headers.get("Location", "")).query).get("code")
        if code and request.args.get("code_challenge_method") == "S256":
            challenges[code[0]] = request.args["code_challenge"]
        return response

    @app.before_request
    def check() -> None:
        if request.path == "/oauth2/token":
            digest = hashlib.sha256(request.form.get("code_verifier", "").encode()).digest()
            given = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            if challenges.pop(request.form.get("code", ""), None) != given:
                abort(400, "the verifier is not that of the challenge")

    return app


if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), make(), threaded=True).serve_forever()
