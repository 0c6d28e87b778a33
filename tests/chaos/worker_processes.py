"""Worker processes to kill and start again, and discounts whose events they deliver.

with WorkerProcesses(redis.url, workers=3) as workers:
    workers.kill(0)        # SIGKILL
    workers.start(0)       # another one in its place
    workers.terminate(1)   # SIGTERM; its exit code
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from discount.domain import code_kinds
from discount.domain.model import Delivery, Grant
from discount.security.signing import Signer
from discount.services import (
    deliveries,
    discounts,
    grant_records,
    grants,
    outbox,
    webhooks,
)
from discount.store.connection import Store
from tests.chaos.receiver import Receiver
from tests.support.patience import PATIENCE
from tests.support.service import ROOT, ask, wait_until

SECRET = "chaos" * 8
TIMEOUT = 0.5
#: Seconds between tries. With one call in three failing, no delivery fails 60 times by chance.
PAUSES = ",".join(["0.1", "0.2", "0.3", *["0.5"] * 57])


class WorkerProcesses:
    """Worker processes on one Redis. Settings are those of the service in lower case."""

    def __init__(self, redis_url: str, *, workers: int = 3, **settings: str | int | float) -> None:
        defaults = {
            **{"secret": SECRET, "webhook_loopback": 1, "webhook_timeout": TIMEOUT, "webhook_pauses": PAUSES},
            **{"redis_timeout": 2, "worker_port": 0, "host": "127.0.0.1"},
        }
        given = {"redis_url": redis_url, **defaults, **settings}
        self._environment = os.environ | {name.upper(): str(value) for name, value in given.items()}
        self.folder = Path(tempfile.mkdtemp(prefix="workers-"))
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * workers
        self.kills = 0
        self._started: list[subprocess.Popen[bytes]] = []
        # Tests that are interrupted do not reach stop().
        self._finalizer = weakref.finalize(self, _clean, self._started, self.folder)

    def start(self, number: int) -> None:
        """Start a worker without waiting for anything."""
        assert self.processes[number] is None, f"worker {number} is running already"
        with self._log_file(len(self._started)).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "discount", "worker"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[number] = process
        self._started.append(process)

    def kill(self, number: int) -> None:
        """End a worker as a crash does."""
        process = self._running(number)
        process.kill()
        process.wait(PATIENCE)
        self.processes[number] = None
        self.kills += 1

    def terminate(self, number: int) -> int:
        """Ask a worker to end cleanly, and return its exit code."""
        process = self._running(number)
        process.terminate()
        code = process.wait(PATIENCE)
        self.processes[number] = None
        return code

    def number_of(self, pid: int) -> int | None:
        """Return the number of the worker with a process id, or None."""
        return next((i for i, each in enumerate(self.processes) if each is not None and each.pid == pid), None)

    def get(self, number: int, path: str) -> tuple[int, str]:
        """Ask a worker over HTTP, and return the status and the text."""
        reply = ask(f"http://127.0.0.1:{self._port(number)}", "GET", path)
        return reply.status, reply.raw.decode()

    def await_ready(self) -> None:
        """Wait until all workers have started."""
        for number in range(len(self.processes)):
            wait_until(partial(self._port, number), f"worker {number} has started")

    def figure(self, number: int, name: str) -> float:
        """Return a metric of a worker, summed over all its labels."""
        lines = self.get(number, "/metrics")[1].splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def log(self) -> str:
        """Return the output of all workers so far."""
        return "".join(self._log_file(number).read_text(errors="replace") for number in range(len(self._started)))

    def stop(self) -> None:
        """Kill all workers and remove their folder. May be called twice."""
        self._finalizer()

    def __enter__(self) -> Self:
        for number in range(len(self.processes)):
            self.start(number)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            print(self.log()[-4000:])
        self.stop()

    def _port(self, number: int) -> int:
        """Return a worker's port from its log; 0 before it is there."""
        process = self._running(number)
        assert process.poll() is None, f"worker {number} ended with {process.returncode}:\n{self.log()[-3000:]}"
        log = self._log_file(self._started.index(process)).read_text(errors="replace")
        found = [line for line in log.splitlines() if '"event":"The worker is running"' in line]
        return int(json.loads(found[0])["port"]) if found else 0

    def _log_file(self, number: int) -> Path:
        return self.folder / f"worker-{number}.log"

    def _running(self, number: int) -> "subprocess.Popen[bytes]":
        process = self.processes[number]
        assert process is not None, f"worker {number} is not running"
        return process


def _clean(started: "list[subprocess.Popen[bytes]]", folder: Path) -> None:
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Offer:
    """A discount of a brand, and a webhook that receives all the brand's events."""

    store: Store
    brand_id: str
    discount_id: str
    webhook_id: str

    def grant(self, users: Sequence[str]) -> None:
        """Grant a code to each user."""
        outcomes = grants.grant_many(self.store, self.discount_id, users)
        assert all(isinstance(each, Grant) for each in outcomes), outcomes

    def code_of(self, user: str) -> str:
        """Return the code that a user holds."""
        return grant_records.held_grant(self.store, self.discount_id, user).code

    def event_bodies(self) -> dict[str, str]:
        """Return the digest of the body that a receiver must get, by event id."""
        found: dict[str, str] = {}
        after = None
        while True:
            page = outbox.list_page(self.store, self.brand_id, after=after, limit=1000)
            found |= {each.id: hashlib.sha256(msgspec.json.encode(each)).hexdigest() for each in page.items}
            if not page.items:
                return found
            after = page.next

    def deliveries(self) -> Iterator[Delivery]:
        """Yield all deliveries of the brand."""
        cursor = None
        while True:
            page = deliveries.list_page(self.store, self.brand_id, limit=1000, cursor=cursor)
            yield from page.items
            if not page.next:
                return
            cursor = page.next


def make_offer(store: Store, receiver: Receiver, mode: str, brand_id: str, total_count: int) -> Offer:
    """Create a discount with a webhook that is answered in a mode."""
    webhook = webhooks.create(store, brand_id, receiver.url(mode, brand_id))
    receiver.trust(brand_id, Signer(store, SECRET).webhook_secret(webhook.id, webhook.version))
    made, _ = discounts.create(
        store,
        brand_id=brand_id,
        discount_code="Christmas 2020 discount",
        total_count=total_count,
        kind=code_kinds.unique(total_count),
    )
    return Offer(store, brand_id, made.id, webhook.id)
