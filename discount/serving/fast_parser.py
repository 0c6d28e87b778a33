"""The calls that are made most, read as they stand in a socket's buffer: the quick way past the server's parser.

It reads a request that leaves nothing to judge: whole, alone, and plain in every byte. All else is left to the parser,
so that two readings of one request can never differ.
"""

import re
from functools import lru_cache
from io import BytesIO
from typing import Any

#: What is looked at of a request, in bytes. The limits of server.py are not narrower than those below.
LOOKED_AT = 16 * 1024
MOST_LINES = 64
LONGEST_NAME = 64
LONGEST_VALUE = 8000

# Visible ASCII and blanks, no line break of any kind but the two that end a line. No name with an underscore: in an
# environment it would be the one with a dash.
_HEAD = re.compile(
    rb"POST (/redemption|/validation|/discount/[A-Za-z0-9_-]{1,64}/grant) HTTP/1\.1\r\n"
    rb"((?:[A-Za-z0-9!#$%%&'*+.^`|~-]{1,%d}+:[\t\x20-\x7e]{0,%d}+\r\n){1,%d}+)\r\n"
    % (LONGEST_NAME, LONGEST_VALUE, MOST_LINES)
)
#: These change how a request is read or answered.
_UNUSUAL = frozenset(["HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", "HTTP_UPGRADE", "HTTP_TRAILER"])


def parse(seen: bytes) -> dict[str, Any] | None:
    """What the request says of a WSGI environment; None leaves it to the parser.

    Args:
        seen: what came in, at most LOOKED_AT bytes.
    """
    match = _HEAD.match(seen)
    if match is None:
        return None
    environ: dict[str, Any] = {}
    lines = match[2].decode("ascii").split("\r\n")
    lines.pop()
    for line in lines:
        name, _, value = line.partition(":")
        environ[_variable(name)] = value.strip(" \t")
    # A name that stands twice leaves one variable less.
    if len(environ) != len(lines) or not _UNUSUAL.isdisjoint(environ) or "HTTP_HOST" not in environ:
        return None
    body = seen[match.end() :]
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
