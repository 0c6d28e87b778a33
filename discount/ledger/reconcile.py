"""Compare Redis with the ledger, and each with itself, discount by discount, while grants go on.

Both are read in slices. A slice is compared as of a stated place in the outbox (`discount.ledger.windows`), so that
nothing is reported that is only a moment older.

| check | what has to agree |
|---|---|
| `total` | granted + left = total; the total is that of the ledger |
| `grants` | buckets, counter and rows: who holds which code |
| `codes` | no code is held by two users |
| `pool` | no code that waits is granted or void |
| `index` | each user's list of discounts names exactly those of which the user holds a code |
| `uses` | counters and each user's uses, by limit, are the standing redemptions |
| `sums` | sums by currency are those of the standing redemptions |
| `figures` | figures by day are the rows |
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from sqlalchemy import Connection, func, select

from discount.domain import events
from discount.domain.errors import NotFound, Unavailable
from discount.domain.ids import DiscountId
from discount.ledger import counts, repair, windows
from discount.ledger.compared_grants import ComparedGrants, entries_of
from discount.ledger.compared_lists import ComparedLists
from discount.ledger.compared_pool import compare_pool
from discount.ledger.compared_uses import ComparedUses
from discount.ledger.database import Database
from discount.ledger.differences import Check, Comparison, Result
from discount.ledger.tables import FIGURES, GRANTS
from discount.services import discounts
from discount.store import keys
from discount.store.answers import Answer
from discount.store.connection import Store
from discount.store.replies import pairs

#: Discounts that are listed together.
PAGE = 1_000


class Reconciler:
    """The reconciliation of discounts.

    Args:
        pause: waits for so many seconds.
        repairs: whether differences are repaired where one side is certain to be right.
    """

    def __init__(
        self, store: Store, database: Database, pause: Callable[[float], None], *, repairs: bool = False
    ) -> None:
        self._store = store
        self._database = database
        self._pause = pause
        self._repairs = repairs
        self._grants = ComparedGrants(store, database, pause)
        self._uses = ComparedUses(store, database, pause)
        self._lists = ComparedLists(store, pause)

    def discount(self, discount_id: str) -> Result:
        """Compare one discount.

        Raises:
            NotFound
            Unavailable: Redis or the ledger does not answer, or the ledger is too far behind.
        """
        parsed = discounts.parse_id(self._store, discount_id)
        windows.await_ledger(self._store, self._database, parsed.partition, self._pause)
        return self._compare(parsed)

    def partition(self, partition: int) -> Result:
        """Compare all discounts of a partition, the oldest first, and the lists of all its users.

        Raises:
            Unavailable: as `discount`.
        """
        result = Result(at=self._store.now())
        for discount_id in self._list(partition):
            windows.await_ledger(self._store, self._database, partition, self._pause)
            try:
                result.join(self._compare(discounts.parse_id(self._store, discount_id)))
            except NotFound:
                raise Unavailable("The list of discounts names one that Redis does not have.") from None
        if result.discounts:
            self._lists.compare(partition, result, repairs=self._repairs)
        return result

    def _list(self, partition: int) -> Iterator[str]:
        start = "-inf"
        while rows := self._store.command(
            *("ZRANGEBYSCORE", keys.discounts(partition), start, "+inf", "WITHSCORES", "LIMIT", 0, PAGE)
        ):
            yield from rows[::2]
            start = f"({int(float(rows[-1]))}"

    def _compare(self, parsed: DiscountId) -> Result:
        result = Result()
        found = self._comparison_of(parsed, result)
        if found is None:
            result.unknown += 1
        else:
            result.discounts += 1
            self._grants.compare(found)
            if found.kind in ("unique", "imported"):
                compare_pool(self._store, self._database, found)
            self._uses.compare(found)
            # Last, so that counters are repaired after what they count.
            self._compare_counts(found)
        result.at = self._store.now()
        return result

    def _comparison_of(self, parsed: DiscountId, result: Result) -> Comparison | None:
        """Return a comparison that begins; None if the ledger does not know how the discount was created."""
        fields = dict(pairs(self._read_counters(parsed).rest("fields")))
        with self._database.reading() as connection:
            if not counts.is_known(connection, parsed.text):
                return None
        return Comparison(
            parsed,
            fields["brand"],
            fields["number"],
            fields["kind"],
            fields.get("timezone", "UTC"),
            "keeps_use" in fields,
            result,
            self._repairs,
        )

    def _compare_counts(self, found: Comparison) -> None:
        parsed, partition = found.parsed, found.parsed.partition
        with self._database.snapshot() as connection:
            place = windows.position(connection, partition)
            expected = counts.read(connection, parsed.text)
            # After the rows: what happened since is in the outbox.
            answer = self._read_counters(parsed)
            figures = _compare_figures(connection, parsed, expected)
            last = max(place, answer["entry_id"] or windows.START, key=events.parts)
            entries = entries_of(windows.between(self._store, partition, place, last), found)
            held = counts.holders_among(connection, parsed.text, counts.named_in(entries))
        expected.follow(entries, held)
        found.result.places[f"{partition:02x}"] = place
        for subject, *differing in figures:
            fix = partial(repair.figures, self._database, partition, parsed.text)
            found.note("figures", subject, (differing[0], differing[1]), fix)
        self._compare_fields(found, expected, dict(pairs(answer.rest("fields"))), int(answer["waiting"]))

    def _read_counters(self, parsed: DiscountId) -> Answer:
        partition = parsed.partition
        names = [keys.discount(partition, parsed.text), keys.codes(partition, parsed.text), keys.events(partition)]
        return self._store.run("counters", names, [])

    def _compare_fields(
        self, found: Comparison, expected: counts.Counts, fields: Mapping[str, str], waiting: int
    ) -> None:
        wanted = expected.fields()
        wanted |= {name: 0 for name in fields if name.startswith(("orders:", "discounts:")) and name not in wanted}
        for name, value in wanted.items():
            stored = int(fields.get(name, 0))
            if stored != value:
                check: Check = "sums" if ":" in name else "grants" if name in ("granted", "revoked") else "uses"
                fix = partial(repair.counter, self._store, found.parsed, name, value - stored)
                found.note(check, name, (stored, value), fix)
        total = int(fields["total"]) if "total" in fields else None
        if total != expected.total:
            fix_total = partial(repair.total, self._store, found.parsed, fields.get("total", ""), expected.total)
            found.note("total", "total", (total, expected.total), fix_total)
        granted, made = int(fields["granted"]), int(fields["made"])
        if total is not None and granted > total:
            found.note("total", "granted", (granted, total))
        if found.kind in ("unique", "imported"):
            is_deleted = "closed" in fields and found.kind == "unique" and "returned" not in fields
            left = 0 if is_deleted else made - granted
            if waiting != left:
                found.note("total", "waiting", (waiting, left))


def _compare_figures(connection: Connection, parsed: DiscountId, expected: counts.Counts) -> list[tuple[str, int, int]]:
    """Return the sums of the figures that are not those of the rows: of what, from the figures, from the rows."""
    columns = FIGURES.c
    summed = (func.sum(columns[name]) for name in ("count", "amount", "discount_amount"))
    this = (columns.discount_id == parsed.text) & (columns.step == "day")
    wanted = select(columns.type, columns.currency, *summed).where(this).group_by(columns.type, columns.currency)
    granted = redeemed = 0
    sums: dict[str, tuple[int, int]] = {}
    for kind, currency, count, amount, off in connection.execute(wanted):
        sign = {"code.redeemed": 1, "redemption.rolled-back": -1}.get(kind, 0)
        granted += int(count) if kind == "code.granted" else 0
        redeemed += sign * int(count)
        if sign:
            before = sums.get(currency, (0, 0))
            sums[currency] = before[0] + sign * int(amount), before[1] + sign * int(off)
    rows = connection.execute(select(func.count()).where(GRANTS.c.discount_id == parsed.text)).scalar_one()
    compared = [("granted", granted, rows), ("redeemed", redeemed, expected.redeemed)]
    for currency in sorted(sums.keys() | expected.sums.keys()):
        of_figures, of_rows = (each.get(currency, (0, 0)) for each in (sums, expected.sums))
        compared.append((f"orders:{currency}", of_figures[0], of_rows[0]))
        compared.append((f"discounts:{currency}", of_figures[1], of_rows[1]))
    return [each for each in compared if each[1] != each[2]]
