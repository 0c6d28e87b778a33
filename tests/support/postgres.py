"""A real PostgreSQL server for tests, in a temporary folder of its own.

with PostgresServer() as server:
    Database(server.url)
    server.kill()       # SIGKILL, without a goodbye
    server.start()      # again, same address, same data
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.support.needs import need
from tests.support.patience import PATIENCE


class PostgresServer:
    """A PostgreSQL process that listens on a unix socket alone."""

    def __init__(self) -> None:
        # Its other programs lie beside it.
        self._binaries = Path(need("postgres")).resolve().parent
        self._folder = Path(tempfile.mkdtemp(prefix="discount-pg-"))
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._data = str(self._folder / "data")
        self._run("initdb", "-D", self._data, "-U", "discount", "-A", "trust", "-E", "UTF8", "--no-sync")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://discount@/postgres?host={self._folder}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        settings = {"listen_addresses": "", "unix_socket_directories": str(self._folder), "fsync": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [str(self._binaries / "postgres"), "-D", self._data, *options],
            user=self._user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + PATIENCE
        while subprocess.run([self._binaries / "pg_isready", "-q", "-h", self._folder], check=False).returncode:
            if time.monotonic() > until:
                raise TimeoutError("PostgreSQL did not start")
            time.sleep(0.05)

    def kill(self) -> None:
        """End the server and all of its processes at once."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End the server, and remove its folder."""
        self._end(signal.SIGINT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)
            self._process = None

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._binaries / name), *arguments], user=self._user, check=True, capture_output=True, cwd=self._folder
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
