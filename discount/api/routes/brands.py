"""Routes of brands and of their API keys."""

from msgspec import UNSET, UnsetType, structs

from discount.api.contract import Contract, ViewResult
from discount.api.schemas.brands import (
    BrandChange,
    BrandIn,
    BrandOut,
    BrandPage,
    KeyIn,
    KeyList,
    KeyOut,
    NewKeyOut,
    QuotasOut,
    WholeBrandOut,
)
from discount.api.schemas.common import (
    BrandId,
    ListQuery,
    moment_in,
)
from discount.domain import model
from discount.domain.errors import Forbidden, Invalid
from discount.mails import check_address
from discount.services import brands, quotas
from discount.store.connection import Store

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
    def create_brand(body: BrandIn) -> ViewResult:
        """Make a brand; the very same again gives the one there is."""
        _check_email(body.email)
        return BrandOut.of(brands.create(store, body.id, body.name or body.id, body.email)), 201

    @contract.declare("GET", "/brand", tag="brands", scopes=("admin",), query=ListQuery, answers={200: BrandPage})
    def list_brands(query: ListQuery) -> ViewResult:
        """List brands, newest first."""
        page = brands.list_page(store, limit=query.limit, cursor=query.cursor)
        return BrandPage([BrandOut.of(each) for each in page.items], page.next), 200

    @contract.declare(
        "GET",
        "/brand/<brand_id>",
        tag="brands",
        scopes=("admin", "manage"),
        path_types=_BRAND,
        answers={200: WholeBrandOut},
        refusals=("not-found",),
    )
    def show_brand(brand_id: str) -> ViewResult:
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
    def change_brand(brand_id: str, body: BrandChange, caller: model.Caller) -> ViewResult:
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
    def close_brand(brand_id: str) -> ViewResult:
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
    def create_key(brand_id: str, body: KeyIn) -> ViewResult:
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
    def list_keys(brand_id: str) -> ViewResult:
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
    def revoke_key(brand_id: str, key_id: str) -> ViewResult:
        """Revoke an API key, on every replica at once."""
        brands.revoke_key(store, brand_id, key_id)
        return None, 204


def _check_email(email: str | None | UnsetType) -> None:
    if isinstance(email, str):
        check_address(email, "/email")
