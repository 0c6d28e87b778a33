"""WSGI middleware: every request gets an id, a measured time and a log line; the fast path is answered here."""

import re
from collections.abc import Iterable, Mapping
from random import getrandbits
from time import perf_counter, time
from typing import Any

from discount import logs, metrics
from discount.api import problems
from discount.api.exchange import Request
from discount.api.fast_path import Answer, FastPath, with_length, written

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: Not logged: health checks would drown out the other requests.
_QUIET = ("/healthy", "/ready", "/metrics")
#: No answer may be cached, shown inside another page, or taken for another type: answers hold codes.
_SAFE = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]
_SAFE_LINES = "".join(f"{name}: {value}\r\n" for name, value in _SAFE).encode()


def _headers(environ: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the headers of every answer."""
    return [("X-Request-Id", environ["discount.request_id"]), *_SAFE]


def _request_id(environ: Mapping[str, Any]) -> str:
    """Return the client's id of the request if it is safe in a log line and a header, otherwise a new one."""
    from_client = environ.get("HTTP_X_REQUEST_ID")
    if from_client is not None and _ID.fullmatch(from_client):
        return str(from_client)
    # It has to be another one each time, but no secret.
    return getrandbits(128).to_bytes(16, "big").hex()


class RequestMiddleware:
    """Middleware around the whole application."""

    def __init__(self, app: Any, fast: FastPath) -> None:
        self._app = app
        self._fast_path = fast

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        started = perf_counter()
        request_id = environ["discount.request_id"] = _request_id(environ)

        answer = self._answer(environ)
        if answer is not None:
            status, headers, body = answer
            headers += _headers(environ)
            self._count(environ, status[:3], started, request_id)
            start_response(status, headers)
            return (body,)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            names = {name.lower() for name, _ in headers}
            headers += [header for header in _headers(environ) if header[0].lower() not in names]
            self._count(environ, status[:3], started, request_id)
            return start_response(status, headers, *rest)

        pieces: Iterable[bytes] = self._app(environ, start)
        return pieces

    def respond(
        self, method: str, path: str, variables: dict[str, str], body: bytes, address: str, *, keep_alive: bool
    ) -> bytes:
        """Return the whole response to a request of the fast path that the server has read itself.

        Args:
            variables: the request's headers as WSGI variables.
            address: the peer's.
        """
        started = perf_counter()
        request_id = _request_id(variables)
        environ: dict[str, Any] = {
            **variables,
            "REQUEST_METHOD": method,
            "REMOTE_ADDR": address,
            "discount.request_id": request_id,
            "discount.body": body,
        }
        endpoint, arguments = self._fast_path.known(method, path)
        reply = endpoint.answer(Request(environ, arguments.copy()))
        self._count(environ, str(reply.status), started, request_id)
        rest = b"X-Request-Id: %b\r\n%b" % (request_id.encode(), _SAFE_LINES)
        return written(reply, rest, int(time()), keep_alive=keep_alive)

    def _answer(self, environ: dict[str, Any]) -> Answer | None:
        """Answer a request that the server could not read, or one of the fast path."""
        if "discount.refused" in environ:
            slug, detail, headers = environ["discount.refused"]
            reply = problems.render_slug(slug, environ, detail)
            reply.headers += headers
            return with_length(reply)
        return self._fast_path.answer(environ)

    def _count(self, environ: dict[str, Any], status: str, started: float, request_id: str) -> None:
        seconds = perf_counter() - started
        method, route = environ["REQUEST_METHOD"], environ.get("discount.route", "unmatched")
        if route == "unmatched":
            method = "other"
        metrics.REQUESTS.observe((method, route, status), seconds)
        if route not in _QUIET:
            logs.log_request(
                request_id=request_id,
                method=environ["REQUEST_METHOD"][:16],
                route=route,
                status=int(status),
                # Two decimals: `round` takes far longer.
                ms=int(seconds * 100_000 + 0.5) / 100,
            )
