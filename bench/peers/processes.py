"""The processes of a server: their CPU, memory, switches of context and system calls."""

import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

#: The event of perf that counts system calls.
_CALLS = "raw_syscalls:sys_enter"


def tree(pid: int) -> list[int]:
    """Return a process and all that come from it."""
    with suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []


def cpu(pids: Sequence[int]) -> float:
    """Return the seconds that all threads have run, by the kernel's scheduler."""
    nanoseconds = sum(int(text.split()[0]) for text in _of_threads(pids, "schedstat"))
    return nanoseconds / 1e9


def switches(pids: Sequence[int]) -> int:
    """Return how often threads gave up a core by waiting, and not because other work on the machine took it."""
    lines = (line for text in _of_threads(pids, "status") for line in text.splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def megabytes(pids: Sequence[int]) -> float:
    """Return the memory of processes, with their share of what they share."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def counting(pids: Sequence[int], file: Path) -> list[str]:
    """Return the words before a command that count the system calls of processes while it runs."""
    return ["perf", "stat", "-x,", "-o", str(file), "-e", _CALLS, "-p", ",".join(map(str, pids)), "--"]


def counted(file: Path) -> int:
    """Return what was counted."""
    return next(int(line.partition(",")[0]) for line in file.read_text().splitlines() if _CALLS in line)


@cache
def can_count() -> bool:
    """Return whether perf is there and may count: it needs root, or a low `kernel.perf_event_paranoid`."""
    try:
        done = subprocess.run(["perf", "stat", "-e", _CALLS, "true"], check=False, capture_output=True)
    except FileNotFoundError:
        return False
    return done.returncode == 0 and b"not " not in done.stderr


def end(pids: Iterable[int]) -> None:
    """Kill those of a stopped server's processes that did not end with it."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _of_threads(pids: Sequence[int], name: str) -> list[str]:
    found = []
    for pid in pids:
        for file in Path(f"/proc/{pid}/task").glob(f"*/{name}"):
            with suppress(OSError):
                found.append(file.read_text())
    return found
