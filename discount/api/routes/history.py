"""Routes of the past, from the ledger: find a code, figures over time, changes, and exports."""

import json
from typing import Any

from discount.api.contract import Contract, ViewResult
from discount.api.parquet import parquet_response
from discount.api.schemas.common import BrandId, brand_in, moment_in
from discount.api.schemas.history import (
    ChangeOut,
    ChangePage,
    ChangesQuery,
    CodeIn,
    ExportQuery,
    FiguresOfBrandOut,
    FiguresOfDiscountOut,
    FiguresQuery,
    ForecastOut,
    FoundCodeOut,
)
from discount.api.streaming import csv_response, ndjson_response
from discount.domain.errors import Invalid
from discount.domain.model import to_text
from discount.ledger import exports
from discount.ledger.figures import MOST_STEPS, Figures
from discount.ledger.found_codes import find
from discount.ledger.history import History
from discount.ledger.rows import STEPS
from discount.store.connection import Store

_MONTH = 30 * STEPS["day"]


def add_routes(contract: Contract, store: Store, history: History) -> None:
    """Declare the operations of the past."""

    @contract.declare(
        "POST",
        "/code",
        tag="history",
        scopes=("read",),
        answers={200: FoundCodeOut},
        refusals=("not-found", "no-ledger"),
    )
    def find_code(body: CodeIn) -> ViewResult:
        """Find a code: its discount, who was granted it, what happened since, and what was sent about it."""
        return FoundCodeOut.of(find(store, history, brand_in(body.brand_id, "/brand_id"), body.code)), 200

    @contract.declare(
        "GET",
        "/discount/{discount_id}/figures",
        tag="history",
        scopes=("read",),
        answers={200: FiguresOfDiscountOut},
        refusals=("not-found", "no-ledger"),
    )
    def show_figures_of_discount(discount_id: str, query: FiguresQuery) -> ViewResult:
        """Show the figures of a discount over time, and when its codes run out."""
        report = Figures(store, history.database).of_discount(discount_id, query.step, *_times(store, query))
        forecast = ForecastOut.of(report.forecasts[0]) if report.forecasts else None
        return FiguresOfDiscountOut.of(query.step, report, forecast=forecast), 200

    @contract.declare(
        "GET",
        "/brand/{brand_id}/figures",
        tag="history",
        scopes=("read",),
        answers={200: FiguresOfBrandOut},
        refusals=("not-found", "no-ledger"),
    )
    def show_figures_of_brand(brand_id: str, query: FiguresQuery) -> ViewResult:
        """Show the figures of all discounts of a brand over time, and which of them run out first."""
        report = Figures(store, history.database).of_brand(brand_id, query.step, *_times(store, query))
        return FiguresOfBrandOut.of(query.step, report, forecasts=list(map(ForecastOut.of, report.forecasts))), 200

    @contract.declare(
        "GET",
        "/brand/{brand_id}/export/{table}",
        tag="history",
        scopes=("read",),
        answers={200: None},
        produces=("text/csv", "application/x-ndjson", "application/vnd.apache.parquet"),
        refusals=("not-found", "no-ledger"),
    )
    def export_table(brand_id: BrandId, table: exports.TableName, query: ExportQuery) -> ViewResult:
        """Export a brand's rows of one table of the ledger, in the order of their time, as a file."""
        until = moment_in(query.until, "to")
        until = store.now() if until is None else until
        since = moment_in(query.since, "from") or 0
        if since >= until:
            raise Invalid("from", "must be before `to`")
        rows = exports.read(history.database, table, brand_id, since, until)
        columns = exports.EXPORTS[table].columns
        if query.format == "parquet":
            return parquet_response(table, columns, rows)
        texts = ({name: _shown(kind, row[name]) for name, kind in columns.items()} for row in rows)
        if query.format == "ndjson":
            return ndjson_response(table, texts)
        return csv_response(table, tuple(columns), (tuple(map(_cell, row.values())) for row in texts))

    @contract.declare(
        "GET",
        "/change",
        tag="history",
        scopes=("read",),
        answers={200: ChangePage},
        refusals=("no-ledger",),
    )
    def list_changes(query: ChangesQuery) -> ViewResult:
        """List what was changed about a brand's discounts and by whom, newest first."""
        brand_id = brand_in(query.brand_id, "brand_id")
        until = moment_in(query.until, "to")
        page = history.list_changes(
            brand_id,
            discount_id=query.discount_id,
            since=moment_in(query.since, "from") or 0,
            until=store.now() + 1 if until is None else until,
            after=query.after,
            limit=query.limit,
        )
        return ChangePage([ChangeOut.of(each) for each in page.items], page.next), 200


def _times(store: Store, query: FiguresQuery) -> tuple[int, int]:
    """Return the beginning and the end that a query asks for.

    Raises:
        Invalid: the beginning is not before the end, or there are too many steps between them.
    """
    given = moment_in(query.until, "to")
    until = store.now() if given is None else given
    since = moment_in(query.since, "from")
    since = until - min(_MONTH, MOST_STEPS * STEPS[query.step]) if since is None else since
    if since >= until:
        raise Invalid("from", "must be before `to`")
    if (until - since) // STEPS[query.step] > MOST_STEPS:
        raise Invalid("step", f"gives more than {MOST_STEPS:,} steps; take a longer step or a shorter time")
    return since, until


def _shown(kind: exports.Kind, value: Any) -> Any:
    return to_text(value) if kind == "time" and value is not None else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
