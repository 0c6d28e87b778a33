"""A call of an operation and its reply, independent of any web framework."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from msgspec import Struct, field
from werkzeug.datastructures import ImmutableMultiDict, MultiDict

from discount.domain.model import Caller
from discount.store.guards import Guard

#: The caller of an open service and of an operation that needs no token. It is compared by identity.
ANYBODY = Caller(frozenset())
_NO_QUERY: MultiDict[str, str] = ImmutableMultiDict()


class Meter(Protocol):
    """The server's meter of what a request computes, in the environment as `discount.meter`."""

    #: The brand or the user who pays; empty for one who never pays, and None as long as that is not known.
    caller: str | None

    def work_in_slices(self) -> None:
        """Note that the request charges for each of its slices."""

    def charge(self, more: float = 0.0) -> float:
        """Charge what was computed since the last time, and `more` seconds; return for how many seconds to pause."""


class Request(Struct):
    """One call of an operation.

    Args:
        environ: the WSGI environment.
        arguments: the variable parts of the path; more arguments of the view are added as they are read.
        query: the query parameters as text.
        caller: who calls, once the gate has admitted the request.
        guard: checks the caller's key and rates inside a script, if the view takes one.
        rate: the caller's limit, the requests left, and the seconds until the window ends, once the gate has counted.
    """

    environ: dict[str, Any]
    arguments: dict[str, Any]
    query: MultiDict[str, str] = _NO_QUERY
    caller: Caller = ANYBODY
    guard: Guard | None = None
    rate: tuple[int, int, int] | None = None

    @property
    def meter(self) -> Meter | None:
        """The server's meter of this request, if it has one."""
        meter: Meter | None = self.environ.get("discount.meter")
        return meter

    @property
    def path(self) -> str:
        """The path as text. WSGI decodes it as Latin-1 (PEP 3333)."""
        path: str = self.environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        return "/" + path.lstrip("/")


class Reply(Struct):
    """The reply to a request: a body, or its pieces if it is streamed.

    `end` is called once the last piece is sent, or the client is gone. `rate` is the request's, if it was counted.
    """

    body: bytes
    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    pieces: Iterable[bytes] | None = None
    end: Callable[[], None] | None = None
    rate: tuple[int, int, int] | None = None

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        """The headers, and those of the rate."""
        if self.rate is None:
            return self.headers
        limit, left, reset = self.rate
        return [
            *self.headers,
            ("RateLimit-Limit", str(limit)),
            ("RateLimit-Remaining", str(left)),
            ("RateLimit-Reset", str(reset)),
        ]
