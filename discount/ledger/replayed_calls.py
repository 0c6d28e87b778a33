"""Calls of scripts, found in the ledger by their events: the events of one call have the same time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from sqlalchemy import select

from discount.domain import events
from discount.domain.events import Entry
from discount.domain.model import Author
from discount.ledger import LedgerError
from discount.ledger.database import Database
from discount.ledger.tables import EVENTS
from discount.services import slices

#: Events read together.
PAGE = 2_000
#: Types of events that tell of a use.
USES = ("code.redeemed", "redemption.held")


@dataclass(frozen=True, slots=True)
class Call:
    """The entries that one call of a script added, and the discount that they are of."""

    discount_id: str
    entries: Sequence[Entry]

    @property
    def kind(self) -> str:
        return self.entries[0].fields["type"]

    @property
    def fields(self) -> dict[str, str]:
        return dict(self.entries[0].fields)

    @property
    def author(self) -> Author:
        return Author(self.fields.get("by", ""), self.fields.get("request", ""))

    @property
    def is_moved_in(self) -> bool:
        """True if it moved codes or uses in from another service."""
        return "imported" in self.fields

    @property
    def is_plain_grant(self) -> bool:
        return self.kind == "code.granted" and not self.fields.get("metadata") and not self.is_moved_in

    def goes_with(self, other: "Call") -> bool:
        """Return whether both can be made together: they are grants of one discount."""
        return self.discount_id == other.discount_id and self.is_plain_grant and other.is_plain_grant

    def with_fields(self, **fields: str) -> "Call":
        """Return the call with more fields in its first entry."""
        first, *others = self.entries
        return Call(self.discount_id, [Entry(first.partition, first.entry_id, {**first.fields, **fields}), *others])


def read_calls(database: Database, partition: int, after: str) -> Iterator[Call]:
    """Yield the calls after an entry of a partition, in their order.

    Raises:
        LedgerError: one millisecond has more events than can be read together.
    """
    entries = _read_entries(database, partition, after)
    for _, rows in groupby(entries, key=lambda row: (row[1].fields["at"], row[0])):
        found = list(rows)
        of_call = [entry for _, entry in found]
        starts = [n for n in range(1, len(of_call)) if _is_own(of_call[n], of_call[n - 1])]
        for first, end in pairwise([0, *starts, len(of_call)]):
            yield Call(found[0][0], of_call[first:end])


def _is_own(entry: Entry, before: Entry) -> bool:
    """Return whether an entry can be made again without the one before it, though both are of one call.

    A call may have handed out codes to users who waited, or have moved several users in.
    """
    return "waited" in entry.fields or ("imported" in entry.fields and entry.fields["user"] != before.fields["user"])


def _read_entries(database: Database, partition: int, after: str) -> Iterator[tuple[str, Entry]]:
    """Yield the entries after one in their order, each with its discount."""
    columns = EVENTS.c
    last = events.parts(after)
    while True:
        slices.between()
        # Texts do not sort as ids of entries do within one millisecond.
        this = (columns.partition == partition) & (columns.entry_id >= f"{last[0]:013d}-")
        wanted = select(columns.entry_id, columns.discount_id, columns.fields).where(this)
        with database.reading() as connection:
            rows = connection.execute(wanted.order_by(columns.entry_id).limit(PAGE)).all()
        page = sorted((events.parts(row.entry_id), row) for row in rows)
        if len(rows) == PAGE:
            # The last millisecond may go on behind the page.
            page = [each for each in page if each[0][0] < page[-1][0][0]]
        page = [each for each in page if each[0] > last]
        if not page:
            if len(rows) == PAGE:
                raise LedgerError("more events in one millisecond than can be read together")
            return
        for parts, row in page:
            last = parts
            yield row.discount_id, Entry(partition, row.entry_id, row.fields)
