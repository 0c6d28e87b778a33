"""Routes of webhooks: where a brand is told of what happens."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from discount import deliveries, events, model, webhooks
from discount.api.contract import Contract, Outcome
from discount.api.schemas import EventTypes, ForBrand, Moment, Shape, WebhookId, WebhookUrl, brand_in, moment_out
from discount.errors import Invalid, WebhookOff
from discount.model import Webhook
from discount.signatures import Signatures
from discount.store import Store, keys

#: Looks at an address as it is written; it is given the address and the field's name.
CheckUrl = Callable[[str, str], None]


class WebhookIn(Shape):
    """A webhook to make: a brand's, or one discount's."""

    url: WebhookUrl
    brand_id: ForBrand | None = None
    types: EventTypes = msgspec.field(default_factory=list)
    discount_id: str | None = None


class WebhookChange(Shape):
    """What to change of a webhook; what is left out stays."""

    url: WebhookUrl | None = None
    types: EventTypes | None = None
    on: bool | None = None


class WebhookOut(Shape, kw_only=True):
    """A webhook, without its secret. One that is off is called no more; what it is owed stands among the failed."""

    id: WebhookId
    brand_id: str
    discount_id: str | None
    url: str
    types: list[str]
    on: bool
    off_reason: Annotated[str, Meta(description="`failing`, `gone` (410) or `asked`; empty while it is on.")]
    off_at: Moment | None
    failing_since: Annotated[Moment | None, Meta(description="Since when no call has gone well.")]
    created_at: Moment

    @classmethod
    def of(cls, webhook: Webhook, **more: str) -> "WebhookOut":
        return cls(
            id=webhook.id,
            brand_id=webhook.brand_id,
            discount_id=webhook.discount_id,
            url=webhook.url,
            types=list(webhook.types),
            on=webhook.off_at is None,
            off_reason=webhook.off_reason,
            off_at=moment_out(webhook.off_at),
            failing_since=moment_out(webhook.failing_since),
            created_at=model.to_time(webhook.created_at),
            **more,
        )


class NewWebhookOut(WebhookOut, kw_only=True):
    """A webhook with its secret, which is shown this once."""

    secret: Annotated[str, Meta(description="Of the Standard Webhooks specification.", examples=["whsec_…"])]


class WebhookList(Shape):
    """The webhooks that a brand has for all of its discounts, oldest first."""

    webhooks: list[WebhookOut]


class WebhooksQuery(Shape):
    brand_id: ForBrand | None = None


class TestIn(Shape):
    """Which webhook to call."""

    webhook_id: WebhookId


class TestOut(Shape):
    """What the webhook is sent, and where to see how that went."""

    event_id: str
    delivery_id: str


def add_routes(contract: Contract, store: Store, signatures: Signatures, check_url: CheckUrl) -> None:
    """Declare the operations of webhooks."""

    @contract.declare(
        "POST",
        "/webhook",
        tag="webhooks",
        scopes=("manage",),
        body=WebhookIn,
        idempotent=True,
        answers={201: NewWebhookOut},
        refusals=("not-found", "brand-closed", "webhook-taken", "too-many-webhooks", "idempotency-mismatch"),
    )
    def create_webhook(body: WebhookIn, idempotency_key: str | None) -> Outcome:
        """Make a webhook of a brand, or of one of its discounts; its secret is shown this once."""
        brand_id = brand_in(body.brand_id, "/brand_id")
        check_url(body.url, "/url")
        made = webhooks.create(
            store,
            brand_id,
            body.url,
            types=body.types,
            discount_id=body.discount_id,
            idempotency_key=idempotency_key,
        )
        return NewWebhookOut.of(made, secret=signatures.webhook_secret(made.id, made.version)), 201

    @contract.declare(
        "GET", "/webhook", tag="webhooks", scopes=("manage",), query=WebhooksQuery, answers={200: WebhookList}
    )
    def list_webhooks(query: WebhooksQuery) -> Outcome:
        """List the webhooks that a brand has for all of its discounts; a discount's own is named by the discount."""
        brand_id = brand_in(query.brand_id, "brand_id")
        return WebhookList([WebhookOut.of(each) for each in webhooks.list_of_brand(store, brand_id)]), 200

    @contract.declare(
        "GET",
        "/webhook/<webhook_id>",
        tag="webhooks",
        scopes=("manage",),
        answers={200: WebhookOut},
        refusals=("not-found",),
    )
    def show_webhook(webhook_id: str) -> Outcome:
        """Show a webhook, and how it goes."""
        return WebhookOut.of(webhooks.show(store, webhook_id)), 200

    @contract.declare(
        "PATCH",
        "/webhook/<webhook_id>",
        tag="webhooks",
        scopes=("manage",),
        body=WebhookChange,
        answers={200: WebhookOut},
        refusals=("not-found",),
    )
    def change_webhook(webhook_id: str, body: WebhookChange) -> Outcome:
        """Change where a webhook goes or what it tells, or switch it on or off."""
        if body.url is None and body.types is None and body.on is None:
            raise Invalid("", "has nothing to change")
        if body.url is not None:
            check_url(body.url, "/url")
        return WebhookOut.of(webhooks.change(store, webhook_id, url=body.url, types=body.types, on=body.on)), 200

    @contract.declare(
        "DELETE",
        "/webhook/<webhook_id>",
        tag="webhooks",
        scopes=("manage",),
        answers={204: None},
        refusals=("not-found",),
    )
    def remove_webhook(webhook_id: str) -> Outcome:
        """Take a webhook away."""
        webhooks.remove(store, webhook_id)
        return None, 204

    @contract.declare(
        "POST",
        "/webhook/<webhook_id>/secret",
        tag="webhooks",
        scopes=("manage",),
        answers={201: NewWebhookOut},
        refusals=("not-found",),
    )
    def rotate_secret(webhook_id: str) -> Outcome:
        """Give a webhook a new secret, shown this once; for a day the one before signs too."""
        changed = webhooks.rotate(store, webhook_id)
        return NewWebhookOut.of(changed, secret=signatures.webhook_secret(changed.id, changed.version)), 201

    @contract.declare(
        "POST",
        "/webhook/test",
        tag="webhooks",
        scopes=("manage",),
        body=TestIn,
        answers={202: TestOut},
        refusals=("not-found", "webhook-off"),
    )
    def test_webhook(body: TestIn) -> Outcome:
        """Send a webhook an event of type `webhook.test`, which it alone is told of."""
        found = webhooks.show(store, body.webhook_id)
        if found.off_at is not None:
            raise WebhookOff("The webhook is switched off; switch it on first.")
        place, at = webhooks.test(store, body.webhook_id)
        partition = keys.partition_of(found.brand_id, store.partitions)
        fields = {"type": "webhook.test", "at": str(at), "brand": found.brand_id, "webhook": found.id}
        event_id = events.Entry(partition, place, fields).event_id
        return TestOut(event_id, deliveries.id_of(partition, event_id, "webhook", found.id)), 202
