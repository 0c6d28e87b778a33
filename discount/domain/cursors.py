"""Cursors: the position at which the next page of a list begins, as text that only this service reads."""

import base64
import binascii

from discount.domain.errors import Invalid


def make_cursor(number: int, text: str) -> str:
    """Return a position in a list as URL-safe text."""
    return base64.urlsafe_b64encode(f"{number}:{text}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[int, str]:
    """Return the position that `make_cursor` was given.

    Raises:
        Invalid: `make_cursor` cannot have made this.
    """
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        number, colon, text = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
        if colon and number.isascii() and number.isdecimal() and len(number) <= 16:
            return int(number), text
    except (binascii.Error, ValueError):
        pass
    raise bad_cursor()


def bad_cursor() -> Invalid:
    """Return the refusal of a cursor that this service did not make."""
    return Invalid("cursor", "is not a cursor that this service gave")
