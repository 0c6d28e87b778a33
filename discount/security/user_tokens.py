"""Verify user tokens: JWTs (RFC 7519) that the marketplace signs with a shared secret or a published key."""

import re
import time
from threading import Event, Lock, Thread
from typing import Any

import jwt
from jwt.utils import base64url_encode

from discount.domain.errors import Unauthenticated, Unavailable
from discount.domain.model import Caller
from discount.store import autopipeline

#: Seconds by which the clocks of the marketplace and a replica may differ.
LEEWAY = 10
#: The most seconds that a fetch of the published keys may take.
FETCH_SECONDS = 2
#: Seconds after which fetched keys are fetched again.
CURRENT_SECONDS = 300
#: The least seconds between two fetches because of an unknown key id.
AGAIN_SECONDS = 30
_CLAIMS = {"require": ["sub", "exp", "aud", "iss"]}
# The same user ids that requests may name.
_USER = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,128}")
# Base64url without padding (RFC 7515). Decoders are more lenient: they also accept `+`, `/` and trailing `=`.
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# Groups of a token that count; further ones do not.
_MOST_GROUPS = 100
# Up to here a double holds every whole second exactly.
_LATEST = 2**53


class UserTokens:
    """A verifier of tokens, with a shared secret (HS256) or with the keys published at `jwks_url`.

    If neither is set, no token is valid.
    """

    def __init__(self, *, secret: str, jwks_url: str, issuer: str, audience: str) -> None:
        # Built once: PyJWT would parse the secret again for every token.
        self._secret = (
            jwt.PyJWK({"kty": "oct", "k": base64url_encode(secret.encode()).decode()}, "HS256") if secret else None
        )
        self._published = _PublishedKeys(jwks_url) if jwks_url else None
        self._issuer = issuer
        self._audience = audience

    def verify(self, token: str) -> Caller:
        """Return the user of a token.

        Raises:
            Unauthenticated: the token is not valid.
            Unavailable: the published keys could not be fetched so far.
        """
        if not _TOKEN.fullmatch(token):
            raise Unauthenticated()
        key: Any = self._secret
        # Never allow both kinds: an attacker could sign with the public key as if it were the shared secret.
        algorithms = ["HS256"]
        try:
            if self._published:
                key = self._published.find(token)
                algorithms = ["RS256", "ES256", "EdDSA"]
            elif not key:
                raise Unauthenticated()
            claims = jwt.decode(
                token,
                key,
                algorithms,
                options=_CLAIMS,  # type: ignore[arg-type]
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired.") from None
        except (jwt.PyJWTError, ValueError, OverflowError):
            raise Unauthenticated() from None
        if not _USER.fullmatch(claims["sub"]):
            raise Unauthenticated("The token's `sub` is not a valid user id.")
        issued_at = claims.get("iat")
        return Caller(
            frozenset(["grant", "redeem", "read"]),
            user_id=claims["sub"],
            expires_at=_moment(claims["exp"]),
            issued_at=None if issued_at is None else _moment(issued_at),
            issuer=self._issuer,
            audience=self._audience,
            groups=_groups(claims.get("groups")),
        )


def _groups(claim: Any) -> tuple[str, ...]:
    """Return the groups of a token's claim: the texts in a list, or none."""
    return tuple(each for each in claim[:_MOST_GROUPS] if isinstance(each, str)) if isinstance(claim, list) else ()


def _moment(claim: Any) -> int:
    """Convert a time claim to microseconds.

    Raises:
        Unauthenticated: it is not a number of seconds. The library would accept text as well.
    """
    if isinstance(claim, bool) or not isinstance(claim, int | float) or not 0 <= claim <= _LATEST:
        raise Unauthenticated()
    return int(claim * 1_000_000)


class _PublishedKeys:
    """A JSON Web Key Set (RFC 7517) at a URL. If a fetch fails, the keys fetched last stay in use.

    A separate thread fetches the keys. A request waits for it only if its key is unknown and the last fetch succeeded,
    and for little more than FETCH_SECONDS. It leaves its batch first, so that other requests do not wait.
    """

    def __init__(self, url: str) -> None:
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=FETCH_SECONDS)
        self._lock = Lock()
        self._done = Event()
        self._done.set()
        self._failed = False
        self._keys: dict[str | None, jwt.PyJWK] | None = None
        self._fetched_at = self._tried_at = float("-inf")

    def find(self, token: str) -> jwt.PyJWK:
        """Return the key that a token's header names.

        Raises:
            PyJWTError: no published key has that id, or the token is malformed.
            Unavailable: no keys have been fetched yet.
        """
        kid = jwt.get_unverified_header(token).get("kid")
        if self._keys is None:
            self._fetch(FETCH_SECONDS)
            self._wait()
        elif time.monotonic() - self._fetched_at > CURRENT_SECONDS:
            self._fetch(FETCH_SECONDS)
        if self._keys is None:
            raise Unavailable("The keys that verify user tokens cannot be fetched right now.")
        if kid not in self._keys and self._fetch(AGAIN_SECONDS):
            self._wait()
        if kid not in self._keys:
            raise jwt.PyJWTError("No published key has that id.")
        return self._keys[kid]

    def _wait(self) -> None:
        if not self._failed and not self._done.is_set():
            autopipeline.leave()
            self._done.wait(FETCH_SECONDS + 1)

    def _fetch(self, pause: float) -> bool:
        """Start a fetch, unless one runs or began within `pause` seconds; return whether it was started."""
        with self._lock:
            now = time.monotonic()
            if not self._done.is_set() or now - self._tried_at < pause:
                return False
            self._tried_at = now
            self._done.clear()
        Thread(target=self._fetch_now, name="published-keys", daemon=True).start()
        return True

    def _fetch_now(self) -> None:
        try:
            keys = self._client.get_signing_keys(refresh=True)
            self._keys = {each.key_id: each for each in keys}
            self._fetched_at, self._failed = time.monotonic(), False
        except (jwt.PyJWTError, ValueError, OSError):
            self._failed = True
        finally:
            self._done.set()
