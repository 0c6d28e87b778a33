"""Routes of the documentation: the OpenAPI document, a page to try it on, and what each problem means.

Nothing is fetched from elsewhere.
"""

from importlib import resources
from typing import Any

import msgspec
from flask import Flask, Response, abort, redirect, render_template, request, send_from_directory
from werkzeug.wrappers import Response as AnyResponse

from discount.api import openapi, problems
from discount.api.contract import Contract
from discount.api.problem_pages import ADVICE

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " frame-ancestors 'none'"
)
_POLICY_OF_PROBLEMS = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def add_routes(app: Flask, contract: Contract, version: str) -> None:
    """Serve the document of everything that the contract declares by now."""
    document = msgspec.json.encode(openapi.document(contract.operations, version))
    static = str(resources.files("discount.api") / "static")

    @app.get("/", provide_automatic_options=False)
    def index() -> AnyResponse:
        """Lead a browser to the page, and tell a program where the document is."""
        if _wants_page():
            return _for_either(redirect("/apidocs"))
        return _json({"title": "Discount codes", "version": version, "openapi": "/openapi.json", "apidocs": "/apidocs"})

    @app.get("/openapi.json", provide_automatic_options=False)
    def openapi_json() -> Response:
        return Response(document, content_type="application/json")

    @app.get("/apidocs", provide_automatic_options=False)
    @app.get("/apidocs/", provide_automatic_options=False)
    def apidocs() -> Response:
        response = send_from_directory(static, "apidocs.html")
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    @app.get("/apidocs/<path:name>", provide_automatic_options=False)
    def apidocs_file(name: str) -> Response:
        return send_from_directory(static, name, max_age=3600)

    @app.get("/problems/<word>", provide_automatic_options=False)
    def problem(word: str) -> AnyResponse:
        """What a problem means, and what to do about it."""
        if word not in ADVICE:
            abort(404)
        when, what = ADVICE[word]
        told = {"type": f"/problems/{word}", "title": problems.TITLES[word], "status": problems.STATUS[word]}
        if not _wants_page():
            return _json(told | {"when": when, "what_to_do": what})
        response = Response(
            render_template("problem.html", word=word, when=when.split("`"), what=what.split("`"), **told)
        )
        response.headers["Content-Security-Policy"] = _POLICY_OF_PROBLEMS
        return _for_either(response)


def _wants_page() -> bool:
    """Whether a browser asks: it likes HTML better than JSON."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _json(told: dict[str, Any]) -> AnyResponse:
    return _for_either(Response(msgspec.json.encode(told), content_type="application/json"))


def _for_either(response: AnyResponse) -> AnyResponse:
    response.headers["Vary"] = "Accept"
    return response
