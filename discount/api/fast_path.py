"""The fast path: the busiest operations skip Flask's routing and contexts."""

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from gunicorn import SERVER
from gunicorn.util import http_date

from discount.api.contract import Endpoint
from discount.api.exchange import Reply, Request

#: Status line, headers and body.
Answer = tuple[str, list[tuple[str, str]], bytes]

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class FastPath:
    """The endpoints that are on the fast path, by method and path. A path has at most one variable part."""

    def __init__(self, endpoints: Iterable[Endpoint] = ()) -> None:
        self._exact: dict[tuple[str, str], Endpoint] = {}
        self._variable: list[tuple[str, str, str, str, Endpoint]] = []
        for endpoint in endpoints:
            if endpoint.operation.fast_path:
                self._add(endpoint)
        #: `find`, for paths that are on the fast path. Cached: most calls are for few discounts.
        self.known = lru_cache(maxsize=4096)(self._known)

    def _add(self, endpoint: Endpoint) -> None:
        method = endpoint.operation.method
        before, variable, rest = endpoint.operation.path.partition("{")
        if not variable:
            self._exact[method, before] = endpoint
            return
        name, _, after = rest.partition("}")
        self._variable.append((method, before, after, name, endpoint))

    def find(self, method: str, path: str) -> tuple[Endpoint, dict[str, Any]] | None:
        """Return the endpoint of a path with its arguments, or None if the framework has to find it."""
        endpoint = self._exact.get((method, path))
        if endpoint is not None:
            return endpoint, {}
        for verb, before, after, name, endpoint in self._variable:
            if verb == method and path.startswith(before) and path.endswith(after):
                value = path[len(before) : len(path) - len(after)]
                if value and "/" not in value and value.isascii():
                    return endpoint, {name: value}
        return None

    def _known(self, method: str, path: str) -> tuple[Endpoint, dict[str, Any]]:
        found = self.find(method, path)
        assert found is not None, path  # noqa: S101 - the server reads no other paths
        return found

    def answer(self, environ: dict[str, Any]) -> Answer | None:
        """Answer a request, or return None to leave it to the framework."""
        if environ.get("QUERY_STRING") or environ.get("SCRIPT_NAME"):
            return None
        found = self.find(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""))
        if found is None:
            return None
        endpoint, arguments = found
        return with_length(endpoint.answer(Request(environ, arguments)))


def with_length(reply: Reply) -> Answer:
    """Return a reply as WSGI sends it, with its length."""
    body = _body(reply)
    return _STATUS_LINES[reply.status], [*reply.all_headers, ("Content-Length", str(len(body)))], body


def written(reply: Reply, rest: bytes, second: int, *, keep_alive: bool) -> bytes:
    """Return a reply as bytes, as gunicorn writes it.

    Args:
        rest: the headers of every answer, each with its line end.
        second: the time in seconds since 1970 UTC.
    """
    start, body = _start(reply.status, second, keep_alive, tuple(reply.headers)), _body(reply)
    if reply.rate is not None:
        start += b"RateLimit-Limit: %d\r\nRateLimit-Remaining: %d\r\nRateLimit-Reset: %d\r\n" % reply.rate
    return b"%bContent-Length: %d\r\n%b\r\n%b" % (start, len(body), rest, body)


def _body(reply: Reply) -> bytes:
    return reply.body if reply.pieces is None else b"".join(reply.pieces)


# Cached: nearly all answers of a second begin with the same lines.
@lru_cache(maxsize=64)
def _start(status: int, second: int, keep_alive: bool, headers: tuple[tuple[str, str], ...]) -> bytes:
    connection = "keep-alive" if keep_alive else "close"
    lines = [f"HTTP/1.1 {_STATUS_LINES[status]}", f"Server: {SERVER}", f"Date: {http_date(second)}"]
    # The server decides about the connection, not the app.
    lines += [f"Connection: {connection}", *(f"{name}: {value}" for name, value in headers if name != "Connection")]
    return "".join([f"{line}\r\n" for line in lines]).encode("latin-1")
