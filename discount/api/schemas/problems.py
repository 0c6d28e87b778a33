"""Shapes of problems (RFC 9457)."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from discount.api.schemas.common import Moment
from discount.domain import model


class ErrorAt(msgspec.Struct, omit_defaults=True):
    """An error in the body, at a JSON pointer (RFC 6901), or in the named parameter or header."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class Facts(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The facts of a refusal. Each kind of refusal has some of them."""

    limit: str | None = None
    starts_at: Moment | None = None
    opens_at: Moment | None = None
    expires_at: Moment | None = None
    minimum_amount: int | None = None
    codes: Annotated[Sequence[str], Meta(description="The codes that it does not go together with.")] = ()
    minimum_quantity: int | None = None
    quantity: int | None = None
    currency: str | None = None
    most: int | None = None
    left: int | None = None
    period: str | None = None
    condition: str | None = None
    part: str | None = None
    least: int | None = None
    stated: int | None = None


class Problem(Facts, omit_defaults=True):
    """A problem of RFC 9457. Programs may rely on the slug at the end of `type`."""

    type: Annotated[str, Meta(examples=["/problems/sold-out"])]
    title: str
    status: int
    detail: str = ""
    request_id: str = ""
    errors: Sequence[ErrorAt] = ()
    granted_count: int | None = None
    quota: model.QuotaName | None = None
    quota_limit: int | None = None
    code: Annotated[str | None, Meta(description="The refused code, if the request has several.")] = None
    scope: str | None = None
