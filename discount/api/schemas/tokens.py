"""Shapes of token introspection."""

from typing import Annotated

from msgspec import Meta

from discount.api.schemas.common import Shape


class Introspection(Shape, kw_only=True, omit_defaults=True):
    """The rights of a token (RFC 7662). For an invalid token, only `active` is given."""

    active: bool
    scope: str = ""
    client_id: Annotated[str, Meta(description="The brand that owns the key.")] = ""
    sub: Annotated[str, Meta(description="The user that owns the token.")] = ""
    token_type: str = ""
    iss: str = ""
    aud: str = ""
    name: Annotated[str, Meta(description="The name of the user or the brand, if known.")] = ""
    email: str = ""
    exp: Annotated[int | None, Meta(description="Seconds since 1970 UTC.")] = None
    iat: int | None = None
