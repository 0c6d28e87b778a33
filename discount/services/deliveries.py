"""The service of deliveries: plan webhook calls and e-mails, show and list them, send them again, remove them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

from discount.domain import ids
from discount.domain.errors import (
    Invalid,
    NoLongerKept,
    NotFound,
    WebhookOff,
)
from discount.domain.model import (
    Delivery,
    DeliveryKind,
    DeliveryState,
    Discount,
    Grant,
)
from discount.services import outbox, slices, webhooks
from discount.services.pagination import Page, by_id, list_newest, zsets_of
from discount.store import keys
from discount.store.connection import Store
from discount.store.replies import pairs

#: How long a delivery is kept once it was delivered, in seconds.
DELIVERED_SECONDS = 7 * 86400
#: How long a delivery is kept once it failed, in seconds.
FAILED_SECONDS = 30 * 86400
#: Lanes of one webhook, and of one brand's e-mails: so many of their deliveries can be under way at a time.
LANES = 4
#: Deliveries that one page may examine when it filters; the page can be shorter than its limit.
LOOKED_AT = 2000
#: Deliveries that are stored together; other work passes before the next ones.
PLANNED_TOGETHER = 100
#: Microseconds in a second.
MICROSECONDS = 1_000_000
#: A brand as lanes name it: its partition and a digest of its id.
LaneBrand = tuple[int, str]


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """A delivery before it is stored.

    Args:
        entry_id: the id of the event's entry in the outbox; empty without an event.
        due_at: microseconds since 1970 UTC; None for a delivery that is not made, for the reason in `status`.
    """

    id: str
    brand_id: str
    kind: DeliveryKind
    target: str
    type: str
    event_id: str
    discount_id: str
    entry_id: str
    due_at: int | None
    status: str = ""

    @property
    def lane(self) -> str:
        """The lane in which the delivery waits, named by kind, brand, webhook and number.

        Several lanes of a webhook, or of a brand's e-mails, can be under way at a time.
        """
        of_webhook = f"{self.target}." if self.kind == "webhook" else ""
        return f"{self.kind}.{brand_digest(self.brand_id)}.{of_webhook}{int(self.id[-4:], 16) % LANES}"

    def fields(self) -> dict[str, str]:
        """Return the fields that are stored."""
        return {
            "brand": self.brand_id,
            "kind": self.kind,
            "target": self.target,
            "type": self.type,
            "event": self.event_id,
            "discount": self.discount_id,
            "entry": self.entry_id,
            "lane": self.lane,
            "state": "waiting" if self.due_at is not None else "failed",
            "due_at": "" if self.due_at is None else str(self.due_at),
            "status": self.status,
        }


def id_of(partition: int, cause: str, kind: DeliveryKind, target: str) -> str:
    """Return the id of the delivery that a cause, usually an event, leads to for a target."""
    return ids.make_delivery_id(partition, cause, f"{kind}:{target}")


def reminder_id(discount: Discount, held: Grant) -> str:
    """Return the id of the e-mail that reminds a user of the end of a code."""
    cause = f"{discount.id} {discount.good_until(held.granted_at)}"
    return id_of(discount.partition, cause, "email", f"user:{held.user_id}")


def plan(store: Store, partition: int, now: int, planned: Sequence[tuple[str, Sequence[PlannedDelivery]]]) -> None:
    """Store the deliveries that entries of the outbox lead to, once, and acknowledge the entries.

    Args:
        now: microseconds since 1970 UTC.
        planned: ids of entries, '' for none, each with one or more deliveries of one brand.
    """
    calls: list[tuple[list[str], list[str | int]]] = []
    deliveries = 0
    for entry_id, group in planned:
        rows = [
            [
                each.id,
                each.lane,
                "" if each.due_at is None else str(each.due_at),
                [part for field in each.fields().items() for part in field],
            ]
            for each in group
        ]
        names = [
            keys.events(partition),
            keys.leases(partition),
            keys.brand_deliveries(partition, group[0].brand_id),
            *(keys.delivery(partition, each.id) for each in group),
            *(keys.lane(partition, each.lane) for each in group),
            *(lanes_key(partition, each.lane) for each in group),
            *(keys.due(partition, each.kind) for each in group),
        ]
        brand = brand_digest(group[0].brand_id)
        calls.append((names, [outbox.GROUP, entry_id, now - FAILED_SECONDS * MICROSECONDS, brand, json.dumps(rows)]))
        deliveries += len(group)
        if deliveries >= PLANNED_TOGETHER:
            store.run_many("plan", calls)
            calls, deliveries = [], 0
            slices.between()
    if calls:
        store.run_many("plan", calls)


def brand_of(partition: int, lane: str) -> LaneBrand:
    """Return the brand that a lane belongs to."""
    return partition, lane.split(".")[1]


def lanes_key(partition: int, lane: str) -> str:
    """Return the key of the lanes of the same kind and brand."""
    kind, brand, _ = lane.split(".", 2)
    return keys.lanes(partition, kind, brand)


def show(store: Store, delivery_id: str) -> Delivery:
    """Return a delivery.

    Raises:
        NotFound: there is none, or it is no longer kept.
    """
    found = read(store, _partition(store, delivery_id), [delivery_id])
    if not found:
        raise _no_delivery()
    return found[0]


def list_page(
    store: Store,
    brand_id: str,
    *,
    state: DeliveryState | None = None,
    kind: DeliveryKind | None = None,
    webhook_id: str | None = None,
    type: str | None = None,
    since: int | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Delivery]:
    """Return a page of a brand's deliveries, newest first. With a filter it can be shorter than `limit`.

    Args:
        since: the earliest time, in microseconds since 1970 UTC.

    Raises:
        Invalid: this service did not make the cursor.
    """
    partition = keys.partition_of(brand_id, store.partitions)

    def is_wanted(each: Delivery) -> bool:
        return (
            state in (None, each.state)
            and kind in (None, each.kind)
            and webhook_id in (None, each.target)
            and type in (None, each.type)
        )

    return list_newest(
        zsets_of(store, [keys.brand_deliveries(partition, brand_id)], since=since),
        by_id(lambda delivery_ids: {each.id: each for each in read(store, partition, delivery_ids)}),
        is_id=partial(ids.is_id, "dlv"),
        limit=limit,
        cursor=cursor,
        keep=is_wanted,
        # Also without a filter: deliveries that are no longer kept may still be listed.
        batch=min(1000, max(limit, 100)),
        most_rows=LOOKED_AT,
    )


def of_events(
    store: Store, brand_id: str, holders: Sequence[tuple[str, Discount | None, Sequence[str]]]
) -> list[list[Delivery]]:
    """Return the deliveries of events that users' grants led to, for each user in the order in which they were planned.

    At most `LOOKED_AT` deliveries are looked for, those of the latest events. A webhook that was removed is not asked
    for.

    Args:
        holders: users, each with the discount and the ids of events in their order.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    of_brand: list[str] = store.command("ZRANGE", keys.brand_webhooks(partition, brand_id), 0, -1) if holders else []
    wanted: list[list[str]] = []
    left = LOOKED_AT
    for user_id, discount, event_ids in holders:
        own = [discount.webhook_id] if discount is not None and discount.webhook_id else []
        targets: list[tuple[DeliveryKind, str]] = [("webhook", each) for each in (*of_brand, *own)]
        targets.append(("email", f"user:{user_id}"))
        found = [id_of(partition, event, *target) for event in reversed(event_ids) for target in targets][
            : max(0, left)
        ]
        left -= len(found)
        wanted.append(found)
    by_id = {each.id: each for each in read(store, partition, [each for found in wanted for each in found])}
    return [
        sorted((by_id[each] for each in found if each in by_id), key=lambda each: (each.created_at, each.id))
        for found in wanted
    ]


