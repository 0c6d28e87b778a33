"""Lists of dialects: whole, as they always were, or a page where `limit` or `cursor` asks for one."""

from collections.abc import Iterable
from typing import Any

from discount.api.contract import ViewResult
from discount.api.schemas.common import Cursor, Limit, Shape
from discount.api.streaming import json_response

_LIMIT = 100


class PageQuery(Shape):
    """How many of a list's rows, and from where on."""

    limit: Limit | None = None
    cursor: Cursor | None = None

    @property
    def whole(self) -> bool:
        """Whether nobody asks for a page."""
        return self.limit is None and self.cursor is None

    @property
    def most(self) -> int:
        """How many rows a page may have."""
        return _LIMIT if self.limit is None else self.limit


def page_response(rows: Iterable[Any], following: str | None, around: tuple[bytes, bytes] = (b"[", b"]")) -> ViewResult:
    """A page in the list's own shape; `following` is the cursor of the next one, to which a header leads."""
    response = json_response(rows, *around)
    response.next = following
    return response
