"""Plan the deliveries that events lead to: webhook calls and e-mails."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from structlog import get_logger

from discount.domain import durations
from discount.domain.errors import Unavailable
from discount.domain.events import Entry, happened_at, read_entries
from discount.domain.model import Brand, DeliveryKind, Webhook
from discount.services import (
    brands,
    claims,
    contacts,
    outbox,
    webhooks,
)
from discount.services.deliveries import PlannedDelivery, id_of, plan
from discount.services.partitions import ask_each, do_each
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command
from discount.worker import email_delivery
from discount.worker.reminders import Reminders
from discount.worker.targets import Targets

#: The most entries of one partition that a turn reads.
TOGETHER = 500
#: The most entries that are planned together.
ENTRIES = 100
#: Milliseconds after which entries that a worker has read but not acknowledged are taken over. If that worker is still
#: alive, they are planned twice, which changes nothing.
SILENT = 3_000


@dataclass(frozen=True, slots=True)
class _Lookups:
    """The data that planning some entries of one partition needs.

    Args:
        discount_ids: discount ids by discount number.
        discounts: `webhook`, `expires_at`, `valid_for`, `timezone` and `claim_within` by discount id.
        brands: brands by id; empty without e-mails.
        webhook_ids: ids of a brand's webhooks by brand id.
        webhooks: webhooks by id.
        reachable: contacts by brand id and user id, of users who were granted a code; None if one may not be e-mailed.
    """

    discount_ids: Mapping[str, str]
    discounts: Mapping[str, Sequence[str | None]]
    brands: Mapping[str, Brand | None]
    webhook_ids: Mapping[str, Sequence[str]]
    webhooks: Mapping[str, Webhook | None]
    reachable: Mapping[tuple[str, str], contacts.Contact | None]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the planner: entries that it read, and those of them that somebody may be told of.

    `is_full` means that a partition may have more entries.
    """

    read: int
    wanted: int
    is_full: bool


