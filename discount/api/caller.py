"""Who asks, whether it may, and how often: the one place where this is decided, for every operation alike."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import structs

from discount import deliveries, discounts, redemptions, webhooks
from discount.api.inputs import address_of
from discount.errors import Forbidden, NotFound, TooManyRequests, Unauthenticated
from discount.model import Caller, Scope
from discount.store import Store
from discount.store.guards import Guard
from discount.store.rates import Rates
from discount.tokens import Tokens

#: While the service is open: nobody is asked who it is.
ANYBODY = Caller(frozenset())
# A token68 of RFC 7235, which both a JWT and our keys are.
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*) *")


# Whose a thing is that a request names.
_BRAND_OF: dict[str, Callable[[Store, str], str]] = {
    "discount_id": lambda store, named: discounts.recall(store, named).brand_id,
    "webhook_id": lambda store, named: webhooks.show(store, named).brand_id,
    "delivery_id": lambda store, named: deliveries.show(store, named).brand_id,
}


class Needs:
    """What an operation needs: one of `scopes`, with a key or the admin key; and whether a user may, for itself.

    `path`, `body` and `query` tell where it names brands, users and their things.
    """

    def __init__(
        self, scopes: tuple[Scope, ...], users: bool, path: str, body: type | None, query: type | None
    ) -> None:
        self.scopes = scopes
        self.users = users
        shapes = {"body": body, "query": query}
        self.places: list[tuple[str, str]] = [("", name) for name in re.findall(r"{(\w+)}", path)] + [
            (part, name)
            for part, shape in shapes.items()
            if shape is not None
            for name in ("brand_id", "discount_id", "webhook_id", "user_id", "user_ids")
            if name in shape.__struct_fields__  # type: ignore[attr-defined]
        ]


class Gate:
    """Lets requests in: everybody, while the service is open, else whoever brings a token that is good for it."""

    def __init__(self, store: Store, tokens: Tokens, rates: Rates, *, is_open: bool, proxies: int) -> None:
        self._store = store
        self._tokens = tokens
        self._rates = rates
        self._open = is_open
        self._proxies = proxies

    def admit(self, environ: dict[str, Any], needs: Needs, *, hot: bool) -> Caller:
        """Who asks, if it may. The key and the rates of a hot call are left to the guard of its script.

        Raises:
            Unauthenticated, Forbidden, TooManyRequests, Unavailable
        """
        if self._open or not needs.scopes:
            return ANYBODY
        try:
            caller = self._identify(environ)
            if not hot:
                self._tokens.check_key(caller)
        except Unauthenticated:
            self._count(environ, "address", self.address(environ))
            raise
        if caller.user_id is not None and not needs.users:
            raise Forbidden("A user's token does not allow this.")
        if caller.scopes.isdisjoint(needs.scopes):
            raise Forbidden(scope=" ".join(needs.scopes))
        if not hot:
            if caller.user_id is not None:
                self._count(environ, "address", self.address(environ))
            self._count(environ, *_rated(caller))
        return caller

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

    def _identify(self, environ: Mapping[str, Any]) -> Caller:
        match = _BEARER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
        if not match:
            raise Unauthenticated()
        return self._tokens.identify(match[1])

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


def _rated(caller: Caller) -> tuple[str, str]:
    """Whose requests are counted together."""
    if caller.user_id is not None:
        return "user", caller.user_id
    return "key", caller.key_id or "admin"
