"""Write rows into the ledger: many at once, and the same way into SQLite and PostgreSQL."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import JSON, Column, Connection, MetaData, Table, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from discount.ledger.rows import Batch, Row
from discount.ledger.tables import CHANGES, DISCOUNTS, EVENTS, FIGURES, GRANTS, IMPORTS, POSITIONS, REDEMPTIONS

#: From so many rows on, PostgreSQL gets them by COPY, which takes a fraction of the time.
MANY = 200
_SUMS = ("count", "amount", "discount_amount")


def write(connection: Connection, batch: Batch) -> None:
    """Write the rows of a batch. Rows that are there already are kept, sums are added to."""
    insert(connection, EVENTS, batch.events, sets={})
    insert(connection, DISCOUNTS, batch.discounts.values(), sets={})
    insert(connection, CHANGES, batch.changes, sets={})
    insert(connection, IMPORTS, batch.imports, sets={})
    # Before new grants: what was revoked was granted earlier.
    _end_grants(connection, batch.revoked)
    insert(connection, GRANTS, batch.grants.values(), sets={})
    _delete_redemptions(connection, batch.replaced_redemptions)
    insert(connection, REDEMPTIONS, batch.redemptions.values(), sets={})
    _change_redemptions(connection, batch.changed_redemptions)
    insert(connection, FIGURES, batch.figures.values(), sets=dict.fromkeys(_SUMS, "added"))


def move_position(connection: Connection, partition: int, before: str | None, row: Row) -> bool:
    """Set the position of a partition; return False if it is not `before`, as another process has moved it."""
    if before is None:
        values = {"partition": partition, **row}
        insert(connection, POSITIONS, [values], sets={})
        stored = connection.execute(select(POSITIONS.c.event_id).where(POSITIONS.c.partition == partition)).scalar_one()
        return bool(stored == row["event_id"])
    matched = (POSITIONS.c.partition == partition) & (POSITIONS.c.entry_id == before)
    return connection.execute(update(POSITIONS).where(matched).values(row)).rowcount == 1


def insert(connection: Connection, table: Table, rows: Iterable[Row], *, sets: dict[str, str]) -> None:
    """Insert rows; where a row with this primary key exists, set the columns in `sets`.

    Args:
        sets: by column, `excluded` for the new value, or `added` for the sum of both. Empty keeps the old row.
    """
    rows = list(rows)
    if not rows:
        return
    is_sqlite = connection.dialect.name == "sqlite"
    statement: Any = sqlite.insert(table) if is_sqlite else postgresql.insert(table)
    keys = list(table.primary_key.columns)
    copied = None
    if not is_sqlite and len(rows) >= MANY:
        names = [each.name for each in table.columns]
        copied = _copy(connection, table, rows)
        statement = statement.from_select(names, select(*(copied.c[name] for name in names)))
        rows = []
    if sets:
        new = statement.excluded
        values = {name: new[name] + table.c[name] if how == "added" else new[name] for name, how in sets.items()}
        statement = statement.on_conflict_do_update(index_elements=keys, set_=values)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    # No rows are given to a statement that selects them.
    connection.execute(statement, rows or None)
    if copied is not None:
        copied.drop(connection, checkfirst=False)


def _copy(connection: Connection, table: Table, rows: Sequence[Row]) -> Table:
    """Copy rows into a temporary table, from which they are inserted in one statement, and return that table."""
    copied = Table(
        f"new_{table.name}",
        MetaData(),
        *(Column(each.name, each.type) for each in table.columns),
        prefixes=["TEMPORARY"],
    )
    copied.create(connection, checkfirst=False)
    names = [each.name for each in table.columns]
    encoders = [json.dumps if isinstance(each.type, JSON) else None for each in table.columns]
    quote = connection.dialect.identifier_preparer.quote_identifier
    statement = f"COPY {quote(copied.name)} ({', '.join(map(quote, names))}) FROM STDIN"
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(
                [encode(row[name]) if encode else row[name] for name, encode in zip(names, encoders, strict=True)]
            )
    return copied


def _end_grants(connection: Connection, revoked: dict[tuple[str, str], Row]) -> None:
    """Set how the codes that users hold were taken back."""
    if not revoked:
        return
    rows = [
        {"of_discount": discount_id, "of_user": user_id, **{f"new_{name}": value for name, value in values.items()}}
        for (discount_id, user_id), values in revoked.items()
    ]
    held = (
        (GRANTS.c.discount_id == bindparam("of_discount"))
        & (GRANTS.c.user_id == bindparam("of_user"))
        & (GRANTS.c.state == "granted")
    )
    names = ("state", "revoked_at", "reason", "next_user_id")
    connection.execute(update(GRANTS).where(held).values({name: bindparam(f"new_{name}") for name in names}), rows)


def _delete_redemptions(connection: Connection, rows: Sequence[Row]) -> None:
    """Delete rows by id and time."""
    if rows:
        this = (REDEMPTIONS.c.id == bindparam("of_id")) & (REDEMPTIONS.c.redeemed_at == bindparam("of_time"))
        connection.execute(
            delete(REDEMPTIONS).where(this), [{"of_id": each["id"], "of_time": each["redeemed_at"]} for each in rows]
        )


def _change_redemptions(connection: Connection, changed: dict[str, Row]) -> None:
    """Set values of the latest redemption of each id; those that set the same columns go together."""
    by_columns: dict[tuple[str, ...], list[Row]] = {}
    for redemption_id, values in changed.items():
        row = {"redemption": redemption_id, **{f"new_{name}": value for name, value in values.items()}}
        by_columns.setdefault(tuple(sorted(values)), []).append(row)
    same = REDEMPTIONS.alias("same")
    latest = select(func.max(same.c.redeemed_at)).where(same.c.id == bindparam("redemption")).scalar_subquery()
    this = (REDEMPTIONS.c.id == bindparam("redemption")) & (REDEMPTIONS.c.redeemed_at == latest)
    for names, rows in by_columns.items():
        statement = update(REDEMPTIONS).where(this)
        connection.execute(statement.values({name: bindparam(f"new_{name}") for name in names}), rows)
