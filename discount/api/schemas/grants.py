"""Shapes of grants."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from discount.api.schemas.common import BrandId, Email, ListQuery, Missing, Moment, Shape, UserId, moment_out
from discount.domain import model
from discount.domain.errors import Refusal


class GrantIn(Shape):
    """The user who gets a code. With `email`, a brand also sets the user's address."""

    user_id: UserId
    email: Email | None = None


GoodUntil = Annotated[
    Moment | None,
    Meta(description="The end of the code's validity, by the discount's end or `valid_for`; null for none."),
]


Void = Annotated[bool, Meta(description="Whether the brand has made the code void, so that it cannot be redeemed.")]


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
    """The users who get a code each."""

    user_ids: Annotated[list[UserId], Meta(min_length=1, max_length=10_000)]


class GrantOutcome(Shape, omit_defaults=True):
    """The outcome for one user of many: a code, or the slug of the refusal."""

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
            return cls(user_id=user_id, granted=False, refusal=outcome.slug)  # type: ignore[arg-type]
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
    missing: Missing = UNSET


class GrantQuery(Shape):
    user_id: UserId


class UserQuery(ListQuery):
    brand_id: BrandId | None = None


class PictureQuery(Shape):
    user_id: UserId
    format: Literal["svg", "png"] = "svg"


class GrantsQuery(ListQuery):
    format: Annotated[Literal["json", "csv"], Meta(description="csv streams all grants at once.")] = "json"
