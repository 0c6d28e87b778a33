"""Routes of tokens: introspection (RFC 7662)."""

from contextlib import suppress

from discount.api.contract import Contract, ViewResult
from discount.api.inputs import Upload
from discount.api.schemas.tokens import Introspection
from discount.api.uploads import read_form_field
from discount.domain import model
from discount.domain.errors import (
    NotFound,
    Unauthenticated,
)
from discount.domain.model import Brand, Caller
from discount.security.tokens import Tokens
from discount.services import brands, contacts
from discount.store.connection import Store

_FORM = "application/x-www-form-urlencoded"
_LONGEST = 16 * 1024


def add_routes(contract: Contract, tokens: Tokens, store: Store) -> None:
    """Declare the operations of tokens."""

    @contract.declare(
        "POST",
        "/token/introspect",
        tag="tokens",
        scopes=("admin", "read"),
        users=True,
        consumes=(_FORM,),
        max_body=_LONGEST,
        answers={200: Introspection},
    )
    def introspect_token(upload: Upload, caller: Caller) -> ViewResult:
        """Show whether a token is valid, and for what. It is sent as `token` in a form.

        A brand may look up its own keys and users' tokens; a user, their own tokens.
        """
        owner = _owner(tokens, read_form_field(upload.stream, "token"))
        if owner is None or not _may_see(caller, owner):
            return Introspection(active=False), 200
        return _describe(owner, *_name_and_email(store, owner, caller)), 200


def _owner(tokens: Tokens, token: str) -> Caller | None:
    """Return whom a token identifies, or None if it is not valid."""
    with suppress(Unauthenticated):
        owner = tokens.identify(token)
        tokens.check_key(owner)
        return owner
    return None


def _may_see(caller: Caller, owner: Caller) -> bool:
    if caller.user_id is not None:
        return owner.user_id == caller.user_id
    return caller.brand_id is None or owner.user_id is not None or owner.brand_id == caller.brand_id


def _name_and_email(store: Store, owner: Caller, caller: Caller) -> tuple[str, str]:
    """Return the name and e-mail address of a token's owner. Of a user, the calling brand's contact comes first."""
    known: Brand | contacts.Contact | None = None
    with suppress(NotFound):
        if owner.user_id is not None:
            known = contacts.show(store, owner.user_id, brand_id=caller.brand_id)
        elif owner.brand_id is not None:
            known = brands.show(store, owner.brand_id)
    return (known.name, known.email or "") if known else ("", "")


def _describe(owner: Caller, name: str, email: str) -> Introspection:
    return Introspection(
        active=True,
        scope=" ".join(each for each in (*model.KEY_SCOPES, "admin") if each in owner.scopes),
        client_id=owner.brand_id or "",
        sub=owner.user_id or "",
        name=name,
        email=email,
        iss=owner.issuer,
        aud=owner.audience,
        token_type="Bearer",  # noqa: S106 - the name of a type
        exp=None if owner.expires_at is None else owner.expires_at // 1_000_000,
        iat=None if owner.issued_at is None else owner.issued_at // 1_000_000,
    )
