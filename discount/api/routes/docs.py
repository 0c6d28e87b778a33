"""Routes of the documentation: the OpenAPI document, a page to try it out, and a page for each problem.

No page loads anything from another host.
"""

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import msgspec
from flask import Flask, Response, abort, redirect, request, send_from_directory
from werkzeug.wrappers import Response as AnyResponse

from discount.api import html, openapi, problems
from discount.api.contract import Operation
from discount.api.problem_pages import ADVICE

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " frame-ancestors 'none'"
)
_PROBLEM_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def add_routes(app: Flask, operations: Sequence[Operation], version: str, *, console: bool) -> None:
    """Serve the OpenAPI document of the operations, and the pages beside it.

    Args:
        console: whether there is a console to which a browser is led.
    """
    static = str(resources.files("discount.api") / "static")

    # Made when it is first asked for: it would take as long as the rest of the start.
    @cache
    def document() -> bytes:
        return msgspec.json.encode(openapi.document(operations, version))

    @app.get("/", provide_automatic_options=False)
    def index() -> AnyResponse:
        """Redirect a browser to the page; send a program the address of the document."""
        if _wants_page():
            return _vary(redirect("/console/" if console else "/apidocs"))
        return _json({"title": "Discount codes", "version": version, "openapi": "/openapi.json", "apidocs": "/apidocs"})

    @app.get("/openapi.json", provide_automatic_options=False)
    def openapi_json() -> Response:
        return Response(document(), content_type="application/json")

    @app.get("/apidocs", provide_automatic_options=False)
    @app.get("/apidocs/", provide_automatic_options=False)
    def apidocs() -> Response:
        response = send_from_directory(static, "apidocs.html")
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    @app.get("/apidocs/<path:name>", provide_automatic_options=False)
    def apidocs_file(name: str) -> Response:
        return send_from_directory(static, name, max_age=3600)

    @app.get("/problems/<slug>", provide_automatic_options=False)
    def problem(slug: str) -> AnyResponse:
        """Explain a problem and say what to do about it."""
        if slug not in ADVICE:
            abort(404)
        when, advice = ADVICE[slug]
        fields = {"type": f"/problems/{slug}", "title": problems.TITLES[slug], "status": problems.STATUS[slug]}
        if not _wants_page():
            return _json(fields | {"when": when, "what_to_do": advice})
        page = html.render("problem.html", slug=slug, when=when.split("`"), what=advice.split("`"), **fields)
        response = Response(page)
        response.headers["Content-Security-Policy"] = _PROBLEM_POLICY
        return _vary(response)


def _wants_page() -> bool:
    """Return whether the client prefers HTML to JSON, as a browser does."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _json(fields: dict[str, Any]) -> AnyResponse:
    return _vary(Response(msgspec.json.encode(fields), content_type="application/json"))


def _vary(response: AnyResponse) -> AnyResponse:
    response.headers["Vary"] = "Accept"
    return response
