"""Routes of tokens: what one is good for (RFC 7662)."""

from contextlib import suppress
from urllib.parse import parse_qsl

from discount.api.contract import Contract, ViewResult
from discount.api.inputs import Upload
from discount.api.schemas.tokens import Introspection
from discount.domain import model
from discount.domain.errors import (
    Invalid,
    Malformed,
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
        caller=True,
        takes=(_FORM,),
        max_body=_LONGEST,
        answers={200: Introspection},
    )
    def introspect_token(upload: Upload, caller: Caller) -> ViewResult:
        """Tell what a token is good for, sent as `token` in a form.

        A brand learns of its own keys and of users, a user of its own tokens.
        """
        try:
            asked = tokens.identify(_read_token(upload))
            tokens.check_key(asked)
        except Unauthenticated:
            return Introspection(active=False), 200
        if caller.brand_id is not None and asked.user_id is None and asked.brand_id != caller.brand_id:
            return Introspection(active=False), 200
        if caller.user_id not in (None, asked.user_id):
            return Introspection(active=False), 200
        return _tell(asked, *_name_and_email(store, asked, caller)), 200


def _read_token(upload: Upload) -> str:
    try:
        form = parse_qsl(upload.stream.read().decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=8)
    except ValueError:
        raise Malformed("The body is not a form.") from None
    tokens = [value for name, value in form if name == "token"]
    if len(tokens) != 1:
        raise Invalid("/token", "stands twice" if tokens else "is missing")
    return tokens[0]


def _name_and_email(store: Store, asked: Caller, caller: Caller) -> tuple[str, str]:
    """What is known of whose token it is: of a user, what the brand that asks knows, else the user's own words."""
    known: Brand | contacts.Contact | None = None
    with suppress(NotFound):
        if asked.user_id is not None:
            known = contacts.show(store, asked.user_id, brand_id=caller.brand_id)
        elif asked.brand_id is not None:
            known = brands.show(store, asked.brand_id)
    return (known.name, known.email or "") if known else ("", "")


def _tell(asked: Caller, name: str, email: str) -> Introspection:
    return Introspection(
        active=True,
        scope=" ".join(each for each in (*model.KEY_SCOPES, "admin") if each in asked.scopes),
        client_id=asked.brand_id or "",
        sub=asked.user_id or "",
        name=name,
        email=email,
        iss=asked.issuer,
        aud=asked.audience,
        token_type="Bearer",  # noqa: S106 - the name of a type
        exp=None if asked.expires_at is None else asked.expires_at // 1_000_000,
        iat=None if asked.issued_at is None else asked.issued_at // 1_000_000,
    )
