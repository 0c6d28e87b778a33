"""Shapes of when codes are granted, and when they can be redeemed."""

from typing import Annotated

import msgspec
from msgspec import Meta

from discount.api.schemas.common import Moment, Shape, moment_in
from discount.domain import model, releases, windows
from discount.domain.reasons import with_rule

TimeOfDay = Annotated[
    str,
    Meta(
        pattern=with_rule(
            r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)", "[^0-9:]", "a time of day is expected, from 00:00 to 23:59"
        ),
        examples=["09:00"],
    ),
]


class HoursShape(Shape, rename={"from_": "from"}):
    """Hours of some days, as a clock in `timezone` shows them. An end before the start is the next day's."""

    from_: TimeOfDay
    to: TimeOfDay
    days: Annotated[list[windows.Day], Meta(min_length=1, max_length=7)] = msgspec.field(
        default_factory=lambda: list(windows.DAYS)
    )

    @classmethod
    def of(cls, hours: windows.Hours) -> "HoursShape":
        return cls(hours.from_, hours.to, list(hours.days))


class ReleaseIn(Shape):
    """The pace at which codes are granted: so many a minute, evenly, from `at` on. Codes that were not taken add up."""

    at: Moment
    per_minute: Annotated[int, Meta(ge=1, le=releases.MOST_PER_MINUTE, description="Codes of a minute.", examples=[60])]

    @classmethod
    def of(cls, release: releases.Release | None) -> "ReleaseIn | None":
        return None if release is None else cls(model.to_time(release.at), release.per_minute)

    def pace(self) -> releases.Release:
        """Return the pace.

        Raises:
            Invalid: it begins before 2001-09-10 or after 2286-11-20.
        """
        return releases.Release(moment_in(self.at, "/release/at") or 0, self.per_minute)


Length = Annotated[
    str,
    Meta(
        max_length=64,
        description="An ISO 8601 duration. A day is 24 hours; months and years follow the calendar in `timezone`.",
        examples=["P14D", "P1M", "PT36H"],
        extra_json_schema={"format": "duration"},
    ),
]


ClaimWithin = Annotated[
    Length,
    Meta(
        description="How long after its grant an unused code goes to the next user who waits or to the pool; no months."
    ),
]
