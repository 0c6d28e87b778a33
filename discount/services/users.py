"""The service of users: anonymise what is stored about one."""

from dataclasses import dataclass, field

import shortuuid

from discount.domain.errors import NotGranted, Unavailable
from discount.domain.ids import FORGOTTEN
from discount.domain.model import COMMAND, Author, Discount
from discount.services import (
    contacts,
    deliveries,
    discounts,
    grant_records,
    identities,
    next_waits,
    outbox,
    redemption_records,
    user_events,
    user_grants,
    user_lists,
)
from discount.store import keys
from discount.store.connection import Store

#: Redemptions that one script call anonymises.
RECORDS = 500
#: How often a partition is processed again because the user made new requests meanwhile.
TRIES = 10


@dataclass(slots=True)
class Forgotten:
    """Counts of anonymised grants and redemptions, and of deleted events."""

    grants: int = 0
    redemptions: int = 0
    events: int = 0


def forget(store: Store, user_id: str, *, brand_id: str | None = None, author: Author = COMMAND) -> Forgotten:
    """Anonymise a user, for one brand or all: grants, uses and redemptions move to an invented name.

    Codes that contain the user's name lose it. Reasons of rollbacks, metadata, e-mails to the user and their addresses
    are deleted. Events that name the user are hidden, and removed once every reader of the outbox knows that the user
    was forgotten. Counts, sums and other codes stay. A repeated call finishes what an interrupted one left.

    Raises:
        Unavailable: the user kept using codes meanwhile.
    """
    task = _Task(store, user_id, brand_id, author)
    newest = user_events.newest_entries(store)
    granted = user_events.granted_at(store, user_id, brand_id)
    for partition in keys.partitions_of(brand_id, store.partitions):
        # Before the grants are anonymised: they lead to their events.
        named = user_events.find(store, partition, user_id, brand_id, granted.get(partition, ()))
        task.entry_ids.clear()
        for _ in range(TRIES):
            if _forget_in(store, partition, user_id, task):
                break
        else:
            raise Unavailable("The user is still using codes; try again.")
        if brand_id is not None:
            # Other brands' counts of wrong codes expire by themselves.
            store.command("DEL", keys.guesses(partition, brand_id, "user", user_id))
        # Events that were written meanwhile.
        named |= user_events.find_after(store, partition, user_id, brand_id, newest[partition])
        task.done.events += len(named)
        _note_forgotten(store, partition, task, named)
    contacts.forget(store, user_id, brand_id=brand_id)
    user_lists.forget(store, user_id, brand_id=brand_id)
    return task.done


@dataclass(slots=True)
class _Task:
    """The anonymising of one user: an invented name for each discount, and what was done so far."""

    store: Store
    user_id: str
    brand_id: str | None
    author: Author
    done: Forgotten = field(default_factory=Forgotten)
    names: dict[str, tuple[Discount, str]] = field(default_factory=dict)
    #: Entries of the partition that say that the user was forgotten.
    entry_ids: list[str] = field(default_factory=list)

    def forget(self, partition: int, discount_id: str, redemptions: list[str], page: int = -1) -> bool:
        """Anonymise what the user has of a discount, and these redemptions; return False for another brand's discount.

        Args:
            page: the page of the user's numbers that lists the discount; -1 for none.
        """
        if discount_id not in self.names:
            discount = discounts.show(self.store, discount_id)[0]
            self.names[discount_id] = discount, f"{FORGOTTEN}{shortuuid.uuid()}"
        discount, alias = self.names[discount_id]
        if self.brand_id not in (None, discount.brand_id):
            return False
        _forget_reminder(self.store, discount, self.user_id)
        parsed = discounts.parse_id(self.store, discount_id)
        if discount.per_identity is not None:
            identities.forget(self.store, parsed, self.user_id)
        old, new = (keys.grant_bucket(each, parsed.buckets) for each in (self.user_id, alias))
        answer = self.store.run(
            "forget",
            [
                keys.usage(partition),
                keys.discount(partition, discount_id),
                *next_waits.list_keys(parsed),
                keys.grants(partition, discount_id, old),
                keys.grants(partition, discount_id, new),
                keys.buckets(partition, discount_id),
                keys.uses(partition, discount_id, old),
                keys.uses(partition, discount_id, new),
                keys.users(partition, self.user_id),
                keys.user_redemptions(partition, self.user_id),
                keys.events(partition),
                *(name for each in redemptions for name in keys.records(each)),
            ],
            [
                *(discount_id, self.user_id, alias, new, discount.brand_id, discount.number),
                *("" if page < 0 else page, "1" if discount.codes.kind == "personal" else ""),
                *(self.author.by, self.author.request_id),
                *redemptions,
            ],
        )
        self.entry_ids.append(answer["entry_id"])
        self.done.grants += int(answer["grants"])
        self.done.redemptions += len(redemptions)
        return True


