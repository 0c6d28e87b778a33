"""Shapes of the past: who holds a code, figures over time, and changes."""

from typing import Annotated, Any, Literal, Self

from msgspec import Meta

from discount.api.schemas.common import BrandId, ForBrand, Limit, Moment, Shape, moment_out
from discount.api.schemas.deliveries import DeliveryOut
from discount.api.schemas.redemptions import RedemptionOut
from discount.domain import code_kinds, model
from discount.ledger.figures import Figure, Forecast, Report, Step
from discount.ledger.found_codes import FoundCode, FoundHolder
from discount.ledger.history import PastChange


class CodeIn(Shape, kw_only=True):
    """A code of a brand, in any spelling."""

    brand_id: BrandId | None = None
    code: Annotated[
        str,
        Meta(min_length=1, max_length=200, description="Case, blanks and dashes do not matter."),
    ]


class PastEventOut(Shape):
    """Something that happened to a grant, with the fields of its event."""

    id: str
    type: Annotated[str, Meta(examples=["code.granted"])]
    time: Moment
    data: dict[str, Any]


class OwnerOut(Shape):
    """The discount that has a code."""

    id: str
    discount_code: str
    kind: code_kinds.Kind
    status: model.Status

    @classmethod
    def of(cls, discount: model.Discount, now: int) -> "OwnerOut":
        return cls(discount.id, discount.discount_code, discount.codes.kind, discount.status(now))


class HolderOut(Shape, kw_only=True):
    """A user who was granted the code: at most the last 100 redemptions, and the first 200 events."""

    discount_id: str
    discount: Annotated[OwnerOut | None, Meta(description="Null if Redis has lost it.")]
    user_id: str
    code: str
    granted_at: Moment
    state: Annotated[
        Literal["granted", "void", "pool", "next"],
        Meta(description="`granted`, or where the code went when it was taken back."),
    ]
    revoked_at: Moment | None
    reason: Annotated[str, Meta(description="Why it was taken back.")]
    next_user_id: Annotated[str | None, Meta(description="Who got the code then.")]
    redeemed_count: Annotated[int, Meta(description="Uses, without those that were rolled back.")]
    redemptions: list[RedemptionOut]
    deliveries: Annotated[
        list[DeliveryOut], Meta(description="Webhook calls and e-mails about these events, as long as they are kept.")
    ]
    history: list[PastEventOut]

    @classmethod
    def of(cls, found: FoundHolder, now: int) -> "HolderOut":
        holder = found.holder
        return cls(
            discount_id=holder.discount_id,
            discount=None if found.discount is None else OwnerOut.of(found.discount, now),
            user_id=holder.user_id,
            code=holder.code,
            granted_at=model.to_time(holder.granted_at),
            state=holder.state,  # type: ignore[arg-type]
            revoked_at=moment_out(holder.revoked_at),
            reason=holder.reason,
            next_user_id=holder.next_user_id,
            redeemed_count=holder.redeemed,
            redemptions=[RedemptionOut.of(each) for each in holder.redemptions],
            deliveries=[DeliveryOut.of(each) for each in found.deliveries],
            history=[PastEventOut(each.id, each.type, model.to_time(each.at), each.data) for each in holder.events],
        )


class FoundCodeOut(Shape, kw_only=True):
    """A code: its holders, newest first, at most 20 of a shared code; and its discounts if nobody holds it now."""

    holders: list[HolderOut]
    unheld: Annotated[
        list[OwnerOut],
        Meta(description="Discounts that have the code, if nobody holds it as far as the ledger has read."),
    ]

    @classmethod
    def of(cls, found: FoundCode) -> "FoundCodeOut":
        return cls(
            holders=[HolderOut.of(each, found.now) for each in found.holders],
            unheld=[OwnerOut.of(each, found.now) for each in found.unheld],
        )


class FiguresQuery(Shape, rename={"since": "from", "until": "to"}):
    """A time, and the steps into which it is divided: at most 1,500 of them."""

    since: Annotated[Moment | None, Meta(description="The beginning; by default 30 days before the end.")] = None
    until: Annotated[Moment | None, Meta(description="The end, which is not included; by default now.")] = None
    step: Annotated[Literal["minute", "hour", "day"], Meta(description="The length of a step.")] = "day"


class TotalOut(Shape, kw_only=True):
    """Sums of figures. Amounts are in minor units, by currency, without what was rolled back."""

    granted: int
    revoked: Annotated[int, Meta(description="Codes that were taken back.")]
    redeemed: int
    rolled_back: int
    amounts: Annotated[dict[str, int], Meta(description="Orders that codes were redeemed for.")]
    discount_amounts: Annotated[dict[str, int], Meta(description="What came off these orders.")]
    repeated: Annotated[int, Meta(description="Grants that were asked for again. Approximate.")]
    refused_grants: Annotated[dict[str, int], Meta(description="By the slug of the problem. Approximate.")]
    refused_redemptions: Annotated[dict[str, int], Meta(description="By the slug of the problem. Approximate.")]

    @classmethod
    def of(cls, figure: Figure, **more: Any) -> Self:
        return cls(
            granted=figure.granted,
            revoked=figure.revoked,
            redeemed=figure.redeemed,
            rolled_back=figure.rolled_back,
            amounts=dict(figure.amounts),
            discount_amounts=dict(figure.discount_amounts),
            repeated=figure.repeated,
            refused_grants=dict(figure.refused_grants),
            refused_redemptions=dict(figure.refused_redemptions),
            **more,
        )


