"""Identify the owner of a bearer token: the admin, a brand (by API key) or a user (by JWT)."""

import time
from hashlib import blake2b, sha256
from hmac import compare_digest

from discount.domain.errors import Unauthenticated, Unavailable
from discount.domain.model import Caller
from discount.security import api_keys
from discount.security.user_tokens import UserTokens
from discount.store import keys
from discount.store.connection import Store, moment_of
from discount.store.replies import pairs

#: Microseconds for which a verified user token is trusted without another check, unless it expires before.
CACHED = 60_000_000
#: The most tokens that a process caches.
MOST = 10_000
#: Microseconds between two updates of the time when a key was last used. with/guard.lua has the same value.
USED = 60_000_000


class Tokens:
    """The owners of tokens, identified and cached.

    The cache does not see that an API key was revoked: check it again with `check_key` or the guard of a script.

    Args:
        admin_key: the admin's token; empty if there is none.
        secret: the secret that API keys are hashed with.
    """

    def __init__(self, store: Store, users: UserTokens, *, admin_key: str, secret: str) -> None:
        self._store = store
        self._users = users
        self._admin = sha256(admin_key.encode()).digest() if admin_key else b""
        self._secret = secret
        self._cache: dict[bytes, tuple[Caller, int]] = {}

    def identify(self, token: str) -> Caller:
        """Return the owner of a token.

        Raises:
            Unauthenticated: the token is not valid.
            Unavailable: Redis, or the server that publishes the keys of user tokens, does not answer.
        """
        text = token.encode()
        digest = blake2b(text, digest_size=32).digest()
        caller, until = self._cache.get(digest, (None, 0))
        now = time.time_ns() // 1000
        if caller is not None and now < until:
            return caller
        if compare_digest(sha256(text).digest(), self._admin):
            return Caller(frozenset(["admin"]))
        key_id = api_keys.read_id(token)
        if key_id is not None:
            caller, until = self._find_key(key_id, api_keys.digest(self._secret, token)), 1 << 62
        else:
            caller = self._users.verify(token)
            until = min(caller.expires_at or 0, now + CACHED)
        if len(self._cache) >= MOST:
            self._cache.clear()
        self._cache[digest] = caller, until
        return caller

    def check_key(self, caller: Caller) -> None:
        """Check that a caller's API key has not been revoked or expired, and note when it was used.

        Do nothing for callers without a key.

        Raises:
            Unauthenticated: the key is no longer valid.
            Unavailable: Redis does not answer.
        """
        if not caller.key_id:
            return
        name = keys.api_key(keys.partition_of(caller.brand_id or "", self._store.partitions), caller.key_id)
        (digest, expires_at, used_at), now = self._store.commands(
            [("HMGET", name, "digest", "expires_at", "used_at"), ("TIME",)]
        )
        at = moment_of(now)
        if digest != caller.key_digest or (expires_at and at >= int(expires_at)):
            raise Unauthenticated()
        if not used_at or at - int(used_at) > USED:
            try:
                self._store.run("touch", [name], [at])
            except Unavailable:
                # A full Redis refuses writes but still answers reads, so the key stays usable.
                return

    def owner_of_key(self, key_id: str) -> Caller:
        """Return the brand of an API key by the key's id alone, for a person who showed the key before.

        Raises:
            Unauthenticated: the key was revoked, or has expired.
            Unavailable: Redis does not answer.
        """
        caller = self._find_key(key_id)
        self.check_key(caller)
        return caller

    def admin_mark(self) -> str:
        """Return a text that only this admin key has, and that does not reveal it."""
        return blake2b(self._admin, key=self._secret.encode()[:64], digest_size=8).hexdigest()

    def _find_key(self, key_id: str, digest: str | None = None) -> Caller:
        """Return the owner of a key. Without a digest, the caller need not have the key."""
        partition = api_keys.partition_of(key_id)
        if partition is None or partition >= self._store.partitions:
            raise Unauthenticated()
        stored = dict(pairs(self._store.command("HGETALL", keys.api_key(partition, key_id))))
        known = stored.get("digest", "")
        if not known or (digest is not None and not compare_digest(known, digest)):
            raise Unauthenticated()
        return Caller(
            frozenset(stored["scopes"].split()),  # type: ignore[arg-type]
            brand_id=stored["brand"],
            key_id=key_id,
            key_digest=known,
            expires_at=int(stored["expires_at"]) if "expires_at" in stored else None,
            issued_at=int(stored["created_at"]),
        )
