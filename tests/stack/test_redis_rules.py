"""The rules for the service's user in Redis that doc/operations.md gives: with exactly these, everything works."""

import re
from pathlib import Path
from typing import Any

import pytest

import discount
from discount.app import create_app
from discount.config import Settings
from discount.store.connection import Store
from discount.worker.housekeeper import Housekeeper
from discount.worker.planner import Planner
from discount.worker.reminders import Reminders
from discount.worker.retention import Retention
from tests.api.client import SECRET, Client
from tests.api.test_costs import CALLS, stage
from tests.support.clusters import Cluster
from tests.support.patience import PATIENCE
from tests.support.sqlite_ledger import SqliteLedger

PAGE = Path(__file__).parents[2] / "doc" / "operations.md"
SOURCES = Path(discount.__file__).parent


def rules() -> list[str]:
    """Return the words of the rule in the page, from the name on."""
    found = re.search(r"^user (discount on .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found[1].split()


@pytest.fixture(scope="module")
def cluster() -> Any:
    with Cluster(masters=2, replicas=0) as running:
        for node in running.nodes:
            assert node.ask("ACL", "SETUSER", *rules()) == "OK"
        yield running


def test_every_operation_and_the_worker_work_with_these_rules(cluster: Cluster, tmp_path: Path) -> None:
    url = cluster.url.replace("redis://", "redis://discount:PASSWORD@")
    ledger = SqliteLedger(tmp_path)
    settings = Settings(redis_url=url, secret=SECRET, durability="fast", worker_port=0, ledger_url=ledger.url)
    store = Store.at(url, PATIENCE, settings.partitions)
    client = Client(create_app(settings, store).test_client(), None)
    at = stage(client)
    ledger.read(store)
    for name, call in CALLS.items():
        method, path, more = call(at)
        answer = client.http.open(path, method=method, **more)
        assert answer.status_code in (200, 201), f"{name}: {answer.text}"
    assert client.http.delete("/user/User 1").status_code < 300
    reminders = Reminders(store, settings.remind_days)
    planner = Planner(store, "worker", reminders)
    housekeeper = Housekeeper(store, planner, reminders, settings.event_days * 86400)
    turns = (planner.open, planner.turn, housekeeper.measure, housekeeper.take_over, housekeeper.remind)
    for turn in (*turns, housekeeper.clean, Retention(store, 30).turn):
        turn()
    refused = [each for node in cluster.nodes for each in node.ask("ACL", "LOG")]
    assert refused == []


def test_each_command_in_the_scripts_is_allowed_and_dangerous_ones_are_not(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    texts = [path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.lua")]
    called = {name for text in texts for name in re.findall(r"""redis\.call\(\s*["']([A-Z]+)["']""", text)}
    assert len(called) > 20
    wanted = [[name, "{00}:key"] for name in called if name != "TIME"]
    wanted += [["ROLE"], ["WAIT", "1", "1"], ["WAITAOF", "1", "1", "1"], ["ASKING"], ["TIME"], ["INFO"], ["PING"]]
    for words in wanted:
        # Some take more arguments; whatever is wrong with those, the command itself must be allowed.
        reply = str(node.ask("ACL", "DRYRUN", "discount", *words, *["1"] * (len(words) == 2) * 8) or "")
        assert "permissions to run" not in reply, reply
    for words in (
        ["FLUSHALL"],
        ["KEYS", "*"],
        ["CONFIG", "GET", "*"],
        ["SHUTDOWN"],
        ["GET", "other"],
        ["DEBUG", "SLEEP"],
    ):
        assert "permission" in str(node.ask("ACL", "DRYRUN", "discount", *words)), words
