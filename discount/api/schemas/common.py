"""Types and checks that several shapes share."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from discount.domain import durations, metadata, model, order_lines, rules
from discount.domain.errors import Invalid
from discount.domain.reasons import with_rule

# Letters of any script, digits and most signs. Excluded are control and format characters (line breaks, bidirectional
# marks, zero-width signs), braces, slashes, emoji and other pictures. So are blanks at either end, and the path
# segments `.` and `..`, which clients resolve away. Characters past U+FFFF are not escaped: Python and JSON Schema
# (ECMA 262) have no common escape for them.
_FIT = (
    r"!-.0-\[\]-z|~\u00a1-\u00ac\u00ae-\u061b\u061d-\u167f\u1681-\u180d\u180f-\u1fff\u2010-\u2027\u2030-\u205e"
    r"\u2070-\u20e2\u20e4-\u218f\u2c00-\u2fff\u3001-\ud7ff\uf900-\ufdff\ufe10-\ufefe\uff00-\uffef"
    "\U00010000-\U0001efff"
)


ID_PATTERN = with_rule(
    rf"^(?!\.{{1,2}}$)[{_FIT}](?:[ {_FIT}]*[{_FIT}])?$(?!\n)",
    rf"[^ {_FIT}]",
    "letters, digits and most signs are allowed, and blanks between them, but no / \\ { }, emoji or control characters",
)


# A name may have any character except control characters, and no blank at either end.
_CONTROL = r"\u0000-\u001f\u007f-\u009f"


NAME_PATTERN = with_rule(
    rf"^[^ {_CONTROL}](?:[^{_CONTROL}]*[^ {_CONTROL}])?$(?!\n)",
    f"[{_CONTROL}]",
    "any character is allowed except control characters, such as line breaks, and blanks at either end",
)


BrandId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=ID_PATTERN,
        description="The brand's id.",
        examples=["IKEA"],
    ),
]


UserId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=ID_PATTERN,
        description="The caller's own id of the user.",
        examples=["User 1"],
    ),
]


#: The brand of a request; a brand's key implies it.
ForBrand = Annotated[BrandId, Meta(description="The brand; may be left out with a brand's key.")]


_ONE_LINE = with_rule(
    rf"^[^{_CONTROL}]*$(?!\n)",
    f"[{_CONTROL}]",
    "any character is allowed except control characters, such as line breaks",
)


VisibleText = Annotated[str, Meta(min_length=1, max_length=200, pattern=NAME_PATTERN)]


#: A short reason, or an empty text.
Remark = Annotated[
    str,
    Meta(
        max_length=200,
        pattern=_ONE_LINE,
    ),
]


_MetadataName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=metadata.LONGEST_NAME,
        pattern=with_rule(
            r"^[A-Za-z0-9_-]+$(?!\n)", "[^A-Za-z0-9_-]", "the letters A-Z and a-z, digits and _ - are allowed"
        ),
    ),
]


_MetadataValue = Annotated[
    str,
    Meta(
        max_length=metadata.LONGEST_VALUE,
        pattern=_ONE_LINE,
    ),
]


Metadata = Annotated[
    dict[_MetadataName, _MetadataValue],
    Meta(
        max_length=metadata.MOST,
        description="The caller's own short texts by name: at most 20, names of up to 40 and values of up to 200"
        " characters.",
        examples=[{"channel": "spring-mail"}],
    ),
]


#: Metadata by which a list is filtered; `metadata.<name>` in a query.
Wanted = Annotated[
    dict[_MetadataName, _MetadataValue],
    Meta(
        max_length=metadata.MOST,
        description="Only with these entries: `?metadata.channel=spring-mail`. A page can be shorter than its limit.",
    ),
]


Email = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=with_rule(
            r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+$(?!\n)",
            r"[^A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]",
            "an e-mail address in ASCII is expected, such as ann@example.com",
        ),
        description="One e-mail address.",
        examples=["ann@example.com"],
    ),
]


Moment = Annotated[
    datetime,
    Meta(tz=True, description="RFC 3339, with an offset.", examples=["2026-12-24T18:00:00Z"]),
]


Limit = Annotated[int, Meta(ge=1, le=1000, description="The most rows of one page.")]


Cursor = Annotated[str, Meta(min_length=1, max_length=1024, description="`next` of the previous page.")]


#: The partitions that a list over several lacks.
Missing = (
    Annotated[
        list[str],
        Meta(
            description="Partitions that cannot be reached: what they hold is left out. Absent if nothing is missing.",
            examples=[["02", "0b"]],
        ),
    ]
    | UnsetType
)


def missing_out(partitions: Sequence[int]) -> list[str] | UnsetType:
    """Return partitions as lists show them."""
    return [f"{partition:02x}" for partition in partitions] or UNSET


# The first and the last time with ten digits of seconds since 1970: times are compared as text of one length.
_EARLIEST = datetime(2001, 9, 10, tzinfo=UTC)


_LATEST = datetime(2286, 11, 20, tzinfo=UTC)


# A hundred years, in microseconds.
_LONGEST = 36525 * 86_400_000_000


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """The base of shapes: unknown fields are refused."""


Amount = Annotated[
    int,
    Meta(ge=0, le=rules.MAX_AMOUNT, description="In minor units of the currency: 1050 is 10.50 EUR.", examples=[5000]),
]


Money = Annotated[
    int,
    Meta(ge=1, le=rules.MAX_AMOUNT, description="In minor units of the currency: 1050 is 10.50 EUR.", examples=[500]),
]


Currency = Annotated[
    str,
    Meta(
        pattern=with_rule(
            r"^[A-Z]{3}$(?!\n)",
            "[^A-Z]",
            "the three capital letters of a currency are expected, such as EUR",
        ),
        description="ISO 4217.",
        examples=["EUR"],
    ),
]


Percent = Annotated[float, Meta(gt=0, le=100, description="At most two decimals.", examples=[12.5])]


_ProductText = Annotated[str, Meta(min_length=1, max_length=order_lines.LONGEST, pattern=NAME_PATTERN)]


Sku = Annotated[_ProductText, Meta(description="The shop's own number of the product.", examples=["CHAIR-17"])]


Category = Annotated[_ProductText, Meta(description="The shop's own category of the product.", examples=["chairs"])]


_Entries = Annotated[
    list[_ProductText],
    Meta(max_length=order_lines.MOST_ENTRIES, description="An entry with * at its end is a prefix."),
]


class Products(Shape):
    """Products by SKU or by category."""

    skus: _Entries = msgspec.field(default_factory=list)
    categories: _Entries = msgspec.field(default_factory=list)


Often = Annotated[int, Meta(ge=0, le=10**9, description="A number of times.")]


Zone = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="IANA; limits by day and week follow it.",
    ),
]


class ListQuery(Shape):
    limit: Limit = 100
    cursor: Cursor | None = None


def brand_in(brand_id: str | None, field: str) -> str:
    """Return the brand of a request.

    Raises:
        Invalid: the request names none, and no brand's key implies it.
    """
    if brand_id is None:
        raise Invalid(field, "is missing")
    return brand_id


def percent_in(value: float | None) -> int | None:
    """Return a percentage in hundredths of a percent.

    Raises:
        Invalid: it has more than two decimals.
    """
    if value is None:
        return None
    # A float with two decimals is very close to a whole number of hundredths; one with three is not.
    hundredths = round(value * 100)
    if abs(value * 100 - hundredths) > 1e-6:
        raise Invalid("/percent_off", "has more than two decimals")
    return hundredths


def duration_in(text: str | None, field: str) -> durations.Duration | None:
    """Return a duration.

    Raises:
        Invalid: it is not a duration, not longer than zero, or longer than a hundred years.
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
    """Return a time in microseconds since 1970.

    Raises:
        Invalid: it is before 2001-09-10 or after 2286-11-20.
    """
    if value is None:
        return None
    if not _EARLIEST <= value <= _LATEST:
        raise Invalid(field, "must be from 2001-09-10 to 2286-11-20")
    return model.from_time(value)


def moment_out(moment: int | None) -> datetime | None:
    """Return a time for an answer, if there is one."""
    return None if moment is None else model.to_time(moment)
