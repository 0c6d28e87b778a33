"""The text that `discount run` prints once it answers. Its commands work in the reader's current folder."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from discount.config import Settings


def welcome(settings: Settings, url: str, mails: Path | None) -> str:
    """Return the text for a service at `url`; `mails` is the folder of the mail sink, or None without one."""
    command = command_here(sys.executable, Path.cwd(), os.environ.get("PATH", os.defpath))
    console = f" its console at {url}/console," if settings.console == "on" else ""
    lines = [f"The service runs at {url},{console} its documentation at {url}/apidocs. Press Ctrl-C to stop it."]
    if mails is not None:
        # Without an argument the command looks in the default DATA folder.
        folder = "" if settings.data == Settings().data else f" {shlex.quote(str(mails))}"
        lines.append(f"E-mails are caught, not delivered; `{command} mails{folder}` lists them.")
    lines.append((_WITH_TOKENS if settings.auth == "token" else _OPEN).format(command=command, url=url))
    return "\n" + "\n".join(lines)


_OPEN = """In another terminal, try:

  curl -XPOST '{url}/discount' -H 'Content-Type: application/json' \\
       -d '{{"brand_id": "IKEA", "discount_code": "Christmas 2020 discount", "total_count": 100}}'
"""
_WITH_TOKENS = """In another terminal with the same settings, create a brand with its first key, then a discount:

  KEY=$({command} brand create IKEA)
  curl -XPOST '{url}/discount' -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
       -d '{{"brand_id": "IKEA", "discount_code": "Christmas 2020 discount", "total_count": 100}}'
"""


def command_here(executable: str, folder: Path, path: str) -> str:
    """Return the command that starts our command line from `folder`.

    Args:
        executable: the Python interpreter that runs the service.
        path: the PATH variable of the reader.
    """
    own = Path(executable).parent / "discount"
    if not own.exists():
        return f"{_seen_from(folder, Path(executable))} -m discount"
    found = shutil.which("discount", path=path)
    return "discount" if found and own.samefile(found) else _seen_from(folder, own)


def _seen_from(folder: Path, program: Path) -> str:
    return shlex.quote(str(program.relative_to(folder) if program.is_relative_to(folder) else program))
