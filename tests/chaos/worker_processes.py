"""Worker processes that are killed and started again, and what must be true once all is delivered.

with Crew(redis.url, workers=3) as crew:
    crew.kill(0)        # SIGKILL
    crew.start(0)       # another one in its place
    crew.terminate(1)   # SIGTERM; its exit code
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
#: More tries than bad luck can take: of calls that go wrong one time in three, none does so 60 times.
PAUSES = ",".join(["0.1", "0.2", "0.3", *["0.5"] * 57])


class WorkerProcesses:
    """Workers of one Redis; see the module for its use. Settings are those of the service in lower case."""

    def __init__(self, redis_url: str, *, workers: int = 3, **settings: str | int | float) -> None:
        defaults = {
            **{"secret": SECRET, "webhook_loopback": 1, "webhook_timeout": TIMEOUT, "webhook_pauses": PAUSES},
            **{"redis_timeout": 2, "worker_port": 0, "host": "127.0.0.1"},
        }
        given = {"redis_url": redis_url, **defaults, **settings}
        self._environment = os.environ | {name.upper(): str(value) for name, value in given.items()}
        self.folder = Path(tempfile.mkdtemp(prefix="crew-"))
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
        """Ask a worker to end in order: its exit code."""
        process = self._running(number)
        process.terminate()
        code = process.wait(PATIENCE)
        self.processes[number] = None
        return code

    def number_of(self, pid: int) -> int | None:
        """Which of them a process is, if it runs."""
        return next((i for i, each in enumerate(self.processes) if each is not None and each.pid == pid), None)

    def get(self, number: int, path: str) -> tuple[int, str]:
        """What a worker answers: status and text."""
        reply = ask(f"http://127.0.0.1:{self._port(number)}", "GET", path)
        return reply.status, reply.raw.decode()

    def await_ready(self) -> None:
        """Wait until all workers are at work."""
        for number in range(len(self.processes)):
            wait_until(partial(self._port, number), f"worker {number} is at work")

    def figure(self, number: int, name: str) -> float:
        """A figure of a worker, over all of its labels."""
        lines = self.get(number, "/metrics")[1].splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def log(self) -> str:
        """What all workers printed so far."""
        return "".join(self._log_file(number).read_text(errors="replace") for number in range(len(self._started)))

    def stop(self) -> None:
        """End all at once and remove their folder. Ending them twice is fine."""
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
        """Where a worker answers, as it says in its log; 0 before it does."""
        process = self._running(number)
        assert process.poll() is None, f"worker {number} ended with {process.returncode}:\n{self.log()[-3000:]}"
        said = self._log_file(self._started.index(process)).read_text(errors="replace")
        found = [line for line in said.splitlines() if '"event":"The worker is running"' in line]
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
    """A discount of a brand, whose receiver is told of all its events."""

    store: Store
    brand_id: str
    discount_id: str
    webhook_id: str

    def grant(self, users: Sequence[str]) -> None:
        """Hand a code to each user."""
        outcomes = grants.grant_many(self.store, self.discount_id, users)
        assert all(isinstance(each, Grant) for each in outcomes), outcomes

    def code_of(self, user: str) -> str:
        """The code that a user holds."""
        return grants.held_grant(self.store, self.discount_id, user).code

    def event_bodies(self) -> dict[str, str]:
        """The digest of what a receiver must be told, by event."""
        found: dict[str, str] = {}
        after = None
        while True:
            page = outbox.list_page(self.store, self.brand_id, after=after, limit=1000)
            found |= {each.id: hashlib.sha256(msgspec.json.encode(each)).hexdigest() for each in page.events}
            if not page.events:
                return found
            after = page.next

    def deliveries(self) -> Iterator[Delivery]:
        """All deliveries of the brand."""
        cursor = None
        while True:
            page = deliveries.list_page(self.store, self.brand_id, limit=1000, cursor=cursor)
            yield from page.deliveries
            if not page.next:
                return
            cursor = page.next


def make_offer(store: Store, receiver: Receiver, mode: str, brand_id: str, total_count: int) -> Offer:
    """An offer whose webhook is answered in that mode."""
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
