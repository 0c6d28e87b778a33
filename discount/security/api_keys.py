"""API keys of brands: their format, their check for typing errors, and their hashes."""

import hmac
import re
from binascii import crc32
from secrets import choice

_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CHECKSUM_LETTERS = 6
# `dsk_`, the id (the partition in two hex digits, ten random characters), `_`, 32 secret letters, six checksum letters.
_TEXT = re.compile(r"dsk_([0-9a-f]{2}[0-9a-z]{10})_[0-9A-Za-z]{32}([0-9A-Za-z]{6})")
_ID = re.compile(r"[0-9a-f]{2}[0-9a-z]{10}")


def make(partition: int) -> tuple[str, str]:
    """Return the id and the text of a new key; the text contains 190 secret bits."""
    key_id = f"{partition:02x}" + "".join(choice(_LETTERS[:36]) for _ in range(10))
    text = f"dsk_{key_id}_" + "".join(choice(_LETTERS) for _ in range(32))
    return key_id, text + _checksum(text)


def read_id(text: str) -> str | None:
    """Return the id in the text of a key; None if the format or the checksum is wrong."""
    match = _TEXT.fullmatch(text)
    return match[1] if match and match[2] == _checksum(text[:-_CHECKSUM_LETTERS]) else None


def partition_of(key_id: str) -> int | None:
    """Return the partition of a key id; None if it is not the id of a key."""
    return int(key_id[:2], 16) if _ID.fullmatch(key_id) else None


def digest(secret: str, text: str) -> str:
    """Return the hash of a key that is stored: HMAC-SHA-256 (RFC 2104) with the installation's secret."""
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()


def _checksum(text: str) -> str:
    number, letters = crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LETTERS):
        number, rest = divmod(number, len(_LETTERS))
        letters += _LETTERS[rest]
    return letters
