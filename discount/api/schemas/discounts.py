"""Shapes of discounts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import UNSET, Meta, UnsetType

from discount.api.schemas.common import (
    NAME_PATTERN,
    BrandId,
    Currency,
    ForBrand,
    Groups,
    ListQuery,
    Metadata,
    Missing,
    Moment,
    Money,
    Often,
    Percent,
    Products,
    Shape,
    Wanted,
    Zone,
    moment_in,
    moment_out,
)
from discount.api.schemas.webhooks import EventTypes, WebhookUrl
from discount.domain import audience, identity, ids, model, order_lines, releases, rules, windows
from discount.domain.combinations import CLASSES, RuleClass
from discount.domain.errors import Invalid
from discount.domain.reasons import with_rule

DiscountCode = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=NAME_PATTERN,
        description="The discount's human-readable name.",
        examples=["Christmas 2020 discount"],
    ),
]


TotalCount = Annotated[int, Meta(ge=1, le=ids.MAX_TOTAL, description="The number of codes in all.", examples=[100])]


_VISIBLE = with_rule(
    r"^[!-~ ]*[!-~][!-~ ]*$(?!\n)",
    "[^!-~ ]",
    "visible ASCII and blanks are allowed, but not blanks alone",
)


Kind = Annotated[
    Literal["unique", "imported", "personal", "shared"],
    Meta(
        description="unique: made from a pattern; imported: the brand's own; personal: made from a template at the"
        " grant; shared: one code for all users."
    ),
]


Pattern = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=with_rule(
            r"^[A-Za-z0-9#._-]*#[A-Za-z0-9#._-]*$(?!\n)",
            "[^A-Za-z0-9#._-]",
            "the letters A-Z and a-z, digits and # . _ - are allowed, with at least one #",
        ),
        description="Each # becomes a character of the alphabet; everything else is kept.",
        examples=["####-####-####"],
    ),
]


Alphabet = Annotated[
    str,
    Meta(
        min_length=2,
        max_length=36,
        pattern=with_rule(r"^[A-Za-z0-9]+$(?!\n)", "[^A-Za-z0-9]", "the letters A-Z and a-z and digits are allowed"),
        description="The letters and digits of the codes; upper and lower case count as one.",
        examples=["23456789ABCDEFGHJKMNPQRSTUVWXYZ"],
    ),
]


Prefix = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        pattern=with_rule(
            r"^[A-Za-z0-9._-]+$(?!\n)",
            "[^A-Za-z0-9._-]",
            "the letters A-Z and a-z, digits and . _ - are allowed",
        ),
        description="The start of each code.",
        examples=["IKEA-"],
    ),
]


Template = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        pattern=_VISIBLE,
        description="{brand} and {user} become slugs of the ids, {name} the user's name as the brand wrote it (or the"
        " user's id), {discount} the discount's id. {id}, {seq} and {random} differ from code to code.",
        examples=["{brand}-thinks-{user}-is-awesome-{id}"],
    ),
]


SharedCode = Annotated[str, Meta(min_length=1, max_length=64, pattern=NAME_PATTERN, examples=["AHMED2022BILLO"])]


class CodesIn(Shape):
    """The kind of the codes and its options."""

    kind: Kind = "unique"
    pattern: Pattern | UnsetType = UNSET
    alphabet: Alphabet | UnsetType = UNSET
    prefix: Prefix | UnsetType = UNSET
    template: Template | UnsetType = UNSET
    code: SharedCode | UnsetType = UNSET


class CodesOut(Shape, omit_defaults=True):
    """The kind of the codes and what they are made from."""

    kind: Kind
    pattern: str = ""
    alphabet: str = ""
    template: str = ""
    code: str = ""


Period = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        description="An ISO 8601 duration from PT1S to P400D, without months and years.",
        examples=["PT24H"],
        extra_json_schema={"format": "duration"},
    ),
]


class WindowShape(Shape):
    """A rolling window: how often each user may redeem within any such period."""

    period: Period
    per_user: Annotated[int, Meta(ge=0, le=windows.MOST_USES)]


Budget = Annotated[
    dict[Currency, Annotated[int, Meta(ge=0, le=rules.MAX_AMOUNT)]],
    Meta(
        max_length=20,
        description="The most that may come off in all, by currency, in minor units. A rollback gives it back.",
        examples=[{"EUR": 100000}],
    ),
]


class LimitsIn(Shape):
    """Limits on redemptions; null is no limit.

    In a change, a limit left out stays as it is. In a new discount, `per_user` is then 1, and the others no limit.
    `per_day`, `per_week` and `per_month` are limits of all users together. The use that would pass `amount` is refused,
    or takes what is left where `budget_caps` is true.
    """

    total: Often | None | UnsetType = UNSET
    per_user: Often | None | UnsetType = UNSET
    per_user_per_day: Often | None | UnsetType = UNSET
    per_user_per_week: Often | None | UnsetType = UNSET
    per_user_per_month: Often | None | UnsetType = UNSET
    per_day: Often | None | UnsetType = UNSET
    per_week: Often | None | UnsetType = UNSET
    per_month: Often | None | UnsetType = UNSET
    windows: Annotated[list[WindowShape], Meta(max_length=5)] | None | UnsetType = UNSET
    amount: Budget | None | UnsetType = UNSET
    budget_caps: bool | UnsetType = UNSET
    per_identity: (
        Annotated[
            int,
            Meta(ge=1, le=identity.MOST_USERS, description="Users who may share a part of an identity; never changes."),
        ]
        | UnsetType
    ) = UNSET


class LimitsOut(Shape):
    """Limits on redemptions; null is no limit. What is missing is no limit either."""

    total: int | None = None
    per_user: int | None = None
    per_user_per_day: int | None = None
    per_user_per_week: int | None = None
    per_user_per_month: int | UnsetType = UNSET
    per_day: int | UnsetType = UNSET
    per_week: int | UnsetType = UNSET
    per_month: int | UnsetType = UNSET
    windows: list[WindowShape] | UnsetType = UNSET
    amount: dict[str, int] | UnsetType = UNSET
    budget_caps: bool | UnsetType = UNSET
    per_identity: int | UnsetType = UNSET

    @classmethod
    def of(cls, limits: Mapping[rules.LimitName, int]) -> "LimitsOut":
        get = limits.get
        out = cls(get("total"), get("per_user"), get("per_user_per_day"), get("per_user_per_week"))
        return out if limits.keys() <= _OF_ALL else out._with(limits)

    def _with(self, limits: Mapping[Any, int]) -> "LimitsOut":
        """Add the limits that only some discounts have."""
        for name in (*windows.PERIOD_LIMITS, "per_identity"):
            if name in limits:
                setattr(self, name, limits[name])
        of_windows = _under(windows.WINDOW, limits)
        if of_windows:
            self.windows = [WindowShape(period, most) for period, most in of_windows.items()]
        self.amount = _under(windows.AMOUNT, limits) or UNSET
        return self


_OF_ALL = frozenset(rules.LIMITS)


def _under(start: str, limits: Mapping[str, int]) -> dict[str, int]:
    return {name.removeprefix(start): most for name, most in limits.items() if name.startswith(start)}


TimeOfDay = Annotated[
    str,
    Meta(
        pattern=with_rule(
            r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)", "[^0-9:]", "a time of day is expected, from 00:00 to 23:59"
        ),
        examples=["09:00"],
    ),
]


ListName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=with_rule(
            r"^[A-Za-z0-9._-]*[A-Za-z0-9_-]$(?!\n)",
            "[^A-Za-z0-9._-]",
            "the letters A-Z and a-z, digits and . _ - are allowed, with no . at the end",
        ),
        description="The name of a list of users.",
        examples=["newsletter"],
    ),
]


class AudienceShape(Shape, omit_defaults=True):
    """Who may use a discount: users in one of the groups or lists, with orders as the caller states them.

    Groups are claims of the user's token, those that the brand keeps (`PUT /user/{user_id}`), or those in `customer`.
    """

    groups: Groups = msgspec.field(default_factory=list)
    lists: Annotated[list[ListName], Meta(max_length=10)] = msgspec.field(default_factory=list)
    first_order: Annotated[bool, Meta(description="Only users without an earlier order.")] = False
    orders_at_least: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    spent_at_least: Annotated[int, Meta(ge=1, le=10**15, description="In minor units.")] | None = None
    at: Annotated[audience.Judged, Meta(description="When it is judged; both by default.")] | UnsetType = UNSET

    def read(self) -> audience.Audience:
        """Return the audience.

        Raises:
            Invalid: it has no condition, or two that exclude each other.
        """
        found = audience.Audience(
            tuple(self.groups),
            tuple(self.lists),
            self.first_order,
            self.orders_at_least,
            self.spent_at_least,
            "both" if self.at is UNSET else self.at,
        )
        if found == audience.Audience(at=found.at):
            raise Invalid("/audience", "has no condition; name groups, lists or orders")
        if found.first_order and found.orders_at_least:
            raise Invalid("/audience/orders_at_least", "cannot be combined with first_order")
        return found

    @classmethod
    def of(cls, found: audience.Audience) -> "AudienceShape":
        return cls(
            list(found.groups),
            list(found.lists),
            found.first_order,
            found.orders_at_least,
            found.spent_at_least,
            found.at,
        )


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
    """The pace at which codes are granted: so many a minute, evenly, from `at` on. What nobody took adds up."""

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


class SumsOut(Shape):
    """Sums over the redemptions in one currency, without holds and rolled-back ones."""

    orders: int
    discounts: int


Per = Annotated[
    Literal["order", "line"],
    Meta(description="order: the rule takes off all its lines together; line: off each of them."),
]


Combines = Annotated[
    Literal["alone", "all"] | list[RuleClass],
    Meta(
        description="The codes with which its codes may be used for one order: alone with none; all; or the classes of"
        " their rules. Both discounts must allow each other.",
        examples=["all"],
    ),
]


def combines_in(given: Literal["alone", "all"] | list[RuleClass]) -> tuple[RuleClass, ...]:
    """Return the classes of rules with which a discount may be combined."""
    if isinstance(given, str):
        return CLASSES if given == "all" else ()
    return tuple(each for each in CLASSES if each in given)


def _combines_out(combines: Sequence[str]) -> Literal["all"] | list[RuleClass]:
    found = [each for each in CLASSES if each in combines]
    return "all" if len(found) == len(CLASSES) else found


LineCount = Annotated[int, Meta(ge=1, le=order_lines.MOST_LINES, description="Only so many lines.")]


Pieces = Annotated[int, Meta(ge=1, le=order_lines.MOST_PIECES, description="Pieces of what the discount is for.")]


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
    Meta(description="How long after its grant an unused code goes to whoever waits, or back to the pool; no months."),
]


class DiscountIn(Shape, kw_only=True):
    """A discount to create. Personal and shared codes need no total; for imported ones it is the expected number.

    The rule is `percent_off`, or `amount_off` with `currency`. `applies_to`, `except` and the fields after them need
    the lines of an order. `valid_for` counts from the grant.
    `total_count` limits grants, also of a shared code; `limits` limit redemptions.
    """

    brand_id: ForBrand | None = None
    discount_code: DiscountCode
    total_count: TotalCount | None = None
    codes: CodesIn = msgspec.field(default_factory=CodesIn)
    starts_at: Moment | None = None
    expires_at: Moment | None = None
    valid_for: Length | None = None
    claim_within: ClaimWithin | None = None
    release: ReleaseIn | None = None
    percent_off: Percent | None = None
    amount_off: Money | None = None
    currency: Currency | None = None
    minimum_amount: Money | None = None
    maximum_discount: Money | None = None
    applies_to: Products | None = None
    except_: Products | None = msgspec.field(default=None, name="except")
    minimum_quantity: Pieces | None = None
    per: Per = "order"
    cheapest_lines: LineCount | None = None
    dearest_lines: LineCount | None = None
    combines: Combines = "alone"
    limits: LimitsIn = msgspec.field(default_factory=LimitsIn)
    timezone: Zone = "UTC"
    returns_use: Annotated[bool, Meta(description="Whether a rollback returns the use to the limits.")] = True
    webhook_url: WebhookUrl | None = None
    webhook_types: EventTypes = msgspec.field(default_factory=list)
    metadata: Metadata = msgspec.field(default_factory=dict)
    opens: Annotated[
        list[HoursShape],
        Meta(max_length=50, description="When codes can be redeemed; without hours, at any time."),
    ] = msgspec.field(default_factory=list)
    audience: AudienceShape | None = None


class DiscountChange(Shape):
    """Changes to a discount. A field left out stays as it is; null removes a time."""

    paused: bool | UnsetType = UNSET
    total_count: TotalCount | None | UnsetType = UNSET
    discount_code: DiscountCode | UnsetType = UNSET
    starts_at: Moment | None | UnsetType = UNSET
    expires_at: Moment | None | UnsetType = UNSET
    limits: LimitsIn | UnsetType = UNSET
    release: ReleaseIn | None | UnsetType = UNSET
    metadata: Annotated[Metadata | UnsetType, Meta(description="Replaces all metadata.")] = UNSET


def _selection_out(selection: order_lines.Selection | None) -> dict[str, Any]:
    """Return the fields of a selection that say something."""
    if selection is None:
        return {}
    given = {
        "applies_to": selection.applies_to and order_lines.products_out(selection.applies_to),
        "except_": selection.excluded and order_lines.products_out(selection.excluded),
        "minimum_quantity": selection.minimum_quantity,
        "per": "line" if selection.per_line else None,
        "cheapest_lines": selection.cheapest,
        "dearest_lines": selection.dearest,
    }
    return {name: value for name, value in given.items() if value is not None}


class DiscountForUser(Shape, kw_only=True):
    """A discount as users see it, without its codes and counts."""

    id: Annotated[str, Meta(examples=["dsc-0c0k46KbodvdNc34ceyPuDevT"])]
    brand_id: str
    discount_code: str
    status: model.Status
    created_at: Moment
    starts_at: Moment | None
    expires_at: Moment | None
    valid_for: Length | None
    claim_within: ClaimWithin | None
    release: ReleaseIn | None
    percent_off: float | None
    amount_off: int | None
    currency: str | None
    minimum_amount: int | None
    maximum_discount: int | None
    limits: LimitsOut
    timezone: str
    applies_to: dict[str, list[str]] | UnsetType = UNSET
    except_: dict[str, list[str]] | UnsetType = msgspec.field(default=UNSET, name="except")
    minimum_quantity: int | UnsetType = UNSET
    per: Per | UnsetType = UNSET
    cheapest_lines: int | UnsetType = UNSET
    dearest_lines: int | UnsetType = UNSET
    combines: Combines | UnsetType = UNSET
    opens: list[HoursShape] | UnsetType = UNSET
    audience: AudienceShape | UnsetType = UNSET

    @classmethod
    def of(cls, discount: model.Discount, now: int, **more: Any) -> Self:
        return cls(**cls._values(discount, now), **more)

    @classmethod
    def _values(cls, discount: model.Discount, now: int) -> dict[str, Any]:
        return {
            "id": discount.id,
            "brand_id": discount.brand_id,
            "discount_code": discount.discount_code,
            "status": discount.status(now),
            "created_at": model.to_time(discount.created_at),
            "starts_at": moment_out(discount.starts_at),
            "expires_at": moment_out(discount.expires_at),
            "valid_for": None if discount.valid_for is None else discount.valid_for.text,
            "claim_within": None if discount.claim_within is None else discount.claim_within.text,
            "release": ReleaseIn.of(discount.release),
            "percent_off": None if discount.rule.percent is None else discount.rule.percent / 100,
            "amount_off": discount.rule.amount_off,
            "currency": discount.rule.currency,
            "minimum_amount": discount.rule.minimum_amount,
            "maximum_discount": discount.rule.maximum_discount,
            "limits": _limits_out(discount),
            "timezone": discount.timezone,
            "combines": _combines_out(discount.rule.combines) if discount.rule.combines else UNSET,
            "audience": UNSET if discount.audience is None else AudienceShape.of(discount.audience),
            "opens": [HoursShape.of(each) for each in discount.opens] or UNSET,
        } | _selection_out(discount.rule.selection)


def _limits_out(discount: model.Discount) -> LimitsOut:
    out = LimitsOut.of(discount.limits)
    if discount.budget_caps:
        out.budget_caps = True
    return out


class DiscountOut(DiscountForUser, kw_only=True):
    """A discount with its counts, exact at the moment of the answer: granted + remaining = total.

    `redeemed_count` and `sums` count neither holds nor redemptions that were rolled back.
    """

    total_count: int | None
    granted_count: int
    remaining_count: int | None
    waiting_count: Annotated[int, Meta(description="Users on the waiting list.")]
    codes: CodesOut
    returns_use: bool
    redeemed_count: int
    on_hold_count: int
    rolled_back_count: int
    revoked_count: Annotated[int, Meta(description="Granted codes that were voided one by one.")]
    sums: Annotated[dict[str, SumsOut], Meta(description="By currency.")]
    webhook_id: Annotated[str | None, Meta(description="The discount's own webhook.")]
    metadata: Metadata

    @classmethod
    def _values(cls, discount: model.Discount, now: int) -> dict[str, Any]:
        return super()._values(discount, now) | {
            "total_count": discount.total_count,
            "granted_count": discount.granted_count,
            "remaining_count": discount.remaining_count,
            "waiting_count": discount.waiting_count,
            "codes": CodesOut(**asdict(discount.codes)),
            "returns_use": discount.returns_use,
            "redeemed_count": discount.redeemed_count,
            "on_hold_count": discount.on_hold_count,
            "rolled_back_count": discount.rolled_back_count,
            "revoked_count": discount.revoked_count,
            "sums": {currency: SumsOut(each.orders, each.discounts) for currency, each in discount.sums.items()},
            "webhook_id": discount.webhook_id,
            "metadata": dict(discount.metadata),
        }


class NewDiscountOut(DiscountOut, kw_only=True):
    """A new discount with its own webhook, whose secret is shown only in this answer."""

    webhook_secret: str


class DiscountPage(Shape):
    """Discounts, newest first, and the cursor of the next page."""

    discounts: list[DiscountOut]
    next: str | None
    missing: Missing = UNSET


class DiscountPageForUser(Shape):
    """Active discounts, newest first, and the cursor of the next page."""

    discounts: list[DiscountForUser]
    next: str | None
    missing: Missing = UNSET


class DiscountQuery(ListQuery):
    brand_id: BrandId | None = None
    status: model.Status | None = None
    name: (
        Annotated[str, Meta(max_length=200, description="Only with this text in the name, in capitals or not.")] | None
    ) = None
    metadata: Wanted = msgspec.field(default_factory=dict)


class CloseQuery(Shape):
    granted_codes: Annotated[Literal["keep", "void"], Meta(description="Whether codes that users hold stay valid.")] = (
        "keep"
    )