class Planner:
    """A consumer of the workers' group in the outbox, which plans the deliveries of each entry once.

    Args:
        consumer: a name that no other worker uses.
        reminders: where ends to come are noted; None if no e-mails can be sent.
    """

    def __init__(self, store: Store, consumer: str, reminders: Reminders | None) -> None:
        self._store = store
        self._consumer = consumer
        self._reminders = reminders
        self._targets = Targets(store, mails=reminders is not None)

    def open(self) -> None:
        """Create the consumer group of every partition's outbox, reading from the first entry."""
        do_each(
            self._store,
            lambda partition: self._store.run("open_group", [keys.events(partition)], [outbox.GROUP]),
        )

    def turn(self) -> Turn:
        """Read new entries of every partition and plan those that somebody is told of."""
        replies, _ = ask_each(self._store, self._read)
        found = {partition: reply[0][1] for partition, reply in replies.items() if reply}
        # Read after the entries. Entries whose version cannot be read are taken over once the partition's node is back.
        versions, _ = ask_each(self._store, lambda partition: ("GET", keys.targets(partition)), found)
        to_plan, acknowledged = {}, []
        for partition, version in versions.items():
            to_plan[partition], others = self._targets.split(partition, version, found[partition])
            if others:
                acknowledged.append(("XACK", keys.events(partition), outbox.GROUP, *others))
        self._store.each(acknowledged)
        # A grant that is not safe may vanish. Its event is taken over once it is.
        for partition in self._store.safe_partitions(each for each, wanted in to_plan.items() if wanted):
            wanted = to_plan[partition]
            for first in range(0, len(wanted), ENTRIES):
                self._plan(partition, wanted[first : first + ENTRIES])
        is_full = any(len(rows) == TOGETHER for rows in found.values())
        return Turn(sum(map(len, found.values())), sum(map(len, to_plan.values())), is_full)

    def _read(self, partition: int) -> Command:
        # Without BLOCK, and one stream each: the streams may be on different nodes.
        read = ("XREADGROUP", "GROUP", outbox.GROUP, self._consumer, "COUNT", TOGETHER)
        return (*read, "STREAMS", keys.events(partition), ">")

    def _claim(self, partition: int) -> Command:
        stream = keys.events(partition)
        return ("XAUTOCLAIM", stream, outbox.GROUP, self._consumer, SILENT, "0-0", "COUNT", ENTRIES)

    def take_over(self) -> int:
        """Plan entries that were read but not acknowledged for SILENT milliseconds; return how many.

        Their worker is gone, or the reply that carried them was lost.
        """
        planned = 0
        replies, _ = ask_each(self._store, self._claim)
        safe = self._store.safe_partitions(partition for partition, reply in replies.items() if reply[1])
        for partition, reply in replies.items():
            if reply[1] and partition not in safe:
                continue
            planned += self._plan(partition, reply[1])
            # Entries deleted because their user was forgotten.
            if len(reply) > 2 and reply[2]:
                self._store.command("XACK", keys.events(partition), outbox.GROUP, *reply[2])
        return planned

    def _plan(self, partition: int, rows: Sequence[Sequence[str]]) -> int:
        entries = read_entries(partition, rows)
        deleted = {row[0] for row in rows} - {each.entry_id for each in entries}
        self._note_addresses(entries)
        lookups = self._look_up(partition, entries)
        now = self._store.now()
        planned, done = [], list(deleted)
        for entry in entries:
            try:
                self._note_end(entry, lookups)
                to_plan = list(self._deliveries_of(entry, lookups, now))
            except Unavailable:
                raise
            except Exception as error:
                # The entry stays unacknowledged and is retried by `take_over`; the others go on.
                get_logger().error("planning deliveries failed", event=entry.event_id, exc_info=error)
                continue
            if to_plan:
                planned.append((entry.entry_id, to_plan))
            else:
                done.append(entry.entry_id)
        plan(self._store, partition, now, planned)
        if done:
            self._store.command("XACK", keys.events(partition), outbox.GROUP, *done)
        return len(rows)

    def _note_end(self, entry: Entry, lookups: _Lookups) -> None:
        """Note when a reminder is due, if the entry sets or changes an end, and when a granted code has to be used."""
        fields, discount_id = entry.fields, lookups.discount_ids.get(entry.fields.get("number", ""))
        if discount_id is None:
            return
        _, expires_at, valid_for, zone, claim_within = lookups.discounts[discount_id]
        if fields["type"] == "code.granted" and claim_within:
            claims.note(self._store, discount_id, fields["user"], happened_at(fields), claim_within)
        elif fields["type"] in claims.UNDONE and claim_within:
            claims.note_undone(self._store, discount_id, fields["user"], int(fields["at"]))
        if self._reminders is None:
            return
        if fields["type"] in ("discount.created", "discount.changed") and expires_at:
            self._reminders.note(entry.partition, discount_id, int(expires_at))
        elif fields["type"] == "code.granted" and valid_for and lookups.reachable.get(_user_of(entry)):
            ends_at = durations.read(valid_for).after(happened_at(fields), zone or "UTC")
            self._reminders.note(entry.partition, f"{discount_id} {fields['user']}", ends_at)

    def _note_addresses(self, entries: Sequence[Entry]) -> None:
        """Store the e-mail addresses that brands gave along with grants."""
        with_address = [each for each in entries if each.fields.get("email")]
        if not with_address:
            return
        # A user who was forgotten meanwhile must not come back.
        hidden = outbox.hidden(self._store, with_address[0].partition, with_address)
        for entry in with_address:
            if entry.entry_id not in hidden:
                email = entry.fields["email"]
                contacts.note_address(self._store, entry.fields["brand"], entry.fields["user"], email)

    def _look_up(self, partition: int, entries: Sequence[Entry]) -> _Lookups:
        brand_ids = sorted({entry.fields["brand"] for entry in entries})
        discount_ids = outbox.discount_ids(self._store, partition, entries)
        ids = sorted(set(discount_ids.values()))
        replies = self._store.commands(
            [("ZRANGE", keys.brand_webhooks(partition, each), 0, -1) for each in brand_ids]
            + [
                (
                    "HMGET",
                    keys.discount(partition, each),
                    "webhook",
                    "expires_at",
                    "valid_for",
                    "timezone",
                    "claim_within",
                )
                for each in ids
            ]
        )
        webhook_ids = dict(zip(brand_ids, replies, strict=False))
        discounts = dict(zip(ids, replies[len(brand_ids) :], strict=True))
        wanted = {each for of_brand in webhook_ids.values() for each in of_brand}
        wanted |= {webhook_id for webhook_id, *_ in discounts.values() if webhook_id}
        wanted |= {entry.fields["webhook"] for entry in entries if "webhook" in entry.fields}
        users = {
            _user_of(entry)
            for entry in entries
            if self._reminders is not None and entry.fields["type"] == "code.granted"
        }
        return _Lookups(
            discount_ids=discount_ids,
            discounts=discounts,
            brands=brands.read(self._store, brand_ids) if self._reminders is not None else {},
            webhook_ids=webhook_ids,
            webhooks=webhooks.read(self._store, sorted(wanted)),
            reachable=contacts.find(self._store, sorted(users)),
        )

    def _deliveries_of(self, entry: Entry, lookups: _Lookups, now: int) -> Iterator[PlannedDelivery]:
        """Yield the webhook calls of an entry, then its e-mail if it leads to one."""
        if entry.fields.get("imported") == "quiet":
            return
        discount_id = lookups.discount_ids.get(entry.fields.get("number", ""), "")
        yield from _webhook_calls(entry, discount_id, lookups, now)
        if self._reminders is not None:
            yield from _emails(entry, discount_id, lookups, now)


