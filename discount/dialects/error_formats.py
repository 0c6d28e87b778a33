"""The bodies and statuses with which the dialects refuse."""

from discount.api.error_formats import ErrorFormat
from discount.api.schemas.common import Shape

# The earlier services answered 400 where a problem has 409, 415 or 422.
_STATUSES = {
    "invalid": 400,
    "malformed": 400,
    "unsupported-media-type": 400,
    "code-taken": 400,
    "brand-closed": 400,
    "closed": 400,
    "paused": 400,
    "not-started": 400,
    "expired": 400,
    "limit-reached": 400,
    "already-redeemed": 400,
    "below-granted": 400,
    "wrong-kind": 400,
    "address-taken": 400,
    "idempotency-mismatch": 400,
    "quota-reached": 400,
}


class ErrorOut(Shape):
    """The reason for a refusal."""

    error: str


class DetailOut(Shape):
    """The reason for a refusal."""

    detail: str


class MessageOut(Shape):
    """The reason for a refusal, or a confirmation."""

    message: str


OF_DETAILS = ErrorFormat(DetailOut, DetailOut, _STATUSES, {})
OF_MESSAGES = ErrorFormat(MessageOut, MessageOut, _STATUSES, {})
OF_ERRORS = ErrorFormat(ErrorOut, ErrorOut, _STATUSES, {})
