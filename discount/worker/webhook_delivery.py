"""What a delivery is made of: the call with its signature, or the e-mail, at the moment when it is made."""

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
    """Makes deliveries: posts to webhooks, and hands e-mails on."""

    def __init__(self, store: Store, sender: WebhookClient, signatures: Signer, mailer: EmailDelivery | None) -> None:
        self._store = store
        self._sender = sender
        self._signatures = signatures
        self._mailer = mailer

    def prepare(self, claimed: Sequence[Delivery]) -> Sequence[Callable[[], Attempt]]:
        """For each of some deliveries of one lane, what makes it."""
        if not claimed:
            return []
        partition = partition_of(claimed[0].id)
        places = sorted({each.place for each in claimed if each.place})
        entries = {each.place: each for each in outbox.read_entries(self._store, partition, places)}
        discounts = outbox.discount_ids(self._store, partition, list(entries.values()))
        told = webhooks.read(self._store, sorted({each.target for each in claimed if each.kind == "webhook"}))
        return [
            partial(self._make, each, told.get(each.target), entries.get(each.place), discounts) for each in claimed
        ]

    def _make(
        self, delivery: Delivery, webhook: Webhook | None, entry: Entry | None, discounts: Mapping[str, str]
    ) -> Attempt:
        if delivery.place and entry is None:
            return _not_made("no-longer-kept")
        if delivery.kind == "email":
            return self._mailer.send(delivery, entry) if self._mailer else _not_made("no-mail")
        if entry is None or webhook is None:
            return _not_made("no-webhook")
        if webhook.off_at is not None:
            return _not_made("webhook-off")
        at = int(time.time())
        body = _encode(webhooks.body_of(webhook, events.envelope(entry, discounts)))
        versions = webhooks.versions(webhook, at * 1_000_000)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "discount",
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(at),
            "webhook-signature": self._signatures.sign_call(webhook.id, versions, delivery.event_id, at, body),
        }
        return Attempt(self._sender.post(webhook.url, headers, body))


def _not_made(status: str) -> Attempt:
    return Attempt(Receipt("failed", status, "", 0), called=False)
