"""`python -m discount` as a process on a real Redis; an error is one line."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from discount.api.schemas.codes import ImportOut
from discount.api.schemas.discounts import DiscountOut, DiscountPage
from discount.api.schemas.grants import GrantOut, GrantsOut
from discount.app import create_app
from discount.config import Settings
from discount.store.connection import Store
from tests.support.commands import Commands
from tests.support.patience import PATIENCE
from tests.support.ports import Port
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
HOLDER = "User 1"

Completed = subprocess.CompletedProcess[str]
Call = Callable[..., Completed]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A Redis for this file only, as its statistics are counted."""
    with RedisServer() as running:
        yield running


@pytest.fixture
def http(server: RedisServer) -> FlaskClient:
    """The same data over HTTP."""
    settings = Settings(redis_url=server.url)
    return create_app(settings, Store.at(server.url, PATIENCE, settings.partitions)).test_client()


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    with Commands() as running:
        yield running


@pytest.fixture
def call(commands: Commands, server: RedisServer, tmp_path: Path) -> Call:
    """Run a command to its end in a folder of its own."""

    def run(*words: str | bytes, stdin: Any = None, **environment: str) -> Completed:
        settings = {"REDIS_URL": server.url, "REDIS_TIMEOUT": "30", **environment}
        return commands.run(*words, folder=tmp_path, environment=settings, stdin=stdin)

    return run


@pytest.fixture
def answer(call: Call) -> Callable[..., str]:
    """Run a command that must succeed, and return its output."""

    def run(*words: str, stdin: Any = None) -> str:
        done = call(*words, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, ""), done
        return str(done.stdout)

    return run


def shaped(text: str, shape: Any) -> Any:
    """Check that the output is one line in the shape of HTTP's answer, and return it."""
    assert text.count("\n") == 1
    assert text.endswith("\n")
    msgspec.json.decode(text, type=shape)
    return json.loads(text)


def table(text: str) -> list[list[str]]:
    """Return the cells of a table whose columns are two spaces apart."""
    return [re.split(r"  +", line.strip()) for line in text.splitlines()]


def together(*calls: Callable[[], Completed]) -> list[Completed]:
    """Run several commands at once."""
    with ThreadPoolExecutor(4) as pool:
        return [each.result() for each in [pool.submit(one) for one in calls]]


def wrong(done: Completed) -> str:
    """Return the line that says what is wrong."""
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("discount: "), done.stderr
    return str(done.stderr.removeprefix("discount: ").rstrip("\n"))


