"""Routes of brands and of their API keys."""

from msgspec import UNSET, UnsetType, structs

from discount.api.contract import Contract, ViewResult
from discount.api.schemas.brands import (
    BrandChange,
    BrandIn,
    BrandOut,
    BrandPage,
    DigestIn,
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
    missing_out,
    moment_in,
)
from discount.domain import model
from discount.domain.digests import Digest
from discount.domain.errors import Forbidden, Invalid
from discount.domain.rules import check_zone
from discount.mails import check_address
from discount.services import brands, quotas
from discount.store.connection import Store


def add_routes(contract: Contract, store: Store, secret: str) -> None:
    """Declare the operations of brands. `secret` is the key of the hashes of API keys."""

    def with_quotas(brand: model.Brand) -> WholeBrandOut:
        return WholeBrandOut.of(brand, quotas=QuotasOut.of(quotas.show(store, brand.id)))

    @contract.declare(
        "POST",
        "/brand",
        tag="brands",
        scopes=("admin",),
        answers={201: BrandOut},
        refusals=("brand-taken",),
    )
    def create_brand(body: BrandIn) -> ViewResult:
        """Create a brand. Repeating the same request returns the same brand."""
        _check_email(body.email)
        return BrandOut.of(brands.create(store, body.id, body.name or body.id, body.email)), 201

    @contract.declare("GET", "/brand", tag="brands", scopes=("admin",), answers={200: BrandPage})
    def list_brands(query: ListQuery) -> ViewResult:
        """List brands, newest first."""
        page = brands.list_page(store, limit=query.limit, cursor=query.cursor)
        return BrandPage([BrandOut.of(each) for each in page.items], page.next, missing_out(page.missing)), 200

    @contract.declare(
        "GET",
        "/brand/{brand_id}",
        tag="brands",
        scopes=("admin", "manage"),
        answers={200: WholeBrandOut},
        refusals=("not-found",),
    )
    def show_brand(brand_id: BrandId) -> ViewResult:
        """Show a brand, its quotas, and how much of them it uses."""
        return with_quotas(brands.show(store, brand_id)), 200

    @contract.declare(
        "PATCH",
        "/brand/{brand_id}",
        tag="brands",
        scopes=("admin", "manage"),
        answers={200: WholeBrandOut},
        refusals=("not-found", "brand-closed"),
    )
    def change_brand(brand_id: BrandId, body: BrandChange, caller: model.Caller) -> ViewResult:
        """Change a brand's name, address, time zone, digest or e-mails, or (as the admin) its quotas."""
        changes = {name: value for name, value in structs.asdict(body).items() if value is not UNSET}
        if not changes:
            raise Invalid("", "must name at least one field to change")
        _check_email(body.email)
        if isinstance(body.timezone, str):
            check_zone(body.timezone)
        if isinstance(body.digest, DigestIn):
            changes["digest"] = _digest(store, brand_id, body.digest, body.email)
        new_quotas = changes.pop("quotas", None)
        if new_quotas is not None and caller.brand_id is not None:
            raise Forbidden("Only the admin may set quotas.", scope="admin")
        changed = brands.change(store, brand_id, changes)
        if new_quotas is not None:
            quotas.change(store, brand_id, new_quotas.given())
        return with_quotas(changed), 200

    @contract.declare(
        "DELETE",
        "/brand/{brand_id}",
        tag="brands",
        scopes=("admin",),
        answers={200: BrandOut},
        refusals=("not-found",),
    )
    def close_brand(brand_id: BrandId, author: model.Author) -> ViewResult:
        """Close a brand for good: revoke its keys and close its discounts. Codes that users hold stay valid."""
        return BrandOut.of(brands.close(store, brand_id, author=author)), 200

    @contract.declare(
        "POST",
        "/brand/{brand_id}/keys",
        tag="brands",
        scopes=("admin",),
        answers={201: NewKeyOut},
        refusals=("not-found", "brand-closed"),
    )
    def create_key(brand_id: BrandId, body: KeyIn) -> ViewResult:
        """Create an API key of a brand, shown only in this answer. Without `scopes` it has all of them."""
        scopes = body.scopes or model.KEY_SCOPES
        expires_at = moment_in(body.expires_at, "/expires_at")
        key, text = brands.create_key(store, secret, brand_id, body.name, scopes=scopes, expires_at=expires_at)
        return NewKeyOut.of(key, key=text), 201

    @contract.declare(
        "GET",
        "/brand/{brand_id}/keys",
        tag="brands",
        scopes=("admin",),
        answers={200: KeyList},
        refusals=("not-found",),
    )
    def list_keys(brand_id: BrandId) -> ViewResult:
        """List the API keys of a brand, without their secrets."""
        return KeyList([KeyOut.of(each) for each in brands.list_keys(store, brand_id)]), 200

    @contract.declare(
        "DELETE",
        "/brand/{brand_id}/keys/{key_id}",
        tag="brands",
        scopes=("admin",),
        answers={204: None},
        refusals=("not-found",),
    )
    def revoke_key(brand_id: BrandId, key_id: str) -> ViewResult:
        """Revoke an API key, on every replica at once."""
        brands.revoke_key(store, brand_id, key_id)
        return None, 204


def _digest(store: Store, brand_id: str, given: DigestIn, email: str | None | UnsetType) -> Digest:
    """Return a digest. It goes to an address of its own, or to that of the brand, which may come with it."""
    found = given.given()
    if found.email:
        check_address(found.email, "/digest/email")
    elif (brands.show(store, brand_id).email if email is UNSET else email) is None:
        raise Invalid("/digest/email", "is missing, and the brand has no address of its own")
    return found


def _check_email(email: str | None | UnsetType) -> None:
    if isinstance(email, str):
        check_address(email, "/email")
