"""Users' tokens: JWTs (RFC 7519) of the marketplace, signed with a shared secret or with a key that it publishes."""

import re
import time
from threading import Event, Lock, Thread
from typing import Any

import jwt
from jwt.utils import base64url_encode

from discount.domain.errors import Unauthenticated, Unavailable
from discount.domain.model import Caller
from discount.store import autopipeline

#: Seconds by which the clocks of the marketplace and of a replica may differ.
LEEWAY = 10
#: Seconds that a fetch of the published keys may take, that they are taken as current, and between two tries.
FETCH_SECONDS = 2
CURRENT_SECONDS = 300
AGAIN_SECONDS = 30
_CLAIMS = {"require": ["sub", "exp", "aud", "iss"]}
# A user id that no request could name is no user.
_USER = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,128}")
# Base64 without padding (RFC 7515), of which decoders take more: signs of other alphabets, and `=` at the end.
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# The last second that a double holds exactly.
_LATEST = 2**53


class UserTokens:
    """Verifies users' tokens: with the secret (HS256), or with the keys at `jwks_url`. With neither, none is good."""

    def __init__(self, *, secret: str, jwks_url: str, issuer: str, audience: str) -> None:
        # Made once: from its text it would be made, and looked at for being another kind of key, at every token.
        self._secret = (
            jwt.PyJWK({"kty": "oct", "k": base64url_encode(secret.encode()).decode()}, "HS256") if secret else None
        )
        self._published = _PublishedKeys(jwks_url) if jwks_url else None
        self._issuer = issuer
        self._audience = audience

    def verify(self, token: str) -> Caller:
        """The user whose token it is.

        Raises:
            Unauthenticated
            Unavailable: the keys cannot be fetched, and never could.
        """
        if not _TOKEN.fullmatch(token):
            raise Unauthenticated()
        key: Any = self._secret
        # Never both kinds: a public key must not pass for a shared secret.
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
            raise Unauthenticated("The token's `sub` cannot be a user id.")
        issued_at = claims.get("iat")
        return Caller(
            frozenset(["grant", "redeem", "read"]),
            user_id=claims["sub"],
            expires_at=_moment(claims["exp"]),
            issued_at=None if issued_at is None else _moment(issued_at),
            issuer=self._issuer,
            audience=self._audience,
        )


def _moment(claim: Any) -> int:
    """Microseconds of a time in a token, which the library also takes as text.

    Raises:
        Unauthenticated
    """
    if isinstance(claim, bool) or not isinstance(claim, int | float) or not 0 <= claim <= _LATEST:
        raise Unauthenticated()
    return int(claim * 1_000_000)


class _PublishedKeys:
    """A JSON Web Key Set (RFC 7517) by its URL. While it cannot be fetched, the one fetched last is used.

    A thread of its own fetches it. A call waits for that once, for FETCH_SECONDS at most, and only after a fetch that
    went well; a call that is gathered with others leaves them first. All others are answered by what is known.
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
        """The key that a token says it is signed with.

        Raises:
            PyJWTError: there is none, or the token cannot be read.
            Unavailable: no keys have been fetched yet.
        """
        kid = jwt.get_unverified_header(token).get("kid")
        if self._keys is None:
            self._fetch(FETCH_SECONDS)
            self._wait()
        elif time.monotonic() - self._fetched_at > CURRENT_SECONDS:
            self._fetch(FETCH_SECONDS)
        if self._keys is None:
            raise Unavailable("The keys that users' tokens are signed with cannot be fetched.")
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
        """Have the keys fetched, unless that was tried within so many seconds; whether they are."""
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
