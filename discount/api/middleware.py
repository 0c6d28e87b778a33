"""What happens to every request: its id, its time, its line in the log."""

import re
from collections.abc import Iterable, Mapping
from os import urandom
from time import perf_counter
from typing import Any

from structlog import get_logger

from discount import metrics
from discount.api import problems
from discount.api.fast_path import FastPath
from discount.api.gate import rate_headers

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: Requests for health would drown the others.
_QUIET = ("/healthy", "/ready", "/metrics")


#: Codes are nobody else's to keep, and no answer is to be shown inside of another's page or taken for another type.
_SAFE = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]


def _headers(environ: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What every answer has."""
    return [("X-Request-Id", environ["discount.request_id"]), *_SAFE, *rate_headers(environ)]


class RequestMiddleware:
    """WSGI middleware around the whole app, which answers hot calls itself.

    A request id that comes in is kept if it is safe to repeat in a log and a header, otherwise one is made.
    """

    def __init__(self, app: Any, hot: FastPath) -> None:
        self._app = app
        self._hot = hot
        self._log = get_logger()
        self._children: dict[tuple[str, str, str], Any] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        started = perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = environ["discount.request_id"] = given if _ID.fullmatch(given) else urandom(16).hex()

        unread = environ.get("discount.refused")
        answered = problems.refuse_unread(unread, environ) if unread else self._hot.answer(environ)
        if answered is not None:
            line, headers, body = answered
            headers += _headers(environ)
            self._count(environ, line[:3], started, request_id)
            start_response(line, headers)
            return (body,)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            names = {name.lower() for name, _ in headers}
            headers += [each for each in _headers(environ) if each[0].lower() not in names]
            self._count(environ, status[:3], started, request_id)
            return start_response(status, headers, *rest)

        answer: Iterable[bytes] = self._app(environ, start)
        return answer

    def _count(self, environ: dict[str, Any], status: str, started: float, request_id: str) -> None:
        seconds = perf_counter() - started
        method, route = environ["REQUEST_METHOD"], environ.get("discount.route", "unmatched")
        if route == "unmatched":
            method = "other"
        labels = (method, route, status)
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = metrics.REQUESTS.labels(*labels)
        child.observe(seconds)
        if route not in _QUIET:
            self._log.info(
                "request",
                request_id=request_id,
                method=environ["REQUEST_METHOD"][:16],
                route=route,
                status=int(status),
                ms=round(seconds * 1000, 2),
            )
