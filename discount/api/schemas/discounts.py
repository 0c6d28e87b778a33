"""Shapes of discounts."""

from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import UNSET, Meta, UnsetType

from discount.api.schemas.audience import AudienceShape
from discount.api.schemas.code_kinds import CodesIn, CodesOut
from discount.api.schemas.common import (
    NAME_PATTERN,
    BrandId,
    Currency,
    ForBrand,
    ListQuery,
    Metadata,
    Missing,
    Moment,
    Money,
    Percent,
    Products,
    Shape,
    Wanted,
    Zone,
    moment_out,
)
from discount.api.schemas.limits import LimitsIn, LimitsOut
from discount.api.schemas.rules import Combines, LineCount, Per, Pieces, combines_out, selection_out
from discount.api.schemas.validity import ClaimWithin, HoursShape, Length, ReleaseIn
from discount.api.schemas.webhooks import EventTypes, WebhookUrl
from discount.domain import ids, model

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


class SumsOut(Shape):
    """Sums over the redemptions in one currency, without holds and rolled-back ones."""

    orders: int
    discounts: int


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
            "combines": combines_out(discount.rule.combines) if discount.rule.combines else UNSET,
            "audience": UNSET if discount.audience is None else AudienceShape.of(discount.audience),
            "opens": [HoursShape.of(each) for each in discount.opens] or UNSET,
        } | selection_out(discount.rule.selection)


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
