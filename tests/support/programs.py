"""Find the programs that the tests need, and install those that are missing.

    python tests/support/programs.py          # the programs of the tests: `make test` runs this first
    python tests/support/programs.py venv     # the packages that `python -m venv` needs

With apt-get, root and users of sudo without a password get them installed. All others get one line for each missing
program that says how to install it. The exit code is 1 if venv is missing, or any program where `CI=true` is set.
This runs before anything is installed, so it imports the standard library alone.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

#: Seconds: far longer than a program takes to print its version.
PATIENCE = 120
OLDEST_NODE = 16
OLDEST_REDIS = 7


class Program(NamedTuple):
    """A program, the names it goes by, and where it comes from."""

    commands: tuple[str, ...]
    #: The option that prints its version.
    version: str
    #: The packages of Debian and Ubuntu.
    packages: tuple[str, ...]
    #: Whether the printed version is new enough.
    suits: Callable[[str], bool] = bool
    #: A service that its package starts.
    service: str = ""


def at_least(oldest: int) -> Callable[[str], bool]:
    """Return whether the first number of a text is at least `oldest`."""

    def suits(version: str) -> bool:
        found = re.search(r"v=?(\d+)\.", version)
        return found is not None and int(found[1]) >= oldest

    return suits


PROGRAMS = {
    "nginx": Program(("nginx",), "-v", ("nginx-light",), service="nginx"),
    "chromium": Program(("chromium", "google-chrome", "chromium-browser"), "--version", ("chromium",)),
    "cc": Program(("cc",), "--version", ("gcc", "libc6-dev")),
    "strace": Program(("strace",), "--version", ("strace",)),
    "curl": Program(("curl",), "--version", ("curl",)),
    "node": Program(("node",), "--version", ("nodejs",), at_least(OLDEST_NODE)),
    "npx": Program(("npx",), "--version", ("npm",)),
    "postgres": Program(("postgres",), "--version", ("postgresql",), service="postgresql"),
    "redis-server": Program(
        ("redis-server",), "--version", ("redis-server",), at_least(OLDEST_REDIS), service="redis-server"
    ),
}


@cache
def find(name: str) -> str | None:
    """Return the path of a program that works, or None."""
    program = PROGRAMS[name]
    return next((path for path in _paths(program) if _suits(program, path)), None)


def _paths(program: Program) -> list[str]:
    # A plain user's PATH has no sbin, and Debian keeps each version of PostgreSQL in a folder of its own.
    of_postgres = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders = ":".join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", *map(str, of_postgres)])
    found = (shutil.which(command, path=folders) for command in program.commands)
    return [path for path in found if path]


def _suits(program: Program, path: str) -> bool:
    # Some packages have a command that only says where to get the program.
    try:
        result = _run(path, program.version, patience=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0 and program.suits(result.stdout + result.stderr)


def advice(name: str) -> str:
    """Return a line that says that a program is missing and how to get it."""
    if name == "chromium" and _is_ubuntu():
        return "chromium is missing: Ubuntu has it as a snap alone, get it with `sudo snap install chromium`"
    return f"{name} is missing: {_how(PROGRAMS[name].packages)}"


def _how(packages: tuple[str, ...]) -> str:
    if shutil.which("apt-get"):
        return f"get it with `sudo apt-get install {' '.join(packages)}`"
    return f"get it as your system has it; on Debian the package is {' '.join(packages)}"


def _is_ubuntu() -> bool:
    release = Path("/etc/os-release")
    return release.exists() and re.search(r"^ID=\"?ubuntu\b", release.read_text(), re.MULTILINE) is not None


class Installer:
    """Installs packages with apt-get, where that is allowed."""

    def __init__(self) -> None:
        self._prefix = _as_root()
        self._updated = False

    def install_program(self, name: str) -> None:
        """Install a program where that is allowed, and stop the service that its package starts."""
        program = PROGRAMS[name]
        was_there = bool(_paths(program))
        self.install(program.packages, name)
        if program.service and not was_there and self._prefix is not None and Path("/run/systemd/system").is_dir():
            self._run("systemctl", "disable", "--now", program.service)

    def install(self, packages: tuple[str, ...], what: str) -> None:
        """Install packages where that is allowed. Print what is installed, and a line on failure."""
        if self._prefix is None:
            return
        _say(f"{what} is missing, installing {' '.join(packages)}")
        if not self._updated:
            self._run("apt-get", "update", "-qq", *_OPTIONS)
            self._updated = True
        failed = self._run("apt-get", "install", "-qq", "--yes", "--no-install-recommends", *_OPTIONS, *packages)
        if failed:
            _say(failed)

    def _run(self, *command: str) -> str | None:
        """Run a command as root: its last words if it failed."""
        done = _run(*(self._prefix or ()), "env", "DEBIAN_FRONTEND=noninteractive", *command)
        if done.returncode == 0:
            return None
        return (done.stderr.strip() or done.stdout.strip() or f"{command[0]} failed").splitlines()[-1]


_OPTIONS = ("-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300")


def _as_root() -> tuple[str, ...] | None:
    """Return what makes a command run as root: nothing for root itself; None where it cannot."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return ()
    sudo = shutil.which("sudo")
    return (sudo, "-n") if sudo and _run(sudo, "-n", "true").returncode == 0 else None


def _run(*words: str, patience: float | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience
    )


def _say(line: str) -> None:
    print(f"make: {line}", flush=True)


def make_sure() -> list[str]:
    """Install the programs that are missing where that is allowed: what is still missing, said in one line each."""
    missing = [name for name in PROGRAMS if find(name) is None]
    if missing:
        installer = Installer()
        for name in missing:
            if name != "chromium" or not _is_ubuntu():
                installer.install_program(name)
        find.cache_clear()
        missing = [name for name in missing if find(name) is None]
    for name in missing:
        _say(advice(name))
    return missing


def make_sure_of_venv() -> bool:
    """Install the packages of `python -m venv` where that is allowed; return whether it works, and print if not."""
    if _has_venv():
        return True
    packages = (f"python{sys.version_info.major}.{sys.version_info.minor}-venv",)
    Installer().install(packages, "Python's venv")
    if _has_venv():
        return True
    _say(f"Python's venv is missing: {_how(packages)}")
    return False


def _has_venv() -> bool:
    # Python remembers an import that failed.
    importlib.invalidate_caches()
    return all(importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip"))


def main(words: list[str]) -> int:
    """Install what was asked for, and return the exit code."""
    if words == ["venv"]:
        return 0 if make_sure_of_venv() else 1
    missing = make_sure()
    if missing and os.environ.get("CI") == "true":
        _say("CI=true: nothing may be left out")
        return 1
    if missing:
        _say("the tests that need these are left out")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
