"""Pages of lists: a cursor is valid only for its own list, and a Link header leads to the next page (RFC 8288)."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import structs

from discount.api.exchange import Request
from discount.domain.errors import Invalid

#: Characters at the start of a cursor that identify its list.
_LETTERS = 8
T = TypeVar("T")


class Pages:
    """The pages of one operation: seals its cursors, and makes links from page to page."""

    def __init__(self, path: str, body: type | None, query: type | None) -> None:
        self._path = path
        self._names = re.findall(r"{(\w+)}", path)
        self._part = next((part for part, shape in (("query", query), ("body", body)) if _has(shape, "cursor")), "")
        self._parameter = "after" if _has(query, "after") else "cursor"
        #: Whether an answer may have a Link header.
        self.are_linked = _has(query, self._parameter)

    def around(self, view: Callable[..., T]) -> Callable[..., T]:
        """Return the view with sealed cursors: each is valid only for the list that it came from.

        Raises (the view):
            Invalid: the cursor belongs to another list.
        """
        if not self._part:
            return view

        def paged(**arguments: Any) -> T:
            shape = arguments[self._part]
            seal = self._seal(arguments, getattr(shape, "brand_id", None))
            if shape.cursor is not None:
                arguments[self._part] = structs.replace(shape, cursor=self._open(shape.cursor, seal))
            result = view(**arguments)
            answer: Any = result[0] if isinstance(result, tuple) else result
            if getattr(answer, "next", None):
                answer.next = seal + answer.next
            return result

        return paged

    def _open(self, cursor: str, seal: str) -> str:
        if not cursor.startswith(seal):
            field = "/cursor" if self._part == "body" else "cursor"
            raise Invalid(field, "is not a cursor of this list; use `next` of the page before")
        return cursor[_LETTERS:]

    def link(self, request: Request, answer: Any) -> str | None:
        """Return the Link header that leads to the next page, if there is one."""
        following = getattr(answer, "next", None)
        # After the last event, `next` repeats the request's own cursor.
        if not self.are_linked or not following or following == request.query.get(self._parameter):
            return None
        parameters = {name: value for name, value in request.query.items() if name != self._parameter}
        return f'<{quote(request.path)}?{urlencode(parameters | {self._parameter: following})}>; rel="next"'

    def _seal(self, arguments: dict[str, Any], brand_id: str | None) -> str:
        identity = msgspec.json.encode([self._path, [arguments[name] for name in self._names], brand_id])
        return urlsafe_b64encode(blake2b(identity, digest_size=_LETTERS * 3 // 4).digest()).decode()


def _has(shape: type | None, name: str) -> bool:
    return shape is not None and name in shape.__struct_fields__  # type: ignore[attr-defined]
