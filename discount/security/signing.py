"""What the service signs: webhook calls, and the way out of e-mails. All secrets come of one, so none is stored."""

import base64
import hmac
import json
import re
from hashlib import sha256

from discount.domain.errors import NotFound, Unavailable
from discount.store import installation, keys
from discount.store.connection import Store

_TOKEN = re.compile(r"([A-Za-z0-9_-]{2,1400})\.([A-Za-z0-9_-]{22})")


class Signer:
    """Signs with what comes of the installation's secret; where none is set, Redis keeps one.

    Args:
        secret: the setting; empty for none.
    """

    def __init__(self, store: Store, secret: str) -> None:
        self._store = store
        self._secret = secret.encode()

    def webhook_secret(self, webhook_id: str, version: int) -> str:
        """A webhook's secret, as the Standard Webhooks specification writes one."""
        return "whsec_" + base64.b64encode(self._derived(f"webhook:{webhook_id}:{version}")).decode()

    def sign_call(self, webhook_id: str, versions: list[int], event_id: str, at: int, body: bytes) -> str:
        """The `webhook-signature` of a call, one for each version of the secret (Standard Webhooks 1.0).

        Args:
            at: seconds since 1970, as in `webhook-timestamp`.
        """
        signed = f"{event_id}.{at}.".encode() + body
        keys_of = (self._derived(f"webhook:{webhook_id}:{version}") for version in versions)
        return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys_of)

    def mail_token(self, brand_id: str, user_id: str) -> str:
        """What a link in an e-mail says who wants no more of them, from whom."""
        told = _text(json.dumps([brand_id, user_id], ensure_ascii=False, separators=(",", ":")).encode())
        return f"{told}.{self._token_digest(told)}"

    def read_mail_token(self, token: str) -> tuple[str, str]:
        """The brand and the user of a token.

        Raises:
            NotFound: this service did not make it.
        """
        match = _TOKEN.fullmatch(token)
        if not match or not hmac.compare_digest(match[2], self._token_digest(match[1])):
            raise NotFound("This link is not one of ours, or not whole.")
        brand_id, user_id = json.loads(base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)))
        return brand_id, user_id

    def _token_digest(self, told: str) -> str:
        return _text(hmac.digest(self._derived("unsubscribe"), told.encode(), "sha256")[:16])

    def _derived(self, what: str) -> bytes:
        if not self._secret:
            own = installation.mark_of("")
            made = [("HSETNX", keys.INSTALLATION, "secret", own), ("HGET", keys.INSTALLATION, "secret")]
            kept = installation.kept_secret(self._store.commands(made)[1])
            if kept is None:
                raise Unavailable("This data is used with a SECRET that is not set here.")
            self._secret = kept.encode()
        return hmac.new(self._secret, what.encode(), sha256).digest()


def replace_secret(store: Store, secret: str) -> None:
    """Make a secret the one that this data is used with. What was made with the one before is no longer good."""
    store.command("HSET", keys.INSTALLATION, "secret", installation.mark_of(secret))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
