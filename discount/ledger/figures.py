"""Figures of a discount or a brand over time, and when codes run out at the present pace."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, Select, case, func, select

from discount.domain.model import Discount
from discount.domain.rules import decimals
from discount.ledger.database import Database
from discount.ledger.rows import STEPS
from discount.ledger.tables import FIGURES
from discount.services import discounts
from discount.services.tallies import NO_GRANT, NO_REDEMPTION, REPEATED
from discount.store.connection import Store

Step = Literal["minute", "hour", "day"]
#: The most steps of one answer.
MOST_STEPS = 1_500
#: The times over which the pace of grants is measured, the shortest first, in microseconds.
WINDOWS = (STEPS["hour"], STEPS["day"], 7 * STEPS["day"])
#: The fewest grants from which a window shows a pace; the longest one needs a single grant.
ENOUGH = 10
#: Discounts of a brand that are looked at for when they run out, those with the most grants of the week; and how many
#: of them are shown.
MOST_FORECASTS, SHOWN_FORECASTS = 100, 20
# An end so far ahead says nothing.
_FAR = 100 * 365 * STEPS["day"]


@dataclass(slots=True)
class Figure:
    """The figures of one step. Sums are of redemptions by currency, in minor units, without what was rolled back.

    Attributes:
        at: the beginning of the step, in microseconds since 1970 UTC.
        counts: events by type.
        repeated: grants that were asked for again. These and refusals are approximate: a process counts them.
        refused_grants: by slug.
        refused_redemptions: by slug.
    """

    at: int
    counts: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    refused_grants: Counter[str] = field(default_factory=Counter)
    refused_redemptions: Counter[str] = field(default_factory=Counter)
    amounts: Counter[str] = field(default_factory=Counter)
    discount_amounts: Counter[str] = field(default_factory=Counter)

    @property
    def refused(self) -> int:
        """All refusals."""
        return self.refused_grants.total() + self.refused_redemptions.total()

    @property
    def granted(self) -> int:
        return self.counts["code.granted"]

    @property
    def revoked(self) -> int:
        return self.counts["code.revoked"]

    @property
    def redeemed(self) -> int:
        return self.counts["code.redeemed"]

    @property
    def rolled_back(self) -> int:
        return self.counts["redemption.rolled-back"]

    def add(self, kind: str, currency: str, count: int, amount: int, discount_amount: int) -> None:
        """Add a row of the table of figures."""
        if kind == REPEATED:
            self.repeated += count
        elif kind.startswith(NO_GRANT):
            self.refused_grants[kind.removeprefix(NO_GRANT)] += count
        elif kind.startswith(NO_REDEMPTION):
            self.refused_redemptions[kind.removeprefix(NO_REDEMPTION)] += count
        else:
            self.counts[kind] += count
        sign = {"code.redeemed": 1, "redemption.rolled-back": -1}.get(kind, 0)
        if sign:
            self.amounts[currency] += sign * amount
            self.discount_amounts[currency] += sign * discount_amount


@dataclass(frozen=True, slots=True)
class Forecast:
    """The time at which a discount's codes run out if they are granted on at the present pace.

    The pace is that of the last hour if it has `ENOUGH` grants, otherwise that of the last day or week; of a younger
    discount, that since its beginning.

    Attributes:
        since: the beginning of the time over which the pace was measured.
        granted: grants in that time.
        runs_out_at: None if the discount ends before its codes do.
    """

    discount_id: str
    discount_code: str
    remaining: int
    since: int
    granted: int
    runs_out_at: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """Figures in steps, oldest first, without steps that have none; their sum; and forecasts.

    Attributes:
        decimals: digits behind the point of each currency in the figures.
        forecasts: of a discount its own, if there is one; of a brand the discounts that run out first.
    """

    figures: list[Figure]
    total: Figure
    decimals: dict[str, int]
    forecasts: list[Forecast]


class Figures:
    """The figures in the ledger, with live counts where a forecast needs them."""

    def __init__(self, store: Store, database: Database) -> None:
        self._store = store
        self._database = database

    def of_discount(self, discount_id: str, step: Step, since: int, until: int) -> Report:
        """Return the figures of a discount from `since` to before `until`.

        Raises:
            NotFound, Unavailable
        """
        discount, now = discounts.show(self._store, discount_id)
        with self._database.reading() as connection:
            found = _read(connection, _sums().where(FIGURES.c.discount_id == discount_id), step, since, until)
            forecast = _forecast(discount, _paces(connection, now, [discount_id]).get(discount_id), now)
        return _report(found, since, [forecast] if forecast else [])

    def of_brand(self, brand_id: str, step: Step, since: int, until: int) -> Report:
        """Return the sums of the figures of all discounts of a brand, and its discounts that run out first.

        Raises:
            Unavailable
        """
        with self._database.reading() as connection:
            found = _read(connection, _sums().where(FIGURES.c.brand_id == brand_id), step, since, until)
        return _report(found, since, self.forecasts(brand_id))

    def forecasts(self, brand_id: str) -> list[Forecast]:
        """Return the forecasts of those discounts of a brand that run out first.

        Raises:
            Unavailable
        """
        now = self._store.now()
        with self._database.reading() as connection:
            paces = _paces(connection, now, _busiest(connection, brand_id, now))
        live, now = discounts.read(self._store, sorted(paces))
        found = [_forecast(each, paces[each.id], now) for each in live]
        ending = [each for each in found if each is not None and each.runs_out_at is not None]
        return sorted(ending, key=lambda each: each.runs_out_at or 0)[:SHOWN_FORECASTS]

    def of_each(self, brand_id: str, since: int, until: int) -> dict[str, Figure]:
        """Return the sums of each discount of a brand that has figures, by id; the times are whole minutes.

        Raises:
            Unavailable
        """
        columns = FIGURES.c
        wanted = _sums(columns.discount_id).where(
            (columns.brand_id == brand_id) & (columns.step == "minute") & (columns.at >= since) & (columns.at < until)
        )
        with self._database.reading() as connection:
            return dict(_fold(connection.execute(wanted), since))


def _sums(by: Any = FIGURES.c.at) -> Select[Any]:
    """Return a query of sums by a column, type and currency."""
    columns = FIGURES.c
    sums = (func.sum(columns[name]) for name in ("count", "amount", "discount_amount"))
    return select(by, columns.type, columns.currency, *sums).group_by(by, columns.type, columns.currency).order_by(by)


def _read(connection: Connection, wanted: Select[Any], step: Step, since: int, until: int) -> list[Figure]:
    first = since - since % STEPS[step]
    bounded = wanted.where((FIGURES.c.step == step) & (FIGURES.c.at >= first) & (FIGURES.c.at < until))
    return [figure for _, figure in _fold(connection.execute(bounded), None)]


def _fold(rows: Iterable[Any], at: int | None) -> Iterator[tuple[Any, Figure]]:
    """Yield a figure for each run of rows with the same first column, which is its time if `at` is None."""
    by: Any = None
    figure: Figure | None = None
    for key, kind, currency, *numbers in rows:
        if figure is None or key != by:
            if figure is not None:
                yield by, figure
            by, figure = key, Figure(key if at is None else at)
        figure.add(kind, currency, *map(int, numbers))
    if figure is not None:
        yield by, figure


def add_up(found: Iterable[Figure], since: int) -> Figure:
    """Return the sum of figures, with `since` as its time."""
    total = Figure(since)
    for each in found:
        total.repeated += each.repeated
        for name in ("counts", "refused_grants", "refused_redemptions", "amounts", "discount_amounts"):
            # Not `+=`, which drops what is zero or less: a currency whose uses were all rolled back.
            getattr(total, name).update(getattr(each, name))
    return total


def _report(found: list[Figure], since: int, forecasts: list[Forecast]) -> Report:
    total = add_up(found, since)
    return Report(found, total, {currency: decimals(currency) for currency in sorted(total.amounts)}, forecasts)


def _busiest(connection: Connection, brand_id: str, now: int) -> list[str]:
    """Return the discounts of a brand with the most grants of the last week."""
    columns, count = FIGURES.c, func.sum(FIGURES.c["count"])
    wanted = (
        select(columns.discount_id)
        .where((columns.brand_id == brand_id) & (columns.step == "hour") & (columns.at >= now - WINDOWS[-1]))
        .where(columns.type == "code.granted")
        .group_by(columns.discount_id)
        .order_by(count.desc())
        .limit(MOST_FORECASTS)
    )
    return list(connection.execute(wanted).scalars())


def _paces(connection: Connection, now: int, discount_ids: list[str]) -> dict[str, list[tuple[int, int]]]:
    """Return for each discount with grants the beginning of each window, a whole minute, and its grants."""
    columns = FIGURES.c
    begins = [now - window - (now - window) % STEPS["minute"] for window in WINDOWS]
    sums = (func.sum(case((columns.at >= since, columns["count"]), else_=0)) for since in begins)
    wanted = (
        select(columns.discount_id, *sums)
        .where(columns.discount_id.in_(discount_ids) & (columns.step == "minute") & (columns.at >= begins[-1]))
        .where(columns.type == "code.granted")
        .group_by(columns.discount_id)
    )
    rows = connection.execute(wanted) if discount_ids else ()
    return {discount_id: list(zip(begins, map(int, counts), strict=True)) for discount_id, *counts in rows}


def _forecast(discount: Discount, paces: list[tuple[int, int]] | None, now: int) -> Forecast | None:
    """Return when a discount runs out; None if it grants nothing now, has no total, or had no grant in a week."""
    if discount.remaining_count is None or paces is None or discount.status(now) != "active":
        return None
    began = max(discount.created_at, discount.starts_at or 0)
    since, granted = next((each for each in paces if each[1] >= ENOUGH or each[0] <= began), paces[-1])
    since = max(since, began)
    if not granted or since >= now:
        return None
    ahead = discount.remaining_count * (now - since) // granted
    is_shown = ahead < _FAR and (discount.expires_at is None or now + ahead < discount.expires_at)
    return Forecast(
        discount.id,
        discount.discount_code,
        discount.remaining_count,
        since,
        granted,
        now + ahead if is_shown else None,
    )
