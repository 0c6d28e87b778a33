"""The verbs of webhooks: where a brand is told of its events, or of those of one discount."""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from secrets import token_hex

from discount.domain import ids
from discount.domain.errors import NotFound
from discount.domain.events import CodeAlone, CodeGranted, Envelope
from discount.domain.model import Webhook
from discount.services import discounts
from discount.store import keys
from discount.store.connection import Store
from discount.store.replies import pairs

#: The most that a brand may have for all of its discounts.
MOST = 20
#: For how long the secret before signs too, in seconds.
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
    """A new webhook of a brand, or of one of its discounts; with the same idempotency key the one that there is.

    Args:
        types: of the events that it tells; none for all.

    Raises:
        NotFound: there is no such discount of the brand.
        BrandClosed
        WebhookTaken: the discount has one.
        TooManyWebhooks: the brand has as many as it may.
        IdempotencyMismatch: the key was used for another webhook.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    if discount_id is not None and discounts.get_definition(store, discount_id).brand_id != brand_id:
        raise NotFound(f"The brand has no discount {discount_id}.")
    # What is asked for without a key is told from every other call all the same: Redis may be asked twice.
    request, what = token_hex(12), discount_id
    if idempotency_key is not None:
        asked = json.dumps([brand_id, idempotency_key, url, *types])
        request = blake2b(asked.encode(), digest_size=12).hexdigest()
        what = what or json.dumps([brand_id, idempotency_key])
    webhook_id = ids.make_webhook_id(partition, what or request)
    of_discount = [] if discount_id is None else [keys.discount(partition, discount_id)]
    store.run(
        "create_webhook",
        [
            keys.brand(partition, brand_id),
            keys.webhook(partition, webhook_id),
            keys.brand_webhooks(partition, brand_id),
            *of_discount,
        ],
        [webhook_id, brand_id, discount_id or "", url, " ".join(types), request, MOST],
    )
    return show(store, webhook_id)


def show(store: Store, webhook_id: str) -> Webhook:
    """A webhook.

    Raises:
        NotFound
    """
    found = read(store, [webhook_id])[webhook_id]
    if found is None:
        raise _no_webhook()
    return found


def read(store: Store, webhook_ids: Sequence[str]) -> dict[str, Webhook | None]:
    """Webhooks by their ids; None for those that are not there."""
    replies = store.commands([("HGETALL", _key(store, each)) for each in webhook_ids])
    told = zip(webhook_ids, map(dict, map(pairs, replies)), strict=True)
    return {each: _webhook(each, stored) if stored.get("brand") else None for each, stored in told}


def list_of_brand(store: Store, brand_id: str) -> list[Webhook]:
    """The webhooks that a brand has for all of its discounts, oldest first."""
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
    """Change where a webhook goes or what it tells, or switch it on or off; None leaves what is.

    Raises:
        NotFound
    """
    fields = [] if url is None else ["url", url]
    fields += [] if types is None else ["types", " ".join(types)]
    _run(store, "change_webhook", webhook_id, [json.dumps(fields), "" if on is None else "on" if on else "off"])
    return show(store, webhook_id)


def rotate(store: Store, webhook_id: str) -> Webhook:
    """Give a webhook its next secret. The one before signs too, for OVERLAP seconds.

    Raises:
        NotFound
    """
    # Asked twice, because the answer was lost, Redis must not rotate twice: the secret before would be gone.
    _run(store, "rotate_webhook", webhook_id, [show(store, webhook_id).version, OVERLAP * 1_000_000])
    return show(store, webhook_id)


def remove(store: Store, webhook_id: str) -> None:
    """Take a webhook away. What it is still owed stands among the failed deliveries after that.

    Raises:
        NotFound
    """
    found = show(store, webhook_id)
    partition = keys.partition_of(found.brand_id, store.partitions)
    # No script: a Redis that is full takes no scripts, and must take this.
    listed: tuple[str, ...] = ("ZREM", keys.brand_webhooks(partition, found.brand_id), webhook_id)
    if found.discount_id is not None:
        listed = ("HDEL", keys.discount(partition, found.discount_id), "webhook")
    store.commands([listed, ("DEL", _key(store, webhook_id))])


def test(store: Store, webhook_id: str) -> tuple[str, int]:
    """Write an event that this webhook alone is told of: its place in the outbox, and its time.

    Raises:
        NotFound
    """
    partition = _partition(store, webhook_id)
    answer = store.run("test_webhook", [keys.webhook(partition, webhook_id), keys.events(partition)], [webhook_id])
    return answer["entry_id"], int(answer["at"])


def body_of(webhook: Webhook, told: Envelope) -> Envelope | CodeAlone:
    """What a webhook is sent of an event."""
    if webhook.body == "code" and isinstance(told, CodeGranted):
        return CodeAlone(told.data.user_id, told.data.code, told.data.discount_id)
    return told


def versions(webhook: Webhook, now: int) -> list[int]:
    """The versions of its secret that sign at that time, the newest first."""
    before = webhook.before_until is not None and now < webhook.before_until
    return [webhook.version, webhook.version - 1] if before else [webhook.version]


def _run(store: Store, name: str, webhook_id: str, arguments: list[str | int]) -> None:
    try:
        store.run(name, [_key(store, webhook_id)], arguments)
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
