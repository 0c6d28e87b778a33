"""Routes of webhooks: addresses that are called for the events of a brand."""

from collections.abc import Callable

from discount.api.contract import Contract, ViewResult
from discount.api.schemas.common import (
    brand_in,
)
from discount.api.schemas.webhooks import (
    NewWebhookOut,
    TestIn,
    TestOut,
    WebhookChange,
    WebhookIn,
    WebhookList,
    WebhookOut,
    WebhooksQuery,
)
from discount.domain import events
from discount.domain.errors import Invalid, WebhookOff
from discount.security.signing import Signer
from discount.services import deliveries, webhooks
from discount.store import keys
from discount.store.connection import Store

#: Checks a URL, and raises Invalid with the field's name.
CheckUrl = Callable[[str, str], None]


def add_routes(contract: Contract, store: Store, signatures: Signer, check_url: CheckUrl) -> None:
    """Declare the operations of webhooks."""

    @contract.declare(
        "POST",
        "/webhook",
        tag="webhooks",
        scopes=("manage",),
        answers={201: NewWebhookOut},
        refusals=("not-found", "brand-closed", "webhook-taken", "too-many-webhooks", "idempotency-mismatch"),
    )
    def create_webhook(body: WebhookIn, idempotency_key: str | None) -> ViewResult:
        """Create a webhook for a brand or for one discount. Its secret is shown only in this answer."""
        brand_id = brand_in(body.brand_id, "/brand_id")
        check_url(body.url, "/url")
        webhook = webhooks.create(
            store,
            brand_id,
            body.url,
            types=body.types,
            discount_id=body.discount_id,
            idempotency_key=idempotency_key,
        )
        return NewWebhookOut.of(webhook, secret=signatures.webhook_secret(webhook.id, webhook.version)), 201

    @contract.declare("GET", "/webhook", tag="webhooks", scopes=("manage",), answers={200: WebhookList})
    def list_webhooks(query: WebhooksQuery) -> ViewResult:
        """List the webhooks of a brand. A discount's own webhook is not among them: the discount shows its id."""
        brand_id = brand_in(query.brand_id, "brand_id")
        return WebhookList([WebhookOut.of(each) for each in webhooks.list_of_brand(store, brand_id)]), 200

    @contract.declare(
        "GET",
        "/webhook/{webhook_id}",
        tag="webhooks",
        scopes=("manage",),
        answers={200: WebhookOut},
        refusals=("not-found",),
    )
    def show_webhook(webhook_id: str) -> ViewResult:
        """Show a webhook and whether its calls succeed."""
        return WebhookOut.of(webhooks.show(store, webhook_id)), 200

    @contract.declare(
        "PATCH",
        "/webhook/{webhook_id}",
        tag="webhooks",
        scopes=("manage",),
        answers={200: WebhookOut},
        refusals=("not-found",),
    )
    def change_webhook(webhook_id: str, body: WebhookChange) -> ViewResult:
        """Change a webhook's URL or event types, or switch it on or off."""
        if body.url is None and body.types is None and body.on is None:
            raise Invalid("", "must name at least one field to change")
        if body.url is not None:
            check_url(body.url, "/url")
        return WebhookOut.of(webhooks.change(store, webhook_id, url=body.url, types=body.types, on=body.on)), 200

    @contract.declare(
        "DELETE",
        "/webhook/{webhook_id}",
        tag="webhooks",
        scopes=("manage",),
        answers={204: None},
        refusals=("not-found",),
    )
    def remove_webhook(webhook_id: str) -> ViewResult:
        """Remove a webhook."""
        webhooks.remove(store, webhook_id)
        return None, 204

    @contract.declare(
        "POST",
        "/webhook/{webhook_id}/secret",
        tag="webhooks",
        scopes=("manage",),
        answers={201: NewWebhookOut},
        refusals=("not-found",),
    )
    def rotate_secret(webhook_id: str) -> ViewResult:
        """Give a webhook a new secret, shown only in this answer. For a day, the old one signs, too."""
        changed = webhooks.rotate(store, webhook_id)
        return NewWebhookOut.of(changed, secret=signatures.webhook_secret(changed.id, changed.version)), 201

    @contract.declare(
        "POST",
        "/webhook/test",
        tag="webhooks",
        scopes=("manage",),
        answers={202: TestOut},
        refusals=("not-found", "webhook-off"),
    )
    def test_webhook(body: TestIn) -> ViewResult:
        """Send an event of type `webhook.test` to this webhook only."""
        webhook = webhooks.show(store, body.webhook_id)
        if webhook.off_at is not None:
            raise WebhookOff("The webhook is switched off; switch it on first.")
        entry_id, at = webhooks.test(store, body.webhook_id)
        partition = keys.partition_of(webhook.brand_id, store.partitions)
        fields = {"type": "webhook.test", "at": str(at), "brand": webhook.brand_id, "webhook": webhook.id}
        event_id = events.Entry(partition, entry_id, fields).event_id
        return TestOut(event_id, deliveries.id_of(partition, event_id, "webhook", webhook.id)), 202
