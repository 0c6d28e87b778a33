"""The verbs of deliveries: what is owed to whom, how it went, once more. Workers share them by taking lanes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from discount.domain.cursors import bad_cursor, make_cursor, read_cursor
from discount.domain.errors import (
    Invalid,
    NoLongerKept,
    NotFound,
    WebhookOff,
)
from discount.domain.ids import delivery_partition, make_delivery_id
from discount.domain.model import (
    Delivery,
    DeliveryKind,
    DeliveryState,
    Discount,
    Grant,
    Receipt,
)
from discount.services import outbox, webhooks
from discount.services.pagination import newest_rows
from discount.store import keys
from discount.store.connection import Store
from discount.store.replies import pairs

#: For how long deliveries can be seen, in seconds: those that went well, those that did not.
DELIVERED_SECONDS = 7 * 86400
FAILED_SECONDS = 30 * 86400
#: Lanes of one webhook, and of one brand's e-mails: how many of each are under way at the same time.
LANES = 4
#: How many deliveries one page may look at when it filters; a page can be shorter than asked for.
LOOKED_AT = 2000
_SECOND = 1_000_000
#: A brand as lanes name it: its partition, and a digest of its id.
LaneBrand = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Page:
    """Some deliveries, and where the next page begins."""

    deliveries: list[Delivery]
    next: str | None


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """A delivery to be made. `due_at` in microseconds; None for one that is not made, with its reason as `status`."""

    id: str
    brand_id: str
    kind: DeliveryKind
    target: str
    type: str
    event_id: str
    discount_id: str
    place: str
    due_at: int | None
    status: str = ""

    @property
    def lane(self) -> str:
        """Where it waits: a lane is of one webhook, or of one brand's e-mails; a few of each can be under way at once.

        Its name says the kind and the brand, so that whoever takes it knows both.
        """
        of_webhook = f"{self.target}." if self.kind == "webhook" else ""
        return f"{self.kind}.{_brand_digest(self.brand_id)}.{of_webhook}{int(self.id[-4:], 16) % LANES}"

    def fields(self) -> dict[str, str]:
        """What is stored of it."""
        return {
            "brand": self.brand_id,
            "kind": self.kind,
            "target": self.target,
            "type": self.type,
            "event": self.event_id,
            "discount": self.discount_id,
            "place": self.place,
            "lane": self.lane,
            "state": "waiting" if self.due_at is not None else "failed",
            "due_at": "" if self.due_at is None else str(self.due_at),
            "status": self.status,
        }


def id_of(partition: int, cause: str, kind: DeliveryKind, target: str) -> str:
    """The id of what a cause, an event mostly, owes to a target."""
    return make_delivery_id(partition, cause, f"{kind}:{target}")


def reminder_id(discount: Discount, held: Grant) -> str:
    """The id of the e-mail on the end of a user's code."""
    cause = f"{discount.id} {discount.good_until(held.granted_at)}"
    return id_of(discount.partition, cause, "email", f"user:{held.user_id}")


def plan(store: Store, partition: int, now: int, owed: Sequence[tuple[str, Sequence[PlannedDelivery]]]) -> None:
    """Write down what entries of the outbox owe, once, and that they are done with.

    Args:
        owed: places of entries, '' for none, each with what it owes.
    """
    calls: list[tuple[list[str], list[str | int]]] = []
    for place, several in owed:
        told = [
            [
                each.id,
                each.lane,
                "" if each.due_at is None else str(each.due_at),
                [word for field in each.fields().items() for word in field],
            ]
            for each in several
        ]
        names = [
            keys.events(partition),
            keys.leases(partition),
            keys.brand_deliveries(partition, several[0].brand_id),
            *(keys.delivery(partition, each.id) for each in several),
            *(keys.lane(partition, each.lane) for each in several),
            *(_lanes_key(partition, each.lane) for each in several),
            *(keys.due(partition, each.kind) for each in several),
        ]
        brand = _brand_digest(several[0].brand_id)
        calls.append((names, [outbox.GROUP, place, now - FAILED_SECONDS * _SECOND, brand, json.dumps(told)]))
    if calls:
        store.run_many("plan", calls)