def resend(store: Store, delivery_id: str) -> Delivery:
    """Make a delivery due now, with all its attempts again.

    Raises:
        NotFound: there is no such delivery, or its webhook was removed.
        WebhookOff
        NoLongerKept: its event was trimmed from the outbox.
    """
    return _resend(store, show(store, delivery_id))


def resend_page(
    store: Store,
    brand_id: str,
    *,
    state: DeliveryState = "failed",
    webhook_id: str | None = None,
    since: int | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> tuple[int, int, str | None]:
    """Resend a page of deliveries. Return how many were resent, how many were refused, and the next cursor.

    Raises:
        Invalid: this service did not make the cursor.
    """
    try:
        page = list_page(store, brand_id, state=state, webhook_id=webhook_id, since=since, limit=limit, cursor=cursor)
    except Invalid as error:
        # Here the cursor comes in the body.
        raise Invalid("/cursor", error.facts["errors"][0]["detail"]) from None
    refused = 0
    for each in page.items:
        try:
            _resend(store, each)
        except (NotFound, WebhookOff, NoLongerKept):
            refused += 1
    return len(page.items) - refused, refused, page.next


def remove(store: Store, delivery_ids: Sequence[str]) -> None:
    """Remove those of the deliveries that exist. A worker that is making one of them still finishes it."""
    by_partition: dict[int, list[str]] = {}
    for each in delivery_ids:
        by_partition.setdefault(_partition(store, each), []).append(each)
    for partition, of_partition in by_partition.items():
        for found in read(store, partition, of_partition):
            store.commands(
                [
                    ("ZREM", keys.brand_deliveries(partition, found.brand_id), found.id),
                    ("ZREM", keys.lane(partition, found.lane), found.id),
                    ("DEL", keys.delivery(partition, found.id)),
                ]
            )


def read(store: Store, partition: int, delivery_ids: Sequence[str]) -> list[Delivery]:
    """Return those of the deliveries that exist."""
    replies = store.commands([("HGETALL", keys.delivery(partition, each)) for each in delivery_ids])
    stored = zip(delivery_ids, map(dict, map(pairs, replies)), strict=True)
    # A delivery that expired and was written to afterwards is a remnant without a brand.
    return [_delivery(each, fields) for each, fields in stored if fields.get("brand")]


def _resend(store: Store, delivery: Delivery) -> Delivery:
    partition = _partition(store, delivery.id)
    if delivery.kind == "webhook" and webhooks.show(store, delivery.target).off_at is not None:
        raise WebhookOff("The webhook is switched off; switch it on first.")
    if delivery.entry_id and outbox.read_entry(store, partition, delivery.entry_id) is None:
        raise NoLongerKept("The event of this delivery is no longer kept.")
    try:
        store.run(
            "resend",
            [
                keys.due(partition, delivery.kind),
                keys.delivery(partition, delivery.id),
                keys.lane(partition, delivery.lane),
                lanes_key(partition, delivery.lane),
                keys.leases(partition),
            ],
            [brand_of(partition, delivery.lane)[1], delivery.id, delivery.lane],
        )
    except NotFound:
        raise _no_delivery() from None
    return show(store, delivery.id)


def _delivery(delivery_id: str, stored: Mapping[str, str]) -> Delivery:
    def number(name: str) -> int | None:
        return int(stored[name]) if stored.get(name) else None

    return Delivery(
        id=delivery_id,
        brand_id=stored["brand"],
        kind=stored["kind"],  # type: ignore[arg-type]
        target=stored["target"],
        type=stored["type"],
        event_id=stored["event"],
        discount_id=stored["discount"],
        entry_id=stored["entry"],
        lane=stored["lane"],
        state=stored["state"],  # type: ignore[arg-type]
        attempts=number("attempts") or 0,
        created_at=int(stored["created_at"]),
        due_at=number("due_at"),
        last_at=number("last_at"),
        status=stored.get("status", ""),
        answer=stored.get("answer", ""),
        milliseconds=number("milliseconds"),
        tries=number("tries") or 0,
        since=int(stored["since"]),
    )


def _partition(store: Store, delivery_id: str) -> int:
    return ids.find_partition("dlv", delivery_id, store.partitions, "There is no such delivery.")


def _no_delivery() -> NotFound:
    return NotFound("There is no such delivery.")


def brand_digest(brand_id: str) -> str:
    """Return a brand as the names of its lanes have it."""
    return blake2b(brand_id.encode(), digest_size=8).hexdigest()
