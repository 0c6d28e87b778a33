"""The benchmarks still run and print their tables: small numbers, and no check of speed."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench import capacity, compare, console, growth, imports, memory, over_http, script, startup, tables
from bench.peers import programs as peer_programs
from bench.peers import sender
from bench.peers.contest import Contest
from bench.peers.programs import Peer
from tests.support.needs import need
from tests.support.patience import PATIENCE
from tests.support.service import Service, ask, create

ROOT = Path(__file__).parents[2]


def rows(text: str) -> list[list[str]]:
    """Return the rows of the tables in a text, without their heads."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    heads = {number - 1 for number, each in enumerate(cells) if set(each) == {"---"}}
    return [each for number, each in enumerate(cells) if number not in heads and set(each) != {"---"}]


def names(text: str) -> list[str]:
    return [each[0] for each in rows(text)]


def test_single_calls_are_measured_beside_a_no_op(capsys: pytest.CaptureFixture[str]) -> None:
    over_http.run(1, 64, workers=1, connections=4)
    printed = names(capsys.readouterr().out)
    assert printed[:2] == ["Flask no-op", "grant"]
    assert printed[13:] == [name for name, _, _ in over_http.BARS]
    assert tables.kept["http: grant"]["rate"] > 0


def test_layers_are_measured() -> None:
    # In a process of its own: it sets up the log.
    words = [sys.executable, "-c", "from bench import layers; layers.run(1)"]
    printed = names(
        subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
    )
    assert {"grant: the script, in Redis", "redemption: read, past the server's parser"} <= set(printed)


def test_bulk_is_measured_beside_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    script.run(1, 1200)
    printed = names(capsys.readouterr().out)
    assert {script.PACKED, "HTTP, 1,200 a call, 1 worker", "the longest script"} <= set(printed)


def test_the_start_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    startup.run(1, 64)
    printed = names(capsys.readouterr().out)
    assert printed[4:8] == ["a worker", "the master"] * 2
    assert printed[-1] == "all"


def test_constant_costs_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    growth.run((1_000,), (10, 20), 1, users=(100, 1_000))
    assert {"PING", "grant, 1,000 codes", "create, 10 codes", "grant"} <= set(names(capsys.readouterr().out))


def test_memory_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    memory.run((1_000,), 1_000)
    printed = rows(capsys.readouterr().out)
    assert [each[1] for each in printed if each[0] == "unique"] == ["1,000", "1,000"]
    assert tables.kept["memory: redemption"]["bytes"] > 100


def test_imports_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    imports.run(500, 1)
    uploads = [upload.name for upload in imports.UPLOADS]
    assert names(capsys.readouterr().out) == [name for name in uploads for _ in ("new", "again")]


def test_two_endpoints_are_compared(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    discount_id = create(service.urls[0], 1_000)
    path, body = f"/discount/{discount_id}/grant", '{"user_id": "User {n}"}'
    words = ["--ours", service.urls[0] + path, "--theirs", service.urls[1] + path, "--connections", "4"]
    options = ["--ours-body", body, "--theirs-body", body, "--rounds", "2", "--requests", "40"]
    compare.main([*words, *options, "--theirs-header", "X-Mine: yes"])
    printed = {each[0]: each[-1] for each in rows(capsys.readouterr().out)}
    assert printed == {"ours": "201: 80", "theirs": "201: 80"}
    # The rounds that warm up grant too.
    assert ask(service.urls[0], "GET", f"/discount/{discount_id}").json["granted_count"] == 240


def test_peers_take_turns_with_the_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("cc")
    program = peer_programs.build_sender(tmp_path)
    noop = peer_programs.PEERS[0]
    unable = Peer("a peer that ends at once", ("false",))
    with ExitStack() as started:
        contest = Contest(program, tmp_path, [noop, unable], started, rounds=1, most=64)
        turns = contest.run(4)
        contest.show(4, turns, contest.count_system_calls(4))
    assert list(turns) == ["grant", "grant with an API key", "redemption", noop.name]
    assert all(turn.app_us > 0 and turn.rate > 0 for several in turns.values() for turn in several)
    assert names(capsys.readouterr().out) == [*turns, *turns]
    assert list(contest.failed) == [unable.name]


def test_an_answer_with_another_status_ends_the_comparison(service: Service, tmp_path: Path) -> None:
    need("cc")
    program = peer_programs.build_sender(tmp_path)
    requests = over_http.grant_requests("dsc-none", range(8))
    with pytest.raises(RuntimeError, match="404"):
        sender.send(program, service.ports[0], requests, 2, 201)
    assert sender.send(program, service.ports[0], requests, 2, 404).answered == 8


def test_only_plain_http_is_compared() -> None:
    with pytest.raises(SystemExit, match="https://x"):
        compare.main(["--ours", "https://x", "--theirs", "http://x"])


def test_the_scale_page_shows_the_calculated_figures(capsys: pytest.CaptureFixture[str]) -> None:
    capacity.main(["--simulate"])
    page = rows((ROOT / "doc" / "scale.md").read_text(encoding="utf-8"))
    reckoned = rows(capsys.readouterr().out)
    assert len(reckoned) > 20
    assert [each for each in reckoned if each not in page] == []


def test_a_missing_measurement_is_named(tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_text(json.dumps({"http: grant": {}}))
    with pytest.raises(SystemExit, match="http: grant"):
        capacity.main(["--figures", str(tmp_path / "figures.json")])


def test_the_console_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    console.run(3, 1, 64, seconds=0.05)
    printed = names(capsys.readouterr().out)
    assert printed[0] == "/console/discounts"
    assert printed[-3:] == ["no console", "no console, after / before", f"{console.CONSOLES} consoles"]
