"""Who asks, whether it may, and how often: the one place where this is decided, for every operation alike."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import structs

from discount.api.inputs import address_of, read_part
from discount.api.schemas.common import BrandId, UserId
from discount.domain.errors import (
    CrossSite,
    Forbidden,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from discount.domain.model import Caller, Scope
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

#: While the service is open: nobody is asked who it is.
ANYBODY = Caller(frozenset())
# A token68 of RFC 7235, which both a JWT and our keys are.
_TOKEN68 = r"([A-Za-z0-9._~+/-]+=*)"
_BEARER = re.compile(rf"[Bb][Ee][Aa][Rr][Ee][Rr] +{_TOKEN68} *")
_BARE = re.compile(_TOKEN68)


_ID = {"brand_id": BrandId, "user_id": UserId}

# Whose a thing is that a request names.
_BRAND_OF: dict[str, Callable[[Store, str], str]] = {
    "discount_id": lambda store, named: discounts.get_definition(store, named).brand_id,
    "webhook_id": lambda store, named: webhooks.show(store, named).brand_id,
    "delivery_id": lambda store, named: deliveries.show(store, named).brand_id,
}


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """A header of an earlier service in which a token comes, besides `Authorization`.

    While the service is open it holds the id of who asks.

    Args:
        name: as clients write it.
        holds: whose id that is.
    """

    name: str
    holds: Literal["brand_id", "user_id"]

    @property
    def variable(self) -> str:
        """Its name in a WSGI environment."""
        return f"HTTP_{self.name.upper()}"


class Needs:
    """What an operation needs: one of `scopes`, with a key or the admin key; and whether a user may, for itself.

    `path`, `body` and `query` tell where it names brands, users and their things. With `hot` its key and rates are
    left to the guard of its script. With `every` a key needs all of the scopes.
    """

    def __init__(
        self,
        method: str,
        path: str,
        scopes: tuple[Scope, ...],
        *,
        users: bool,
        hot: bool,
        body: type | None,
        query: type | None,
        header: TokenHeader | None = None,
        every: bool = False,
    ) -> None:
        self.scopes = scopes
        self.users = users
        self.hot = hot
        self.header = header
        self.every = every
        # There are dialects that hand codes out by GET.
        self.changes = method != "GET" or "grant" in scopes
        shapes = {"body": body, "query": query}
        self.places: list[tuple[str, str]] = [("", name) for name in re.findall(r"{(\w+)}", path)] + [
            (part, name)
            for part, shape in shapes.items()
            if shape is not None
            for name in ("brand_id", "discount_id", "webhook_id", "user_id", "user_ids")
            if name in shape.__struct_fields__  # type: ignore[attr-defined]
        ]


class Gate:
    """Lets requests in: everybody, while the service is open, else whoever brings a token that is good for it.

    With `loopback` an open service answers to names of this machine alone: by another name comes a web page whose
    owner let that name point here (DNS rebinding).
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

    def admit(self, environ: dict[str, Any], needs: Needs) -> Caller:
        """Who asks, if it may. The request is counted; a hot one only if it is refused here.

        Raises:
            Unauthenticated, Forbidden, CrossSite, TooManyRequests, Unavailable
        """
        if not needs.scopes:
            return ANYBODY
        if self._open:
            self._refuse_other_sites(environ, needs)
            return ANYBODY if needs.header is None else _named_in(needs.header, environ)
        try:
            caller = self._identify(environ, needs.header)
            if not needs.hot:
                self._tokens.check_key(caller)
        except Unauthenticated:
            self._count(environ, "address", self.address(environ))
            raise
        may = needs.users if caller.user_id is not None else True
        held = caller.scopes.intersection(needs.scopes)
        fits = len(held) == len(needs.scopes) if needs.every else bool(held)
        if not (needs.hot and may and fits):
            self._count_caller(environ, caller)
        if not may:
            raise Forbidden("A user's token does not allow this.")
        if not fits:
            raise Forbidden(scope=" ".join(needs.scopes))
        return caller

    def count_refused(self, environ: dict[str, Any], caller: Caller, guard: Guard | None, refused: Exception) -> None:
        """Count a hot call that was refused, if the guard of its script did not.

        Raises:
            TooManyRequests
        """
        if caller is ANYBODY or isinstance(refused, Unavailable):
            return
        if isinstance(refused, Unauthenticated):
            self._count(environ, "address", self.address(environ))
        elif guard is None or not guard.counted:
            self._count_caller(environ, caller)

    def _refuse_other_sites(self, environ: Mapping[str, Any], needs: Needs) -> None:
        """Refuse what a page of another site has a browser send. Nobody else sends these headers."""
        host = environ.get("HTTP_HOST", "")
        if self._loopback and not _is_of_this_machine(host):
            raise CrossSite(
                f"Host is {shown(host)}. The service is open, and answers to names of this machine alone, such as"
                " localhost; ALLOW_OPEN=1 lets it answer to others."
            )
        if not needs.changes:
            return
        site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
        if site in ("same-origin", "none"):
            return
        if site == "cross-site" or (origin is not None and origin.partition("://")[2] != host):
            raise CrossSite(f"A page of {shown(origin or 'another site')} sent this.")

    def guard(self, caller: Caller, environ: Mapping[str, Any]) -> Guard | None:
        """What the script of a hot call makes sure of."""
        if caller is ANYBODY:
            return None
        address = self._rates.rate("address", self.address(environ)) if caller.user_id is not None else None
        return Guard(caller.key_id, caller.key_digest, self._rates.rate(*_rated(caller)), address)

    def bind(self, caller: Caller, needs: Needs, arguments: dict[str, Any]) -> None:
        """Hold a request to what is the caller's own. A brand's or user's part of a list is all that it gets.

        Raises:
            NotFound: it is another brand's, or another user's redemption.
            Forbidden: a user names another.
        """
        if caller.brand_id is None and caller.user_id is None:
            return
        for part, name in needs.places:
            named = getattr(arguments[part], name) if part else arguments[name]
            # To a dialect a user may be a number.
            named = str(named) if isinstance(named, int) else named
            if name == "brand_id" and caller.brand_id is not None:
                if named is None:
                    arguments[part] = structs.replace(arguments[part], brand_id=caller.brand_id)
                elif named != caller.brand_id:
                    raise NotFound("There is no such brand.")
            elif name in _BRAND_OF and caller.brand_id is not None and named is not None:
                if _BRAND_OF[name](self._store, named) != caller.brand_id:
                    raise NotFound(f"There is no {name.removesuffix('_id')} {named}.")
            elif name == "redemption_id":
                redemption = redemptions.find(self._store, named)
                if caller.brand_id not in (None, redemption.brand_id) or caller.user_id not in (
                    None,
                    redemption.user_id,
                ):
                    raise NotFound("There is no such redemption.")
            elif name == "user_id" and caller.user_id not in (None, named):
                if named is not None:
                    raise Forbidden("A user acts for itself alone.")
                arguments[part] = structs.replace(arguments[part], user_id=caller.user_id)

    def counted_address(self, caller: Caller, environ: Mapping[str, Any]) -> str:
        """The address whose wrong codes are counted together; none for a key, behind which stand many customers."""
        return self.address(environ) if caller is ANYBODY or caller.user_id is not None else ""

    def address(self, environ: Mapping[str, Any]) -> str:
        """The address that asks."""
        return address_of(environ, self._proxies)

    def _identify(self, environ: Mapping[str, Any], header: TokenHeader | None) -> Caller:
        if header is not None and header.variable in environ:
            match = _BARE.fullmatch(environ[header.variable])
        else:
            match = _BEARER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
        if not match:
            raise Unauthenticated()
        return self._tokens.identify(match[1])

    def _count_caller(self, environ: dict[str, Any], caller: Caller) -> None:
        if caller.user_id is not None:
            self._count(environ, "address", self.address(environ))
        self._count(environ, *_rated(caller))

    def _count(self, environ: dict[str, Any], kind: str, who: str) -> None:
        counted = self._rates.count(kind, who)
        if counted is None:
            return
        environ["discount.rate"] = (counted.most, max(0, counted.left), counted.reset)
        if counted.left < 0:
            raise TooManyRequests(retry_after=str(counted.reset))


