"""The gate: for every operation it decides who calls, whether the caller may, and how often."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import structs

from discount.api.exchange import ANYBODY, Request
from discount.api.inputs import address_of, read_part
from discount.api.schemas.common import BrandId, UserId
from discount.domain.errors import (
    CrossSite,
    Forbidden,
    NotFound,
    Refusal,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from discount.domain.model import Author, Caller, Scope
from discount.domain.rates import Rate
from discount.domain.reasons import shown
from discount.security.tokens import Tokens
from discount.services import (
    deliveries,
    discounts,
    redemptions,
    webhooks,
)
from discount.store.connection import Store
from discount.store.guards import Guard
from discount.store.rate_limits import Rates

#: The most callers that are remembered for an operation, and the most characters of a header that is remembered.
ADMITTED, LONGEST_ADMITTED = 1000, 256
# A token68 of RFC 7235; a JWT is one, and so are our keys.
_TOKEN68 = r"([A-Za-z0-9._~+/-]+=*)"
_BEARER = re.compile(rf"[Bb][Ee][Aa][Rr][Ee][Rr] +{_TOKEN68} *")
_BARE = re.compile(_TOKEN68)
_ID_TYPES = {"brand_id": BrandId, "user_id": UserId}
# The brand that owns a resource, by the name under which a request refers to the resource.
_BRAND_OF: dict[str, Callable[[Store, str], str]] = {
    "discount_id": lambda store, discount_id: discounts.get_definition(store, discount_id).brand_id,
    "webhook_id": lambda store, webhook_id: webhooks.show(store, webhook_id).brand_id,
    "delivery_id": lambda store, delivery_id: deliveries.show(store, delivery_id).brand_id,
}


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """A header of an earlier service with a token, accepted besides `Authorization`.

    While the service is open, the header holds the caller's id instead.

    Args:
        name: as clients write it.
        holds: the kind of the id.
    """

    name: str
    holds: Literal["brand_id", "user_id"]

    @property
    def variable(self) -> str:
        """The header's name in a WSGI environment."""
        return f"HTTP_{self.name.upper()}"


class Requirements:
    """The requirements of an operation on its caller, and where its requests name brands, users and their resources.

    Args:
        scopes: a key needs one of them, or with `every_scope` all of them. Without scopes the operation is public.
        users: a user's token is enough, for that user.
        guarded: the key and the rates are left to the guard of the operation's script.
        header: a dialect's header with a token.
    """

    def __init__(
        self,
        method: str,
        path: str,
        scopes: tuple[Scope, ...],
        *,
        every_scope: bool,
        users: bool,
        guarded: bool,
        header: TokenHeader | None,
        body: type | None,
        query: type | None,
    ) -> None:
        self.scopes = scopes
        self.every_scope = every_scope
        self.users = users
        self.guarded = guarded
        self.header = header
        # Two dialects grant codes by GET.
        self.changes = method != "GET" or "grant" in scopes
        #: Pairs of an argument and its field; without a field the argument is part of the path.
        self.references: list[tuple[str, str]] = [(name, "") for name in re.findall(r"{(\w+)}", path)] + [
            (argument, field)
            for argument, shape in (("body", body), ("query", query))
            if shape is not None
            for field in ("brand_id", "discount_id", "webhook_id", "user_id")
            if field in shape.__struct_fields__  # type: ignore[attr-defined]
        ]
        #: Those that matter to a brand's key, which may name any user.
        self.references_of_brand = [each for each in self.references if "user_id" not in each]
        #: Callers with API keys that were admitted, and their rates, by the Authorization header. They are remembered
        #: only where a guard asks Redis again, which refuses a key that was revoked.
        self.admitted: dict[str, tuple[Caller, Rate | None]] = {}

    def refusal_of(self, caller: Caller) -> Refusal | None:
        """Return why the caller may not call the operation, or None if it may."""
        if caller.user_id is not None and not self.users:
            return Forbidden("A user's token does not allow this.")
        held = caller.scopes.intersection(self.scopes)
        if not held or (self.every_scope and len(held) < len(self.scopes)):
            return Forbidden(scope=" ".join(self.scopes))
        return None


