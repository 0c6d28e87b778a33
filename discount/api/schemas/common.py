"""discount.api.schemas.common"""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from discount.domain import durations, model, rules
from discount.domain.errors import Invalid
from discount.domain.reasons import told

# Letters of any script, digits and most signs. Not among them: control and format characters (line breaks,
# bidirectional marks, zero-width signs), braces and slashes, emoji and other pictures, blanks at either end, and the
# path segments `.` and `..`, which clients resolve away. What lies past U+FFFF stands for itself: Python and JSON
# Schema (ECMA 262) have no common escape for it.
_FIT = (
    r"!-.0-\[\]-z|~\u00a1-\u00ac\u00ae-\u061b\u061d-\u167f\u1681-\u180d\u180f-\u1fff\u2010-\u2027\u2030-\u205e"
    r"\u2070-\u20e2\u20e4-\u218f\u2c00-\u2fff\u3001-\ud7ff\uf900-\ufdff\ufe10-\ufefe\uff00-\uffef"
    "\U00010000-\U0001efff"
)


ID_PATTERN = told(
    rf"^(?!\.{{1,2}}$)[{_FIT}](?:[ {_FIT}]*[{_FIT}])?$(?!\n)",
    rf"[^ {_FIT}]",
    "letters, digits and most signs may stand there, and blanks between them,"
    " but no / \\ { }, emoji or control characters",
)


# A name may have any sign, but no control character, and no blank at either end.
_CONTROL = r"\u0000-\u001f\u007f-\u009f"


NAME_PATTERN = told(
    rf"^[^ {_CONTROL}](?:[^{_CONTROL}]*[^ {_CONTROL}])?$(?!\n)",
    f"[{_CONTROL}]",
    "any character may stand there but control characters, such as line breaks, and no blank at either end",
)


BrandId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=ID_PATTERN,
        description="The brand, as it calls itself.",
        examples=["IKEA"],
    ),
]


UserId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=ID_PATTERN,
        description="The user, by the caller's own id.",
        examples=["User 1"],
    ),
]


#: The brand that a request is for; a brand's key says it by itself.
ForBrand = Annotated[BrandId, Meta(description="The brand; with a brand's key it may be left out.")]


VisibleText = Annotated[str, Meta(min_length=1, max_length=200, pattern=NAME_PATTERN)]


#: A word on why; it may be empty.
Remark = Annotated[
    str,
    Meta(
        max_length=200,
        pattern=told(
            rf"^[^{_CONTROL}]*$(?!\n)",
            f"[{_CONTROL}]",
            "any character may stand there but control characters, such as line breaks",
        ),
    ),
]


Email = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=told(
            r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+$(?!\n)",
            r"[^A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]",
            "an e-mail address in ASCII is expected, such as ann@example.com",
        ),
        description="One address.",
        examples=["ann@example.com"],
    ),
]


Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339, with its offset.", examples=["2026-12-24T18:00:00Z"])]


Limit = Annotated[int, Meta(ge=1, le=1000, description="The most that one page holds.")]


Cursor = Annotated[str, Meta(min_length=1, max_length=1024, description="`next` of the page before.")]


# The first moment that has ten digits of seconds, and the last: times are compared as text of one length.
_EARLIEST = datetime(2001, 9, 10, tzinfo=UTC)


_LATEST = datetime(2286, 11, 20, tzinfo=UTC)


# A hundred years, in microseconds.
_LONGEST = 36525 * 86_400_000_000


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """What all shapes share."""


Amount = Annotated[
    int,
    Meta(ge=0, le=rules.MAX_AMOUNT, description="In the currency's minor units: 1050 is 10.50 EUR.", examples=[5000]),
]


Money = Annotated[
    int,
    Meta(ge=1, le=rules.MAX_AMOUNT, description="In the currency's minor units: 1050 is 10.50 EUR.", examples=[500]),
]


Currency = Annotated[
    str,
    Meta(
        pattern=told(
            r"^[A-Z]{3}$(?!\n)",
            "[^A-Z]",
            "the three capital letters of a currency are expected, such as EUR",
        ),
        description="ISO 4217.",
        examples=["EUR"],
    ),
]


Percent = Annotated[float, Meta(gt=0, le=100, description="With at most two decimals.", examples=[12.5])]


Often = Annotated[int, Meta(ge=0, le=10**9, description="How often.")]


Zone = Annotated[str, Meta(min_length=1, max_length=64, description="IANA; whose days and weeks the limits count in.")]


class ListQuery(Shape):
    limit: Limit = 100
    cursor: Cursor | None = None


def brand_in(brand_id: str | None, field: str) -> str:
    """The brand that a request is for.

    Raises:
        Invalid: it names none, and came with no brand's key that would say it.
    """
    if brand_id is None:
        raise Invalid(field, "is missing")
    return brand_id


def percent_in(value: float | None) -> int | None:
    """A percentage of a request in hundredths.

    Raises:
        Invalid: it has more than two decimals.
    """
    if value is None:
        return None
    # Two decimals are exact once the nearest integer of hundredths is taken; a third is far from any.
    hundredths = round(value * 100)
    if abs(value * 100 - hundredths) > 1e-6:
        raise Invalid("/percent_off", "has more than two decimals")
    return hundredths


def duration_in(text: str | None, field: str) -> durations.Duration | None:
    """A duration of a request.

    Raises:
        Invalid: it is none, not longer than nothing, or longer than a hundred years.
    """
    if text is None:
        return None
    try:
        found = durations.read(text)
    except ValueError:
        raise Invalid(
            f"/{field}", "is not a duration as ISO 8601 writes it, for example P14D, P2W, P1M or PT36H"
        ) from None
    if not 0 < found.months * _LONGEST // 1200 + found.microseconds <= _LONGEST:
        raise Invalid(f"/{field}", "must be longer than zero, and at most 36,525 days (a hundred years)")
    return found


def moment_in(value: datetime | None, field: str) -> int | None:
    """A moment of a request as microseconds.

    Raises:
        Invalid: it is before 2001-09-10 or after 2286-11-20.
    """
    if value is None:
        return None
    if not _EARLIEST <= value <= _LATEST:
        raise Invalid(field, "must be from 2001-09-10 to 2286-11-20")
    return model.from_time(value)


def moment_out(moment: int | None) -> datetime | None:
    """A moment of an answer, if there is one."""
    return None if moment is None else model.to_time(moment)
