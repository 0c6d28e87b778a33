"""Refusals as HTTP: one table from slug to status, one body for all of them (RFC 9457)."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from gunicorn.http.errors import ParseException
from structlog import get_logger
from werkzeug.exceptions import HTTPException

from discount import metrics
from discount.api.schemas.problems import ErrorAt, Problem
from discount.domain import errors, model

if TYPE_CHECKING:
    from flask import Flask

MEDIA_TYPE = "application/problem+json"

STATUS: dict[str, int] = {
    "not-found": 404,
    "not-granted": 404,
    "sold-out": 409,
    "not-started": 409,
    "expired": 409,
    "paused": 409,
    "closed": 409,
    "below-granted": 409,
    "code-taken": 409,
    "brand-taken": 409,
    "brand-closed": 409,
    "address-taken": 409,
    "webhook-taken": 409,
    "too-many-webhooks": 409,
    "quota-reached": 409,
    "webhook-off": 409,
    "no-longer-kept": 410,
    "wrong-kind": 409,
    "limit-reached": 409,
    "already-redeemed": 409,
    "too-many-holds": 409,
    "minimum-amount": 409,
    "currency-mismatch": 409,
    "hold-ended": 409,
    "too-many-guesses": 429,
    "unauthenticated": 401,
    "forbidden": 403,
    "cross-site": 403,
    "too-many-requests": 429,
    "too-many-at-once": 429,
    "idempotency-mismatch": 422,
    "invalid": 422,
    "malformed": 400,
    "unavailable": 503,
    # What HTTP itself refuses, before any verb is asked.
    "method-not-allowed": 405,
    "too-large": 413,
    "unsupported-media-type": 415,
    "bad-request": 400,
    "too-slow": 408,
    "uri-too-long": 414,
    "headers-too-large": 431,
    "internal": 500,
}
_OF_STATUS = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 415: "unsupported-media-type"}
TITLES = {slug: kind.title for slug, kind in errors.BY_SLUG.items()} | {
    "method-not-allowed": "This address does not know that method.",
    "too-large": "The body is larger than this address takes.",
    "unsupported-media-type": "The body is not of a type that this address takes.",
    "bad-request": "The request cannot be read.",
    "too-slow": "The body came too slowly.",
    "uri-too-long": "The address is too long.",
    "headers-too-large": "The headers are too long.",
    "internal": "Something broke here; the request id finds it in the log.",
}
RETRY_AFTER = "1"

_MEMBERS: dict[str, Callable[[Any], Any]] = {
    "errors": lambda errors_at: [ErrorAt(**each) for each in errors_at],
    "starts_at": lambda moment: model.to_time(int(moment)),
    "expires_at": lambda moment: model.to_time(int(moment)),
    "opens_at": lambda moment: model.to_time(int(moment)),
    "granted_count": int,
}


class NotRead(Exception):
    """A body that HTTP refuses before it is read: too large, or of another type."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.slug = slug


Rendered = tuple[bytes, int, list[tuple[str, str]]]


def render(error: Exception, environ: Mapping[str, Any]) -> Rendered:
    """Body, status and headers of the problem that an exception is; what nobody foresaw is logged and tells nothing."""
    if isinstance(error, errors.Refusal):
        members = members_of(error)
        wait = members.pop("retry_after", None)
        told = _document(error.slug, environ, error.detail if error.detail != error.title else "", **members)
        if wait is not None:
            told[2].append(("Retry-After", wait))
        if error.slug == "unauthenticated" or "scope" in error.facts:
            told[2].append(("WWW-Authenticate", _challenge(error, environ)))
        return told
    if isinstance(error, NotRead):
        told = _document(error.slug, environ, str(error))
        told[2].append(("Connection", "close"))
        return told
    if isinstance(error, ConnectionError | ParseException):
        return _document(_slug_of(error), environ)
    get_logger().error("broken", request_id=environ.get("discount.request_id"), exc_info=error)
    return _document("internal", environ)


def _challenge(error: errors.Refusal, environ: Mapping[str, Any]) -> str:
    """What a caller has to bring (RFC 6750, section 3); a request with no token is told no error."""
    told = 'Bearer realm="discount"'
    if "scope" in error.facts:
        return f'{told}, error="insufficient_scope", scope="{error.facts["scope"]}"'
    return told + (', error="invalid_token"' if environ.get("HTTP_AUTHORIZATION") else "")


def members_of(error: errors.Refusal) -> dict[str, Any]:
    """The facts of a refusal, as they stand in a problem."""
    return {name: _MEMBERS[name](value) if name in _MEMBERS else value for name, value in error.facts.items()}


def register(app: "Flask") -> None:
    """Let the app answer every exception with a problem."""
    from flask import Response, request  # noqa: PLC0415 - see the contract

    @app.errorhandler(Exception)
    def refused(error: Exception) -> Response:
        return Response(*render(error, request.environ))

    @app.errorhandler(HTTPException)
    def refused_by_framework(error: HTTPException) -> Response:
        slug = _OF_STATUS.get(error.code or 0) or _slug_of(error.__context__)
        response = Response(*_document(slug, request.environ))
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response


def refuse_unread(refused: tuple[str, str], environ: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, headers and body for a request that the server could not read."""
    body, status, headers = _document(refused[0], environ, refused[1])
    length = ("Content-Length", str(len(body)))
    return f"{status} {HTTPStatus(status).phrase}", [*headers, length], body


def _slug_of(lost: BaseException | None) -> str:
    """The slug for a body that did not come whole."""
    return "too-slow" if isinstance(lost, errors.TooSlow) else "bad-request"


def _document(slug: str, environ: Mapping[str, Any], detail: str = "", **members: Any) -> Rendered:
    metrics.REFUSALS.labels(slug).inc()
    status = STATUS[slug]
    problem = Problem(
        type=f"/problems/{slug}",
        title=TITLES[slug],
        status=status,
        detail=detail,
        request_id=environ.get("discount.request_id", ""),
        **members,
    )
    headers = [("Content-Type", MEDIA_TYPE)]
    if status == 503:
        headers.append(("Retry-After", RETRY_AFTER))
    return msgspec.json.encode(problem), status, headers
