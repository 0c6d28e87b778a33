"""What each event owes: the webhooks that are to be told, the e-mails that are to be sent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from structlog import get_logger

from discount.domain import durations
from discount.domain.errors import Unavailable
from discount.domain.events import Entry, read_entries
from discount.domain.model import Brand, DeliveryKind, Webhook
from discount.services import (
    brands,
    contacts,
    outbox,
    webhooks,
)
from discount.services.deliveries import PlannedDelivery, id_of, plan
from discount.store import keys
from discount.store.connection import Store
from discount.worker import email_delivery
from discount.worker.reminders import Reminders

#: Entries of each partition read at once.
ENTRIES = 100
#: After so many milliseconds without a word, a worker counts as gone, and what it was given is taken over. If it lives
#: still, the same is planned twice, which changes nothing.
SILENT = 3_000


@dataclass(frozen=True, slots=True)
class _Known:
    """What is to be known to tell what some entries of a partition owe."""

    discount_ids: Mapping[str, str]
    discounts: Mapping[str, Sequence[str | None]]
    brands: Mapping[str, Brand | None]
    of_brand: Mapping[str, Sequence[str]]
    webhooks: Mapping[str, Webhook | None]
    reached: Mapping[tuple[str, str], contacts.Contact | None]


class Planner:
    """Reads the outbox with others of its group, and plans each entry's deliveries once.

    Args:
        consumer: a name that no other worker has.
        reminders: what notes the ends to come; None where no e-mails can be sent.
    """

    def __init__(self, store: Store, consumer: str, reminders: Reminders | None) -> None:
        self._store = store
        self._consumer = consumer
        self._reminders = reminders
        self._partitions = range(store.partitions)

    def open(self) -> None:
        """Make sure that the group reads every partition's outbox, from its beginning."""
        for partition in self._partitions:
            self._store.run("open_group", [keys.events(partition)], [outbox.GROUP])

    def turn(self) -> int:
        """Plan what is new, waiting a moment for it; how many entries that was."""
        streams = [keys.events(each) for each in self._partitions]
        block = max(1, int(self._store.patience * 1000))
        reply = self._store.command(
            *("XREADGROUP", "GROUP", outbox.GROUP, self._consumer, "COUNT", ENTRIES, "BLOCK", block, "STREAMS"),
            *streams,
            *(">" for _ in streams),
        )
        return sum(self._plan(keys.partition_in(name), rows) for name, rows in reply or [])

    def take_over(self) -> int:
        """Plan what workers were given that are gone, or what an answer that was lost had given us; how many."""
        planned = 0
        replies = self._store.commands(
            [
                ("XAUTOCLAIM", keys.events(partition), outbox.GROUP, self._consumer, SILENT, "0-0", "COUNT", ENTRIES)
                for partition in self._partitions
            ]
        )
        for partition, reply in enumerate(replies):
            planned += self._plan(partition, reply[1])
            # Entries that were deleted, because their user was forgotten.
            if len(reply) > 2 and reply[2]:
                self._store.command("XACK", keys.events(partition), outbox.GROUP, *reply[2])
        return planned

    def _plan(self, partition: int, rows: Sequence[Sequence[str]]) -> int:
        entries = read_entries(partition, rows)
        gone = {row[0] for row in rows} - {each.place for each in entries}
        self._note_addresses(entries)
        known = self._look_up(partition, entries)
        now = self._store.now()
        planned, done = [], list(gone)
        for entry in entries:
            try:
                self._note_end(entry, known)
                owed = list(self._owed(entry, known, now))
            except Unavailable:
                raise
            except Exception as error:
                # It stays with the group and comes again; what is wrong with it must not hold up the others.
                get_logger().error("broken", event=entry.event_id, exc_info=error)
                continue
            if owed:
                planned.append((entry.place, owed))
            else:
                done.append(entry.place)
        plan(self._store, partition, now, planned)
        if done:
            self._store.command("XACK", keys.events(partition), outbox.GROUP, *done)
        return len(rows)

    def _note_end(self, entry: Entry, known: _Known) -> None:
        """Remember whom to tell when of an end to come."""
        fields, discount_id = entry.fields, known.discount_ids.get(entry.fields.get("number", ""))
        if self._reminders is None or discount_id is None:
            return
        _, expires_at, valid_for, zone = known.discounts[discount_id]
        if fields["type"] in ("discount.created", "discount.changed") and expires_at:
            self._reminders.note(entry.partition, discount_id, int(expires_at))
        elif fields["type"] == "code.granted" and valid_for and known.reached.get((fields["brand"], fields["user"])):
            ends_at = durations.read(valid_for).after(int(fields["at"]), zone or "UTC")
            self._reminders.note(entry.partition, f"{discount_id} {fields['user']}", ends_at)

    def _note_addresses(self, entries: Sequence[Entry]) -> None:
        """What a brand said with a grant of where the user is reached."""
        for entry in entries:
            email = entry.fields.get("email")
            if email:
                contacts.note_address(self._store, entry.fields["brand"], entry.fields["user"], email)

    def _look_up(self, partition: int, entries: Sequence[Entry]) -> _Known:
        named = sorted({entry.fields["brand"] for entry in entries})
        numbers = outbox.discount_ids(self._store, partition, entries)
        ids = sorted(set(numbers.values()))
        replies = self._store.commands(
            [("ZRANGE", keys.brand_webhooks(partition, each), 0, -1) for each in named]
            + [
                ("HMGET", keys.discount(partition, each), "webhook", "expires_at", "valid_for", "timezone")
                for each in ids
            ]
        )
        of_brand = dict(zip(named, replies, strict=False))
        found = dict(zip(ids, replies[len(named) :], strict=True))
        wanted = {each for several in of_brand.values() for each in several}
        wanted |= {webhook_id for webhook_id, *_ in found.values() if webhook_id}
        wanted |= {entry.fields["webhook"] for entry in entries if "webhook" in entry.fields}
        pairs = {
            (entry.fields["brand"], entry.fields["user"])
            for entry in entries
            if self._reminders is not None and entry.fields["type"] == "code.granted"
        }
        return _Known(
            discount_ids=numbers,
            discounts=found,
            brands=brands.read(self._store, named) if self._reminders is not None else {},
            of_brand=of_brand,
            webhooks=webhooks.read(self._store, sorted(wanted)),
            reached=contacts.find(self._store, sorted(pairs)),
        )

    def _owed(self, entry: Entry, known: _Known, now: int) -> Iterator[PlannedDelivery]:
        fields = entry.fields
        brand_id, kind = fields["brand"], fields["type"]
        told = [fields["webhook"]] if kind == "webhook.test" else known.of_brand[brand_id]
        discount_id = known.discount_ids.get(fields.get("number", ""), "")
        own = known.discounts.get(discount_id, [None])[0]
        for webhook_id in [*told, own] if own else told:
            webhook = known.webhooks[webhook_id]
            if webhook is None or (webhook.types and kind not in (*webhook.types, "webhook.test")):
                continue
            off = webhook.off_at is not None
            yield _owe(entry, discount_id, "webhook", webhook_id, None if off else now)
        brand = known.brands.get(brand_id)
        mail = email_delivery.KINDS.get(kind) if self._reminders is not None else None
        if mail is None or (brand is not None and mail in brand.mails_off):
            return
        if kind == "code.granted":
            if known.reached.get((brand_id, fields["user"])):
                yield _owe(entry, discount_id, "email", f"user:{fields['user']}", now)
        elif brand is not None and brand.email:
            yield _owe(entry, discount_id, "email", "brand", now)


def _owe(entry: Entry, discount_id: str, kind: DeliveryKind, target: str, due_at: int | None) -> PlannedDelivery:
    return PlannedDelivery(
        id=id_of(entry.partition, entry.event_id, kind, target),
        brand_id=entry.fields["brand"],
        kind=kind,
        target=target,
        type=entry.fields["type"],
        event_id=entry.event_id,
        discount_id=discount_id,
        place=entry.place,
        due_at=due_at,
        status="" if due_at else "webhook-off",
    )
