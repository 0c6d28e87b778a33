"""Users' tokens: JWTs (RFC 7519) of the marketplace, signed with a shared secret or with a key that it publishes."""

import re
import time
from typing import Any

import jwt
from jwt.exceptions import PyJWKClientConnectionError
from jwt.utils import base64url_encode

from discount.errors import Unauthenticated, Unavailable
from discount.model import Caller

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
                key = self._published.get_signing_key_from_jwt(token)
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
        except PyJWKClientConnectionError as error:
            raise Unavailable("The keys that users' tokens are signed with cannot be fetched.") from error
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


class _PublishedKeys(jwt.PyJWKClient):
    """A JSON Web Key Set (RFC 7517) by its URL. While it cannot be fetched, the one fetched last is used."""

    def __init__(self, url: str) -> None:
        super().__init__(url, lifespan=CURRENT_SECONDS, timeout=FETCH_SECONDS, cooldown_duration=AGAIN_SECONDS)
        self._kept: Any = None
        self._failed_at = float("-inf")

    def fetch_data(self) -> Any:
        if time.monotonic() - self._failed_at >= FETCH_SECONDS:
            try:
                self._kept = super().fetch_data()
            except (jwt.PyJWTError, ValueError):
                # For a moment nobody else waits for what does not come.
                self._failed_at = time.monotonic()
        if self._kept is None:
            raise PyJWKClientConnectionError("The key set cannot be fetched.")
        return self._kept