def _forget_in(store: Store, partition: int, user_id: str, task: _Task) -> bool:
    """Process a partition once, a slice of redemptions at a time; return whether nothing was found.

    Each slice is atomic, and a repeated call finds the slices that are left.
    """
    few = store.command("HGET", keys.users(partition, user_id), redemption_records.few_field(user_id))
    found, _ = _forget_redemptions(store, partition, redemption_records.few_of(partition, few), user_id, task)
    passed = 0
    while ids := redemption_records.further_of_user(store, partition, user_id, passed, RECORDS):
        found_more, kept = _forget_redemptions(store, partition, ids, user_id, task)
        found = found or found_more
        passed += kept
    text = store.command("HGET", keys.users(partition, user_id), user_id)
    for page, numbers in enumerate(user_grants.pages_in(store, partition, user_id, text), -1):
        held = store.command("HMGET", keys.numbers(partition), *numbers) if numbers else []
        for discount_id in held:
            found = task.forget(partition, discount_id, [], page) or found
    for discount_id in user_grants.discounts_with_traces(store, partition, user_id):
        found = task.forget(partition, discount_id, []) or found
    return not found


def _forget_redemptions(
    store: Store, partition: int, redemption_ids: list[str], user_id: str, task: _Task
) -> tuple[bool, int]:
    """Anonymise redemptions that a user's list has; return whether there were any, and how many stay on the list."""
    records = redemption_records.read(store, redemption_ids).records
    of_discounts: dict[str, list[str]] = {}
    for redemption_id, record in records.items():
        if record.user_id == user_id:
            of_discounts.setdefault(record.discount_id, []).append(redemption_id)
    own = {each for several in of_discounts.values() for each in several}
    # Once its hold has ended, another user may redeem the order.
    moved = [each for each in redemption_ids if each not in own]
    if moved:
        lists = [name for each in moved for name in keys.records(each)]
        names = [keys.users(partition, user_id), keys.user_redemptions(partition, user_id), *lists]
        store.run("unlist", names, [user_id, *moved])
    found, kept = False, 0
    for discount_id, redemptions in of_discounts.items():
        if task.forget(partition, discount_id, redemptions):
            found = True
        else:
            kept += len(redemptions)
    return found, kept


def _note_forgotten(store: Store, partition: int, task: _Task, named: set[str]) -> None:
    """Write that all of the user is forgotten here, and cut the entries that name the user after everyone has read it.

    Without a brand the entry is for all brands of the partition, and none of them sees it.
    """
    if not outbox.has_readers(store, partition):
        outbox.delete(store, partition, [*named, *task.entry_ids])
        return
    last = store.command(
        *("XADD", keys.events(partition), "*", "type", "user.forgotten", "at", store.now()),
        *("brand", task.brand_id or "", "user", task.user_id),
        *("by", task.author.by, "request", task.author.request_id),
    )
    outbox.cut(store, partition, sorted(named), last)


def _forget_reminder(store: Store, discount: Discount, user_id: str) -> None:
    """Delete the planned or sent reminder of the end of a user's code, and when the code has to be used."""
    noted = (keys.expiring(discount.partition), keys.claims(discount.partition))
    store.commands([("ZREM", key, f"{discount.id} {user_id}") for key in noted])
    try:
        held = grant_records.held_grant(store, discount.id, user_id)
    except NotGranted:
        return
    deliveries.remove(store, [deliveries.reminder_id(discount, held)])
