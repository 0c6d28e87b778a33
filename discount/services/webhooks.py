"""The service of webhooks: addresses that get the events of a brand, or of one discount."""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from secrets import token_hex

from discount.domain import ids
from discount.domain.errors import NotFound
from discount.domain.event_types import CodeAlone, CodeGranted, Envelope
from discount.domain.model import Webhook
from discount.services import copies, discounts
from discount.store import keys
from discount.store.connection import Store
from discount.store.replies import pairs

#: The most webhooks of a brand that are not for a single discount.
MOST = 20
#: How long the previous secret signs too after a rotation, in seconds.
OVERLAP = 24 * 3600


def create(
    store: Store,
    brand_id: str,
    url: str,
    *,
    types: Sequence[str] = (),
    discount_id: str | None = None,
    idempotency_key: str | None = None,
) -> Webhook:
    """Create a webhook of a brand or of one of its discounts. A repeated idempotency key returns the first one.

    Args:
        types: the types of events that it gets; none for all.

    Raises:
        NotFound: the brand has no such discount.
        BrandClosed
        WebhookTaken: the discount has a webhook already.
        TooManyWebhooks: the brand has MOST webhooks.
        IdempotencyMismatch: the key was used for another webhook.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    if discount_id is not None and discounts.get_definition(store, discount_id).brand_id != brand_id:
        raise NotFound(f"The brand has no discount {discount_id}.")
    # Make a request id even without an idempotency key: the store may send a command twice.
    request, source = token_hex(12), discount_id
    if idempotency_key is not None:
        content = json.dumps([brand_id, idempotency_key, url, *types])
        request = blake2b(content.encode(), digest_size=12).hexdigest()
        source = source or json.dumps([brand_id, idempotency_key])
    webhook_id = ids.make_webhook_id(partition, source or request)
    of_discount = [] if discount_id is None else [keys.discount(partition, discount_id)]
    store.run(
        "create_webhook",
        [
            keys.brand(partition, brand_id),
            keys.webhook(partition, webhook_id),
            keys.brand_webhooks(partition, brand_id),
            keys.targets(partition),
            *of_discount,
        ],
        [webhook_id, brand_id, discount_id or "", url, " ".join(types), request, MOST],
    )
    return show(store, webhook_id)


def show(store: Store, webhook_id: str) -> Webhook:
    """Return a webhook.

    Raises:
        NotFound
    """
    found = read(store, [webhook_id])[webhook_id]
    if found is None:
        raise _no_webhook()
    return found


def read(store: Store, webhook_ids: Sequence[str]) -> dict[str, Webhook | None]:
    """Return webhooks by their ids; None for an unknown id."""
    replies = store.commands([("HGETALL", _key(store, each)) for each in webhook_ids])
    rows = zip(webhook_ids, map(dict, map(pairs, replies)), strict=True)
    return {each: _webhook(each, stored) if stored.get("brand") else None for each, stored in rows}


def list_of_brand(store: Store, brand_id: str) -> list[Webhook]:
    """Return a brand's webhooks that are not for a single discount, oldest first."""
    partition = keys.partition_of(brand_id, store.partitions)
    webhook_ids = store.command("ZRANGE", keys.brand_webhooks(partition, brand_id), 0, -1)
    return [each for each in read(store, webhook_ids).values() if each is not None]


def change(
    store: Store,
    webhook_id: str,
    *,
    url: str | None = None,
    types: Sequence[str] | None = None,
    on: bool | None = None,
) -> Webhook:
    """Change a webhook's address or types, or switch it on or off. None leaves a value unchanged.

    Raises:
        NotFound
    """
    fields = [] if url is None else ["url", url]
    fields += [] if types is None else ["types", " ".join(types)]
    names = [_key(store, webhook_id), keys.targets(_partition(store, webhook_id))]
    _run(store, "change_webhook", names, [json.dumps(fields), "" if on is None else "on" if on else "off"])
    return show(store, webhook_id)


def rotate(store: Store, webhook_id: str) -> Webhook:
    """Give a webhook its next secret. The previous one signs too, for OVERLAP seconds.

    Raises:
        NotFound
    """
    # The present version makes the script repeatable: a second rotation would lose the previous secret.
    _run(store, "rotate_webhook", [_key(store, webhook_id)], [show(store, webhook_id).version, OVERLAP * 1_000_000])
    return show(store, webhook_id)


def remove(store: Store, webhook_id: str) -> None:
    """Remove a webhook. Its waiting deliveries fail.

    Raises:
        NotFound
    """
    found = show(store, webhook_id)
    partition = keys.partition_of(found.brand_id, store.partitions)
    # Plain commands: a full Redis runs no scripts, and removing a webhook must work even then.
    listed: tuple[str, ...] = ("ZREM", keys.brand_webhooks(partition, found.brand_id), webhook_id)
    if found.discount_id is not None:
        listed = ("HDEL", keys.discount(partition, found.discount_id), "webhook")
    store.commands([listed, ("DEL", _key(store, webhook_id))])
    copies.note(store, [_key(store, webhook_id), keys.brand_webhooks(partition, found.brand_id)])


def test(store: Store, webhook_id: str) -> tuple[str, int]:
    """Write a test event for this webhook only; return the id of its entry, and its time in microseconds.

    Raises:
        NotFound
    """
    partition = _partition(store, webhook_id)
    answer = store.run("test_webhook", [keys.webhook(partition, webhook_id), keys.events(partition)], [webhook_id])
    return answer["entry_id"], int(answer["at"])


def body_of(webhook: Webhook, event: Envelope) -> Envelope | CodeAlone:
    """Return the body that a webhook gets for an event."""
    if webhook.body == "code" and isinstance(event, CodeGranted):
        return CodeAlone(event.data.user_id, event.data.code, event.data.discount_id)
    return event


def versions(webhook: Webhook, now: int) -> list[int]:
    """Return the versions of the secret that sign at `now`, the newest first."""
    overlaps = webhook.before_until is not None and now < webhook.before_until
    return [webhook.version, webhook.version - 1] if overlaps else [webhook.version]


def _run(store: Store, name: str, names: list[str], arguments: list[str | int]) -> None:
    try:
        store.run(name, names, arguments)
    except NotFound:
        raise _no_webhook() from None


def _key(store: Store, webhook_id: str) -> str:
    return keys.webhook(_partition(store, webhook_id), webhook_id)


def _partition(store: Store, webhook_id: str) -> int:
    return ids.find_partition("whk", webhook_id, store.partitions, "There is no such webhook.")


def _no_webhook() -> NotFound:
    return NotFound("There is no such webhook.")


def _webhook(webhook_id: str, stored: Mapping[str, str]) -> Webhook:
    def moment(name: str) -> int | None:
        return int(stored[name]) if stored.get(name) else None

    return Webhook(
        id=webhook_id,
        brand_id=stored["brand"],
        discount_id=stored.get("discount") or None,
        url=stored["url"],
        types=tuple(stored.get("types", "").split()),
        version=int(stored["version"]),
        created_at=int(stored["created_at"]),
        before_until=moment("before_until"),
        off_at=moment("off_at"),
        off_reason=stored.get("off_reason", ""),
        failing_since=moment("failing_since"),
        failures=int(stored.get("failures", 0)),
        body="code" if stored.get("body") == "code" else "envelope",
    )
