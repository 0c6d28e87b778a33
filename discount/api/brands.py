"""Routes of brands and of their API keys."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from msgspec import UNSET, Meta, UnsetType, structs

from discount import brands, model, quotas
from discount.api.contract import Contract, Outcome
from discount.api.schemas import BrandId, Email, ListQuery, Moment, Shape, VisibleText, moment_in, moment_out
from discount.errors import Forbidden, Invalid
from discount.mails import MailKind, check_address
from discount.store import Store
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


_BRAND = {"brand_id": BrandId}


def add_routes(contract: Contract, store: Store, secret: str) -> None:
    """Declare the operations of brands. `secret` is what API keys are hashed with."""

    def whole(brand: model.Brand) -> WholeBrandOut:
        return WholeBrandOut.of(brand, quotas=QuotasOut.of(quotas.show(store, brand.id)))

    @contract.declare(
        "POST",
        "/brand",
        tag="brands",
        scopes=("admin",),
        body=BrandIn,
        answers={201: BrandOut},
        refusals=("brand-taken",),
    )
    def create_brand(body: BrandIn) -> Outcome:
        """Make a brand; the very same again gives the one there is."""
        _check_email(body.email)
        return BrandOut.of(brands.create(store, body.id, body.name or body.id, body.email)), 201

    @contract.declare("GET", "/brand", tag="brands", scopes=("admin",), query=ListQuery, answers={200: BrandPage})
    def list_brands(query: ListQuery) -> Outcome:
        """List brands, newest first."""
        page = brands.list_page(store, limit=query.limit, cursor=query.cursor)
        return BrandPage([BrandOut.of(each) for each in page.brands], page.next), 200

    @contract.declare(
        "GET",
        "/brand/<brand_id>",
        tag="brands",
        scopes=("admin", "manage"),
        path_types=_BRAND,
        answers={200: WholeBrandOut},
        refusals=("not-found",),
    )
    def show_brand(brand_id: str) -> Outcome:
        """Show a brand, its quotas, and what it uses of them."""
        return whole(brands.show(store, brand_id)), 200

    @contract.declare(
        "PATCH",
        "/brand/<brand_id>",
        tag="brands",
        scopes=("admin", "manage"),
        path_types=_BRAND,
        body=BrandChange,
        caller=True,
        answers={200: WholeBrandOut},
        refusals=("not-found", "brand-closed"),
    )
    def change_brand(brand_id: str, body: BrandChange, caller: model.Caller) -> Outcome:
        """Change a brand's name or e-mail, which e-mails it and its users get, or, as the admin, its quotas."""
        changes = {name: value for name, value in structs.asdict(body).items() if value is not UNSET}
        if not changes:
            raise Invalid("", "has nothing to change")
        _check_email(body.email)
        wanted = changes.pop("quotas", None)
        if wanted is not None and caller.brand_id is not None:
            raise Forbidden("Quotas are set by the admin.", scope="admin")
        changed = brands.change(store, brand_id, changes)
        if wanted is not None:
            quotas.change(store, brand_id, wanted.given())
        return whole(changed), 200

    @contract.declare(
        "DELETE",
        "/brand/<brand_id>",
        tag="brands",
        scopes=("admin",),
        path_types=_BRAND,
        answers={200: BrandOut},
        refusals=("not-found",),
    )
    def close_brand(brand_id: str) -> Outcome:
        """Close a brand for good: its keys are revoked and its discounts closed; codes that users hold stay good."""
        return BrandOut.of(brands.close(store, brand_id)), 200

    @contract.declare(
        "POST",
        "/brand/<brand_id>/keys",
        tag="brands",
        scopes=("admin",),
        path_types=_BRAND,
        body=KeyIn,
        answers={201: NewKeyOut},
        refusals=("not-found", "brand-closed"),
    )
    def create_key(brand_id: str, body: KeyIn) -> Outcome:
        """Make an API key of a brand; its text is shown this once. Without scopes it is good for all."""
        scopes = body.scopes or model.KEY_SCOPES
        expires_at = moment_in(body.expires_at, "/expires_at")
        key, text = brands.create_key(store, secret, brand_id, body.name, scopes=scopes, expires_at=expires_at)
        return NewKeyOut.of(key, key=text), 201

    @contract.declare(
        "GET",
        "/brand/<brand_id>/keys",
        tag="brands",
        scopes=("admin",),
        path_types=_BRAND,
        answers={200: KeyList},
        refusals=("not-found",),
    )
    def list_keys(brand_id: str) -> Outcome:
        """List the API keys of a brand, without their secrets."""
        return KeyList([KeyOut.of(each) for each in brands.list_keys(store, brand_id)]), 200

    @contract.declare(
        "DELETE",
        "/brand/<brand_id>/keys/<key_id>",
        tag="brands",
        scopes=("admin",),
        path_types=_BRAND,
        answers={204: None},
        refusals=("not-found",),
    )
    def revoke_key(brand_id: str, key_id: str) -> Outcome:
        """Revoke an API key, on every replica at once."""
        brands.revoke_key(store, brand_id, key_id)
        return None, 204


def _check_email(email: str | None | UnsetType) -> None:
    if isinstance(email, str):
        check_address(email, "/email")
