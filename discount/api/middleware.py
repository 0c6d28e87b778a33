"""WSGI middleware: every request gets an id, a measured time and a log line; the fast path is answered here."""

import re
from collections.abc import Iterable, Mapping
from os import urandom
from time import perf_counter
from typing import Any

from discount import logs, metrics
from discount.api import problems
from discount.api.fast_path import Answer, FastPath, with_length

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


def _headers(environ: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the headers of every answer."""
    return [("X-Request-Id", environ["discount.request_id"]), *_SAFE]


class RequestMiddleware:
    """Middleware around the whole application.

    A request id from the client is kept if it is safe in a log line and a header; otherwise one is made.
    """

    def __init__(self, app: Any, fast: FastPath) -> None:
        self._app = app
        self._fast_path = fast

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        started = perf_counter()
        from_client = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = from_client if _ID.fullmatch(from_client) else urandom(16).hex()
        environ["discount.request_id"] = request_id

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

    def _answer(self, environ: dict[str, Any]) -> Answer | None:
        """Answer a request that the server could not read, or one of the fast path."""
        if "discount.refused" in environ:
            slug, detail = environ["discount.refused"]
            return with_length(problems.render_slug(slug, environ, detail))
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
                ms=round(seconds * 1000, 2),
            )
