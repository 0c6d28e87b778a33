"""Shapes of the past: who holds a code, and figures over time."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from discount.api.schemas.common import BrandId, ForBrand, Limit, Moment, Shape
from discount.api.schemas.redemptions import RedemptionOut
from discount.domain import model
from discount.ledger.history import Figure, Holder, PastChange


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


class HolderOut(Shape):
    """A user who was granted the code: at most the last 100 redemptions, and the first 200 events."""

    discount_id: str
    user_id: str
    code: str
    granted_at: Moment
    redemptions: list[RedemptionOut]
    history: list[PastEventOut]

    @classmethod
    def of(cls, holder: Holder) -> "HolderOut":
        return cls(
            discount_id=holder.discount_id,
            user_id=holder.user_id,
            code=holder.code,
            granted_at=model.to_time(holder.granted_at),
            redemptions=[RedemptionOut.of(each) for each in holder.redemptions],
            history=[PastEventOut(each.id, each.type, model.to_time(each.at), each.data) for each in holder.events],
        )


class FoundCodeOut(Shape):
    """The holders of a code, newest first; at most 20 of a shared code."""

    holders: list[HolderOut]


class FiguresQuery(Shape, rename={"since": "from", "until": "to"}):
    """A time, and the steps into which it is divided: at most 1,500 of them."""

    since: Annotated[Moment | None, Meta(description="The beginning; by default 30 days before the end.")] = None
    until: Annotated[Moment | None, Meta(description="The end, which is not included; by default now.")] = None
    step: Annotated[Literal["minute", "hour", "day"], Meta(description="The length of a step.")] = "day"


class FigureOut(Shape):
    """The figures of one step. Amounts are in minor units, by currency, without what was rolled back."""

    at: Annotated[Moment, Meta(description="The beginning of the step, in UTC.")]
    granted: int
    redeemed: int
    rolled_back: int
    amounts: Annotated[dict[str, int], Meta(description="Orders that codes were redeemed for.")]
    discount_amounts: Annotated[dict[str, int], Meta(description="What came off these orders.")]

    @classmethod
    def of(cls, figure: Figure) -> "FigureOut":
        return cls(
            at=model.to_time(figure.at),
            granted=figure.counts.get("code.granted", 0),
            redeemed=figure.counts.get("code.redeemed", 0),
            rolled_back=figure.counts.get("redemption.rolled-back", 0),
            amounts=figure.amounts,
            discount_amounts=figure.discount_amounts,
        )


class FiguresOut(Shape):
    """Figures in steps, oldest first. Steps without any are left out."""

    step: Literal["minute", "hour", "day"]
    figures: list[FigureOut]


class ChangesQuery(Shape, rename={"since": "from", "until": "to"}):
    brand_id: ForBrand | None = None
    discount_id: (
        Annotated[str, Meta(max_length=100, description="One discount; if left out, all of the brand.")] | None
    ) = None
    since: Annotated[Moment | None, Meta(description="The beginning; by default that of the ledger.")] = None
    until: Annotated[Moment | None, Meta(description="The end, which is not included; by default now.")] = None
    after: Annotated[str, Meta(min_length=1, max_length=100, description="`next` of the page before.")] | None = None
    limit: Limit = 100


class ChangeOut(Shape):
    """A change of a discount, with the settings in question before and after it.

    `by` is `open` while the service is open, `admin`, `key:<id>`, or `command` for the command line.
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
