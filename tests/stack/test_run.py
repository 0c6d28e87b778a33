"""`discount run`, which `make run` starts: its own Redis, errors in one line, nothing left behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis.crc import key_slot

from tests.support.needs import need
from tests.support.patience import PATIENCE
from tests.support.ports import Port
from tests.support.redis_server import RedisServer
from tests.support.service import ask, create, wait_until

ROOT = Path(__file__).parents[2]


class Run:
    """A `discount run` on a free port and in a folder."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        self.output = folder / "output"
        # A timeout for Redis that a busy computer does not reach.
        ours = {"PORT": "0", "DATA": str(folder / "data"), "WORKERS": "1", "REDIS_TIMEOUT": "20"}
        inherited = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "LOG_FORMAT")}
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "discount", "run", *words],
                cwd=ROOT,
                env=inherited | ours | environment,
                stdout=output,
                stderr=output,
            )

    def url(self) -> str:
        found = wait_until(
            lambda: re.search(r"runs at (http://[\d.:]+)", self.output.read_text()) or self._ended(), "the URL"
        )
        assert not isinstance(found, bool), self.output.read_text()
        return str(found[1])

    def _ended(self) -> bool:
        return self.process.poll() is not None

    def family(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Any]:
    started: list[Run] = []

    def start(*words: str, **environment: str) -> Run:
        started.append(Run(tmp_path, *words, **environment))
        return started[-1]

    yield start
    for run in started:
        if run.process.poll() is None:
            run.process.terminate()
        run.process.wait(PATIENCE)


def call(method: str, url: str, body: str | None = None) -> str:
    words = [need("curl"), "-sS", "-X", method, url]
    if body is not None:
        words += ["-H", "Content-Type: application/json", "-d", body]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout


def all_gone(family: list[psutil.Process]) -> bool:
    return not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def redis_of(run: Run) -> psutil.Process:
    return next(process for process in run.family() if "redis" in process.name() or "valkey" in process.name())


def users_of(folder: Path) -> list[psutil.Process]:
    """Return the processes that work in a folder."""
    return [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(folder)]


CREATE = '{"brand_id": "IKEA", "discount_code": "Christmas 2020 discount", "total_count": 100}'


def test_data_survives_a_restart(runs: Any) -> None:
    first = runs()
    url = first.url()
    assert '"total_count":100' in call("POST", f"{url}/discount", CREATE)
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(PATIENCE) == 0
    first.output.unlink()
    assert '"discount_code":"Christmas 2020 discount"' in call("GET", f"{runs().url()}/discount")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_of_it(runs: Any, number: signal.Signals) -> None:
    run = runs(WORKERS="2")
    run.url()
    family = wait_until(
        lambda: len(run.family()) >= 7 and run.family(), "the launcher, Redis, gunicorn, all workers, the sink"
    )
    run.process.send_signal(number)
    assert run.process.wait(PATIENCE) == 0
    wait_until(lambda: all_gone(family), "no process left")


def test_a_killed_launcher_leaves_nothing_running(runs: Any) -> None:
    run = runs(WORKERS="2")
    run.url()
    family = run.family()
    run.process.kill()
    run.process.wait(PATIENCE)
    wait_until(lambda: all_gone(family), "no process left")


def test_a_signal_while_it_starts_stops_all_of_it(runs: Any, tmp_path: Path) -> None:
    run = runs()
    wait_until((tmp_path / "data" / "redis.log").exists, "Redis is being started")
    run.process.terminate()
    assert run.process.wait(PATIENCE) == 0
    wait_until(lambda: not users_of(tmp_path / "data"), "no process left in the folder")


def test_a_folder_in_use_by_a_server_is_refused_to_another_run(runs: Any, tmp_path: Path) -> None:
    first = runs()
    first.url()
    family = first.family()
    redis = redis_of(first)
    redis.suspend()
    first.process.kill()
    first.process.wait(PATIENCE)
    other = tmp_path / "other"
    other.mkdir()
    assert refusal(Run(other, DATA=str(tmp_path / "data"))).startswith("discount: another run uses ")
    redis.resume()
    wait_until(lambda: all_gone(family), "no process left")
    first.output.unlink()
    runs().url()


def test_a_cluster_goes_on_without_a_master_and_starts_again_with_the_same_data(runs: Any, tmp_path: Path) -> None:
    first = runs("--cluster")
    url = first.url()
    discount_id = create(url, 10)
    codes = {user: grant_code(url, discount_id, user) for user in ("User 1", "User 2")}
    number = 1 + key_slot(discount_id[4:6].encode()) * 3 // 16384
    users_of(tmp_path / "data" / "cluster" / f"node-{number}")[0].kill()
    for user, code in codes.items():
        assert wait_until(lambda user=user: grant_code(url, discount_id, user), "the code again") == code  # type: ignore[misc]
    family = first.family()
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(PATIENCE) == 0
    wait_until(lambda: all_gone(family), "no process left")
    first.output.unlink()
    again = runs("--cluster").url()
    for user, code in codes.items():
        assert grant_code(again, discount_id, user) == code


