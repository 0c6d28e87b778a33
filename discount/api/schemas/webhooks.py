"""Shapes of webhooks."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from discount.api.schemas.common import (
    ForBrand,
    Moment,
    Shape,
    moment_out,
)
from discount.domain import model
from discount.domain.model import Webhook
from discount.domain.reasons import with_rule

EventType = Literal[
    "discount.created",
    "discount.changed",
    "discount.closed",
    "discount.running-low",
    "discount.sold-out",
    "discount.limit-reached",
    "codes.imported",
    "code.granted",
    "wait.started",
    "wait.ended",
    "code.revoked",
    "code.redeemed",
    "redemption.rolled-back",
    "redemption.held",
    "redemption.confirmed",
    "redemption.released",
    "identity.repeated",
    "user.forgotten",
    "webhook.disabled",
]


EventTypes = Annotated[list[EventType], Meta(max_length=40, description="The event types to send; none for all.")]


WebhookUrl = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2048,
        pattern=with_rule(
            r"^https?://[!-~]+$(?!\n)", "[^!-~]", "a URL in visible ASCII is expected that begins with https://"
        ),
        description="An https URL at a public address.",
        examples=["https://ikea.example/discounts"],
    ),
]


WebhookId = Annotated[
    str,
    Meta(
        pattern=with_rule(
            r"^whk-[0-9a-f]{26}$(?!\n)",
            "[^whk0-9a-f-]",
            "the id of a webhook is expected: whk- and 26 of the characters 0-9 and a-f",
        ),
        examples=["whk-0c3f9a1b2c4d5e6f708192a3b4"],
    ),
]


class WebhookIn(Shape):
    """A webhook to create, for a brand or for one discount."""

    url: WebhookUrl
    brand_id: ForBrand | None = None
    types: EventTypes = msgspec.field(default_factory=list)
    discount_id: str | None = None


class WebhookChange(Shape):
    """Changes to a webhook. A field left out stays as it is."""

    url: WebhookUrl | None = None
    types: EventTypes | None = None
    on: bool | None = None


class WebhookOut(Shape, kw_only=True):
    """A webhook without its secret. While it is off it is not called, and its deliveries fail."""

    id: WebhookId
    brand_id: str
    discount_id: str | None
    url: str
    types: list[str]
    on: bool
    off_reason: Annotated[str, Meta(description="`failing`, `gone` (410) or `asked`; empty while it is on.")]
    off_at: Moment | None
    failing_since: Annotated[Moment | None, Meta(description="The time since which every call has failed.")]
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
    """A webhook with its secret, which is shown only in this answer."""

    secret: Annotated[str, Meta(description="A secret of the Standard Webhooks specification.", examples=["whsec_…"])]


class WebhookList(Shape):
    """The webhooks that a brand has for all of its discounts, oldest first."""

    webhooks: list[WebhookOut]


class WebhooksQuery(Shape):
    brand_id: ForBrand | None = None


class TestIn(Shape):
    """The webhook to call."""

    webhook_id: WebhookId


class TestOut(Shape):
    """The ids of the event that is sent and of its delivery."""

    event_id: str
    delivery_id: str
