"""Routes of brands and of their API keys."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, structs

from discount import brands, model
from discount.api.contract import Contract, Outcome
from discount.api.schemas import BrandId, Email, ListQuery, Moment, Shape, VisibleText, moment_in, moment_out
from discount.errors import Invalid
from discount.mails import MailKind, check_address
from discount.store import Store

KeyScope = Literal["manage", "grant", "redeem", "read"]


class BrandIn(Shape):
    """A brand to make; its name is its id, if left out."""

    id: BrandId
    name: VisibleText | None = None
    email: Email | None = None


class BrandChange(Shape):
    """What to change of a brand; what is left out stays, an e-mail that is null is taken away."""

    name: VisibleText | UnsetType = UNSET
    email: Email | None | UnsetType = UNSET
    mails_off: (
        Annotated[list[MailKind], Meta(max_length=5, description="E-mails that are not to be sent.")] | UnsetType
    ) = UNSET


class BrandOut(Shape, kw_only=True):
    """A brand."""

    id: str
    name: str
    email: str | None
    mails_off: list[str]
    created_at: Moment
    closed_at: Moment | None

    @classmethod
    def of(cls, brand: model.Brand) -> "BrandOut":
        return cls(
            id=brand.id,
            name=brand.name,
            email=brand.email,
            mails_off=list(brand.mails_off),
            created_at=model.to_time(brand.created_at),
            closed_at=moment_out(brand.closed_at),
        )


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
        answers={200: BrandOut},
        refusals=("not-found",),
    )
    def show_brand(brand_id: str) -> Outcome:
        """Show a brand."""
        return BrandOut.of(brands.show(store, brand_id)), 200

    @contract.declare(
        "PATCH",
        "/brand/<brand_id>",
        tag="brands",
        scopes=("admin", "manage"),
        path_types=_BRAND,
        body=BrandChange,
        answers={200: BrandOut},
        refusals=("not-found", "brand-closed"),
    )
    def change_brand(brand_id: str, body: BrandChange) -> Outcome:
        """Change a brand's name or e-mail, or which e-mails are sent to it and to its users."""
        changes = {name: value for name, value in structs.asdict(body).items() if value is not UNSET}
        if not changes:
            raise Invalid("", "has nothing to change")
        _check_email(body.email)
        return BrandOut.of(brands.change(store, brand_id, changes)), 200

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