def grant_code(url: str, discount_id: str, user: str) -> str:
    """Return a user's code; empty if it is not granted at this moment."""
    answer = ask(url, "POST", f"/discount/{discount_id}/grant", {"user_id": user})
    return str(answer.json["code"]) if answer.status in (200, 201) else ""


def test_a_cluster_of_its_own_and_another_redis_exclude_each_other(runs: Any) -> None:
    assert refusal(runs("--cluster", REDIS_URL="redis://127.0.0.1:1")).startswith("discount: REDIS_URL: is set")


def test_a_server_that_ends_by_itself_ends_the_rest(runs: Any) -> None:
    run = runs()
    run.url()
    family = run.family()
    redis_of(run).kill()
    assert run.process.wait(PATIENCE) == 1
    assert "discount: Redis stopped unexpectedly" in run.output.read_text()
    wait_until(lambda: all_gone(family), "no process left")


@pytest.mark.parametrize("name", ["worker", "sink"])
def test_a_child_process_that_stops_unexpectedly_stops_all_others(runs: Any, name: str) -> None:
    run = runs()
    run.url()
    # The worker starts last, once the ledger has its tables.
    part = wait_until(lambda: part_of(run.family(), name), f"the {name}")
    family = run.family()
    part.kill()
    assert run.process.wait(PATIENCE) == 1
    assert f"discount: the {name} stopped unexpectedly" in run.output.read_text()
    wait_until(lambda: all_gone(family), "no process left")


def part_of(family: list[psutil.Process], name: str) -> psutil.Process | None:
    running = (process for process in family if process.status() != psutil.STATUS_ZOMBIE)
    try:
        return next((process for process in running if process.cmdline()[1:4] == ["-m", "discount", name]), None)
    except psutil.NoSuchProcess:
        return None


def test_a_granted_code_is_mailed_to_the_folder(runs: Any, tmp_path: Path) -> None:
    url = runs().url()
    assert ask(url, "PUT", "/user/User%201?brand_id=IKEA", {"email": "user@example.org"}).status == 200
    discount_id = create(url, 10)
    code = ask(url, "POST", f"/discount/{discount_id}/grant", {"user_id": "User 1"}).json["code"]
    found = wait_until(lambda: list((tmp_path / "data" / "mail").glob("[0-9]*.eml")), "an e-mail")
    assert code in found[0].read_text()


def commands_of(run: Run) -> tuple[str, str]:
    """Return the e-mail command and the example commands that a run prints once it is ready."""
    run.url()
    text = wait_until(lambda: "}'\n" in (text := run.output.read_text()) and text, "the whole text")
    mails = re.search(r"`(.+ mails.*)` lists them", text)
    assert mails, text
    return mails[1], text.partition(":\n\n")[2].partition("}'\n")[0] + "}'\n"


def bash(lines: str, **environment: str) -> str:
    need("curl")
    given = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATA")}
    return subprocess.run(
        ["bash", "-e", "-c", lines], cwd=ROOT, env=given | environment, capture_output=True, text=True, check=True
    ).stdout


def test_the_suggested_commands_work_in_the_starting_directory(runs: Any) -> None:
    mails, to_try = commands_of(runs())
    assert '"discount_code":"Christmas 2020 discount"' in bash(to_try)
    assert bash(mails).split() == ["received", "to", "subject", "file"]


def test_the_suggested_commands_work_with_tokens_and_its_settings(runs: Any, tmp_path: Path) -> None:
    settings = {"AUTH": "token", "ADMIN_KEY": "a" * 32, "SECRET": "s" * 32}
    mails, to_try = commands_of(runs(**settings))
    assert '"discount_code":"Christmas 2020 discount"' in bash(to_try, **settings, DATA=str(tmp_path / "data"))
    assert bash(mails).split() == ["received", "to", "subject", "file"]


def refusal(run: Run) -> str:
    assert run.process.wait(PATIENCE) == 1
    lines = run.output.read_text().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_taken_port_is_refused_in_one_line(runs: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal(runs(PORT=str(port))).startswith(f"discount: cannot listen on 127.0.0.1:{port}")


def test_an_unreachable_redis_is_named_in_one_line(runs: Any) -> None:
    with Port() as nobody:
        line = refusal(runs(REDIS_URL=f"redis://{nobody.address}"))
    assert line == "discount: REDIS_URL: Redis cannot be reached."


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "eighty"), ("PORT", "70000"), ("WORKERS", "0"), ("REDIS_URL", "http://x"), ("LOG_LEVEL", "x")],
)
def test_a_wrong_setting_is_refused_in_one_line_that_names_it(runs: Any, name: str, value: str) -> None:
    assert refusal(runs(**{name: value})).startswith(f"discount: {name}={value!r}: ")


