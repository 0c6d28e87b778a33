"""How the dialects tell what is refused."""

from discount.api.error_formats import ErrorFormat
from discount.api.schemas.common import Shape

# What HTTP tells apart by 409, 415 and 422 was all one to the earlier services.
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
    """What went wrong."""

    error: str


class DetailOut(Shape):
    """What went wrong."""

    detail: str


class MessageOut(Shape):
    """What went wrong, or well."""

    message: str


OF_DETAILS = ErrorFormat(DetailOut, DetailOut, _STATUSES, {})
OF_MESSAGES = ErrorFormat(MessageOut, MessageOut, _STATUSES, {})
OF_ERRORS = ErrorFormat(ErrorOut, ErrorOut, _STATUSES, {})
