"""Sign people in by OpenID Connect: the authorization code flow with PKCE (RFC 7636)."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from importlib import import_module
from threading import Lock
from typing import Any

import jwt

from discount.domain.errors import Unauthenticated, Unavailable
from discount.domain.model import Scope

#: The rights of each role.
ROLES: dict[str, frozenset[Scope]] = {
    "viewer": frozenset(["read"]),
    "helper": frozenset(["read", "grant", "redeem"]),
    "manager": frozenset(["read", "grant", "redeem", "manage"]),
    "admin": frozenset(["admin"]),
}
#: Seconds for a call to the provider, and for which its description and its keys are kept.
PATIENCE, KEPT = 5, 300
#: Seconds by which the clocks of the provider and a replica may differ.
LEEWAY = 10
_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
_AWAY = "The provider that signs people in does not answer."


@dataclass(frozen=True, slots=True)
class Person:
    """A person whom the provider has identified; without a brand, the admin."""

    name: str
    scopes: frozenset[Scope]
    brand_id: str | None


class OpenId:
    """A provider of OpenID Connect.

    Args:
        claim: the claim of the ID token that has the person's brand and role: `{"brand": "IKEA", "role": "manager"}`
            or `"IKEA manager"`; for the admin without a brand.
    """

    def __init__(self, issuer: str, client_id: str, client_secret: str, claim: str) -> None:
        self._issuer = issuer
        self._client = (client_id, client_secret)
        self._claim = claim
        self._lock = Lock()
        self._described: dict[str, Any] = {}
        self._keys: jwt.PyJWKSet | None = None
        self._until = 0.0

    def begin(self, back: str) -> tuple[str, dict[str, str]]:
        """Return the provider's address to go to, and facts to keep until the person comes back.

        Args:
            back: our address to which the provider sends the person.

        Raises:
            Unavailable: the provider does not answer.
        """
        verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(18)
        endpoint = self._describe()["authorization_endpoint"]
        url, state = self._session(back).create_authorization_url(endpoint, code_verifier=verifier, nonce=nonce)
        return str(url), {"state": str(state), "nonce": nonce, "verifier": verifier}

    def finish(self, back: str, facts: Mapping[str, str], given: Mapping[str, str]) -> Person:
        """Return the person who has come back from the provider.

        Args:
            facts: what `begin` gave to keep.
            given: the parameters with which the provider sent the person back.

        Raises:
            Unauthenticated: the provider refuses, or its answer is not for these facts, or gives no role.
            Unavailable: the provider does not answer.
        """
        if not compare_digest(facts.get("state", "").encode(), given.get("state", "").encode()) or "code" not in given:
            raise Unauthenticated("The provider has not signed you in. Try again.")
        token = self._exchange(back, given["code"], facts["verifier"])
        claims = self._verify(str(token.get("id_token", "")))
        if not compare_digest(str(claims.get("nonce", "")).encode(), facts["nonce"].encode()):
            raise Unauthenticated("The answer of the provider is for another sign-in.")
        return self._person(claims)

    def _exchange(self, back: str, code: str, verifier: str) -> Mapping[str, Any]:
        """Return the provider's tokens for a code."""
        endpoint = self._describe()["token_endpoint"]
        try:
            found: Mapping[str, Any] = self._session(back).fetch_token(
                endpoint, code=code, code_verifier=verifier, timeout=PATIENCE, allow_redirects=False
            )
        except OSError:
            raise Unavailable(_AWAY) from None
        except Exception as error:
            # The library raises what it makes of the provider's answer.
            raise Unauthenticated("The provider has refused the sign-in.") from error
        return found

    def _verify(self, token: str) -> dict[str, Any]:
        """Return the claims of an ID token (OpenID Connect Core 1.0, section 3.1.3.7)."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self._key(kid)
            return jwt.decode(
                token,
                key,
                _ALGORITHMS,
                options={"require": ["iss", "aud", "exp", "iat", "sub"]},
                audience=self._client[0],
                issuer=self._issuer,
                leeway=LEEWAY,
            )
        except (jwt.PyJWTError, ValueError):
            raise Unauthenticated("The answer of the provider is not valid.") from None

    def _person(self, claims: Mapping[str, Any]) -> Person:
        given = claims.get(self._claim)
        if isinstance(given, str):
            brand, _, role = given.rpartition(" ")
        elif isinstance(given, dict):
            brand, role = str(given.get("brand") or ""), str(given.get("role", ""))
        else:
            brand, role = "", ""
        name = str(claims.get("email") or claims["sub"])[:128]
        # A role without a brand is the admin's alone, and the admin's has none.
        if role not in ROLES or (role == "admin") == bool(brand) or not name.isprintable():
            raise Unauthenticated("Your account has no role here. Ask the operator of this service.")
        return Person(name, ROLES[role], brand or None)

    def _key(self, kid: str | None) -> jwt.PyJWK:
        """Return the provider's key with that id; its keys are fetched again if it is new."""
        for attempt in range(2):
            self._describe(again=attempt > 0)
            keys = self._keys.keys if self._keys else []
            for key in keys:
                if key.key_id == kid or (kid is None and len(keys) == 1):
                    return key
        raise jwt.InvalidTokenError("No published key has that id.")

    def _describe(self, *, again: bool = False) -> dict[str, Any]:
        """Return the provider's description of itself, and fetch it and its keys if they are old."""
        with self._lock:
            if time.monotonic() < self._until and not again:
                return self._described
            requests = import_module("requests")
            try:
                found = _fetch(requests, self._issuer.rstrip("/") + "/.well-known/openid-configuration")
                if found.get("issuer") != self._issuer:
                    raise ValueError("the description is of another issuer")
                keys = jwt.PyJWKSet.from_dict(_fetch(requests, str(found["jwks_uri"])))
            except (OSError, ValueError, KeyError, jwt.PyJWTError):
                raise Unavailable(_AWAY) from None
            self._described, self._keys, self._until = found, keys, time.monotonic() + KEPT
            return found

    def _session(self, back: str) -> Any:
        # Imported when a person signs in: it takes as long as the rest of the start.
        client = import_module("authlib.integrations.requests_client")
        return client.OAuth2Session(
            *self._client, scope="openid profile email", redirect_uri=back, code_challenge_method="S256"
        )


def _fetch(requests: Any, url: str) -> dict[str, Any]:
    answer = requests.get(url, timeout=PATIENCE, allow_redirects=False)
    answer.raise_for_status()
    found = answer.json()
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found