def brand_of(partition: int, lane: str) -> LaneBrand:
    """Whose deliveries a lane has."""
    return partition, lane.split(".")[1]


def due_brands(store: Store, kind: DeliveryKind, now: int, most: int) -> list[LaneBrand]:
    """Brands for which deliveries of a kind are due that nobody works on: so many at most of each partition."""
    replies = store.commands(
        [
            ("ZRANGEBYSCORE", keys.due(partition, kind), "-inf", now, "LIMIT", 0, most)
            for partition in range(store.partitions)
        ]
    )
    return [(partition, brand) for partition, brands in enumerate(replies) for brand in brands]


def due_lanes(
    store: Store, kind: DeliveryKind, now: int, several: Sequence[LaneBrand], most: int
) -> list[list[tuple[int, str]]]:
    """Lanes of each of some brands that nobody works on and in which something is due, with their partitions."""
    replies = store.commands(
        [
            ("ZRANGEBYSCORE", keys.lanes(partition, kind, brand), "-inf", now, "LIMIT", 0, most)
            for partition, brand in several
        ]
    )
    return [[(partition, lane) for lane in lanes] for (partition, _), lanes in zip(several, replies, strict=True)]


def lease_lane(store: Store, partition: int, lane: str, lease: float, most: int) -> list[Delivery] | None:
    """Take a lane for so many seconds, and what is due in it; None if another worker was first."""
    answer = store.run(
        "lease_lane",
        _lane_keys(partition, lane),
        [brand_of(partition, lane)[1], lane, _microseconds(lease), most],
    )
    if answer.status == "not-due":
        return None
    ids = answer.rest("ids")
    read = _read(store, partition, ids)
    missing = set(ids) - {each.id for each in read}
    if missing:
        store.command("ZREM", keys.lane(partition, lane), *missing)
    return read


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
    """Write down how a try went: it is done, or due again, or stands among the failed. Whether it was waiting still.

    Args:
        due_at: when to try again; None for never.
        lease: seconds for which the lane is ours from now on.
        off_after: seconds of failing after which its webhook is switched off.
        called: somebody was really asked.
    """
    partition = _partition(store, delivery.id)
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
    """Give a lane back; its next turn is when its first delivery is due, and not before that time."""
    store.run(
        "release_lane",
        _lane_keys(partition, lane),
        [brand_of(partition, lane)[1], lane, not_before, "1" if ended_only else ""],
    )


def release_ended_lanes(store: Store, now: int) -> None:
    """Give back the lanes of workers that are gone."""
    replies = store.commands(
        [("ZRANGEBYSCORE", keys.leases(partition), "-inf", now) for partition in range(store.partitions)]
    )
    for partition, lanes in enumerate(replies):
        for lane in lanes:
            release_lane(store, partition, lane, ended_only=True)


def show(store: Store, delivery_id: str) -> Delivery:
    """A delivery.

    Raises:
        NotFound: there is none, or it is kept no longer.
    """
    found = _read(store, _partition(store, delivery_id), [delivery_id])
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
) -> Page:
    """A brand's deliveries, newest first. With a filter a page can be shorter than `limit`.

    Raises:
        Invalid: the cursor is none of ours.
    """
    before = _read_place(cursor) if cursor else None
    partition = keys.partition_of(brand_id, store.partitions)
    found: list[Delivery] = []
    looked_at = 0
    while True:
        wanted = min(1000, max(limit, 100))
        rows = newest_rows(store, [keys.brand_deliveries(partition, brand_id)], before, wanted + 1, since=since or 0)
        more = len(rows) > wanted
        rows = rows[:wanted]
        read = {each.id: each for each in _read(store, partition, [each for _, each in rows])}
        for row in rows:
            before = row
            each = read.get(row[1])
            if (
                each is not None
                and state in (None, each.state)
                and kind in (None, each.kind)
                and webhook_id in (None, each.target)
                and type in (None, each.type)
            ):
                found.append(each)
                if len(found) == limit:
                    more = more or row != rows[-1]
                    return Page(found, make_cursor(*before) if more else None)
        looked_at += len(rows)
        if not more or looked_at >= LOOKED_AT:
            return Page(found, make_cursor(*before) if more and before else None)


