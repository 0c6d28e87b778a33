"""The keys of code sequences in the ledger, sealed with the secret of the installation."""

from sqlalchemy import Connection, bindparam, select, update
from structlog import get_logger

from discount.domain import ids
from discount.ledger import writer
from discount.ledger.database import Database
from discount.ledger.rows import Row
from discount.ledger.tables import DISCOUNTS, INSTALLATION
from discount.security.sealing import Sealer
from discount.services.partitions import ask_each
from discount.store import keys
from discount.store.connection import Store

#: Discounts whose keys are read together.
PAGE = 500
SECRET = "secret"  # noqa: S105 - the name of a row


def seal(rows: list[Row], sealer: Sealer) -> None:
    """Seal the keys in rows of discounts. A discount without a key has an empty one."""
    for row in rows:
        row["key"] = sealer.seal(row["key"], row["id"]) if row["key"] else ""


def keep_secret(store: Store, database: Database, sealer: Sealer) -> bool:
    """Keep the secret of the installation as Redis has it, and seal the keys that are not sealed with it.

    A Redis that has none of the discounts is not believed: what it has is newer than what it lost.

    Returns:
        True if it is another secret than before, so that all else has to be sealed again.

    Raises:
        Unavailable: Redis or the ledger does not answer.
    """
    with database.reading() as connection:
        kept = kept_secret(connection)
    if kept is None:
        sealer.prepare()
    copies, _ = ask_each(store, lambda partition: ("HGET", keys.installation(partition), SECRET))
    found = next((each for each in copies.values() if each), None)
    if found is None:
        return False
    lacking = DISCOUNTS.c.key.is_(None) if kept == found else DISCOUNTS.c.key.is_(None) | (DISCOUNTS.c.key != "")
    sealed, seen, after = 0, 0, ""
    while True:
        wanted = select(DISCOUNTS.c.id).where(lacking & (DISCOUNTS.c.id > after)).order_by(DISCOUNTS.c.id).limit(PAGE)
        with database.reading() as connection:
            page = list(connection.execute(wanted).scalars())
        if not page:
            break
        seen, after = seen + len(page), page[-1]
        sealed += _seal_page(store, database, sealer, page)
    if kept is None or (kept != found and (sealed or not seen)):
        with database.writing() as connection:
            writer.insert(connection, INSTALLATION, [{"name": SECRET, "value": found}], sets={"value": "excluded"})
        return kept is not None
    if kept != found:
        get_logger().error("Redis has another secret than the ledger, and none of its discounts")
    return False


def kept_secret(connection: Connection) -> str | None:
    """Return the secret of the installation as Redis had it."""
    return connection.execute(select(INSTALLATION.c.value).where(INSTALLATION.c.name == SECRET)).scalar_one_or_none()


def _seal_page(store: Store, database: Database, sealer: Sealer, discount_ids: list[str]) -> int:
    """Seal the keys of discounts that Redis has; return how many these are."""
    replies = store.commands(
        [("HMGET", keys.discount(ids.partition_of(each), each), "number", "key") for each in discount_ids]
    )
    rows = [
        {"discount": each, "sealed": sealer.seal(key, each) if key else ""}
        for each, (number, key) in zip(discount_ids, replies, strict=True)
        if number
    ]
    if rows:
        statement = update(DISCOUNTS).where(DISCOUNTS.c.id == bindparam("discount"))
        with database.writing() as connection:
            connection.execute(statement.values(key=bindparam("sealed")), rows)
    return len(rows)
