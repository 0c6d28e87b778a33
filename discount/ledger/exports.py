"""Exports of the ledger: the rows of one table that belong to a brand, in the order of their time, a page at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import JSON, BigInteger, Column, Integer, Table, and_, literal, select, tuple_

from discount.ledger.database import Database
from discount.ledger.tables import CHANGES, DISCOUNTS, EVENTS, FIGURES, GRANTS, IMPORTS, REDEMPTIONS
from discount.services import slices
from discount.services.redemption_records import state_at

TableName = Literal["discounts", "changes", "imports", "grants", "redemptions", "events", "figures"]
#: What a column holds: `time` is microseconds since 1970 UTC, `json` is an object.
Kind = Literal["text", "number", "time", "json"]
#: Rows that are read together.
PAGE = 500
_TIMES = ("at", "created_at", "redeemed_at", "hold_until", "confirmed_at", "rolled_back_at", "revoked_at")


@dataclass(frozen=True, slots=True)
class Export:
    """A table that can be exported.

    Args:
        time: the column by which rows are chosen.
        order: the columns that put rows in order; no two rows have the same. An index begins with the brand and these.
        hidden: columns that only the ledger itself needs.
    """

    table: Table
    time: str
    order: tuple[str, ...]
    hidden: tuple[str, ...] = ()

    @property
    def columns(self) -> dict[str, Kind]:
        """The exported columns in their order, each with what it holds."""
        return {each.name: _kind(each) for each in self.table.columns if each.name not in self.hidden}


_PLACE = ("partition", "entry_id")
EXPORTS: Mapping[TableName, Export] = {
    "discounts": Export(DISCOUNTS, "created_at", ("created_at", "id"), ("partition", "number", "key")),
    "changes": Export(CHANGES, "at", ("at", *_PLACE), _PLACE),
    "imports": Export(IMPORTS, "at", ("at", *_PLACE), _PLACE),
    "grants": Export(GRANTS, "at", ("at", "discount_id", "user_id", "entry_id"), ("entry_id", "canonical")),
    "redemptions": Export(REDEMPTIONS, "redeemed_at", ("redeemed_at", "id"), ("canonical", "left_after")),
    "events": Export(EVENTS, "at", ("at", *_PLACE), _PLACE),
    "figures": Export(FIGURES, "at", ("step", "at", "discount_id", "type", "currency")),
}


def read(database: Database, name: TableName, brand_id: str, since: int, until: int) -> Iterator[dict[str, Any]]:
    """Yield a brand's rows from `since` to before `until`. Each page is a transaction of its own, so none lasts long.

    Args:
        until: also the time by which states are judged.

    Raises:
        Unavailable: the database does not answer.
    """
    export = EXPORTS[name]
    columns = export.table.columns
    order = [columns[each] for each in export.order]
    time = columns[export.time]
    wanted = select(export.table).where(columns.brand_id == brand_id, time >= since, time < until).order_by(*order)
    last: tuple[Any, ...] | None = None
    while True:
        page = wanted
        if last is not None:
            # The first condition is that of the index, the second one says where to go on exactly.
            is_later = tuple_(*order) > tuple_(*(literal(each) for each in last))
            page = wanted.where(and_(order[0] >= last[0], is_later))
        with database.reading() as connection:
            rows = connection.execute(page.limit(PAGE)).all()
        for row in rows:
            values = row._mapping
            found = {each: values[each] for each in export.columns}
            if name == "redemptions":
                found["state"] = state_at(row.state, row.hold_until, until)
            yield found
        if len(rows) < PAGE:
            return
        last = tuple(rows[-1]._mapping[each] for each in export.order)
        slices.between()


def _kind(column: "Column[Any]") -> Kind:
    if isinstance(column.type, JSON):
        return "json"
    if column.name in _TIMES:
        return "time"
    return "number" if isinstance(column.type, BigInteger | Integer) else "text"