def _user_of(entry: Entry) -> tuple[str, str]:
    return entry.fields["brand"], entry.fields["user"]


def _webhook_calls(entry: Entry, discount_id: str, lookups: _Lookups, now: int) -> Iterator[PlannedDelivery]:
    fields = entry.fields
    testing = fields["type"] == "webhook.test"
    webhook_ids = [fields["webhook"]] if testing else list(lookups.webhook_ids[fields["brand"]])
    of_discount = lookups.discounts.get(discount_id, [None])[0]
    if of_discount:
        webhook_ids.append(of_discount)
    for webhook_id in webhook_ids:
        webhook = lookups.webhooks[webhook_id]
        if webhook is None or (webhook.types and not testing and fields["type"] not in webhook.types):
            continue
        yield _planned(entry, discount_id, "webhook", webhook_id, None if webhook.off_at is not None else now)


def _emails(entry: Entry, discount_id: str, lookups: _Lookups, now: int) -> Iterator[PlannedDelivery]:
    fields = entry.fields
    brand = lookups.brands.get(fields["brand"])
    kind = email_delivery.KINDS.get(fields["type"])
    if kind is None or (brand is not None and kind in brand.mails_off):
        return
    if fields["type"] == "code.granted":
        if lookups.reachable.get(_user_of(entry)):
            yield _planned(entry, discount_id, "email", f"user:{fields['user']}", now)
    elif brand is not None and brand.email:
        yield _planned(entry, discount_id, "email", "brand", now)


def _planned(entry: Entry, discount_id: str, kind: DeliveryKind, target: str, due_at: int | None) -> PlannedDelivery:
    return PlannedDelivery(
        id=id_of(entry.partition, entry.event_id, kind, target),
        brand_id=entry.fields["brand"],
        kind=kind,
        target=target,
        type=entry.fields["type"],
        event_id=entry.event_id,
        discount_id=discount_id,
        entry_id=entry.entry_id,
        due_at=due_at,
        status="" if due_at else "webhook-off",
    )
