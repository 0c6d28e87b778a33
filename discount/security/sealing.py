"""Seal what only this installation may read: the keys of code sequences, where a database keeps them."""

import base64
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from discount.security.signing import Signer

_NONCE = 12


class Sealer:
    """A seal for texts, with a key that is derived from the installation's secret (AES-256-GCM)."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def prepare(self) -> None:
        """Have Redis keep a secret, if none is set and it keeps none yet.

        Raises:
            Unavailable: the secret cannot be read.
        """
        self._signer.derived("seal")

    def seal(self, text: str, belongs_to: str) -> str:
        """Return a text sealed; it can be opened for the thing that it belongs to, and for no other.

        Raises:
            Unavailable: the secret cannot be read.
        """
        nonce = token_bytes(_NONCE)
        return base64.b64encode(nonce + self._cipher().encrypt(nonce, text.encode(), belongs_to.encode())).decode()

    def open(self, sealed: str, belongs_to: str) -> str | None:
        """Return the text; None if it was sealed with another secret, or for something else.

        Raises:
            Unavailable: the secret cannot be read.
        """
        raw = base64.b64decode(sealed)
        try:
            return self._cipher().decrypt(raw[:_NONCE], raw[_NONCE:], belongs_to.encode()).decode()
        except InvalidTag:
            return None

    def _cipher(self) -> AESGCM:
        return AESGCM(self._signer.derived("seal"))
