"""Sign webhook calls and unsubscribe links. All keys are derived from one secret, so none of them is stored."""

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
    """A signer with keys derived from the installation's secret.

    Args:
        secret: the setting SECRET; if empty, a random secret that Redis keeps.
    """

    def __init__(self, store: Store, secret: str) -> None:
        self._store = store
        self._secret = secret.encode()

    def webhook_secret(self, webhook_id: str, version: int) -> str:
        """Return the secret of a webhook, in the format of the Standard Webhooks specification."""
        return "whsec_" + base64.b64encode(self.derived(f"webhook:{webhook_id}:{version}")).decode()

    def sign_call(self, webhook_id: str, versions: list[int], event_id: str, at: int, body: bytes) -> str:
        """Return the `webhook-signature` header: one signature per version of the secret (Standard Webhooks 1.0).

        Args:
            at: the `webhook-timestamp`, in seconds since 1970.
        """
        signed = f"{event_id}.{at}.".encode() + body
        derived = (self.derived(f"webhook:{webhook_id}:{version}") for version in versions)
        return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in derived)

    def session_key(self) -> bytes:
        """Return the key that signs the cookies of the console."""
        return self.derived("console")

    def identity_digest(self, part: str, value: str) -> bytes:
        """Return the keyed digest of a part of an identity."""
        return hmac.digest(self.derived("identity"), f"{part}:{value}".encode(), "sha256")

    def mail_token(self, brand_id: str, user_id: str) -> str:
        """Return the token of an unsubscribe link, which carries the brand and the user."""
        payload = _text(json.dumps([brand_id, user_id], ensure_ascii=False, separators=(",", ":")).encode())
        return f"{payload}.{self._token_digest(payload)}"

    def read_mail_token(self, token: str) -> tuple[str, str]:
        """Return the brand id and the user id of an unsubscribe token.

        Raises:
            NotFound: the token is incomplete, or was not made with this secret.
        """
        match = _TOKEN.fullmatch(token)
        if not match or not hmac.compare_digest(match[2], self._token_digest(match[1])):
            raise NotFound("This link is incomplete or was not made by this service.")
        brand_id, user_id = json.loads(base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)))
        return brand_id, user_id

    def _token_digest(self, payload: str) -> str:
        return _text(hmac.digest(self.derived("unsubscribe"), payload.encode(), "sha256")[:16])

    def derived(self, purpose: str) -> bytes:
        """Return the key for a purpose.

        Raises:
            Unavailable: the data belongs to a SECRET that is not set here, or Redis does not answer.
        """
        if not self._secret:
            kept = installation.kept_secret(self._stored())
            if kept is None:
                raise Unavailable("This data belongs to a SECRET that is not set here.")
            self._secret = kept.encode()
        return hmac.new(self._secret, purpose.encode(), sha256).digest()

    def _stored(self) -> str:
        """Return what Redis stores about the secret, from any partition that can be reached."""
        copies = self._store.each(_on_each_partition(self._store, "HGET", "secret"))
        found = next((each for each in copies if isinstance(each, str)), None)
        if found is None:
            name = keys.installation(0)
            made = [("HSETNX", name, "secret", installation.stored_form("")), ("HGET", name, "secret")]
            found = str(self._store.commands(made)[1])
        return found


def replace_secret(store: Store, secret: str) -> None:
    """Accept a new secret for this data. API keys, signatures and links made with the old one stop working."""
    store.commands(_on_each_partition(store, "HSET", "secret", installation.stored_form(secret)))


def _on_each_partition(store: Store, command: str, *arguments: str) -> list[tuple[str, ...]]:
    return [(command, keys.installation(partition), *arguments) for partition in range(store.partitions)]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
