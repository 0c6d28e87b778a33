"""Which secret an installation uses: a digest of the one that is set, or one that Redis keeps."""

import hmac
from secrets import token_hex

_SET, _KEPT = "digest ", "kept "


def mark_of(secret: str) -> str:
    """What is kept of the secret that is set; with none set, a new one that is kept whole."""
    if not secret:
        return _KEPT + token_hex(32)
    return _SET + hmac.digest(secret.encode(), b"installation", "sha256").hex()


def kept_secret(mark: str) -> str | None:
    """The secret that Redis keeps; None where one is set."""
    return mark.removeprefix(_KEPT) if mark.startswith(_KEPT) else None


def refusal(secret: str, mark: str) -> str:
    """Why a process with that secret may not use this data; empty if it may."""
    if kept_secret(mark) is not None:
        return "SECRET: this data has one of its own, kept in Redis; see `discount secret replace`" if secret else ""
    if not secret:
        return "SECRET: this data is used with one; set the same here"
    if not hmac.compare_digest(mark_of(secret), mark):
        return "SECRET: this data is used with another one; see `discount secret replace`"
    return ""
