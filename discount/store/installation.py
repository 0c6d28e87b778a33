"""The secret of an installation: Redis stores a digest of the setting SECRET, or a generated secret if none is set."""

import hmac
from secrets import token_hex

_SET, _KEPT = "digest ", "kept "


def mark_of(secret: str) -> str:
    """Return what Redis stores: a digest of the secret that is set, or else a new secret in full."""
    if not secret:
        return _KEPT + token_hex(32)
    return _SET + hmac.digest(secret.encode(), b"installation", "sha256").hex()


def kept_secret(mark: str) -> str | None:
    """Return the generated secret that Redis stores; None if the setting SECRET is used."""
    return mark.removeprefix(_KEPT) if mark.startswith(_KEPT) else None


def problem(secret: str, mark: str) -> str:
    """Return why a process with that secret may not use this data; empty if it may."""
    if kept_secret(mark) is not None:
        return "SECRET: this data uses a generated secret; see `discount secret replace`" if secret else ""
    if not secret:
        return "SECRET: this data uses a SECRET; set the same one here"
    if not hmac.compare_digest(mark_of(secret), mark):
        return "SECRET: this data uses another SECRET; see `discount secret replace`"
    return ""
