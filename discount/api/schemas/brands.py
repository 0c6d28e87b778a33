"""discount.api.schemas.brands"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from msgspec import UNSET, Meta, UnsetType

from discount.api.schemas.common import (
    BrandId,
    Email,
    Moment,
    Shape,
    VisibleText,
    moment_out,
)
from discount.domain import model
from discount.mails import MailKind
from discount.services import quotas
from discount.store.quotas import NAMES

KeyScope = Literal["manage", "grant", "redeem", "read"]


class BrandIn(Shape):
    """A brand to make; its name is its id, if left out."""

    id: BrandId
    name: VisibleText | None = None
    email: Email | None = None


_Most = Annotated[int, Meta(ge=0, le=999_999_999_999_999)] | Literal["off"] | None | UnsetType


class QuotasIn(Shape):
    """How much a brand may have: a number, `off` for no bound, or null for what the settings say."""

    discounts: _Most = UNSET
    codes: _Most = UNSET
    grants_a_day: _Most = UNSET
    emails_a_day: _Most = UNSET
    stored_bytes: _Most = UNSET

    def given(self) -> dict[model.QuotaName, model.QuotaLimit]:
        """Those that are to be set."""
        return {name: most for name in NAMES if (most := getattr(self, name)) is not UNSET}


class BrandChange(Shape):
    """What to change of a brand; what is left out stays, an e-mail that is null is taken away."""

    name: VisibleText | UnsetType = UNSET
    email: Email | None | UnsetType = UNSET
    mails_off: (
        Annotated[list[MailKind], Meta(max_length=5, description="E-mails that are not to be sent.")] | UnsetType
    ) = UNSET
    quotas: Annotated[QuotasIn, Meta(description="For the admin to set.")] | UnsetType = UNSET


class QuotaOut(Shape, kw_only=True):
    """How much a brand may have of something, and how much it has."""

    limit: Annotated[int | None, Meta(description="Null for no bound.")]
    used: int
    opens_at: Annotated[Moment | None, Meta(description="When it begins anew; null for one that does not.")]


class QuotasOut(Shape, kw_only=True):
    """A brand's quotas."""

    discounts: QuotaOut
    codes: Annotated[QuotaOut, Meta(description="The sum of `total_count` of all discounts.")]
    grants_a_day: QuotaOut
    emails_a_day: QuotaOut
    stored_bytes: Annotated[QuotaOut, Meta(description="As estimated.")]

    @classmethod
    def of(cls, found: Mapping[model.QuotaName, quotas.Quota]) -> "QuotasOut":
        return cls(
            **{
                name: QuotaOut(limit=each.limit, used=each.used, opens_at=moment_out(each.opens_at))
                for name, each in found.items()
            }
        )


class BrandOut(Shape, kw_only=True):
    """A brand."""

    id: str
    name: str
    email: str | None
    mails_off: list[str]
    created_at: Moment
    closed_at: Moment | None

    @classmethod
    def of(cls, brand: model.Brand, **more: Any) -> Self:
        return cls(
            id=brand.id,
            name=brand.name,
            email=brand.email,
            mails_off=list(brand.mails_off),
            created_at=model.to_time(brand.created_at),
            closed_at=moment_out(brand.closed_at),
            **more,
        )


class WholeBrandOut(BrandOut, kw_only=True):
    """A brand, and what it may have and has."""

    quotas: QuotasOut


class BrandPage(Shape):
    """Brands, newest first, and the cursor of the next page."""

    brands: list[BrandOut]
    next: str | None


class KeyIn(Shape):
    """A key to make: what for, and until when."""

    name: VisibleText
    scopes: Annotated[list[KeyScope], Meta(min_length=1, max_length=4)] | None = None
    expires_at: Moment | None = None


class KeyOut(Shape, kw_only=True):
    """An API key of a brand, without its secret."""

    id: str
    brand_id: str
    name: str
    scopes: list[KeyScope]
    created_at: Moment
    expires_at: Moment | None
    used_at: Annotated[Moment | None, Meta(description="To the minute.")]

    @classmethod
    def of(cls, made: model.ApiKey, **more: str) -> "KeyOut":
        return cls(
            id=made.id,
            brand_id=made.brand_id,
            name=made.name,
            scopes=list(made.scopes),  # type: ignore[arg-type]
            created_at=model.to_time(made.created_at),
            expires_at=moment_out(made.expires_at),
            used_at=moment_out(made.used_at),
            **more,
        )


class NewKeyOut(KeyOut, kw_only=True):
    """A new API key. `key` is shown this once, and kept nowhere."""

    key: Annotated[str, Meta(examples=["dsk_0c3k9x2m7q1z_…"])]


class KeyList(Shape):
    """The keys of a brand, oldest first."""

    keys: list[KeyOut]
