"""The fast path: the three busiest operations skip Flask's routing and contexts."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from discount.api.contract import Endpoint
from discount.api.exchange import Reply, Request

#: Status line, headers and body.
Answer = tuple[str, list[tuple[str, str]], bytes]

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class FastPath:
    """Those of the endpoints that are on the fast path, by method and path. A path has at most one variable part."""

    def __init__(self, endpoints: Iterable[Endpoint] = ()) -> None:
        self._exact: dict[tuple[str, str], Endpoint] = {}
        self._variable: list[tuple[str, str, str, str, Endpoint]] = []
        for endpoint in endpoints:
            if endpoint.operation.fast_path:
                self._add(endpoint)

    def _add(self, endpoint: Endpoint) -> None:
        method = endpoint.operation.method
        before, variable, rest = endpoint.operation.path.partition("{")
        if not variable:
            self._exact[method, before] = endpoint
            return
        name, _, after = rest.partition("}")
        self._variable.append((method, before, after, name, endpoint))

    def answer(self, environ: dict[str, Any]) -> Answer | None:
        """Answer a request, or return None to leave it to the framework."""
        if environ.get("QUERY_STRING") or environ.get("SCRIPT_NAME"):
            return None
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        endpoint = self._exact.get((method, path))
        if endpoint is not None:
            return _answer(endpoint, environ, {})
        for verb, before, after, name, endpoint in self._variable:
            if verb == method and path.startswith(before) and path.endswith(after):
                value = path[len(before) : len(path) - len(after)]
                if value and "/" not in value and value.isascii():
                    return _answer(endpoint, environ, {name: value})
        return None


def _answer(endpoint: Endpoint, environ: dict[str, Any], arguments: dict[str, Any]) -> Answer:
    return with_length(endpoint.answer(Request(environ, arguments)))


def with_length(reply: Reply) -> Answer:
    """Return a whole reply as WSGI sends it, with its length."""
    reply.headers.append(("Content-Length", str(len(reply.body))))
    return _STATUS_LINES[reply.status], reply.headers, reply.body
