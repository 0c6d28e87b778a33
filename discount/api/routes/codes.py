"""Routes of codes: import, moving in, export, and a granted code as a picture or a page."""

from functools import lru_cache
from io import BytesIO

import segno

from discount.api import html
from discount.api.contract import Contract, ViewResult
from discount.api.inputs import Upload
from discount.api.schemas.codes import ExportedRow, ExportQuery, ImportOut, ImportQuery
from discount.api.schemas.grants import GrantQuery, PictureQuery
from discount.api.schemas.moved_codes import COLUMNS, MovedOut, MoveQuery, moved_code
from discount.api.streaming import Stream, csv_response, ndjson_response
from discount.api.uploads import READERS, read_table
from discount.domain import model
from discount.services import (
    code_pools,
    discounts,
    exports,
    grant_records,
    moved_codes,
)
from discount.store.connection import Store

#: Bytes; ten million codes of 24 characters fit.
IMPORT_BODY = 256 * 1024 * 1024
#: Characters; pictures of longer codes always use the same mask.
SHORT = 64
_PICTURES = {"svg": "image/svg+xml", "png": "image/png"}
#: The page may run no script and load nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of codes."""

    @contract.declare(
        "POST",
        "/discount/{discount_id}/codes",
        tag="codes",
        scopes=("manage",),
        consumes=tuple(READERS),
        max_body=IMPORT_BODY,
        answers={200: ImportOut},
        refusals=("not-found", "closed", "wrong-kind", "quota-reached"),
    )
    def import_codes(discount_id: str, upload: Upload, query: ImportQuery, author: model.Author) -> ViewResult:
        """Import a brand's own codes: one on each line, a CSV column, or JSON `{"codes": […]}`. Skip known codes."""
        lines = READERS[upload.media_type](upload.stream, query.column, upload.encoding)
        report = code_pools.import_codes(store, discount_id, lines, author=author)
        return ImportOut.of(discount_id, report), 200

    @contract.declare(
        "POST",
        "/discount/{discount_id}/codes/move-in",
        tag="codes",
        scopes=("manage",),
        consumes=("text/csv",),
        max_body=IMPORT_BODY,
        answers={200: MovedOut},
        refusals=("not-found", "closed", "wrong-kind", "quota-reached"),
    )
    def move_in(discount_id: str, upload: Upload, query: MoveQuery, author: model.Author) -> ViewResult:
        """Move codes in from another service, with their users and uses so far: CSV with a column for each field."""
        rows = read_table(upload.stream, COLUMNS, ("user_id",), upload.encoding)
        lines = ((number, moved_code(cells)) for number, cells in rows)
        report = moved_codes.move_in(store, discount_id, lines, tells=query.tell, author=author)
        return MovedOut.of(discount_id, report), 200

    @contract.declare(
        "GET",
        "/discount/{discount_id}/codes",
        tag="codes",
        scopes=("manage",),
        answers={200: None},
        produces=("text/csv", "application/x-ndjson"),
        refusals=("not-found",),
    )
    def export_codes(discount_id: str, query: ExportQuery) -> ViewResult:
        """Export all codes, granted or not, as a stream of CSV or NDJSON."""
        rows = (ExportedRow.of(each) for each in exports.list_codes(store, discount_id))
        if query.format == "ndjson":
            return ndjson_response(f"{discount_id}-codes", rows)
        names = ExportedRow.__struct_fields__
        return csv_response(
            f"{discount_id}-codes", names, (tuple(getattr(row, name) for name in names) for row in rows)
        )

    @contract.declare(
        "GET",
        "/discount/{discount_id}/grant/picture",
        tag="codes",
        scopes=("read",),
        users=True,
        answers={200: None},
        produces=tuple(_PICTURES.values()),
        refusals=("not-found", "not-granted"),
    )
    def show_picture(discount_id: str, query: PictureQuery) -> ViewResult:
        """Show the code that a user holds as a QR code (ISO/IEC 18004)."""
        held = grant_records.held_grant(store, discount_id, query.user_id)
        return Stream([_picture(held.code, query.format)], _PICTURES[query.format])

    @contract.declare(
        "GET",
        "/discount/{discount_id}/grant/page",
        tag="codes",
        scopes=("read",),
        users=True,
        answers={200: None},
        produces=("text/html",),
        refusals=("not-found", "not-granted"),
    )
    def show_page(discount_id: str, query: GrantQuery) -> ViewResult:
        """Show the code that a user holds as a page for a till: the text, a QR code and how long it is valid."""
        held = grant_records.held_grant(store, discount_id, query.user_id)
        discount, now = discounts.show(store, discount_id)
        page = html.render(
            "till.html",
            discount=discount,
            state=_state(discount, held, now),
            code=held.code,
            picture=_picture(held.code, "svg").decode(),
            starts_at=discount.starts_at and model.to_time(discount.starts_at),
            good_until=held.good_until and model.to_time(held.good_until),
        )
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        return Stream([page], "text/html; charset=utf-8", headers)


def _state(discount: model.Discount, held: model.Grant, now: int) -> str:
    """Return the state of a code at a till. A closed or sold-out discount may still have valid codes."""
    if held.void:
        return "void"
    if held.good_until is not None and held.good_until <= now:
        return "ended"
    status = discount.status(now)
    return status if status in ("paused", "scheduled") else "good"


@lru_cache(maxsize=64)
def _picture(code: str, kind: str) -> bytes:
    drawn = BytesIO()
    options = {"xmldecl": False, "svgns": True, "omitsize": True} if kind == "svg" else {}
    # Trying all eight masks of a large picture takes most of the time. A scanner can read any of them.
    mask = None if len(code) <= SHORT else 0
    segno.make_qr(code, error="m", mask=mask).save(drawn, kind=kind, scale=8, **options)
    return drawn.getvalue()