class Gate:
    """The gate. It admits every request of an open service; otherwise those with a token that allows the operation.

    With `loopback`, an open service answers only to names of this machine. A page on the web could otherwise reach
    it by a name that its owner points here (DNS rebinding).
    """

    def __init__(
        self, store: Store, tokens: Tokens, rates: Rates, *, is_open: bool, loopback: bool, proxies: int
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._rates = rates
        self._open = is_open
        self._loopback = loopback
        self._proxies = proxies

    def admit(self, request: Request, requirements: Requirements) -> None:
        """Set the request's caller, and its guard if it has one. Count the request, unless a guard will.

        Raises:
            Unauthenticated, Forbidden, CrossSite, TooManyRequests, Unavailable
        """
        if not requirements.scopes:
            return
        if self._open:
            if request.meter is not None:
                request.meter.caller = ""
            self.refuse_other_sites(request.environ, changes=requirements.changes)
            if requirements.header is not None:
                request.caller = _caller_in(requirements.header, request.environ)
            return
        text = request.environ.get("HTTP_AUTHORIZATION", "")
        admitted = requirements.admitted.get(text)
        if admitted is not None:
            caller, rate = admitted
            request.caller, request.guard = caller, Guard(caller.key_id, caller.key_digest, rate)
            _charge(request)
            return
        caller = request.caller = self._identify(request, requirements)
        _charge(request)
        refusal = requirements.refusal_of(caller)
        if refusal is not None or not requirements.guarded:
            self._count_caller(request)
        if refusal is not None:
            raise refusal
        if requirements.guarded:
            guard = request.guard = self._guard(request)
            if caller.key_id and requirements.header is None and len(text) <= LONGEST_ADMITTED:
                if len(requirements.admitted) >= ADMITTED:
                    requirements.admitted.clear()
                requirements.admitted[text] = caller, guard.caller

    def count_refused(self, request: Request, refusal: Refusal) -> None:
        """Count a refused request that has a guard, unless the guard has counted it.

        Raises:
            TooManyRequests
        """
        if request.guard is None or isinstance(refusal, Unavailable):
            return
        if isinstance(refusal, Unauthenticated):
            self._count(request, "address", self._address(request))
        elif not request.guard.counted:
            self._count_caller(request)

    def bind(self, caller: Caller, requirements: Requirements, arguments: dict[str, Any]) -> None:
        """Refuse other tenants' resources; narrow lists to the caller's own.

        Raises:
            NotFound: the resource is another brand's, or another user's redemption.
            Forbidden: a user names another user.
        """
        if caller.brand_id is None and caller.user_id is None:
            return
        for argument, field in requirements.references if caller.user_id else requirements.references_of_brand:
            value = getattr(arguments[argument], field) if field else arguments[argument]
            name = field or argument
            # One dialect has numbers as user ids.
            value = str(value) if isinstance(value, int) else value
            own = getattr(caller, name, None) if name in _ID_TYPES else None
            if own is not None and value is None:
                arguments[argument] = structs.replace(arguments[argument], **{name: own})
            else:
                self._check_reference(caller, name, value)

    def author(self, request: Request) -> Author:
        """Return who makes the request's change, for its event."""
        request_id = str(request.environ.get("discount.request_id", ""))
        if self._open:
            return Author("open", request_id)
        caller = request.caller
        who = f"key:{caller.key_id}" if caller.key_id else f"user:{caller.user_id}" if caller.user_id else "admin"
        return Author(who, request_id)

    def counted_address(self, request: Request) -> str:
        """Return the address whose wrong codes are counted; empty for a key, which many customers share."""
        by_key = request.caller is not ANYBODY and request.caller.user_id is None
        return "" if by_key else self._address(request)

    def _check_reference(self, caller: Caller, name: str, value: Any) -> None:
        if name == "user_id":
            if caller.user_id not in (None, value):
                raise Forbidden("A user's token is good for that user only.")
        elif name == "redemption_id":
            redemption = redemptions.find(self._store, value)
            of_brand = caller.brand_id in (None, redemption.brand_id)
            if not (of_brand and caller.user_id in (None, redemption.user_id)):
                raise NotFound("There is no such redemption.")
        elif caller.brand_id is None or value is None:
            return
        elif name == "brand_id":
            if value != caller.brand_id:
                raise NotFound("There is no such brand.")
        elif name in _BRAND_OF and _BRAND_OF[name](self._store, value) != caller.brand_id:
            raise NotFound(f"There is no {name.removesuffix('_id')} {value}.")

    def count_person(self, request: Request) -> None:
        """Count a request of a page for people, as one of the API key with which the person signed in.

        Raises:
            TooManyRequests
        """
        if not self._open:
            _charge(request)
            self._count_caller(request)

    def count_stranger(self, request: Request) -> None:
        """Count a sign-in that failed, as one without a valid token.

        Raises:
            TooManyRequests
        """
        self._count(request, "address", self._address(request))

    def refuse_other_sites(self, environ: Mapping[str, Any], *, changes: bool) -> None:
        """Refuse requests that a page of another site makes a browser send. Only browsers send these headers.

        Raises:
            CrossSite
        """
        host = environ.get("HTTP_HOST", "")
        if self._open and self._loopback and not _is_of_this_machine(host):
            raise CrossSite(
                f"Host is {shown(host)}. The open service answers only to names of this machine, such as localhost;"
                " set ALLOW_OPEN=1 to let it answer to other names."
            )
        if not changes:
            return
        site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
        if site in ("same-origin", "none"):
            return
        if site == "cross-site" or (origin is not None and origin.partition("://")[2] != host):
            raise CrossSite(f"A page of {shown(origin or 'another site')} sent this request.")

    def _identify(self, request: Request, requirements: Requirements) -> Caller:
        try:
            caller = self._tokens.identify(_token_in(request.environ, requirements.header))
            if not requirements.guarded:
                self._tokens.check_key(caller)
        except Unauthenticated:
            self._count(request, "address", self._address(request))
            raise
        return caller

    def _guard(self, request: Request) -> Guard:
        caller = request.caller
        address = self._rates.rate("address", self._address(request)) if caller.user_id is not None else None
        return Guard(caller.key_id, caller.key_digest, self._rates.rate(*_counted_as(caller)), address)

    def _address(self, request: Request) -> str:
        return address_of(request.environ, self._proxies)

    def _count_caller(self, request: Request) -> None:
        if request.caller.user_id is not None:
            self._count(request, "address", self._address(request))
        self._count(request, *_counted_as(request.caller))

    def _count(self, request: Request, kind: str, who: str) -> None:
        counted = self._rates.count(kind, who)
        if counted is None:
            return
        request.rate = (counted.most, max(0, counted.left), counted.reset)
        if counted.left < 0:
            raise TooManyRequests(retry_after=str(counted.reset))


def _token_in(environ: Mapping[str, Any], header: TokenHeader | None) -> str:
    if header is not None and header.variable in environ:
        match = _BARE.fullmatch(environ[header.variable])
    else:
        match = _BEARER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    if not match:
        raise Unauthenticated()
    return match[1]


def _caller_in(header: TokenHeader, environ: Mapping[str, Any]) -> Caller:
    """Return the caller of an open service, by the id in the header."""
    if header.variable not in environ:
        raise Unauthenticated(f"The header {header.name} is missing.")
    # WSGI decodes headers as Latin-1 (PEP 3333).
    text = environ[header.variable].encode("latin-1").decode("utf-8", "replace")
    return Caller(frozenset(), **{header.holds: read_part(text, _ID_TYPES[header.holds], header.name)})


def _charge(request: Request) -> None:
    """Let the caller of a request pay, if the server has a meter."""
    meter = request.meter
    if meter is not None:
        meter.caller = _payer(request.caller)


def _payer(caller: Caller) -> str:
    """Return the account that pays for what a call computes; empty for the admin's."""
    if caller.brand_id is not None:
        return f"brand {caller.brand_id}"
    return "" if caller.user_id is None else f"user {caller.user_id}"


def _counted_as(caller: Caller) -> tuple[str, str]:
    """Return the kind and the name under which the caller's requests are counted."""
    if caller.user_id is not None:
        return "user", caller.user_id
    # Somebody who signed in at the console without a key acts for a brand.
    return "key", caller.key_id or (f"people of {caller.brand_id}" if caller.brand_id else "admin")


@lru_cache(maxsize=256)
def _is_of_this_machine(host: str) -> bool:
    """Return whether a Host header names this machine. A client that sends none is no browser."""
    if not host:
        return True
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        return name == "localhost" or name.endswith(".localhost") or ip_address(name).is_loopback
    except ValueError:
        return False
