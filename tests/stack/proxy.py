"""The real nginx with the project's own files, in front of replicas on this computer.

    with Proxy(["127.0.0.1:8001", "127.0.0.1:8002"], tmp_path) as proxy:
        urllib.request.urlopen(proxy.url + "/healthy")

Only the replicas, the port and the folders differ from the container's settings.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.needs import need
from tests.support.patience import PATIENCE
from tests.support.ports import Port

NGINX = Path(__file__).parents[2] / "nginx"


class Proxy:
    """nginx as a child process. `url` is its address, `log()` its access log."""

    def __init__(self, replicas: list[str], folder: Path, balance: str = "round-robin") -> None:
        self.folder = folder / "nginx"
        self._kept = Port()
        self.port = self._kept.number
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.folder.mkdir()
        servers = "\n".join(f"    server {replica} max_fails=0;" for replica in replicas)
        way = f"include {NGINX}/balance/{balance}.conf;"
        upstream = f"upstream replicas {{\n    zone replicas 64k;\n    {way}\n{servers}\n    keepalive 32;\n}}\n"
        (self.folder / "upstream.conf").write_text(upstream)
        shutil.copy(NGINX / "service.conf", self.folder)
        routes = (NGINX / "routes.conf").read_text().replace("/dev/stdout", str(self.folder / "access.log"))
        (self.folder / "routes.conf").write_text(routes)
        whole = (NGINX / "nginx.conf").read_text()
        for old, new in (
            ("/tmp/nginx", f"{self.folder}/nginx"),
            ("/dev/stderr", f"{self.folder}/error.log"),
            ("listen 8080", f"listen 127.0.0.1:{self.port}"),
        ):
            assert old in whole, f"nginx.conf no longer says {old}"
            whole = whole.replace(old, new)
        (self.folder / "nginx.conf").write_text(whole)

    @property
    def pid(self) -> int:
        assert self._process is not None, "nginx is not running"
        return self._process.pid

    def __enter__(self) -> Self:
        nginx = need("nginx")
        # Started by root, its workers would run as a user who may not enter the test's folder.
        user = "user root; " if os.geteuid() == 0 else ""
        self._process = subprocess.Popen(
            [nginx, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-g", f"{user}daemon off;"],
            stdin=subprocess.DEVNULL,
            stderr=(self.folder / "start.log").open("wb"),
        )
        until = time.monotonic() + PATIENCE
        while True:
            assert self._process.poll() is None, (self.folder / "start.log").read_text()
            assert time.monotonic() < until, "nginx does not listen"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT if kind is None else signal.SIGTERM)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.terminate()
                self._process.wait(PATIENCE)
        self._kept.close()

    def log(self) -> str:
        """Return the access log, one JSON object a line."""
        return (self.folder / "access.log").read_text()
