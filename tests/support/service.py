"""The service in production form: gunicorn replicas on ports of 127.0.0.1, each a master with its workers.

    with Service(redis.url, replicas=3, workers=1) as service:
        service.urls            # one base URL a replica
        service.kill(0)         # SIGKILL to the replica's master and workers at once
        service.start(0)        # again, on the same port
        service.terminate(1)    # SIGTERM, for a clean stop
        service.wait(1)         # wait for its end; its exit code

Settings are those of the service in lower case. `log(i)` is the output of a replica; a failed test shows it if the
suite's conftest.py imports `pytest_runtest_makereport` from here.
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

from tests.support.patience import PATIENCE
from tests.support.ports import Port

ROOT = Path(__file__).parents[2]
_running: "weakref.WeakSet[Service]" = weakref.WeakSet()


def wait_until(done: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Call `done` until its result is true, and return that. Raises TimeoutError after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (result := done()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not in {patience:.0f} s: {what}")
        time.sleep(0.02)
    return result


class Reply:
    """An HTTP response with its body."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.raw = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def slug(self) -> str:
        """The slug of a problem."""
        return str(self.json["type"]).rpartition("/")[2]


def ask(
    base: str,
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: dict[str, str] | None = None,
    timeout: float = PATIENCE,
) -> Reply:
    """Send one request on a new connection. `body` is sent as it is if bytes, else as JSON."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection = http.client.HTTPConnection(base.removeprefix("http://"), timeout=timeout)
    try:
        given = {} if content is None else {"Content-Type": "application/json"}
        connection.request(method, path, content, given | (headers or {}))
        return Reply(connection.getresponse())
    finally:
        connection.close()


def create(base: str, total_count: int, brand_id: str = "IKEA", **fields: Any) -> str:
    """Create a discount, and return its id."""
    body = {"brand_id": brand_id, "discount_code": "Christmas 2020 discount", "total_count": total_count, **fields}
    reply = ask(base, "POST", "/discount", body)
    assert reply.status == 201, reply.raw
    return str(reply.json["id"])


class Service:
    """Replicas of the service; the module's docstring shows how to use it."""

    def __init__(self, redis_url: str, *, replicas: int = 2, **settings: str | int | float) -> None:
        # A timeout for Redis that a busy computer does not reach; the tests of faults set their own.
        defaults = {"workers": 1, "threads": 8, "redis_timeout": 20, "log_level": "warning", "host": "127.0.0.1"}
        given = {"redis_url": redis_url, **defaults, **settings}
        self._settings = {name.upper(): str(value) for name, value in given.items()}
        self.folder = Path(tempfile.mkdtemp(prefix="service-"))
        self._kept = [Port() for _ in range(replicas)]
        self.ports = [port.number for port in self._kept]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * replicas
        self._started: list[subprocess.Popen[bytes]] = []
        # Tests that are interrupted do not reach stop().
        self._finalizer = weakref.finalize(self, _clean, self._started, self.folder)
        _running.add(self)

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    @property
    def addresses(self) -> list[str]:
        """Host and port of each replica, for a proxy's settings."""
        return [f"127.0.0.1:{port}" for port in self.ports]

    def launch(self, replica: int) -> "subprocess.Popen[bytes]":
        """Start a replica's process without waiting for anything."""
        assert self._processes[replica] is None, f"replica {replica} is running already"
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            "python:discount.serving.gunicorn_config",
            "discount.app:create_app()",
        ]
        data = self.folder / f"data-{replica}"
        data.mkdir(exist_ok=True)
        # A killed replica leaves files behind; they go with our folder.
        own = {"PORT": str(self.ports[replica]), "DATA": str(data), "TMPDIR": str(data)}
        environment = os.environ | self._settings | own
        with self._log_file(replica).open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes[replica] = process
        self._started.append(process)
        return process

    def start(self, replica: int) -> None:
        """Start a replica and wait until it is healthy."""
        self.launch(replica)
        self.await_health(replica)

    def await_health(self, replica: int) -> None:
        """Wait until a launched replica is healthy."""
        process = self._process(replica)

        def healthy() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"replica {replica} ended with {process.returncode}:\n{self.log(replica)[-3000:]}")
            return self.healthy(replica)

        wait_until(healthy, f"replica {replica} is healthy")

    def healthy(self, replica: int) -> bool:
        """Return whether a replica answers `/healthy`."""
        try:
            return ask(self.urls[replica], "GET", "/healthy", timeout=5).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def kill(self, replica: int) -> None:
        """End a replica as a crash does: SIGKILL to its master and its workers at once."""
        process = self._process(replica)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)
        self._processes[replica] = None
        # Workers are not our children, so wait until nothing listens any more.
        wait_until(lambda: not self.healthy(replica), f"replica {replica} is gone")

    def terminate(self, replica: int) -> None:
        """Ask a replica to end cleanly: it answers the requests in flight first."""
        self._process(replica).terminate()

    def wait(self, replica: int, patience: float = PATIENCE) -> int:
        """Wait for a replica's end, and return its exit code."""
        code = self._process(replica).wait(patience)
        self._processes[replica] = None
        return code

    def workers(self, replica: int) -> set[int]:
        """Return the process ids of a replica's workers."""
        return {child.pid for child in psutil.Process(self._process(replica).pid).children()}

    def kill_worker(self, replica: int) -> None:
        """Kill one worker, and wait until its master has replaced it."""
        before = self.workers(replica)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)

        def replaced() -> bool:
            now = self.workers(replica)
            return victim not in now and len(now) == len(before)

        wait_until(replaced, f"a worker of replica {replica} is replaced")

    def reload(self, replica: int) -> None:
        """Have the master replace its workers cleanly, and wait until all of them have ended."""
        before = self.workers(replica)
        self._process(replica).send_signal(signal.SIGHUP)
        wait_until(lambda: before.isdisjoint(self.workers(replica)), f"replica {replica} has other workers")

    def log(self, replica: int) -> str:
        """Return the output of a replica so far."""
        file = self._log_file(replica)
        return file.read_text(errors="replace") if file.exists() else ""

    def stop(self) -> None:
        """End all replicas cleanly and remove their folder. May be called twice."""
        for process in self._processes:
            if process is not None and process.poll() is None:
                process.terminate()
        for process in self._processes:
            if process is not None:
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    # The finalizer ends it.
                    print(f"a replica did not stop in {PATIENCE} s")
        _running.discard(self)
        for port in self._kept:
            port.close()
        self._finalizer()

    def __enter__(self) -> Self:
        try:
            for replica in range(len(self.ports)):
                self.launch(replica)
            for replica in range(len(self.ports)):
                self.await_health(replica)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _process(self, replica: int) -> "subprocess.Popen[bytes]":
        process = self._processes[replica]
        assert process is not None, f"replica {replica} is not running"
        return process

    def _log_file(self, replica: int) -> Path:
        return self.folder / f"replica-{replica}.log"


def _clean(started: "list[subprocess.Popen[bytes]]", folder: Path) -> None:
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the output of the running replicas to the report of a failed test."""
    report = yield
    if report.failed:
        for service in list(_running):
            for replica, port in enumerate(service.ports):
                report.sections.append((f"replica {replica} on port {port}", service.log(replica)[-4000:]))
    return report
