"""A visit: one request of a person to the console, and the result of a page's view."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from flask import Request

from discount.api import exchange
from discount.api.contract import Endpoint
from discount.api.exchange import ANYBODY
from discount.api.inputs import Upload
from discount.api.inputs import idempotency_key as check_key
from discount.api.streaming import Stream
from discount.console.languages import Language
from discount.console.sessions import Session
from discount.domain.errors import Invalid, Refusal, Unauthenticated
from discount.domain.model import Author, Caller, Scope


@dataclass(frozen=True, slots=True)
class Page:
    """A page to be rendered.

    Args:
        template: its file.
        values: what the template shows.
        live: the file of the part that browsers ask for again and again, if the page has one.
        status: of HTTP.
    """

    template: str
    values: dict[str, Any] = field(default_factory=dict)
    live: str = ""
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """Another page of the console to go to. `session` is set where it changes."""

    path: str
    session: Session | None = None
    #: Cookies to set besides, with their lives in seconds; 0 removes one.
    cookies: tuple[tuple[str, str, int], ...] = ()


Result = Page | Redirect | Stream


class Visit:
    """One request of a person.

    Args:
        endpoints: the operations of the API, by name.
        session: from the cookie.
        author: who makes the changes of the visit.
        zone_of: returns the time zone that a brand has set.
    """

    def __init__(
        self,
        request: Request,
        endpoints: Mapping[str, Endpoint],
        *,
        language: Language,
        session: Session,
        author: Author,
        zone_of: Callable[[str], str | None],
    ) -> None:
        self.request = request
        self.language = language
        self.session = session
        self._caller: Caller | None = None
        self._brand_id = ""
        self.author = author
        self._endpoints = endpoints
        self._zone_of = zone_of
        self._zones: dict[str, str | None] = {}

    @property
    def caller(self) -> Caller:
        """As whom the person calls operations.

        Raises:
            Unauthenticated: nobody has signed in.
        """
        if self._caller is None:
            raise Unauthenticated
        return self._caller

    @caller.setter
    def caller(self, caller: Caller) -> None:
        self._caller = caller

    @property
    def is_known(self) -> bool:
        """True if the person may see more than the page to sign in."""
        return self._caller is not None

    @property
    def is_open(self) -> bool:
        """True if anybody may do everything."""
        return self._caller is ANYBODY

    @property
    def brand_id(self) -> str | None:
        """The brand that the page is about: the person's own, or the one in the address."""
        own = self._caller.brand_id if self._caller else None
        return own or self._brand_id or self.request.args.get("brand_id") or None

    def need_brand(self) -> str:
        """Return the brand that the page is about.

        Raises:
            Invalid: it is missing.
        """
        if self.brand_id is None:
            raise Invalid("brand_id", "is missing")
        return self.brand_id

    def look_at(self, brand_id: str) -> None:
        """Say which brand the page is about, where its address does not."""
        self._brand_id = brand_id

    def zone(self, discount: Any = None) -> str:
        """Return the time zone of the page: the brand's, otherwise that of the discount that it is about, or UTC."""
        brand_id = self.brand_id if discount is None else discount.brand_id
        if self.is_known and brand_id:
            if brand_id not in self._zones:
                self._zones[brand_id] = self._zone_of(brand_id)
            if zone := self._zones[brand_id]:
                return zone
        return "UTC" if discount is None else str(discount.timezone)

    @property
    def query(self) -> dict[str, str]:
        """The parameters in the address, without empty ones."""
        return {name: value for name, value in self.request.args.items() if value}

    @property
    def form(self) -> dict[str, str]:
        """The fields of the form, without empty ones."""
        return {name: value.strip() for name, value in self.request.form.items() if value.strip()}

    def may(self, scope: Scope) -> bool:
        """Return whether the person has a right."""
        return self.is_open or (self._caller is not None and scope in self._caller.scopes)

    def to(self, path: str, **query: str | None) -> str:
        """Return the address of a page of the console, with the brand that the person looks at."""
        if self._caller is not None and self._caller.brand_id is None:
            query.setdefault("brand_id", self.brand_id)
        given = {name: value for name, value in query.items() if value}
        return f"/console{path}" + (f"?{urlencode(given)}" if given else "")

    def ask(
        self,
        operation: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        upload: Upload | None = None,
        **path: str,
    ) -> Any:
        """Call an operation of the API as this person, and return its answer: a shape, or a stream.

        Raises:
            Refusal
        """
        arguments: dict[str, Any] = dict(path)
        if upload is not None:
            arguments["upload"] = upload
        if idempotency_key is not None:
            arguments["idempotency_key"] = check_key({"HTTP_IDEMPOTENCY_KEY": idempotency_key})
        asked = exchange.Request(self.request.environ, arguments, caller=self.caller)
        answer = self._endpoints[operation].ask(asked, self.author, query or {}, body or {})
        return answer if isinstance(answer, Stream) else answer[0]

    def try_ask(self, operation: str, *refusals: type[Refusal], **call: Any) -> Any:
        """Call an operation; return None if it is refused for one of these reasons."""
        try:
            return self.ask(operation, **call)
        except refusals:
            return None


View = Callable[..., Result]
