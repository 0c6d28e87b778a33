"""The counters of a discount as the rows of the ledger have them, and the entries after those rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import UnsetType
from sqlalchemy import ColumnElement, Connection, func, select

from discount.domain import definitions
from discount.domain.events import Entry
from discount.ledger.tables import CHANGES, DISCOUNTS, GRANTS, IMPORTS, REDEMPTIONS

#: Users looked up in one statement.
TOGETHER = 500


@dataclass(slots=True)
class Counts:
    """The counters of a discount as they have to be.

    Attributes:
        holders: users who hold a code.
        void: codes that were taken back and went nowhere; they stay granted.
        undone: uses that were rolled back.
        sums: of orders, and of what came off, by currency.
    """

    total: int | None
    keeps_uses: bool
    holders: int = 0
    void: int = 0
    redeemed: int = 0
    undone: int = 0
    sums: dict[str, tuple[int, int]] = field(default_factory=dict)

    def fields(self) -> dict[str, int]:
        """Return the counters by the names under which Redis has them."""
        found = {
            "granted": self.holders + self.void,
            "revoked": self.void,
            "redeemed": self.redeemed,
            "used": self.redeemed + (self.undone if self.keeps_uses else 0),
        }
        for currency, (orders, discounts) in self.sums.items():
            found |= {f"orders:{currency}": orders, f"discounts:{currency}": discounts}
        return found

    def follow(self, entries: Iterable[Entry], held: set[str]) -> None:
        """Count what entries of the discount changed.

        Args:
            held: of the users whom the entries name, those who held a code before.
        """
        for each in entries:
            self._follow(each.fields, held)

    def _follow(self, fields: Mapping[str, str], held: set[str]) -> None:
        kind, user = fields["type"], fields.get("user", "")
        if kind == "code.granted":
            held.add(user)
            self.holders += 1
            if "first" in fields:
                self.total = (self.total or 0) + int(fields["count"])
        elif kind == "code.revoked" and user in held:
            # An event that only lets the user have another code finds none that is held.
            held.remove(user)
            self.holders -= 1
            self.void += fields["back"] == "void"
        elif kind == "code.redeemed":
            self._count(fields, 1)
        elif kind == "redemption.rolled-back":
            self._count(fields, -1)
            self.undone += 1
        elif kind == "codes.imported":
            self.total = (self.total or 0) + int(fields["count"])
        elif kind == "discount.changed":
            total = definitions.read(fields["after"]).total_count
            self.total = self.total if isinstance(total, UnsetType) else total
        elif kind == "user.forgotten" and user in held:
            held.remove(user)
            held.add(fields.get("nobody", ""))

    def _count(self, fields: Mapping[str, str], sign: int) -> None:
        self.redeemed += sign
        orders, discounts = self.sums.get(fields["currency"], (0, 0))
        self.sums[fields["currency"]] = (
            orders + sign * int(fields["amount"]),
            discounts + sign * int(fields["discount_amount"]),
        )


def was_used() -> ColumnElement[bool]:
    """Return the condition of rows that were counted as uses: not of holds that were rolled back."""
    columns = REDEMPTIONS.c
    undone = (columns.state == "rolled-back") & (columns.hold_until.is_(None) | columns.confirmed_at.is_not(None))
    return (columns.state == "redeemed") | undone


def is_known(connection: Connection, discount_id: str) -> bool:
    """Return whether the ledger has read how a discount was created."""
    return connection.execute(select(DISCOUNTS.c.id).where(DISCOUNTS.c.id == discount_id)).first() is not None


def read(connection: Connection, discount_id: str) -> Counts:
    """Return the counts in the rows of a discount that the ledger knows."""
    wanted = select(DISCOUNTS.c.definition).where(DISCOUNTS.c.id == discount_id)
    definition = connection.execute(wanted).scalar_one()
    found = Counts(_total(connection, discount_id, definition), definition.get("returns_use") is False)
    states = select(GRANTS.c.state, func.count()).where(GRANTS.c.discount_id == discount_id).group_by(GRANTS.c.state)
    counted: dict[str, int] = dict(map(tuple, connection.execute(states)))
    found.holders, found.void = counted.get("granted", 0), counted.get("void", 0)
    columns = REDEMPTIONS.c
    uses = (
        select(
            columns.state, columns.currency, func.count(), func.sum(columns.amount), func.sum(columns.discount_amount)
        )
        .where((columns.discount_id == discount_id) & was_used())
        .group_by(columns.state, columns.currency)
    )
    for state, currency, count, orders, discounts in connection.execute(uses):
        if state == "redeemed":
            found.redeemed += count
            found.sums[currency] = int(orders), int(discounts)
        else:
            found.undone += count
            found.sums.setdefault(currency, (0, 0))
    return found


def holders_among(connection: Connection, discount_id: str, user_ids: Iterable[str]) -> set[str]:
    """Return those of some users who hold a code of a discount."""
    wanted, held = sorted(set(user_ids)), set[str]()
    for first in range(0, len(wanted), TOGETHER):
        of_users = GRANTS.c.user_id.in_(wanted[first : first + TOGETHER])
        this = (GRANTS.c.discount_id == discount_id) & of_users & (GRANTS.c.state == "granted")
        held |= set(connection.execute(select(GRANTS.c.user_id).where(this)).scalars())
    return held


def named_in(entries: Iterable[Entry]) -> set[str]:
    """Return the users whom entries name."""
    names = ("user", "next", "nobody")
    return {each.fields[name] for each in entries for name in names if each.fields.get(name)}


def _total(connection: Connection, discount_id: str, definition: Mapping[str, Any]) -> int | None:
    imported = select(func.sum(IMPORTS.c["count"])).where(IMPORTS.c.discount_id == discount_id)
    if definition.get("codes", {}).get("kind") == "imported":
        return int(connection.execute(imported).scalar_one() or 0)
    changes = (
        select(CHANGES.c.after)
        .where((CHANGES.c.discount_id == discount_id) & (CHANGES.c.type == "discount.changed"))
        .order_by(CHANGES.c.at.desc())
    )
    for after in connection.execute(changes.execution_options(yield_per=TOGETHER)).scalars():
        if "total_count" in after:
            changed: int | None = after["total_count"]
            return changed
    total: int | None = definition.get("total_count")
    return total
