"""discount.api.schemas.tokens"""

from typing import Annotated

from msgspec import Meta

from discount.api.schemas.common import Shape


class Introspection(Shape, kw_only=True, omit_defaults=True):
    """What a token is good for, as RFC 7662 says it; of one that is not good, nothing but that."""

    active: bool
    scope: str = ""
    client_id: Annotated[str, Meta(description="The brand whose key it is.")] = ""
    sub: Annotated[str, Meta(description="The user whose token it is.")] = ""
    token_type: str = ""
    iss: str = ""
    aud: str = ""
    name: Annotated[str, Meta(description="What the user or the brand is called, where it is known.")] = ""
    email: str = ""
    exp: Annotated[int | None, Meta(description="Seconds since 1970 UTC.")] = None
    iat: int | None = None
