"""Start and stop the measured servers: gunicorn with an app. Redis comes from tests/support."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import end
from tests.support.redis_server import free_port

PATIENCE = 180.0
ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def gunicorn(app: str, workers: int, threads: int, settings: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """Run an app with the service's gunicorn settings; yield its port on 127.0.0.1 and its process id."""
    port = free_port()
    own = {"HOST": "127.0.0.1", "PORT": str(port), "WORKERS": str(workers), "THREADS": str(threads)}
    environment = {**os.environ, "LOG_FORMAT": "json", "LOG_LEVEL": "info", **own, **settings}
    command = [sys.executable, "-m", "gunicorn", "-c", "python:discount.serving.gunicorn_config", app]
    with _started(command, environment, port) as pid:
        yield port, pid


@contextmanager
def worker(url: str, settings: Mapping[str, str]) -> Iterator[int]:
    """Run the service's worker on a Redis; yield its process id."""
    port = free_port()
    own = {"HOST": "127.0.0.1", "WORKER_PORT": str(port), "REDIS_URL": url, "LOG_FORMAT": "json"}
    with _started([sys.executable, "-m", "discount", "worker"], {**os.environ, **own, **settings}, port) as pid:
        yield pid


@contextmanager
def noop(workers: int, threads: int) -> Iterator[tuple[int, int]]:
    """Run the no-op on gunicorn's own threaded worker; yield its port on 127.0.0.1 and its process id."""
    port = free_port()
    with _started(noop_command(workers, threads, str(port)), os.environ, port) as pid:
        yield port, pid


def noop_command(workers: int, threads: int, port: str) -> list[str]:
    """Return the command that runs the no-op, with nothing of the service."""
    how = ["--worker-class", "gthread", "--workers", str(workers), "--threads", str(threads), "--keep-alive", "75"]
    return [sys.executable, "-m", "gunicorn", "bench.noop:app", *how, "--bind", f"127.0.0.1:{port}"]


@contextmanager
def _started(command: Sequence[str], environment: Mapping[str, str], port: int) -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, (Path(folder) / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(process, port, Path(folder) / "log")
            yield process.pid
        finally:
            end(process)


def _wait_for(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1.0) as probe:
                probe.sendall(b"GET /healthy HTTP/1.0\r\n\r\n")
                if probe.recv(1):
                    return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"gunicorn did not start:\n{log.read_text(errors='replace')[-2000:]}")


def cpu_of(process: int) -> float:
    """Return the CPU seconds used by a process, without its children."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_of_workers(master: int) -> float:
    """Return the CPU seconds used by the children of a process."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == master:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
