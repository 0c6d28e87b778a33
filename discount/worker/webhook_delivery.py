"""Attempt deliveries: look up what they need, sign and post webhook calls, and pass e-mails on."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from discount.domain import events
from discount.domain.events import Entry
from discount.domain.ids import partition_of
from discount.domain.model import Delivery, Receipt, Webhook
from discount.security.signing import Signer
from discount.services import outbox, webhooks
from discount.store.connection import Store
from discount.worker.dispatcher import Attempt
from discount.worker.email_delivery import EmailDelivery
from discount.worker.webhook_client import WebhookClient

_encode = msgspec.json.Encoder().encode


class WebhookDelivery:
    """The delivery of webhook calls; e-mail deliveries go on to `emails`.

    Args:
        emails: None if no mail server is set; e-mail deliveries then fail as `no-mail`.
    """

    def __init__(self, store: Store, client: WebhookClient, signer: Signer, emails: EmailDelivery | None) -> None:
        self._store = store
        self._client = client
        self._signer = signer
        self._emails = emails

    def prepare(self, leased: Sequence[Delivery]) -> Sequence[Callable[[], Attempt]]:
        """Look up what the deliveries of one lane need; return one function per delivery that attempts it."""
        if not leased:
            return []
        partition = partition_of(leased[0].id)
        entry_ids = sorted({each.entry_id for each in leased if each.entry_id})
        entries = {each.entry_id: each for each in outbox.read_entries(self._store, partition, entry_ids)}
        discount_ids = outbox.discount_ids(self._store, partition, list(entries.values()))
        targets = webhooks.read(self._store, sorted({each.target for each in leased if each.kind == "webhook"}))
        return [
            partial(self._attempt, each, targets.get(each.target), entries.get(each.entry_id), discount_ids)
            for each in leased
        ]

    def _attempt(
        self, delivery: Delivery, webhook: Webhook | None, entry: Entry | None, discount_ids: Mapping[str, str]
    ) -> Attempt:
        if delivery.entry_id and entry is None:
            return _not_called("no-longer-kept")
        if delivery.kind == "email":
            return self._emails.send(delivery, entry) if self._emails else _not_called("no-mail")
        if entry is None or webhook is None:
            return _not_called("no-webhook")
        if webhook.off_at is not None:
            return _not_called("webhook-off")
        return self._post(delivery, webhook, _encode(webhooks.body_of(webhook, events.envelope(entry, discount_ids))))

    def _post(self, delivery: Delivery, webhook: Webhook, body: bytes) -> Attempt:
        at = int(time.time())
        versions = webhooks.versions(webhook, at * 1_000_000)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "discount",
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(at),
            "webhook-signature": self._signer.sign_call(webhook.id, versions, delivery.event_id, at, body),
        }
        return Attempt(self._client.post(webhook.url, headers, body))


def _not_called(status: str) -> Attempt:
    return Attempt(Receipt("failed", status, "", 0), called=False)