def rate_headers(environ: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """What is left of the caller's window, for the answer to a request that was counted."""
    rate = environ.get("discount.rate")
    if rate is None:
        return ()
    most, left, reset = rate
    return ("RateLimit-Limit", str(most)), ("RateLimit-Remaining", str(left)), ("RateLimit-Reset", str(reset))


def _named_in(header: TokenHeader, environ: Mapping[str, Any]) -> Caller:
    """Who asks an open service, by the id that a header holds."""
    if header.variable not in environ:
        raise Unauthenticated(f"The header {header.name} is missing.")
    # A header's bytes come as Latin-1 (PEP 3333).
    given = environ[header.variable].encode("latin-1").decode("utf-8", "replace")
    named = read_part(given, _ID[header.holds], header.name)
    return Caller(frozenset(), **{header.holds: named})


def _rated(caller: Caller) -> tuple[str, str]:
    """Whose requests are counted together."""
    if caller.user_id is not None:
        return "user", caller.user_id
    return "key", caller.key_id or "admin"


@lru_cache(maxsize=256)
def _is_of_this_machine(host: str) -> bool:
    """Whether a Host header names this machine; a client too old to send one is no browser."""
    if not host:
        return True
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        return name == "localhost" or name.endswith(".localhost") or ip_address(name).is_loopback
    except ValueError:
        return False