def test_a_new_process_gives_the_same_output(
    answer: Callable[..., str], call: Call, server: RedisServer, tmp_path: Path
) -> None:
    found = json.loads(answer("create", "IKEA", "Christmas 2020 discount", "--total", "3", "--json"))

    def anew(*words: str) -> Completed:
        return subprocess.run(
            [sys.executable, "-m", "discount", *words],
            cwd=tmp_path,
            env=os.environ | {"REDIS_URL": server.url, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    for words, code in ((("show", found["id"]), 0), (("show", "dsc-x"), 1), (("show",), 2)):
        done, warm = anew(*words), call(*words)
        assert done.returncode == code
        assert (done.returncode, done.stdout, done.stderr) == (warm.returncode, warm.stdout, warm.stderr)


def test_the_commands_of_the_page_of_codes_work_one_after_the_other(
    answer: Callable[..., str], http: FlaskClient, tmp_path: Path
) -> None:
    (tmp_path / "codes.csv").write_text("code\nA1\nB2\n")
    page = (ROOT / "doc" / "codes.md").read_text(encoding="utf-8")
    lines = [shlex.split(line)[1:] for line in page.splitlines() if line.startswith(".venv/bin/discount ")]
    outputs, discount_id = dict[str, str](), "none"
    for words in lines:
        outputs[words[0]] = answer(*(word.replace("dsc-…", discount_id) for word in words))
        if words[0] == "create":
            discount_id = re.findall(r"dsc-\w+", outputs["create"])[0]
    assert list(outputs) == ["create", "import", "grant", "export"]
    assert outputs["grant"] == "A1\n"
    assert (tmp_path / "all.csv").read_bytes() == http.get(f"/discount/{discount_id}/codes").data


def test_the_command_line_takes_a_discount_through_its_whole_life(
    answer: Callable[..., str], call: Call, http: FlaskClient
) -> None:
    printed = answer("create", "IKEA", "Christmas 2020 discount", "--total", "3", "--prefix", "XMAS-", "--json")
    found = shaped(printed, DiscountOut)
    address = f"/discount/{found['id']}"
    assert found == http.get(address).get_json()
    assert (found["total_count"], found["codes"]["pattern"]) == (3, "XMAS-####-####-####")

    code = answer("grant", found["id"], HOLDER)
    assert code == http.get(f"{address}/grant", query_string={"user_id": HOLDER}).get_json()["code"] + "\n"
    assert code.startswith("XMAS-")
    again = shaped(answer("grant", found["id"], HOLDER, "--json"), GrantOut)
    assert again == http.get(f"{address}/grant", query_string={"user_id": HOLDER}).get_json()

    many = call("grant", found["id"], "A", HOLDER, "B", "C", "A", "--json")
    assert (many.returncode, many.stderr) == (1, ""), "one of them got none"
    outcomes = shaped(many.stdout, GrantsOut)["grants"]
    assert [each["user_id"] for each in outcomes] == ["A", HOLDER, "B", "C", "A"]
    assert [each["granted"] for each in outcomes] == [True, True, True, False, True]
    assert (outcomes[3], outcomes[4]["code"]) == (
        {"user_id": "C", "granted": False, "refusal": "sold-out"},
        outcomes[0]["code"],
    )
    assert http.post(f"{address}/grants", json={"user_ids": ["A", HOLDER, "B", "C", "A"]}).get_json() == json.loads(
        many.stdout
    )

    shown = shaped(answer("show", found["id"], "--json"), DiscountOut)
    assert shown == http.get(address).get_json()
    assert (shown["granted_count"], shown["status"]) == (3, "sold-out")
    rows = dict(row for row in table(answer("show", found["id"])) if len(row) == 2)
    assert (rows["id"], rows["discount_code"], rows["remaining_count"]) == (found["id"], found["discount_code"], "0")
    done = call("grant", found["id"], "A", "D")
    assert (done.returncode, done.stderr) == (1, "")
    assert table(done.stdout) == [["user", "code"], ["A", outcomes[0]["code"]], ["D", "(sold-out)"]]


def test_discounts_are_listed_and_counted(answer: Callable[..., str], http: FlaskClient, server: RedisServer) -> None:
    with server.client() as redis:
        redis.flushall()
    made = []
    for number in range(3):
        body = {"brand_id": "IKEA", "discount_code": f"No {number}", "total_count": 1500 + number}
        made.append(http.post("/discount", json=body).get_json())
    shared = {"brand_id": "Zoo", "discount_code": "Spring", "codes": {"kind": "shared", "code": "SPRING"}}
    made.append(http.post("/discount", json=shared).get_json())
    http.patch(f"/discount/{made[0]['id']}", json={"paused": True})
    http.post(f"/discount/{made[1]['id']}/grant", json={"user_id": HOLDER})

    everything = shaped(answer("list", "--json"), DiscountPage)
    assert everything == http.get("/discount").get_json()
    assert [each["id"] for each in everything["discounts"]] == [each["id"] for each in reversed(made)]
    first = shaped(answer("list", "--json", "--limit", "2"), DiscountPage)
    assert first["discounts"] == http.get("/discount?limit=2").get_json()["discounts"]
    assert first["next"]
    paused = shaped(answer("list", "--json", "--brand", "IKEA", "--status", "paused"), DiscountPage)
    assert [each["id"] for each in paused["discounts"]] == [made[0]["id"]]
    assert table(answer("list", "--brand", "IKEA")) == [
        ["id", "brand", "name", "codes", "status", "granted", "total"],
        [made[2]["id"], "IKEA", "No 2", "unique", "active", "0", "1,502"],
        [made[1]["id"], "IKEA", "No 1", "unique", "active", "1", "1,501"],
        [made[0]["id"], "IKEA", "No 0", "unique", "paused", "0", "1,500"],
    ]
    assert json.loads(answer("stats", "--json")) == {
        "discounts": {"active": 3, "paused": 1},
        "granted_count": 1,
        "remaining_count": 4502,
    }
    assert table(answer("stats", "--brand", "Zoo")) == [
        ["discounts"], ["active", "1"], ["codes"], ["granted", "0"], ["remaining", "0"]
    ]  # fmt: skip


def test_codes_are_imported_from_and_exported_to_files(
    answer: Callable[..., str], call: Call, http: FlaskClient, tmp_path: Path
) -> None:
    found = json.loads(answer("create", "IKEA", "Own codes", "--kind", "imported", "--json"))
    assert found["codes"] == {"kind": "imported"}
    (tmp_path / "codes.txt").write_bytes("\ufeffA1\r\nB2\r\n".encode())
    done = answer("import", found["id"], "codes.txt", "--json")
    assert shaped(done, ImportOut) == {
        "discount_id": found["id"],
        "added_count": 2,
        "repeated_count": 0,
        "bad_count": 0,
        "lines": [],
    }
    (tmp_path / "codes.csv").write_text('note,Code\n"a, b","=1+1"\nx,a-1\ny,\n', encoding="utf-8")
    by_column = call("import", found["id"], "codes.csv", "--column", "Code")
    assert (by_column.returncode, by_column.stdout) == (0, "1 added, 1 already known, 1 invalid\n")
    assert by_column.stderr == "line 3: was imported already\nline 4: is empty\n"
    (tmp_path / "codes.json").write_text('{"codes": ["D4", "E5"]}', encoding="utf-8")
    assert answer("import", found["id"], "codes.json") == "2 added, 0 already known, 0 invalid\n"
    (tmp_path / "unnamed").write_text("code\nF6\n", encoding="utf-8")
    with (tmp_path / "unnamed").open("rb") as file:
        assert answer("import", found["id"], "-", "--format", "csv", stdin=file).startswith("1 added")

    address = f"/discount/{found['id']}"
    http.post(f"{address}/grant", json={"user_id": HOLDER})
    as_csv = answer("export", found["id"])
    assert as_csv.startswith("code,state,user_id,granted_at\n")
    assert as_csv == http.get(f"{address}/codes").text.replace("\r\n", "\n")
    codes = [row["code"] for row in csv.DictReader(io.StringIO(as_csv))]
    assert codes == ["B2", "'=1+1", "D4", "E5", "F6", "A1"]
    assert answer("export", found["id"], "out.csv") == ""
    assert (tmp_path / "out.csv").read_bytes() == http.get(f"{address}/codes").data
    assert answer("export", found["id"], "out.ndjson", "--format", "ndjson") == ""
    assert (tmp_path / "out.ndjson").read_bytes() == http.get(f"{address}/codes?format=ndjson").data
    lines = [json.loads(line) for line in (tmp_path / "out.ndjson").read_text("utf-8").splitlines()]
    assert [line["code"] for line in lines] == ["B2", "=1+1", "D4", "E5", "F6", "A1"]
    assert lines[-1]["user_id"] == HOLDER
    (tmp_path / "moved.csv").write_text("code,user_id,uses\nG7,Mover,2\nA1,Mover,\n", encoding="utf-8")
    moved = call("move-in", found["id"], "moved.csv")
    assert moved.stdout == "1 granted, 0 waiting, 2 uses, 0 already known, 1 refused\n"
    assert moved.stderr == "line 3: the user holds another code of this discount\n"


def test_a_mistake_is_reported_in_one_line(call: Call, http: FlaskClient, tmp_path: Path) -> None:
    own = http.post(
        "/discount", json={"brand_id": "IKEA", "discount_code": "Own", "codes": {"kind": "imported"}}
    ).get_json()["id"]
    unique = http.post("/discount", json={"brand_id": "IKEA", "discount_code": "A", "total_count": 1}).get_json()["id"]
    (tmp_path / "codes.csv").write_text("number\nA1\n", encoding="utf-8")
    (tmp_path / "codes.txt").write_text("A1\n", encoding="utf-8")
    (tmp_path / "kept.csv").write_text("kept", encoding="utf-8")
    calls: dict[tuple[str, ...], str] = {
        ("create", "IKEA", "A"): "invalid: --total is missing.",
        ("create", "{00}", "A", "--total", "3"): "invalid: BRAND has '{' (U+007B) as character 1",
        ("create", "IKEA", "A", "--total", "many"): "invalid: --total is not a whole number.",
        ("create", "IKEA", "A", "--total", "3", "--pattern", "##"): "invalid: --pattern does not fit: ## gives",
        ("create", "IKEA", "A", "--total", "3", "--code", "X"): "invalid: --code does not belong to",
        ("create", "IKEA", "A", "--kind", "personal", "--template", "{x}"): "invalid: --template has a",
        ("create", "IKEA", "A", "--total", "3", "--starts-at", "soon"): "invalid: --starts-at is not a time",
        ("show", "dsc-x"): "not-found: ",
        ("grant", "dsc-x", "A"): "not-found: ",
        ("grant", unique, "A", "a/b"): "invalid: USER... has '/' (U+002F) as character 2",
        ("import", own, "codes.csv"): "invalid: --column 'code' is not a column of the first line.",
        ("import", unique, "codes.txt"): "wrong-kind: ",
        ("export", "dsc-x", "kept.csv"): "not-found: ",
    }
    for done, reason in zip(
        together(*(lambda words=words: call(*words) for words in calls)), calls.values(), strict=True
    ):
        assert wrong(done).startswith(reason)
    assert (tmp_path / "kept.csv").read_text("utf-8") == "kept"
    assert http.get(f"/discount/{unique}").get_json()["granted_count"] == 0
    assert http.get(f"/discount/{own}").get_json()["total_count"] == 0


def test_an_unreachable_redis_is_reported_in_one_line(call: Call, tmp_path: Path) -> None:
    with Port() as nobody:
        urls = {
            f"redis://{nobody.address}": "unavailable: Redis cannot be reached.",
            f"unix://{tmp_path}/nothing": "unavailable: Redis cannot be reached.",
            "http://127.0.0.1": "REDIS_URL='http://127.0.0.1': ",
        }
        lines = together(*(lambda url=url: call("stats", REDIS_URL=url) for url in urls))
    for done, reason in zip(lines, urls.values(), strict=True):
        assert wrong(done).startswith(reason)


def test_a_redis_with_another_layout_is_reported_in_one_line(call: Call, http: FlaskClient) -> None:
    http.get("/discount")
    assert wrong(call("list", PARTITIONS="4")) == "this Redis holds data with partitions 16, the setting says 4"


def test_unknown_arguments_are_refused_without_a_traceback(call: Call) -> None:
    calls = [("make",), ("create", "IKEA"), ("create", "IKEA", "A", "--kind", "secret"), ("import", "dsc-x", "missing")]
    calls += [("list", "--status", "open"), ("grant", "dsc-x"), ("redemption", "redeem", "Ann", "A1"), ("user", "set")]
    for done in together(*(lambda words=words: call(*words) for words in calls)):
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[-1].startswith("Error: ")
        assert "Traceback" not in done.stderr


def test_codes_are_imported_from_a_pipe_and_an_empty_file_has_none(
    answer: Callable[..., str], http: FlaskClient, tmp_path: Path
) -> None:
    body = {"brand_id": "IKEA", "discount_code": "Own", "codes": {"kind": "imported"}}
    own = http.post("/discount", json=body).get_json()["id"]
    with subprocess.Popen(["printf", r"A1\nB2\n"], stdout=subprocess.PIPE) as source:
        assert answer("import", own, "-", stdin=source.stdout) == "2 added, 0 already known, 0 invalid\n"
    (tmp_path / "empty.txt").touch()
    assert answer("import", own, "empty.txt") == "0 added, 0 already known, 0 invalid\n"
    assert http.get(f"/discount/{own}").get_json()["total_count"] == 2


def test_tables_show_brand_text_unchanged_at_any_length(answer: Callable[..., str], http: FlaskClient) -> None:
    name = r"\[/x] :warning: [bold]b[/bold] " + "long " * 30 + "name"
    body = {"brand_id": "Long " * 20 + "Brand", "discount_code": name, "total_count": 1}
    found = http.post("/discount", json=body).get_json()
    row = [found["id"], found["brand_id"], name, "unique", "active", "0", "1"]
    assert table(answer("list", "--brand", found["brand_id"]))[1] == row
    assert ["discount_code", name] in table(answer("show", found["id"]))


def test_invalid_utf8_json_or_addresses_are_reported_in_one_line(call: Call, http: FlaskClient, tmp_path: Path) -> None:
    body = {"brand_id": "IKEA", "discount_code": "Own", "codes": {"kind": "imported"}}
    own = http.post("/discount", json=body).get_json()["id"]
    (tmp_path / "cut.json").write_text('{"codes": ["A1"', encoding="utf-8")
    results = together(
        lambda: call("create", "IKEA", b"\xff", "--total", "3"),
        lambda: call("create", "IKEA", "A", "--kind", "shared", "--code", b"\xff"),
        lambda: call("import", own, "cut.json"),
        lambda: call("stats", REDIS_URL="redis://localhost:port"),
    )
    reasons = ("invalid: NAME is not UTF-8.", "invalid: --code is not UTF-8.", "malformed: ", "REDIS_URL: ")
    for one, reason in zip(results, reasons, strict=True):
        assert wrong(one).startswith(reason)
