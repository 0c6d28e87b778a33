"""Lanes of deliveries: workers lease them, make the deliveries that are due, settle each and release the lane.

A lane is a queue of the deliveries to one webhook, or of one brand's e-mails. One worker at a time leases a lane.
"""

from collections.abc import Sequence
from itertools import chain
from typing import get_args

from msgspec import Struct

from discount.domain import ids
from discount.domain.errors import Unavailable
from discount.domain.model import Delivery, DeliveryKind, DeliveryState, Receipt
from discount.services import deliveries
from discount.services.deliveries import DELIVERED_SECONDS, FAILED_SECONDS, MICROSECONDS, LaneBrand, brand_of
from discount.services.partitions import ask_each
from discount.store import keys
from discount.store.connection import Store

#: The most lanes of a brand that are shown, and the deliveries at either end of each that are read.
SHOWN, ENDS = 40, 5


class WaitingLane(Struct, frozen=True):
    """A lane of a brand with deliveries that wait. Times are in microseconds since 1970 UTC.

    Args:
        webhook_id: None for e-mails.
        count: the deliveries that wait.
        since: when the oldest of them was planned, of those that are due first and last.
        due_at: when the next attempt is due.
        attempts, status: of the delivery that was tried most often, and its receiver's last answer.
    """

    kind: DeliveryKind
    webhook_id: str | None
    count: int
    since: int
    due_at: int
    attempts: int
    status: str


def list_waiting(store: Store, brand_id: str) -> list[WaitingLane]:
    """Return lanes of a brand that wait, the one that waits longest first. A lane that a worker has now is left out.

    Raises:
        Unavailable
    """
    partition = keys.partition_of(brand_id, store.partitions)
    digest, kinds = deliveries.brand_digest(brand_id), get_args(DeliveryKind)
    found = store.commands(
        [("ZRANGE", keys.lanes(partition, kind, digest), 0, SHOWN - 1, "WITHSCORES") for kind in kinds]
    )
    due_at = {lane: int(float(at)) for rows in found for lane, at in zip(rows[::2], rows[1::2], strict=True)}
    names = list(due_at)[:SHOWN]
    lanes = [keys.lane(partition, each) for each in names]
    counts = store.commands([("ZCARD", each) for each in lanes])
    ends = store.commands([("ZRANGE", lane, *part) for lane in lanes for part in ((0, ENDS - 1), (-ENDS, -1))])
    read = {each.id: each for each in deliveries.read(store, partition, list(dict.fromkeys(chain(*ends))))}
    rows = []
    for name, count, first, last in zip(names, counts, ends[::2], ends[1::2], strict=True):
        some = [read[each] for each in (*first, *last) if each in read]
        if some:
            tried = max(some, key=lambda each: each.attempts)
            webhook_id = tried.target if tried.kind == "webhook" else None
            since = min(each.created_at for each in some)
            rows.append(
                WaitingLane(tried.kind, webhook_id, int(count), since, due_at[name], tried.attempts, tried.status)
            )
    return sorted(rows, key=lambda each: each.since)


def due_brands(store: Store, kind: DeliveryKind, now: int, most: int) -> list[LaneBrand]:
    """Return brands with a lane of this kind that is due and not leased: at most so many of each partition."""
    replies, _ = ask_each(
        store, lambda partition: ("ZRANGEBYSCORE", keys.due(partition, kind), "-inf", now, "LIMIT", 0, most)
    )
    return [(partition, brand) for partition, brands in replies.items() for brand in brands]


def due_lanes(
    store: Store, kind: DeliveryKind, now: int, brands: Sequence[LaneBrand], most: int
) -> list[list[tuple[int, str]]]:
    """Return for each brand its lanes that are due and not leased, with their partitions."""
    replies = store.each(
        [
            ("ZRANGEBYSCORE", keys.lanes(partition, kind, brand), "-inf", now, "LIMIT", 0, most)
            for partition, brand in brands
        ]
    )
    return [
        [] if isinstance(lanes, Unavailable) else [(partition, lane) for lane in lanes]
        for (partition, _), lanes in zip(brands, replies, strict=True)
    ]


def lease_lane(store: Store, partition: int, lane: str, lease: float, most: int) -> list[Delivery] | None:
    """Lease a lane for `lease` seconds and return its due deliveries; None if another worker has the lease."""
    answer = store.run(
        "lease_lane",
        _lane_keys(partition, lane),
        [brand_of(partition, lane)[1], lane, _microseconds(lease), most],
    )
    if answer.status == "not-due":
        return None
    delivery_ids = answer.rest("ids")
    found = deliveries.read(store, partition, delivery_ids)
    missing = set(delivery_ids) - {each.id for each in found}
    if missing:
        store.command("ZREM", keys.lane(partition, lane), *missing)
    return found


def settle(
    store: Store,
    delivery: Delivery,
    receipt: Receipt,
    *,
    due_at: int | None,
    lease: float,
    off_after: float,
    called: bool = True,
) -> bool:
    """Record the outcome of an attempt: delivered, due again, or failed. Return whether the delivery was waiting.

    Args:
        due_at: when to try again, in microseconds since 1970 UTC; None for never.
        lease: seconds for which the lane stays leased from now on.
        off_after: seconds of failures after which the webhook is switched off.
        called: whether the receiver was contacted.
    """
    partition = ids.partition_of(delivery.id)
    of_webhook = [keys.webhook(partition, delivery.target)] if delivery.kind == "webhook" else []
    state: DeliveryState = "delivered" if receipt.outcome == "delivered" else "waiting" if due_at else "failed"
    answer = store.run(
        "settle",
        [
            keys.delivery(partition, delivery.id),
            keys.lane(partition, delivery.lane),
            keys.leases(partition),
            keys.events(partition),
            *of_webhook,
        ],
        [
            delivery.id,
            delivery.lane,
            _microseconds(lease),
            state,
            str(due_at or ""),
            DELIVERED_SECONDS if state == "delivered" else FAILED_SECONDS,
            receipt.status,
            receipt.answer,
            receipt.milliseconds if called else "",
            _microseconds(off_after),
            "gone" if receipt.gone else "",
            delivery.target,
        ],
    )
    return answer.status == "settled"


def release_lane(store: Store, partition: int, lane: str, *, not_before: int = 0, ended_only: bool = False) -> None:
    """Release a lane. It is due again with its first delivery, but not before `not_before`.

    Args:
        not_before: microseconds since 1970 UTC.
        ended_only: release the lane only if its lease has run out.
    """
    store.run(
        "release_lane",
        _lane_keys(partition, lane),
        [brand_of(partition, lane)[1], lane, not_before, "1" if ended_only else ""],
    )


def release_ended_lanes(store: Store, now: int) -> None:
    """Release the lanes with leases that have run out: their workers are gone."""
    replies, _ = ask_each(store, lambda partition: ("ZRANGEBYSCORE", keys.leases(partition), "-inf", now))
    for partition, lanes in replies.items():
        for lane in lanes:
            release_lane(store, partition, lane, ended_only=True)


def _lane_keys(partition: int, lane: str) -> list[str]:
    """Return the keys that change when a lane is leased or released."""
    return [
        keys.due(partition, lane.partition(".")[0]),
        deliveries.lanes_key(partition, lane),
        keys.leases(partition),
        keys.lane(partition, lane),
    ]


def _microseconds(seconds: float) -> int:
    return int(seconds * MICROSECONDS)
