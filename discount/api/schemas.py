"""What goes over HTTP: the shapes that validate are the shapes that OpenAPI shows. Unknown fields are refused."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import UNSET, Meta, UnsetType

from discount import durations, model, pools, rules
from discount.errors import Invalid, Refusal
from discount.reasons import told

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
_NAME_PATTERN = told(
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
DiscountCode = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=_NAME_PATTERN,
        description="The discount's human-readable name.",
        examples=["Christmas 2020 discount"],
    ),
]
VisibleText = Annotated[str, Meta(min_length=1, max_length=200, pattern=_NAME_PATTERN)]
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
EventType = Literal[
    "discount.created",
    "discount.changed",
    "discount.closed",
    "discount.sold-out",
    "discount.limit-reached",
    "code.granted",
    "code.redeemed",
    "redemption.rolled-back",
    "redemption.held",
    "redemption.confirmed",
    "redemption.released",
    "webhook.disabled",
]
EventTypes = Annotated[list[EventType], Meta(max_length=20, description="Of the events to be told; none for all.")]
WebhookUrl = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2048,
        pattern=told(
            r"^https?://[!-~]+$(?!\n)", "[^!-~]", "a URL in visible ASCII is expected that begins with https://"
        ),
        description="https, at an address that is public.",
        examples=["https://ikea.example/discounts"],
    ),
]
WebhookId = Annotated[
    str,
    Meta(
        pattern=told(
            r"^whk-[0-9a-f]{26}$(?!\n)",
            "[^whk0-9a-f-]",
            "the id of a webhook is expected: whk- and 26 of the characters 0-9 and a-f",
        ),
        examples=["whk-0c3f9a1b2c4d5e6f708192a3b4"],
    ),
]
TotalCount = Annotated[
    int, Meta(ge=1, le=model.MAX_TOTAL, description="How many codes there are in all.", examples=[100])
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


_VISIBLE = told(
    r"^[!-~ ]*[!-~][!-~ ]*$(?!\n)",
    "[^!-~ ]",
    "visible ASCII and blanks may stand there, but not blanks alone",
)
Kind = Annotated[
    Literal["unique", "imported", "personal", "shared"],
    Meta(
        description="unique: made from a pattern; imported: the brand's own; personal: made at the grant from a"
        " template; shared: one for all."
    ),
]
Pattern = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=told(
            r"^[A-Za-z0-9#._-]*#[A-Za-z0-9#._-]*$(?!\n)",
            "[^A-Za-z0-9#._-]",
            "the letters A-Z and a-z, digits and # . _ - may stand there, with one # at least",
        ),
        description="Each # becomes a letter of the alphabet; the rest stands as it is.",
        examples=["####-####-####"],
    ),
]
Alphabet = Annotated[
    str,
    Meta(
        min_length=2,
        max_length=36,
        pattern=told(r"^[A-Za-z0-9]+$(?!\n)", "[^A-Za-z0-9]", "the letters A-Z and a-z and digits may stand there"),
        description="Letters and digits that codes are made of; a letter counts once, in upper or lower case.",
        examples=["23456789ABCDEFGHJKMNPQRSTUVWXYZ"],
    ),
]
Prefix = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        pattern=told(
            r"^[A-Za-z0-9._-]+$(?!\n)",
            "[^A-Za-z0-9._-]",
            "the letters A-Z and a-z, digits and . _ - may stand there",
        ),
        description="Stands before each code.",
        examples=["IKEA-"],
    ),
]
Template = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        pattern=_VISIBLE,
        description="{brand} and {user} become slugs of the ids, {name} what the brand calls the user (else the"
        " user's id) as it is written, {discount} the discount's id. {id}, {seq} and {random} differ by code.",
        examples=["{brand}-thinks-{user}-is-awesome-{id}"],
    ),
]
SharedCode = Annotated[str, Meta(min_length=1, max_length=64, pattern=_NAME_PATTERN, examples=["AHMED2022BILLO"])]


class CodesIn(Shape):
    """How the codes are made: a kind, and what belongs to it."""

    kind: Kind = "unique"
    pattern: Pattern | UnsetType = UNSET
    alphabet: Alphabet | UnsetType = UNSET
    prefix: Prefix | UnsetType = UNSET
    template: Template | UnsetType = UNSET
    code: SharedCode | UnsetType = UNSET


class CodesOut(Shape, omit_defaults=True):
    """How the codes are made."""

    kind: Kind
    pattern: str = ""
    alphabet: str = ""
    template: str = ""
    code: str = ""


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


class LimitsIn(Shape):
    """How often codes may be redeemed; null is no limit.

    What is left out stays as it is in a change. In a new discount it is no limit, but for `per_user`, which is 1.
    """

    total: Often | None | UnsetType = UNSET
    per_user: Often | None | UnsetType = UNSET
    per_user_per_day: Often | None | UnsetType = UNSET
    per_user_per_week: Often | None | UnsetType = UNSET


class LimitsOut(Shape):
    """How often codes may be redeemed; null is no limit."""

    total: int | None = None
    per_user: int | None = None
    per_user_per_day: int | None = None
    per_user_per_week: int | None = None

    @classmethod
    def of(cls, limits: Mapping[rules.LimitName, int]) -> "LimitsOut":
        return cls(*(limits.get(name) for name in rules.LIMITS))


class SumsOut(Shape):
    """Money of standing redemptions in one currency."""

    orders: int
    discounts: int


Length = Annotated[
    str,
    Meta(
        max_length=64,
        description="A duration of ISO 8601. A day is 24 hours; months and years go by the calendar of `timezone`.",
        examples=["P14D", "P1M", "PT36H"],
        extra_json_schema={"format": "duration"},
    ),
]


class DiscountIn(Shape, kw_only=True):
    """A discount to create. Personal and shared codes need no total; of imported ones it says how many to expect.

    What comes off is `percent_off`, or `amount_off` of a currency. `valid_for` counts from the grant.
    `total_count` bounds grants, also of a shared code; `limits` bound uses.
    """

    brand_id: ForBrand | None = None
    discount_code: DiscountCode
    total_count: TotalCount | None = None
    codes: CodesIn = msgspec.field(default_factory=CodesIn)
    starts_at: Moment | None = None
    expires_at: Moment | None = None
    valid_for: Length | None = None
    percent_off: Percent | None = None
    amount_off: Money | None = None
    currency: Currency | None = None
    minimum_amount: Money | None = None
    maximum_discount: Money | None = None
    limits: LimitsIn = msgspec.field(default_factory=LimitsIn)
    timezone: Zone = "UTC"
    returns_use: Annotated[bool, Meta(description="Whether a use that is rolled back returns to the limits.")] = True
    webhook_url: WebhookUrl | None = None
    webhook_types: EventTypes = msgspec.field(default_factory=list)


class DiscountChange(Shape):
    """What to change of a discount; what is left out stays, a time that is null is taken away."""

    paused: bool | UnsetType = UNSET
    total_count: TotalCount | None | UnsetType = UNSET
    discount_code: DiscountCode | UnsetType = UNSET
    starts_at: Moment | None | UnsetType = UNSET
    expires_at: Moment | None | UnsetType = UNSET
    limits: LimitsIn | UnsetType = UNSET


class DiscountForUser(Shape, kw_only=True):
    """A discount as users see it: neither its codes nor how it goes."""

    id: Annotated[str, Meta(examples=["dsc-0c0k46KbodvdNc34ceyPuDevT"])]
    brand_id: str
    discount_code: str
    status: model.Status
    created_at: Moment
    starts_at: Moment | None
    expires_at: Moment | None
    valid_for: Length | None
    percent_off: float | None
    amount_off: int | None
    currency: str | None
    minimum_amount: int | None
    maximum_discount: int | None
    limits: LimitsOut
    timezone: str

    @classmethod
    def of(cls, discount: model.Discount, now: int, **more: Any) -> Self:
        return cls(**cls._told(discount, now), **more)

    @classmethod
    def _told(cls, discount: model.Discount, now: int) -> dict[str, Any]:
        return {
            "id": discount.id,
            "brand_id": discount.brand_id,
            "discount_code": discount.discount_code,
            "status": discount.status(now),
            "created_at": model.to_time(discount.created_at),
            "starts_at": moment_out(discount.starts_at),
            "expires_at": moment_out(discount.expires_at),
            "valid_for": None if discount.valid_for is None else discount.valid_for.text,
            "percent_off": None if discount.rule.percent is None else discount.rule.percent / 100,
            "amount_off": discount.rule.amount_off,
            "currency": discount.rule.currency,
            "minimum_amount": discount.rule.minimum_amount,
            "maximum_discount": discount.rule.maximum_discount,
            "limits": LimitsOut.of(discount.limits),
            "timezone": discount.timezone,
        }


class DiscountOut(DiscountForUser, kw_only=True):
    """A discount with its counts, exact at the moment of the answer: granted + remaining = total.

    `redeemed_count` and `sums` are of uses that stand: neither on hold nor rolled back.
    """

    total_count: int | None
    granted_count: int
    remaining_count: int | None
    codes: CodesOut
    returns_use: bool
    redeemed_count: int
    on_hold_count: int
    rolled_back_count: int
    sums: Annotated[dict[str, SumsOut], Meta(description="By currency.")]
    webhook_id: Annotated[str | None, Meta(description="The discount's own webhook.")]

    @classmethod
    def _told(cls, discount: model.Discount, now: int) -> dict[str, Any]:
        return super()._told(discount, now) | {
            "total_count": discount.total_count,
            "granted_count": discount.granted_count,
            "remaining_count": discount.remaining_count,
            "codes": CodesOut(**asdict(discount.codes)),
            "returns_use": discount.returns_use,
            "redeemed_count": discount.redeemed_count,
            "on_hold_count": discount.on_hold_count,
            "rolled_back_count": discount.rolled_back_count,
            "sums": {currency: SumsOut(each.orders, each.discounts) for currency, each in discount.sums.items()},
            "webhook_id": discount.webhook_id,
        }


class NewDiscountOut(DiscountOut, kw_only=True):
    """A new discount that has a webhook of its own, with the secret of that, which is shown this once."""

    webhook_secret: str


class DiscountPage(Shape):
    """Discounts, newest first, and the cursor of the next page."""

    discounts: list[DiscountOut]
    next: str | None


class DiscountPageForUser(Shape):
    """Open discounts, newest first, and the cursor of the next page."""

    discounts: list[DiscountForUser]
    next: str | None


class GrantIn(Shape):
    """Who is to have a code, and where the brand reaches the user, if it wants to say so."""

    user_id: UserId
    email: Email | None = None


GoodUntil = Annotated[
    Moment | None,
    Meta(description="When the code is good no longer: the end of the discount, or of `valid_for`; null for never."),
]
Void = Annotated[bool, Meta(description="Whether the brand has made the code void: it cannot be redeemed.")]


class GrantOut(Shape, kw_only=True):
    """A code that a user holds."""

    discount_id: str
    user_id: str
    granted: Literal[True] = True
    code: Annotated[str, Meta(examples=["EM5F-SFZW-UEQA"])]
    granted_at: Moment
    good_until: GoodUntil
    void: Void

    @classmethod
    def of(cls, grant: model.Grant) -> "GrantOut":
        return cls(
            discount_id=grant.discount_id,
            user_id=grant.user_id,
            code=grant.code,
            granted_at=model.to_time(grant.granted_at),
            good_until=moment_out(grant.good_until),
            void=grant.void,
        )


class GrantsIn(Shape):
    """Who are to have a code each."""

    user_ids: Annotated[list[UserId], Meta(min_length=1, max_length=10_000)]


class GrantOutcome(Shape, omit_defaults=True):
    """What one user of many got: a code, or the word that says why not."""

    user_id: str
    granted: bool
    code: str | UnsetType = UNSET
    granted_at: Moment | UnsetType = UNSET
    good_until: GoodUntil | UnsetType = UNSET
    void: Void | UnsetType = UNSET
    refusal: Literal["sold-out", "not-started", "expired", "paused", "closed", "quota-reached"] | UnsetType = UNSET

    @classmethod
    def of(cls, user_id: str, outcome: model.Grant | Refusal) -> "GrantOutcome":
        if isinstance(outcome, Refusal):
            return cls(user_id=user_id, granted=False, refusal=outcome.word)  # type: ignore[arg-type]
        return cls(
            user_id=user_id,
            granted=True,
            code=outcome.code,
            granted_at=model.to_time(outcome.granted_at),
            good_until=moment_out(outcome.good_until),
            void=outcome.void,
        )


class GrantsOut(Shape):
    """The outcome for each user, in the order of the request."""

    discount_id: str
    grants: list[GrantOutcome]


class GrantPage(Shape):
    """Grants, and the cursor of the next page."""

    grants: list[GrantOut]
    next: str | None


class ImportedLine(Shape):
    """A line that was not added, counted from 1, and why."""

    line: int
    reason: Annotated[str, Meta(examples=["is there already"])]


class ImportOut(Shape):
    """What became of an import; `lines` names the first hundred of those not added."""

    discount_id: str
    added_count: int
    repeated_count: int
    bad_count: int
    lines: list[ImportedLine]

    @classmethod
    def of(cls, discount_id: str, report: pools.Report) -> "ImportOut":
        lines = [ImportedLine(each.line, each.reason) for each in report.lines]
        return cls(discount_id, report.added_count, report.repeated_count, report.bad_count, lines)


class Ready(Shape):
    """Whether the service can serve."""

    ready: bool


class ErrorAt(msgspec.Struct, omit_defaults=True):
    """One thing that is wrong: in the body, at a JSON pointer (RFC 6901), or in a parameter or header by its name."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class Problem(msgspec.Struct, omit_defaults=True):
    """What went wrong, as RFC 9457 says it. `type` ends in the word that programs may rely on."""

    type: Annotated[str, Meta(examples=["/problems/sold-out"])]
    title: str
    status: int
    detail: str = ""
    request_id: str = ""
    errors: Sequence[ErrorAt] = ()
    starts_at: Moment | None = None
    expires_at: Moment | None = None
    granted_count: int | None = None
    limit: str | None = None
    quota: model.QuotaName | None = None
    quota_limit: int | None = None
    opens_at: Moment | None = None
    minimum_amount: int | None = None
    currency: str | None = None
    scope: str | None = None


class ListQuery(Shape):
    limit: Limit = 100
    cursor: Cursor | None = None


class DiscountQuery(ListQuery):
    brand_id: BrandId | None = None
    status: model.Status | None = None


class GrantQuery(Shape):
    user_id: UserId


class UserQuery(ListQuery):
    brand_id: BrandId | None = None


class ImportQuery(Shape):
    column: Annotated[str, Meta(min_length=1, max_length=64, description="The CSV column that has the codes.")] = "code"


class ExportQuery(Shape):
    format: Literal["csv", "ndjson"] = "csv"


class PictureQuery(Shape):
    user_id: UserId
    format: Literal["svg", "png"] = "svg"


class GrantsQuery(ListQuery):
    format: Annotated[Literal["json", "csv"], Meta(description="csv streams all grants at once.")] = "json"


class CloseQuery(Shape):
    granted_codes: Annotated[Literal["keep", "void"], Meta(description="Whether codes that users hold stay good.")] = (
        "keep"
    )


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
