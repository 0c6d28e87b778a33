"""Shapes of brands, their quotas and API keys."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from msgspec import UNSET, Meta, UnsetType, structs

from discount.api.schemas.common import (
    BrandId,
    Email,
    Missing,
    Moment,
    Shape,
    VisibleText,
    Zone,
    moment_out,
)
from discount.domain import model
from discount.domain.digests import Digest, Language
from discount.services import quotas
from discount.store.quotas import NAMES

KeyScope = Literal["manage", "grant", "redeem", "read"]


class BrandIn(Shape):
    """A brand to create; without a name, its name is its id."""

    id: BrandId
    name: VisibleText | None = None
    email: Email | None = None


_Most = Annotated[int, Meta(ge=0, le=999_999_999_999_999)] | Literal["off"] | None | UnsetType


class QuotasIn(Shape):
    """The quotas of a brand: a number, `off` for no limit, or null for the default of the settings."""

    discounts: _Most = UNSET
    codes: _Most = UNSET
    grants_a_day: _Most = UNSET
    emails_a_day: _Most = UNSET
    stored_bytes: _Most = UNSET

    def given(self) -> dict[model.QuotaName, model.QuotaLimit]:
        """Return the quotas in the request, by name."""
        return {name: most for name in NAMES if (most := getattr(self, name)) is not UNSET}


class DigestIn(Shape):
    """A daily e-mail with the figures of the day before. What is left out has its default."""

    email: Annotated[Email, Meta(description="One e-mail address; by default the brand's.")] | UnsetType = UNSET
    language: Annotated[Language, Meta(description="By default English.")] | UnsetType = UNSET
    hour: (
        Annotated[int, Meta(ge=0, le=23, description="The hour of the day at which it is sent; by default 7.")]
        | UnsetType
    ) = UNSET

    def given(self) -> Digest:
        """Return the digest, without the brand's time zone."""
        return Digest(**{name: value for name, value in structs.asdict(self).items() if value is not UNSET})


class DigestOut(Shape, kw_only=True):
    """The daily digest of a brand."""

    email: Annotated[str | None, Meta(description="Null for the brand's address.")]
    language: Language
    hour: int

    @classmethod
    def of(cls, digest: Digest) -> "DigestOut":
        return cls(email=digest.email or None, language=digest.language, hour=digest.hour)


#: Kinds of e-mails that a brand may switch off.
SwitchedOff = Literal["code-granted", "code-expiring", "sold-out", "limit-reached", "webhook-off"]


class BrandChange(Shape):
    """Changes to a brand. A field left out stays as it is; null removes the address, the time zone or the digest."""

    name: VisibleText | UnsetType = UNSET
    email: Email | None | UnsetType = UNSET
    mails_off: (
        Annotated[list[SwitchedOff], Meta(max_length=5, description="Kinds of e-mails that are not sent.")] | UnsetType
    ) = UNSET
    timezone: (
        Annotated[Zone, Meta(description="IANA; of its times in the console, and of its digest. By default UTC.")]
        | None
        | UnsetType
    ) = UNSET
    digest: DigestIn | None | UnsetType = UNSET
    quotas: Annotated[QuotasIn, Meta(description="Only the admin may set them.")] | UnsetType = UNSET


class QuotaOut(Shape, kw_only=True):
    """A quota: its limit and how much of it is used."""

    limit: Annotated[int | None, Meta(description="Null for no limit.")]
    used: int
    opens_at: Annotated[Moment | None, Meta(description="When the count starts again at 0; null if it never does.")]


class QuotasOut(Shape, kw_only=True):
    """A brand's quotas."""

    discounts: QuotaOut
    codes: Annotated[QuotaOut, Meta(description="The sum of `total_count` of all discounts.")]
    grants_a_day: QuotaOut
    emails_a_day: QuotaOut
    stored_bytes: Annotated[QuotaOut, Meta(description="An estimate.")]

    @classmethod
    def of(cls, by_name: Mapping[model.QuotaName, quotas.Quota]) -> "QuotasOut":
        return cls(
            **{
                name: QuotaOut(limit=each.limit, used=each.used, opens_at=moment_out(each.opens_at))
                for name, each in by_name.items()
            }
        )


class BrandOut(Shape, kw_only=True):
    """A brand."""

    id: str
    name: str
    email: str | None
    mails_off: list[str]
    timezone: Annotated[str | None, Meta(description="Null for UTC.")]
    digest: DigestOut | None
    created_at: Moment
    closed_at: Moment | None

    @classmethod
    def of(cls, brand: model.Brand, **more: Any) -> Self:
        return cls(
            id=brand.id,
            name=brand.name,
            email=brand.email,
            mails_off=list(brand.mails_off),
            timezone=brand.timezone,
            digest=None if brand.digest is None else DigestOut.of(brand.digest),
            created_at=model.to_time(brand.created_at),
            closed_at=moment_out(brand.closed_at),
            **more,
        )


class WholeBrandOut(BrandOut, kw_only=True):
    """A brand with its quotas."""

    quotas: QuotasOut


class BrandPage(Shape):
    """Brands, newest first, and the cursor of the next page."""

    brands: list[BrandOut]
    next: str | None
    missing: Missing = UNSET


class KeyIn(Shape):
    """An API key to create. Without `expires_at` it does not expire."""

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
    used_at: Annotated[Moment | None, Meta(description="The last use, to the minute.")]

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
    """A new API key. `key` is shown only in this answer, and stored nowhere."""

    key: Annotated[str, Meta(examples=["dsk_0c3k9x2m7q1z_…"])]


class KeyList(Shape):
    """The keys of a brand, oldest first."""

    keys: list[KeyOut]