class FigureOut(TotalOut, kw_only=True):
    """The figures of one step."""

    at: Annotated[Moment, Meta(description="The beginning of the step, in UTC.")]


class ForecastOut(Shape, kw_only=True):
    """The time at which an active discount's codes run out if they are granted on at the present pace.

    The pace is that of the last hour if it has 10 grants, otherwise that of the last day or week.
    """

    discount_id: str
    discount_code: str
    remaining_count: int
    since: Annotated[Moment, Meta(description="The beginning of the time over which the pace was measured.")]
    granted: Annotated[int, Meta(description="Grants since then.")]
    runs_out_at: Annotated[Moment | None, Meta(description="Null if the discount ends before its codes do.")]

    @classmethod
    def of(cls, forecast: Forecast) -> "ForecastOut":
        return cls(
            discount_id=forecast.discount_id,
            discount_code=forecast.discount_code,
            remaining_count=forecast.remaining,
            since=model.to_time(forecast.since),
            granted=forecast.granted,
            runs_out_at=moment_out(forecast.runs_out_at),
        )


class FiguresOut(Shape, kw_only=True):
    """Figures in steps, oldest first, and their total. Steps without any are left out."""

    step: Literal["minute", "hour", "day"]
    figures: list[FigureOut]
    total: TotalOut
    decimals: Annotated[
        dict[str, int],
        Meta(description="Digits of an amount behind the point, by currency.", examples=[{"EUR": 2, "JPY": 0}]),
    ]

    @classmethod
    def of(cls, step: Step, report: Report, **more: Any) -> Self:
        return cls(
            step=step,
            figures=[FigureOut.of(each, at=model.to_time(each.at)) for each in report.figures],
            total=TotalOut.of(report.total),
            decimals=report.decimals,
            **more,
        )


class FiguresOfDiscountOut(FiguresOut, kw_only=True):
    """The figures of a discount."""

    forecast: Annotated[
        ForecastOut | None,
        Meta(description="Null if the discount is not active, has no total, or had no grant in a week."),
    ]


class FiguresOfBrandOut(FiguresOut, kw_only=True):
    """The figures of all discounts of a brand, summed up."""

    forecasts: Annotated[
        list[ForecastOut],
        Meta(description="Those 20 that run out first, of the 100 discounts with the most grants of the week."),
    ]


class ChangesQuery(Shape, rename={"since": "from", "until": "to"}):
    brand_id: ForBrand | None = None
    discount_id: (
        Annotated[str, Meta(max_length=100, description="One discount; if left out, all of the brand.")] | None
    ) = None
    since: Annotated[Moment | None, Meta(description="The beginning; by default that of the ledger.")] = None
    until: Annotated[Moment | None, Meta(description="The end, which is not included; by default now.")] = None
    after: Annotated[str, Meta(min_length=1, max_length=100, description="`next` of the page before.")] | None = None
    limit: Limit = 100


class ExportQuery(Shape, rename={"since": "from", "until": "to"}):
    since: Annotated[Moment | None, Meta(description="The beginning; by default that of the ledger.")] = None
    until: Annotated[Moment | None, Meta(description="The end, which is not included; by default now.")] = None
    format: Annotated[
        Literal["csv", "ndjson", "parquet"], Meta(description="parquet needs the extra `parquet` of the service.")
    ] = "csv"


class ChangeOut(Shape):
    """A change of a discount, with the settings in question before and after it.

    `by` is `open` while the service is open, `admin`, `key:<id>`, `person:<name>` for a person who signed in at the
    console by OpenID Connect, or `command` for the command line.
    """

    id: Annotated[str, Meta(description="The id of its event.")]
    type: Annotated[str, Meta(examples=["discount.changed"])]
    time: Moment
    discount_id: str
    by: str
    request_id: str
    before: dict[str, Any]
    after: dict[str, Any]

    @classmethod
    def of(cls, change: PastChange) -> "ChangeOut":
        return cls(
            id=change.id,
            type=change.type,
            time=model.to_time(change.at),
            discount_id=change.discount_id,
            by=change.by,
            request_id=change.request_id,
            before=change.before,
            after=change.after,
        )


class ChangePage(Shape):
    """Changes, newest first; `next` is the value of `after` for earlier ones, or null."""

    changes: list[ChangeOut]
    next: str | None
