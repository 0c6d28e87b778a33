"""Shapes of imports and exports of codes."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from discount.api.schemas.common import Shape
from discount.domain import model
from discount.services import (
    code_pools,
    exports,
)


class ImportedLine(Shape):
    """A line that was not added, counted from 1, and the reason."""

    line: int
    reason: Annotated[str, Meta(examples=["was imported already"])]


class ImportOut(Shape):
    """The result of an import. `lines` has the first hundred lines that were not added."""

    discount_id: str
    added_count: int
    repeated_count: int
    bad_count: int
    lines: list[ImportedLine]

    @classmethod
    def of(cls, discount_id: str, report: code_pools.Report) -> "ImportOut":
        lines = [ImportedLine(each.line, each.reason) for each in report.lines]
        return cls(discount_id, report.added_count, report.repeated_count, report.bad_count, lines)


class ImportQuery(Shape):
    column: Annotated[str, Meta(min_length=1, max_length=64, description="The CSV column with the codes.")] = "code"


class ExportQuery(Shape):
    format: Literal["csv", "ndjson"] = "csv"


class ExportedRow(Struct, omit_defaults=True):
    """A line of an export in NDJSON."""

    code: str
    state: str
    user_id: str = ""
    granted_at: str = ""

    @classmethod
    def of(cls, each: exports.ExportedCode) -> "ExportedRow":
        return cls(each.code, each.state, each.user_id, (each.granted_at and model.to_text(each.granted_at)) or "")
