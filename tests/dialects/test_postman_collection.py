"""The Postman collection of the coupons, run with newman."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.support.needs import need
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.service import Service

COLLECTION = Path(__file__).parents[2] / "doc" / "dialects.postman_collection.json"
NEWMAN = "newman@6.2.2"


def test_the_collection_passes_and_can_be_run_again(
    service: Service, redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.client().flushall()
    items = json.loads(COLLECTION.read_text(encoding="utf-8"))["item"]
    tests = sum(line.startswith("pm.test(") for item in items for line in item["event"][-1]["script"]["exec"])
    run = newman(service.urls[0], tmp_path / "report.json")
    failures = [(each["source"]["name"], each["error"]["message"]) for each in run["failures"]]
    assert failures == []
    assert (run["stats"]["requests"]["total"], run["stats"]["assertions"]["total"]) == (2 * len(items), 2 * tests)
    assert len(items) == 32
    assert tests == 64


def newman(base: str, report: Path) -> Any:
    """The reports of newman on two runs, one after the other."""
    need("node")
    done = subprocess.run(
        [
            *(need("npx"), "--yes", NEWMAN, "run", COLLECTION, "--env-var", f"base={base}"),
            *("--iteration-count", "2", "--reporters", "json", "--reporter-json-export", report),
        ],
        env=os.environ | {"NO_UPDATE_NOTIFIER": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert report.exists(), f"newman has not run:\n{done.stdout}{done.stderr}"
    return json.loads(report.read_text(encoding="utf-8"))["run"]
