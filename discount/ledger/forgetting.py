"""Take a forgotten user's name, metadata and reasons out of the ledger, as the service does in Redis."""

from typing import Any

import shortuuid
from sqlalchemy import ColumnElement, Connection, bindparam, select, union, update

from discount.domain.code_sequence import canonical
from discount.domain.events import Entry
from discount.domain.ids import FORGOTTEN
from discount.ledger.tables import DISCOUNTS, EVENTS, GRANTS, REDEMPTIONS

#: Events that are rewritten together.
TOGETHER = 1_000


def forget(connection: Connection, entry: Entry, discount_id: str) -> None:
    """Apply an entry that says that a user was forgotten, to what came before it.

    Args:
        discount_id: the discount of the entry; an entry without one is about all that is left of the user.
    """
    fields = entry.fields
    if "nobody" in fields:
        _rename(connection, discount_id, fields["user"], fields["nobody"], named=bool(fields["named"]))
        return
    for left in _left(connection, entry.partition, fields["user"], fields["brand"]):
        wanted = select(DISCOUNTS.c.definition).where(DISCOUNTS.c.id == left)
        definition = connection.execute(wanted).scalar_one_or_none() or {}
        named = definition.get("codes", {}).get("kind") == "personal"
        _rename(connection, left, fields["user"], f"{FORGOTTEN}{shortuuid.uuid()}", named=named)


def _left(connection: Connection, partition: int, user_id: str, brand_id: str) -> list[str]:
    """Return the discounts of which the ledger still names a user.

    Without a brand it is about all brands of the partition.
    """
    found = []
    for table in (EVENTS, GRANTS, REDEMPTIONS):
        # Events may be gone that led to the other rows. A discount's id says its partition.
        of_brand: Any = table.c.discount_id.startswith(f"dsc-{partition:02x}", autoescape=True)
        if brand_id:
            of_brand = table.c.brand_id == brand_id
        about = [table.c.user_id == user_id]
        about += [table.c.next_user_id == user_id] if "next_user_id" in table.c else []
        found += [select(table.c.discount_id).where(of_brand & each) for each in about]
    return sorted(connection.execute(union(*found)).scalars())


def _rename(connection: Connection, discount_id: str, user_id: str, nobody: str, *, named: bool) -> None:
    """Give what a user has of a discount to an invented name.

    Args:
        named: whether the user's codes have the user's name in them.
    """
    of_code = {"code": nobody, "canonical": canonical(nobody)} if named else {}
    values = {"user_id": nobody, "metadata": {}, "reason": "", **of_code}
    for table in (GRANTS, REDEMPTIONS):
        of_user = (table.c.discount_id == discount_id) & (table.c.user_id == user_id)
        connection.execute(update(table).where(of_user).values(values))
    next_one = (GRANTS.c.discount_id == discount_id) & (GRANTS.c.next_user_id == user_id)
    connection.execute(update(GRANTS).where(next_one).values(next_user_id=nobody, reason=""))
    for about in (EVENTS.c.user_id == user_id, EVENTS.c.next_user_id == user_id):
        _rewrite_events(connection, (EVENTS.c.discount_id == discount_id) & about, user_id, nobody, named=named)


def _rewrite_events(
    connection: Connection, wanted: ColumnElement[bool], user_id: str, nobody: str, *, named: bool
) -> None:
    keys = ("partition", "entry_id")
    columns = ("user_id", "next_user_id", "fields")
    this = (EVENTS.c.partition == bindparam("of_partition")) & (EVENTS.c.entry_id == bindparam("of_entry_id"))
    statement = update(EVENTS).where(this).values({name: bindparam(f"new_{name}") for name in columns})
    while rows := connection.execute(select(EVENTS).where(wanted).limit(TOGETHER)).all():
        changed = []
        for row in rows:
            fields = dict(row.fields)
            if named and fields.get("user") == user_id and "code" in fields:
                fields["code"] = nobody
            fields |= {name: nobody for name in ("user", "next") if fields.get(name) == user_id}
            if "reason" in fields:
                fields["reason"] = ""
            if "order" in fields:
                fields["order"] = fields["order"].partition("\n")[0]
            fields.pop("metadata", None)
            new = {"user_id": fields["user"], "next_user_id": fields.get("next") or None, "fields": fields}
            changed.append(
                {f"of_{name}": row._mapping[name] for name in keys}
                | {f"new_{name}": value for name, value in new.items()}
            )
        connection.execute(statement, changed)
