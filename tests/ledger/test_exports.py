"""Exports of the ledger's tables: whole, of one brand alone, and safe in a spreadsheet."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from discount.app import create_app
from discount.config import Settings
from discount.ledger import exports
from discount.ledger.database import Database
from discount.ledger.exports import EXPORTS
from discount.ledger.tables import METADATA
from discount.services import revocations
from tests.ledger.test_consumer import read_all, redeem
from tests.services.harness import ServiceHarness

Ask = Callable[[str], Any]


@pytest.fixture
def ask(harness: ServiceHarness, database: Database) -> Ask:
    url = database.url.render_as_string(hide_password=False).replace("+psycopg", "")
    app = create_app(Settings(ledger_url=url, dialects="off"), harness.store)
    return lambda path: app.test_client().get(path, base_url="http://localhost")


def rows_of(table: exports.TableName, database: Database, brand: str = "IKEA") -> list[dict[str, Any]]:
    return list(exports.read(database, table, brand, 0, 2**62))


def filled(harness: ServiceHarness, database: Database) -> str:
    """Fill every table for two brands."""
    found = ""
    for brand in ("Other", "IKEA"):
        found = harness.create(total=9, brand=brand, metadata={"for": "=1+1"}).id
        for user in ("ann", "=cmd|' /C calc'!A0", "bob"):
            code = harness.grant(found, user).code
            redeem(harness, found, user, code, f"{brand}-{user}")
        harness.change(found, total_count=10)
        revocations.revoke(harness.store, found, "bob", reason="-stolen")
        imported = harness.create_kind("imported", total=0, brand=brand).id
        harness.import_lines(imported, [f"@{brand} 1", "Own 2"])
    read_all(harness, database)
    return found


def test_each_table_of_brands_is_exported_with_all_that_is_not_only_the_ledger_s() -> None:
    of_the_ledger = {"positions", "installation", "copies", "copy_positions"}
    assert {each.table.name for each in EXPORTS.values()} == set(METADATA.tables) - of_the_ledger
    for each in EXPORTS.values():
        names = {column.name for column in each.table.columns}
        assert set(each.hidden) <= names
        assert "key" not in each.columns
        # Pages go on by an index.
        own = [tuple(column.name for column in index.columns) for index in each.table.indexes]
        assert any(index[0] == "brand_id" and index[1] == each.order[0] for index in own), each.table.name


def test_a_file_has_every_row_of_the_brand_and_none_of_another(
    harness: ServiceHarness, database: Database, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PAGE", 2)
    filled(harness, database)
    for name in EXPORTS:
        rows = rows_of(name, database)
        assert rows
        assert {row["brand_id"] for row in rows} == {"IKEA"}
        keys = [tuple(row[each] for each in EXPORTS[name].order if each in row) for row in rows]
        assert keys == sorted(keys)
        shown = list(csv.reader(io.StringIO(ask(f"/brand/IKEA/export/{name}").text)))
        assert shown[0] == list(EXPORTS[name].columns)
        assert len(shown) == len(rows) + 1
        lines = ask(f"/brand/IKEA/export/{name}?format=ndjson").text.splitlines()
        assert [json.loads(line)["brand_id"] for line in lines] == ["IKEA"] * len(rows)
        table = parquet.read_table(io.BytesIO(ask(f"/brand/IKEA/export/{name}?format=parquet").data))
        assert table.num_rows == len(rows)
        assert table.column_names == list(EXPORTS[name].columns)
    assert ask("/brand/Nobody/export/grants").text == ",".join(EXPORTS["grants"].columns) + "\r\n"


def test_values_are_the_same_in_each_format(harness: ServiceHarness, database: Database, ask: Ask) -> None:
    discount = filled(harness, database)
    row = rows_of("redemptions", database)[0]
    line = json.loads(ask("/brand/IKEA/export/redemptions?format=ndjson").text.splitlines()[0])
    table = parquet.read_table(io.BytesIO(ask("/brand/IKEA/export/redemptions?format=parquet").data))
    kept = table.slice(0, 1).to_pylist()[0]
    assert (line["discount_id"], line["amount"], line["metadata"]) == (discount, 1000, {})
    assert line["redeemed_at"] == kept["redeemed_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert int(kept["redeemed_at"].timestamp() * 1_000_000) == pytest.approx(row["redeemed_at"], abs=1)
    assert table.schema.field("redeemed_at").type == pyarrow.timestamp("us", tz="UTC")
    assert (kept["amount"], kept["metadata"], kept["hold_until"]) == (1000, "{}", None)


def test_a_spreadsheet_runs_nothing(harness: ServiceHarness, database: Database, ask: Ask) -> None:
    filled(harness, database)
    for name in EXPORTS:
        for row in csv.reader(io.StringIO(ask(f"/brand/IKEA/export/{name}").text)):
            assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row), row
    users = [row[1] for row in csv.reader(io.StringIO(ask("/brand/IKEA/export/grants").text))]
    assert "'=cmd|' /C calc'!A0" in users


def test_rows_are_chosen_by_time(harness: ServiceHarness, database: Database, ask: Ask) -> None:
    filled(harness, database)
    times = [json.loads(line)["at"] for line in ask("/brand/IKEA/export/grants?format=ndjson").text.splitlines()]
    assert len(times) == 3
    chosen = ask(f"/brand/IKEA/export/grants?format=ndjson&from={times[1]}&to={times[2]}")
    assert chosen.status_code == 200, chosen.text
    assert [json.loads(line)["at"] for line in chosen.text.splitlines()] == times[1:2]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("positions", "table"),
        ("grants;DROP TABLE grants", "table"),
        ("grants?format=xml", "format"),
        ("grants?from=2026-11-26T00:00:00Z&to=2026-11-25T00:00:00Z", "from"),
        ("grants?since=2026-11-26T00:00:00Z", "since"),
    ],
)
def test_bad_input_is_named(ask: Ask, path: str, named: str) -> None:
    answer = ask(f"/brand/IKEA/export/{path}")
    assert answer.status_code == 422, answer.text
    (error,) = answer.get_json()["errors"]
    assert named in (error.get("parameter"), error["pointer"].lstrip("/") if "pointer" in error else None)


def test_without_pyarrow_parquet_is_refused_and_csv_is_not(
    harness: ServiceHarness, database: Database, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(harness, database)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    answer = ask("/brand/IKEA/export/grants?format=parquet")
    assert (answer.status_code, answer.get_json()["type"]) == (422, "/problems/invalid")
    assert "pip install .[parquet]" in answer.text
    assert ask("/brand/IKEA/export/grants").status_code == 200
