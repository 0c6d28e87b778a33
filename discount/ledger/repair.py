"""Repair differences between Redis and the ledger where one side is certain to be right.

Each repair changes only the value that was compared: a counter by its difference, a field if it has not changed since.
So repairs are safe while grants go on.
"""

from sqlalchemy import Connection, delete, select

from discount.domain import event_types, metadata
from discount.domain.code_sequence import canonical
from discount.domain.events import Entry
from discount.domain.ids import DiscountId
from discount.ledger import writer
from discount.ledger.database import Database
from discount.ledger.rows import Batch, add_figures
from discount.ledger.tables import DISCOUNTS, EVENTS, FIGURES, GRANTS, POSITIONS
from discount.services import grant_records
from discount.store import keys
from discount.store.connection import Store

#: Events read together.
EVENTS_AT_ONCE = 5_000
#: How often a counter is read again that changes meanwhile.
TRIES = 100
#: Discounts in the first part of a user's list; held.lua has the same.
_FEW = 8


def counter(store: Store, parsed: DiscountId, name: str, difference: int) -> bool:
    """Add a difference to a counter of a discount."""
    name_of_hash = keys.discount(parsed.partition, parsed.text)
    for _ in range(TRIES):
        before = store.command("HGET", name_of_hash, name) or ""
        if _swap(store, name_of_hash, name, before, int(before or 0) + difference):
            return True
    return False


def total(store: Store, parsed: DiscountId, before: str, after: int | None) -> bool:
    """Set the total of a discount."""
    return _swap(store, keys.discount(parsed.partition, parsed.text), "total", before, "" if after is None else after)


def grant(
    store: Store, database: Database, parsed: DiscountId, user_id: str, values: tuple[str | None, str | None]
) -> bool:
    """Write a grant that one side lacks. If they have different codes, neither is certain.

    Args:
        values: what the bucket has, and what it should have by the rows.
    """
    redis, ledger = values
    if redis is not None and ledger is not None:
        return False
    if redis is not None:
        return _add_row(database, parsed, user_id, redis)
    assert ledger is not None  # noqa: S101 - one of the two is there
    if not _swap(store, grant_records.bucket_key(parsed, user_id), user_id, "", ledger):
        return False
    number = store.command("HGET", keys.discount(parsed.partition, parsed.text), "number")
    waiting(store, parsed, ledger.partition(" ")[2].partition("\n")[0])
    return bucket(store, parsed, user_id) and add_to_list(store, parsed.partition, user_id, number)


def bucket(store: Store, parsed: DiscountId, user_id: str) -> bool:
    """List the bucket of a user among those that hold a grant."""
    bits = keys.buckets(parsed.partition, parsed.text)
    store.command("SETBIT", bits, keys.grant_bucket(user_id, parsed.buckets), 1)
    return True


def waiting(store: Store, parsed: DiscountId, code: str) -> bool:
    """Take a code off a pool."""
    return bool(store.command("LREM", keys.codes(parsed.partition, parsed.text), 1, code))


def uses(store: Store, parsed: DiscountId, user_id: str, before: str, after: str) -> bool:
    """Set what a user has used of the limits."""
    name = keys.uses(parsed.partition, parsed.text, keys.grant_bucket(user_id, parsed.buckets))
    stored = store.command("HGET", name, user_id) or ""
    return stored in ("", before) and _swap(store, name, user_id, stored, after)


def add_to_list(store: Store, partition: int, user_id: str, number: str) -> bool:
    """Name a discount once in a user's list, if the list has room in its first part."""
    name = keys.users(partition, user_id)
    text = store.command("HGET", name, user_id) or ""
    others = [each for each in text.split() if each != number]
    if "+" in text or len(others) >= _FEW:
        return False
    return _swap(store, name, user_id, text, " ".join([*others, number]))


def take_off_list(store: Store, partition: int, user_id: str, number: str) -> bool:
    """Take a discount off a user's list, if it is in its first part."""
    name = keys.users(partition, user_id)
    text = store.command("HGET", name, user_id) or ""
    few, plus, rest = text.partition("+")
    if number not in few.split():
        return False
    return _swap(store, name, user_id, text, " ".join(each for each in few.split() if each != number) + plus + rest)


def figures(database: Database, partition: int, discount_id: str) -> bool:
    """Make the figures of a discount again from its events, if the ledger has all of them."""
    with database.writing() as connection:
        _stop_writer(connection, partition)
        brand_id = connection.execute(select(DISCOUNTS.c.brand_id).where(DISCOUNTS.c.id == discount_id)).scalar_one()
        of_brand = (EVENTS.c.brand_id == brand_id) & (EVENTS.c.discount_id == discount_id)
        wanted = select(EVENTS.c.partition, EVENTS.c.entry_id, EVENTS.c.type, EVENTS.c.fields).where(of_brand)
        batch, seen = Batch(), set[str]()
        for row in connection.execute(wanted.execution_options(yield_per=EVENTS_AT_ONCE)):
            seen.add(row.type)
            add_figures(batch, Entry(row.partition, row.entry_id, row.fields), discount_id)
        if "discount.created" not in seen:
            return False
        of_events = (FIGURES.c.discount_id == discount_id) & FIGURES.c.type.in_(sorted(event_types.TYPES))
        connection.execute(delete(FIGURES).where(of_events))
        writer.insert(connection, FIGURES, batch.figures.values(), sets={})
    return True


def _add_row(database: Database, parsed: DiscountId, user_id: str, value: str) -> bool:
    at, _, rest = value.partition(" ")
    code, _, text = rest.partition("\n")
    with database.writing() as connection:
        _stop_writer(connection, parsed.partition)
        brand_id = connection.execute(select(DISCOUNTS.c.brand_id).where(DISCOUNTS.c.id == parsed.text)).scalar_one()
        of_user = (GRANTS.c.discount_id == parsed.text) & (GRANTS.c.user_id == user_id) & (GRANTS.c.state == "granted")
        if connection.execute(select(GRANTS.c.code).where(of_user)).first() is not None:
            return False
        row = {"discount_id": parsed.text, "user_id": user_id, "entry_id": f"{int(at) // 1000}-0", "at": int(at)}
        row |= {"brand_id": brand_id, "code": code, "canonical": canonical(code), "state": "granted"}
        row |= {"metadata": dict(metadata.read(text)), "revoked_at": None, "reason": "", "next_user_id": None}
        writer.insert(connection, GRANTS, [row], sets={})
    return True


def _stop_writer(connection: Connection, partition: int) -> None:
    """Let no other process write the partition before this transaction ends."""
    connection.execute(select(POSITIONS.c.entry_id).where(POSITIONS.c.partition == partition).with_for_update())


def _swap(store: Store, name: str, field: str, before: str, after: str | int) -> bool:
    return store.run("swap", [name], [field, before, after]).status == "swapped"
