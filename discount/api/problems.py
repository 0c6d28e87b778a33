"""Refusals as HTTP: one table from slug to status, one body for all of them (RFC 9457)."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from gunicorn.http.errors import ParseException
from structlog import get_logger
from werkzeug.exceptions import HTTPException

from discount import metrics
from discount.api import texts
from discount.api.exchange import Reply
from discount.api.schemas.problems import ErrorAt, Problem
from discount.domain import errors, model

MEDIA_TYPE = "application/problem+json"

STATUS: dict[str, int] = {
    "not-found": 404,
    "not-granted": 404,
    "revoked": 409,
    "already-granted": 409,
    "sold-out": 409,
    "not-released": 409,
    "others-wait": 409,
    "codes-left": 409,
    "not-waiting": 404,
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
    "no-ledger": 501,
    "wrong-kind": 409,
    "limit-reached": 409,
    "outside-hours": 409,
    "not-in-audience": 409,
    "already-granted-elsewhere": 409,
    "identity-missing": 409,
    "already-redeemed": 409,
    "too-many-holds": 409,
    "minimum-amount": 409,
    "lines-missing": 409,
    "not-combinable": 409,
    "no-line-fits": 409,
    "minimum-quantity": 409,
    "currency-mismatch": 409,
    "hold-ended": 409,
    "too-late": 409,
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
    "not-yet-durable": 503,
    "restoring": 503,
    # Refused before any operation is called.
    "method-not-allowed": 405,
    "too-large": 413,
    "unsupported-media-type": 415,
    "bad-request": 400,
    "too-slow": 408,
    "uri-too-long": 414,
    "headers-too-large": 431,
    "internal": 500,
}


class NotRead(errors.Refusal):
    """A request that is refused before its body is read whole. The connection closes after the answer."""


class TooLarge(NotRead):
    slug = "too-large"
    title = "The body is larger than this address accepts."


class UnsupportedMediaType(NotRead):
    slug = "unsupported-media-type"
    title = "This address does not accept a body of this type."


class BadRequest(NotRead):
    slug = "bad-request"
    title = "The request cannot be read."


class BodyTooSlow(NotRead):
    slug = "too-slow"
    title = "The body came too slowly."


_OF_STATUS = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 415: "unsupported-media-type"}
_REFUSALS = [*errors.BY_SLUG.values(), *NotRead.__subclasses__()]
TITLES = {kind.slug: kind.title for kind in _REFUSALS} | {
    "method-not-allowed": "This address does not allow that method.",
    "uri-too-long": "The address is too long.",
    "headers-too-large": "The headers are too long.",
    "internal": "The service has failed; the log shows the error under the request id.",
}
#: Seconds after which a request may be repeated while the service is unavailable.
RETRY_AFTER = "1"

_MEMBERS: dict[str, Callable[[Any], Any]] = {
    "errors": lambda errors_at: [ErrorAt(**each) for each in errors_at],
    "starts_at": lambda moment: model.to_time(int(moment)),
    "expires_at": lambda moment: model.to_time(int(moment)),
    "opens_at": lambda moment: model.to_time(int(moment)),
    "granted_count": int,
}


def render(error: Exception, environ: Mapping[str, Any]) -> Reply:
    """Render an exception as a problem; log unexpected ones and hide their details."""
    if isinstance(error, errors.Refusal):
        return _render_refusal(error, environ)
    if isinstance(error, HTTPException):
        reply = render_slug(_OF_STATUS.get(error.code or 0) or _slug_of(error.__context__), environ)
        reply.headers += [header for header in error.get_headers() if header[0] == "Allow"]
        return reply
    if isinstance(error, ConnectionError | ParseException):
        return render_slug(_slug_of(error), environ)
    get_logger().error("broken", request_id=environ.get("discount.request_id"), exc_info=error)
    return render_slug("internal", environ)


def _render_refusal(refusal: errors.Refusal, environ: Mapping[str, Any]) -> Reply:
    members = members_of(refusal)
    retry_after = members.pop("retry_after", None)
    reply = render_slug(refusal.slug, environ, refusal.detail if refusal.detail != refusal.title else "", **members)
    if retry_after is not None:
        reply.headers.append(("Retry-After", retry_after))
    if refusal.slug == "unauthenticated" or "scope" in refusal.facts:
        reply.headers.append(("WWW-Authenticate", _challenge(refusal, environ)))
    if isinstance(refusal, NotRead):
        reply.headers.append(("Connection", "close"))
    return reply


def _challenge(refusal: errors.Refusal, environ: Mapping[str, Any]) -> str:
    """Return the WWW-Authenticate header (RFC 6750, section 3); it names no error if there was no token."""
    challenge = 'Bearer realm="discount"'
    if "scope" in refusal.facts:
        return f'{challenge}, error="insufficient_scope", scope="{refusal.facts["scope"]}"'
    return challenge + (', error="invalid_token"' if environ.get("HTTP_AUTHORIZATION") else "")


def members_of(refusal: errors.Refusal) -> dict[str, Any]:
    """Return the facts of a refusal as members of a problem."""
    return {name: _MEMBERS[name](value) if name in _MEMBERS else value for name, value in refusal.facts.items()}


def _slug_of(error: BaseException | None) -> str:
    """Return the slug for a body that did not arrive whole."""
    return "too-slow" if isinstance(error, errors.TooSlow) else "bad-request"


def render_slug(slug: str, environ: Mapping[str, Any], detail: str = "", **members: Any) -> Reply:
    """Render the problem of a slug, with more members of its body, and count it."""
    metrics.REFUSALS.inc(labels=(slug,))
    status, language = STATUS[slug], texts.language_of(environ)
    problem = Problem(
        type=f"/problems/{slug}",
        title=texts.title(slug, TITLES[slug], language),
        status=status,
        detail=texts.detail(detail, language),
        request_id=environ.get("discount.request_id", ""),
        **members,
    )
    headers = [("Content-Type", MEDIA_TYPE)]
    if language != texts.ENGLISH:
        headers += [("Content-Language", language), ("Vary", "Accept-Language")]
    if status == 503:
        headers.append(("Retry-After", RETRY_AFTER))
    return Reply(msgspec.json.encode(problem), status, headers)
