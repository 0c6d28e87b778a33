"""What the figures of a run depend on: the machine, the versions, and how Python was built."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sysconfig

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
    is_on = {"PGO": "--enable-optimizations" in options, "LTO": "--with-lto" in options}
    return " and ".join(name for name, on in is_on.items() if on) or "plain build: without PGO and LTO"
