"""The Flask application: a route for each endpoint, and a problem for each exception."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, request
from werkzeug.routing import Rule

from discount.api import problems
from discount.api.contract import Endpoint
from discount.api.exchange import Reply, Request


def make_app(endpoints: Iterable[Endpoint]) -> Flask:
    """Return an application that serves the endpoints."""
    app = Flask("discount.api", static_folder=None)
    app.url_rule_class = _Route
    app.url_map.merge_slashes = False
    answer_errors(app)
    for endpoint in endpoints:
        _add_route(app, endpoint)
    return app


class _Route(Rule):
    """A route that compiles what builds its addresses when one is asked for, which the service never does.

    Compiling two of them for each route would double the time that making the application takes.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compile_builder = super()._compile_builder

        def build(_route: Rule, **values: Any) -> tuple[str, str]:
            built: tuple[str, str] = compile_builder(append_unknown).__get__(self, None)(**values)
            return built

        return build


def answer_errors(app: Flask) -> None:
    """Answer every exception with a problem."""

    @app.errorhandler(Exception)
    def refuse(error: Exception) -> Response:
        return _response(problems.render(error, request.environ))


def _add_route(app: Flask, endpoint: Endpoint) -> None:
    def answer(**arguments: str) -> Response:
        return _response(endpoint.answer(Request(request.environ, arguments, request.args)))

    operation = endpoint.operation
    path = operation.path.replace("{", "<").replace("}", ">")
    app.add_url_rule(
        path,
        operation.name,
        answer,
        methods=[operation.method],
        provide_automatic_options=False,
        strict_slashes=not path.endswith("/"),
    )


def _response(reply: Reply) -> Response:
    response = Response(reply.body if reply.pieces is None else reply.pieces, reply.status, reply.all_headers)
    if reply.end is not None:
        response.call_on_close(reply.end)
    return response
