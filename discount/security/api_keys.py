"""The text of brands' API keys: made, checked for typing errors, hashed."""

import hmac
import re
from binascii import crc32
from secrets import choice

_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CHECKED = 6
# `dsk_`, the id: the partition as two hex digits and ten letters; 32 secret letters, and six to check by.
_TEXT = re.compile(r"dsk_([0-9a-f]{2}[0-9a-z]{10})_[0-9A-Za-z]{32}([0-9A-Za-z]{6})")
_ID = re.compile(r"[0-9a-f]{2}[0-9a-z]{10}")


def make(partition: int) -> tuple[str, str]:
    """The id and the text of a new key, of which 190 bits are secret."""
    key_id = f"{partition:02x}" + "".join(choice(_LETTERS[:36]) for _ in range(10))
    text = f"dsk_{key_id}_" + "".join(choice(_LETTERS) for _ in range(32))
    return key_id, text + _check(text)


def read_id(text: str) -> str | None:
    """The id in a key's text; None if this service cannot have made it."""
    match = _TEXT.fullmatch(text)
    return match[1] if match and match[2] == _check(text[:-_CHECKED]) else None


def partition_of(key_id: str) -> int | None:
    """The partition that an id names; None if it is none of ours."""
    return int(key_id[:2], 16) if _ID.fullmatch(key_id) else None


def digest(secret: str, text: str) -> str:
    """What is stored of a key: HMAC-SHA-256 (RFC 2104) with the installation's secret."""
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()


def _check(text: str) -> str:
    number, letters = crc32(text.encode()), ""
    for _ in range(_CHECKED):
        number, rest = divmod(number, len(_LETTERS))
        letters += _LETTERS[rest]
    return letters
