"""Routes of the documentation: the OpenAPI document and a page to try it on, with nothing fetched from elsewhere."""

from importlib import resources

import msgspec
from flask import Flask, Response, send_from_directory

from discount.api import openapi
from discount.api.contract import Contract

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
)


def add_routes(app: Flask, contract: Contract, version: str) -> None:
    """Serve the document of everything that the contract declares by now."""
    document = msgspec.json.encode(openapi.document(contract.operations, version))
    static = str(resources.files(__package__) / "static")

    @app.get("/openapi.json", provide_automatic_options=False)
    def openapi_json() -> Response:
        return Response(document, content_type="application/json")

    @app.get("/apidocs", provide_automatic_options=False)
    def apidocs() -> Response:
        response = send_from_directory(static, "apidocs.html")
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    @app.get("/apidocs/<path:name>", provide_automatic_options=False)
    def apidocs_file(name: str) -> Response:
        return send_from_directory(static, name, max_age=3600)