def resend(store: Store, delivery_id: str) -> Delivery:
    """Make a delivery once more, from now on with all its tries.

    Raises:
        NotFound: there is no such delivery, or its webhook was taken away.
        WebhookOff
        NoLongerKept: its event has been cut off.
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
    """Make a page of deliveries once more: how many, how many could not be, and where the next page begins.

    Raises:
        Invalid: the cursor is none of ours.
    """
    try:
        page = list_page(store, brand_id, state=state, webhook_id=webhook_id, since=since, limit=limit, cursor=cursor)
    except Invalid as error:
        raise Invalid("/cursor", error.facts["errors"][0]["detail"]) from None
    refused = 0
    for each in page.deliveries:
        try:
            _resend(store, each)
        except (NotFound, WebhookOff, NoLongerKept):
            refused += 1
    return len(page.deliveries) - refused, refused, page.next


def remove(store: Store, delivery_ids: Sequence[str]) -> None:
    """Take deliveries away, those that there are; whoever has one in hand still makes it."""
    by_partition: dict[int, list[str]] = {}
    for each in delivery_ids:
        by_partition.setdefault(_partition(store, each), []).append(each)
    for partition, ids in by_partition.items():
        for found in _read(store, partition, ids):
            store.commands(
                [
                    ("ZREM", keys.brand_deliveries(partition, found.brand_id), found.id),
                    ("ZREM", keys.lane(partition, found.lane), found.id),
                    ("DEL", keys.delivery(partition, found.id)),
                ]
            )


def _resend(store: Store, delivery: Delivery) -> Delivery:
    partition = _partition(store, delivery.id)
    if delivery.kind == "webhook" and webhooks.show(store, delivery.target).off_at is not None:
        raise WebhookOff("The webhook is switched off; switch it on first.")
    if delivery.place and outbox.read_entry(store, partition, delivery.place) is None:
        raise NoLongerKept("The event of this delivery is no longer kept.")
    try:
        store.run(
            "resend",
            [
                keys.due(partition, delivery.kind),
                keys.delivery(partition, delivery.id),
                keys.lane(partition, delivery.lane),
                _lanes_key(partition, delivery.lane),
                keys.leases(partition),
            ],
            [brand_of(partition, delivery.lane)[1], delivery.id, delivery.lane],
        )
    except NotFound:
        raise _no_delivery() from None
    return show(store, delivery.id)


def _read(store: Store, partition: int, ids: Sequence[str]) -> list[Delivery]:
    """Those of the deliveries that exist."""
    replies = store.commands([("HGETALL", keys.delivery(partition, each)) for each in ids])
    told = zip(ids, map(dict, map(pairs, replies)), strict=True)
    # One that has expired between may have been written to since: without its brand it is none.
    return [_delivery(each, stored) for each, stored in told if stored.get("brand")]


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
        place=stored["place"],
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
    partition = delivery_partition(delivery_id)
    if partition is None or partition >= store.partitions:
        raise _no_delivery()
    return partition


def _brand_digest(brand_id: str) -> str:
    return blake2b(brand_id.encode(), digest_size=8).hexdigest()


def _lanes_key(partition: int, lane: str) -> str:
    """The key of the lanes of a lane's kind and brand."""
    kind, brand, _ = lane.split(".", 2)
    return keys.lanes(partition, kind, brand)


def _lane_keys(partition: int, lane: str) -> list[str]:
    """What changes when a lane is taken, or given back."""
    return [
        keys.due(partition, lane.partition(".")[0]),
        _lanes_key(partition, lane),
        keys.leases(partition),
        keys.lane(partition, lane),
    ]


def _no_delivery() -> NotFound:
    return NotFound("There is no such delivery.")


def _microseconds(seconds: float) -> int:
    return int(seconds * _SECOND)


def _read_place(cursor: str) -> tuple[int, str]:
    score, delivery_id = read_cursor(cursor)
    if delivery_partition(delivery_id) is None:
        raise bad_cursor()
    return score, delivery_id
