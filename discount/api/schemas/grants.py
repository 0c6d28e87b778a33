"""Shapes of grants."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, structs

from discount.api.schemas.common import (
    BrandId,
    Email,
    ListQuery,
    Metadata,
    Missing,
    Moment,
    Remark,
    Shape,
    UserId,
    Wanted,
    moment_out,
)
from discount.api.schemas.customers import CustomerIn, IdentityIn
from discount.domain import model
from discount.domain.errors import Refusal
from discount.services import wallets
from discount.services.revocations import Revocation


class GrantIn(Shape):
    """The user who gets a code. With `email`, a brand also sets the user's address."""

    user_id: UserId
    email: Email | None = None
    metadata: Metadata | None = None
    customer: CustomerIn | None = None
    identity: IdentityIn | None = None


GoodUntil = Annotated[
    Moment | None,
    Meta(description="The end of the code's validity, by the discount's end or `valid_for`; null for none."),
]


Void = Annotated[bool, Meta(description="Whether the brand has made the code void, so that it cannot be redeemed.")]


ClaimUntil = Annotated[
    Moment,
    Meta(description="When the code goes to another user if it was not used; absent if it never does."),
]


class GrantOut(Shape, kw_only=True):
    """A code that a user holds."""

    discount_id: str
    user_id: str
    granted: Literal[True] = True
    code: Annotated[str, Meta(examples=["EM5F-SFZW-UEQA"])]
    granted_at: Moment
    good_until: GoodUntil
    void: Void
    claim_until: ClaimUntil | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET

    @classmethod
    def of(cls, grant: model.Grant) -> "GrantOut":
        return cls(
            discount_id=grant.discount_id,
            user_id=grant.user_id,
            code=grant.code,
            granted_at=model.to_time(grant.granted_at),
            good_until=moment_out(grant.good_until),
            void=grant.void,
            claim_until=UNSET if grant.claim_until is None else model.to_time(grant.claim_until),
            metadata=UNSET if grant.metadata is None else dict(grant.metadata),
        )


class GrantsIn(Shape):
    """The users who get a code each."""

    user_ids: Annotated[list[UserId], Meta(min_length=1, max_length=10_000)]
    metadata: Annotated[Metadata | None, Meta(description="Kept with each new grant.")] = None


NoGrant = Literal[
    "sold-out",
    "not-released",
    "others-wait",
    "not-started",
    "expired",
    "paused",
    "closed",
    "quota-reached",
    "revoked",
    "not-in-audience",
    "identity-missing",
]


class GrantOutcome(Shape, omit_defaults=True):
    """The outcome for one user of many: a code, or the slug of the refusal."""

    user_id: str
    granted: bool
    code: str | UnsetType = UNSET
    granted_at: Moment | UnsetType = UNSET
    good_until: GoodUntil | UnsetType = UNSET
    void: Void | UnsetType = UNSET
    refusal: NoGrant | UnsetType = UNSET

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


class RevokeIn(Shape, kw_only=True):
    """The code to take back from a user, and where it goes.

    `void` ends it, `pool` lets another user be granted it, `next` grants it to `next_user_id`. With `reissue` the user
    may be granted another code. With `code` only that code is taken back, so that a repeat never takes a newer one.
    """

    user_id: UserId
    reason: Remark = ""
    back: Literal["void", "pool", "next"] = "void"
    next_user_id: UserId | None = None
    reissue: bool = False
    code: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class RevocationOut(Shape, kw_only=True):
    """A code that was taken back, and the grant of the next user if it was passed on."""

    discount_id: str
    user_id: str
    code: str
    back: Literal["void", "pool", "next"]
    granted_at: Moment
    revoked_at: Moment
    next: GrantOut | None

    @classmethod
    def of(cls, revocation: Revocation) -> "RevocationOut":
        return cls(
            discount_id=revocation.discount_id,
            user_id=revocation.user_id,
            code=revocation.code,
            back=revocation.back,
            granted_at=model.to_time(revocation.granted_at),
            revoked_at=model.to_time(revocation.revoked_at),
            next=None if revocation.next is None else GrantOut.of(revocation.next),
        )


class GrantPage(Shape):
    """Grants, and the cursor of the next page."""

    grants: list[GrantOut]
    next: str | None
    missing: Missing = UNSET


class HeldCodeOut(GrantOut, kw_only=True):
    """A code that a user holds, what it takes off, and what it is good for at this moment.

    `used-up` says that the limits allow this user no further use, today or later.
    """

    discount_code: Annotated[str, Meta(description="The discount's human-readable name.")]
    state: Annotated[wallets.State, Meta(description="Whether the user can use the code now, and why not.")]
    used_count: Annotated[int, Meta(description="Uses of the user that count, without holds.")]
    on_hold_count: int
    percent_off: float | None
    amount_off: int | None
    currency: str | None
    minimum_amount: int | None
    maximum_discount: int | None

    @classmethod
    def of_held(cls, held: wallets.HeldCode) -> "HeldCodeOut":
        rule, granted = held.discount.rule, GrantOut.of(held.grant)
        return cls(
            **structs.asdict(granted),
            discount_code=held.discount.discount_code,
            state=held.state,
            used_count=held.used_count,
            on_hold_count=held.on_hold_count,
            percent_off=None if rule.percent is None else rule.percent / 100,
            amount_off=rule.amount_off,
            currency=rule.currency,
            minimum_amount=rule.minimum_amount,
            maximum_discount=rule.maximum_discount,
        )


class HeldCodePage(Shape):
    """The codes that a user holds, and the cursor of the next page."""

    grants: list[HeldCodeOut]
    next: str | None
    missing: Missing = UNSET


class GrantQuery(Shape):
    user_id: UserId


class UserQuery(ListQuery):
    brand_id: BrandId | None = None
    metadata: Wanted = msgspec.field(default_factory=dict)


class PictureQuery(Shape):
    user_id: UserId
    format: Literal["svg", "png"] = "svg"


class GrantsQuery(ListQuery):
    format: Annotated[Literal["json", "csv"], Meta(description="csv streams all grants at once.")] = "json"
    metadata: Wanted = msgspec.field(default_factory=dict)