@pytest.mark.parametrize(("name", "address"), [("HOST", "0.0.0.0"), ("ADDRESS", "shop.example")])
def test_an_open_service_for_other_machines_is_refused_in_one_line(runs: Any, name: str, address: str) -> None:
    line = refusal(runs(**{name: address}))
    assert line.startswith(f"discount: AUTH='open': anyone who reaches {address} could do anything; ")


def test_tokens_without_their_secrets_are_one_line(runs: Any) -> None:
    assert refusal(runs(AUTH="token")).startswith("discount: ADMIN_KEY: is needed with AUTH=token")


def test_with_tokens_it_may_be_reached_from_anywhere(runs: Any) -> None:
    url = runs(AUTH="token", HOST="0.0.0.0", ADMIN_KEY="a" * 32, SECRET="s" * 32).url()
    assert ask(url, "GET", "/discount").status == 401
    assert ask(url, "GET", "/brand", headers={"Authorization": "Bearer " + "a" * 32}).status == 200


@pytest.mark.parametrize(("auth", "status"), [("open", 201), ("token", 422)])
def test_webhooks_may_call_this_machine_only_without_token_authentication(runs: Any, auth: str, status: int) -> None:
    secrets = {"ADMIN_KEY": "a" * 32, "SECRET": "s" * 32} if auth == "token" else {}
    url = runs(AUTH=auth, **secrets).url()
    headers = {}
    if auth == "token":
        admin = {"Authorization": "Bearer " + "a" * 32}
        assert ask(url, "POST", "/brand", {"id": "IKEA"}, headers=admin).status == 201
        key = ask(url, "POST", "/brand/IKEA/keys", {"name": "shop"}, headers=admin).json["key"]
        headers = {"Authorization": f"Bearer {key}"}
    asked = {"brand_id": "IKEA", "url": "http://127.0.0.1:9/"}
    assert ask(url, "POST", "/webhook", asked, headers=headers).status == status


def test_another_number_of_partitions_is_named_in_one_line(runs: Any) -> None:
    with RedisServer() as server:
        first = runs(REDIS_URL=server.url)
        first.url()
        first.process.terminate()
        first.process.wait(PATIENCE)
        first.output.unlink()
        line = refusal(runs(REDIS_URL=server.url, PARTITIONS="4"))
        assert line == "discount: this Redis holds data with partitions 16, the setting says 4"


def test_a_malformed_redis_address_is_refused_in_one_line(runs: Any) -> None:
    assert refusal(runs(REDIS_URL="redis://localhost:port")).startswith("discount: REDIS_URL: ")


def test_a_folder_that_cannot_be_used_is_one_line(runs: Any, tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert refusal(runs()).startswith(f"discount: cannot use {tmp_path / 'data'}")


@pytest.mark.parametrize("name", ["a b%20c?d#é'", "long" * 40])
def test_a_folder_may_have_any_name(runs: Any, tmp_path: Path, name: str) -> None:
    url = runs(DATA=str(tmp_path / name)).url()
    assert '"total_count":100' in call("POST", f"{url}/discount", CREATE)


def test_a_proxy_in_the_environment_is_not_asked(runs: Any) -> None:
    runs(http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9").url()


def test_a_second_run_on_the_same_folder_is_refused_in_one_line(runs: Any, tmp_path: Path) -> None:
    runs().url()
    other = tmp_path / "other"
    other.mkdir()
    second = Run(other, DATA=str(tmp_path / "data"))
    assert refusal(second).startswith("discount: another run uses ")


def run_of_the_wheel(runs: Any, folder: Path) -> Run:
    """Start a run without redis-server on PATH, and create a discount in it."""
    tools = folder / "bin"
    tools.mkdir()
    run: Run = runs(PATH=str(tools))
    assert '"id":"dsc-' in call("POST", f"{run.url()}/discount", CREATE)
    return run


def test_the_server_of_the_wheel_serves_where_none_is_installed(runs: Any, tmp_path: Path) -> None:
    names = {process.name() for process in run_of_the_wheel(runs, tmp_path).family()}
    assert any("valkey" in name for name in names), names


def test_a_server_installed_later_does_not_read_data_of_another_server(runs: Any, tmp_path: Path) -> None:
    need("redis-server")
    run = run_of_the_wheel(runs, tmp_path)
    run.process.terminate()
    assert run.process.wait(PATIENCE) == 0
    run.output.unlink()
    again = runs()
    assert '"id":"dsc-' in call("GET", f"{again.url()}/discount")
    assert "valkey" in redis_of(again).name()
