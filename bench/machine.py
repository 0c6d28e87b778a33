"""The conditions of a run, on which its figures depend: the machine, the versions, and how Python was built."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support import redis_server


def describe() -> str:
    """Return the machine, its load and the versions, in one line."""
    told = subprocess.run([redis_server.binary(), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^(\w+).*?v=(\S+).*?malloc=(\S+)", told)
    server = f"{found[1]} {found[2]} ({found[3]})" if found else told.strip()
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("flask", "gunicorn", "redis"))
    return (
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.system()}, "
        f"Python {platform.python_version()} ({python_build()}), {server}, {packages}"
    )


def python_build() -> str:
    """Return whether this Python was built with PGO and LTO, as that of the image is."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    has = {"PGO": "--enable-optimizations" in options, "LTO": "--with-lto" in options}
    if any(has.values()):
        return "built with " + " and ".join(name for name, value in has.items() if value)
    # Debian's own build has both, but by other options.
    if sys.base_prefix == "/usr" and Path("/etc/debian_version").exists():
        return "Debian's, built with PGO and LTO"
    return "built without PGO and LTO"
