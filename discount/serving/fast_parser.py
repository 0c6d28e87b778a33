"""Fast parser: reads the three busiest requests straight from the receive buffer, past gunicorn's parser.

It accepts only a complete, single request that no two parsers could read differently. Everything else goes to
gunicorn's parser, so that request smuggling has nothing to exploit.
"""

import re
from functools import lru_cache
from io import BytesIO
from typing import Any

#: The longest request in bytes that is tried. The limits in gunicorn_config.py are no lower than the following ones.
MAX_BYTES = 16 * 1024
MOST_LINES = 64
LONGEST_NAME = 64
LONGEST_VALUE = 8000

# Values are visible ASCII, spaces and tabs, and only CRLF ends a line. A name may not contain an underscore, because
# WSGI cannot tell it from a dash.
_HEAD = re.compile(
    rb"POST (/redemption|/validation|/discount/[A-Za-z0-9_-]{1,64}/grant) HTTP/1\.1\r\n"
    rb"((?:[A-Za-z0-9!#$%%&'*+.^`|~-]{1,%d}+:[\t\x20-\x7e]{0,%d}+\r\n){1,%d}+)\r\n"
    % (LONGEST_NAME, LONGEST_VALUE, MOST_LINES)
)
#: Headers that change how a request is read or answered.
_UNUSUAL = frozenset(["HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", "HTTP_UPGRADE", "HTTP_TRAILER"])


def parse(received: bytes) -> dict[str, Any] | None:
    """Parse a request into WSGI variables; return None to leave it to gunicorn's parser.

    Args:
        received: everything received so far, at most MAX_BYTES.
    """
    match = _HEAD.match(received)
    if match is None:
        return None
    environ: dict[str, Any] = {}
    lines = match[2].decode("ascii").split("\r\n")
    lines.pop()
    for line in lines:
        name, _, value = line.partition(":")
        environ[_variable(name)] = value.strip(" \t")
    # Fewer variables than lines means that a name is repeated.
    if len(environ) != len(lines) or not _UNUSUAL.isdisjoint(environ) or "HTTP_HOST" not in environ:
        return None
    body = received[match.end() :]
    if environ.get("CONTENT_LENGTH") != str(len(body)):
        return None
    if environ.get("HTTP_CONNECTION", "close").lower() not in ("close", "keep-alive"):
        return None
    environ["RAW_URI"] = environ["PATH_INFO"] = match[1].decode("ascii")
    environ["wsgi.input"] = BytesIO(body)
    return environ


@lru_cache(maxsize=256)
def _variable(name: str) -> str:
    variable = name.upper().replace("-", "_")
    return variable if variable in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{variable}"
