"""Whose a bearer token is: the admin's, a brand's by one of its API keys, or a user's."""

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

#: A user's token that was good is good for so many microseconds more without another look, its end permitting.
REMEMBERED = 60_000_000
#: How many tokens a process remembers.
MOST = 10_000
#: Microseconds within which the time of a key's last use is not written again; with/guard.lua has the same.
USED = 60_000_000


class Tokens:
    """Tells whose tokens are. What it found once it remembers; a key must then still be made sure of, by
    `check_key` or by the guard of a script. `secret` is what API keys are hashed with.
    """

    def __init__(self, store: Store, users: UserTokens, *, admin_key: str, secret: str) -> None:
        self._store = store
        self._users = users
        self._admin = sha256(admin_key.encode()).digest() if admin_key else b""
        self._secret = secret
        self._remembered: dict[bytes, tuple[Caller, int]] = {}

    def identify(self, token: str) -> Caller:
        """Whose a token is.

        Raises:
            Unauthenticated: nobody's.
            Unavailable
        """
        text = token.encode()
        digest = blake2b(text, digest_size=32).digest()
        caller, until = self._remembered.get(digest, (None, 0))
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
            until = min(caller.expires_at or 0, now + REMEMBERED)
        if len(self._remembered) >= MOST:
            self._remembered.clear()
        self._remembered[digest] = caller, until
        return caller

    def check_key(self, caller: Caller) -> None:
        """Make sure that the key of a caller that has one still stands, and note that it was used.

        Raises:
            Unauthenticated
            Unavailable
        """
        if not caller.key_id:
            return
        name = keys.api_key(keys.partition_of(caller.brand_id or "", self._store.partitions), caller.key_id)
        found, now = self._store.commands([("HMGET", name, "digest", "expires_at", "used_at"), ("TIME",)])
        digest, expires_at, used_at = found
        at = moment_of(now)
        if digest != caller.key_digest or (expires_at and at >= int(expires_at)):
            raise Unauthenticated()
        if not used_at or at - int(used_at) > USED:
            try:
                self._store.run("touch", [name], [at])
            except Unavailable:
                # A Redis that is full still answers look-ups.
                return

    def _find_key(self, key_id: str, digest: str) -> Caller:
        partition = api_keys.partition_of(key_id)
        if partition is None or partition >= self._store.partitions:
            raise Unauthenticated()
        stored = dict(pairs(self._store.command("HGETALL", keys.api_key(partition, key_id))))
        if not compare_digest(stored.get("digest", ""), digest):
            raise Unauthenticated()
        return Caller(
            frozenset(stored["scopes"].split()),  # type: ignore[arg-type]
            brand_id=stored["brand"],
            key_id=key_id,
            key_digest=digest,
            expires_at=int(stored["expires_at"]) if "expires_at" in stored else None,
            issued_at=int(stored["created_at"]),
        )
