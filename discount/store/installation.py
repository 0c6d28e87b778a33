"""The layout of the data and its secret, stored in every partition and compared before a process uses a node.

Each partition holds a copy, so a process can start while other partitions cannot be reached. The first copy is made
in partition 0: it decides between processes that start at the same moment.
"""

import hmac
from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Any

from redis import RedisError

from discount.domain.errors import Unavailable
from discount.store import keys

SCHEMA = "2"
_SET, _KEPT = "digest ", "kept "


class LayoutError(Exception):
    """The data in Redis was laid out for other settings. The message is one line for the operator."""


class Layout:
    """The layout that a process needs, and the one that it found. It sends nothing itself.

    Ask a node `questions` about its partitions, give the replies to `compare`, send what that returns, and repeat
    until it returns nothing.

    Args:
        partitions: the number of partitions of the data.
        secret: the setting SECRET, which must be the one of this data; None for a process that needs no secret.
    """

    def __init__(self, partitions: int, secret: str | None) -> None:
        self._settings = {"partitions": str(partitions), "schema": SCHEMA}
        self._secret = secret
        self._needed = (*self._settings, "secret") if secret is not None else tuple(self._settings)
        #: The layout that was found, or stored first. All copies are made from it.
        self.found: dict[str, str] | None = None

    def questions(self, partitions: Sequence[int]) -> list[tuple[str, ...]]:
        """Return the commands that read the layout of partitions."""
        return [("HMGET", keys.installation(partition), *self._needed) for partition in partitions]

    def compare(self, partitions: Sequence[int], replies: Sequence[Any]) -> list[tuple[str, ...]]:
        """Return the commands that store the layout where it is missing; none if nothing is left to do.

        Args:
            replies: to `questions`; a partition whose reply is an error is left out.

        Raises:
            LayoutError: the data is laid out for other settings.
            Unavailable: nothing is stored yet, and partition 0 is on another node.
        """
        stored = {
            partition: dict(zip(self._needed, reply, strict=True))
            for partition, reply in zip(partitions, replies, strict=True)
            if not isinstance(reply, RedisError)
        }
        for copy in stored.values():
            self._check(copy)
            if self.found is None and None not in copy.values():
                self.found = copy
        if self.found is None and stored and 0 not in stored:
            raise Unavailable("The layout of this data is not stored yet, and partition 00 cannot be reached.")
        # At the first start only partition 0 is written; the others are copied from what is there afterwards.
        values, targets = (self.found, stored) if self.found else (self._own(), {0: stored[0]} if stored else {})
        return [
            ("HSETNX", keys.installation(partition), field, values[field])
            for partition, copy in targets.items()
            for field in self._needed
            if copy[field] is None
        ]

    def _own(self) -> dict[str, str]:
        return self._settings if self._secret is None else {**self._settings, "secret": stored_form(self._secret)}

    def _check(self, copy: Mapping[str, str | None]) -> None:
        for field, wanted in self._settings.items():
            if copy[field] not in (None, wanted):
                raise LayoutError(f"this Redis holds data with {field} {copy[field]}, the setting says {wanted}")
        stored = copy.get("secret")
        if stored is None or self._secret is None:
            return
        if reason := problem(self._secret, stored):
            raise LayoutError(reason)
        if self.found is not None and self.found["secret"] != stored:
            raise LayoutError("SECRET: the generated secret of this data has changed since this process started")


def stored_form(secret: str) -> str:
    """Return what Redis stores: a digest of the secret that is set, or else a new secret in full."""
    if not secret:
        return _KEPT + token_hex(32)
    return _SET + hmac.digest(secret.encode(), b"installation", "sha256").hex()


def kept_secret(stored: str) -> str | None:
    """Return the generated secret that Redis stores; None if the setting SECRET is used."""
    return stored.removeprefix(_KEPT) if stored.startswith(_KEPT) else None


def problem(secret: str, stored: str) -> str:
    """Return why a process with that secret may not use this data; empty if it may."""
    if kept_secret(stored) is not None:
        return "SECRET: this data uses a generated secret; see `discount secret replace`" if secret else ""
    if not secret:
        return "SECRET: this data uses a SECRET; set the same one here"
    if not hmac.compare_digest(stored_form(secret), stored):
        return "SECRET: this data uses another SECRET; see `discount secret replace`"
    return ""
