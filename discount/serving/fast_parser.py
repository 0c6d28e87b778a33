"""Fast parser: the busiest requests are read straight from the receive buffer, past gunicorn's parser.

It accepts only a complete, single request that no two parsers could read differently. Everything else goes to
gunicorn's parser, so that request smuggling has nothing to exploit.
"""

import re
from functools import lru_cache
from typing import NamedTuple

#: The longest request in bytes that is tried. The limits in gunicorn_config.py are no lower than the following ones.
MAX_BYTES = 16 * 1024
MOST_LINES = 64
LONGEST_NAME = 64
LONGEST_VALUE = 8000

_REQUEST_LINE = re.compile(
    rb"(?:(POST) (/redemption|/validation|/discount/[A-Za-z0-9_-]{1,64}/grant)|(GET) (/healthy)) HTTP/1\.1\r\n"
)
# Values are visible ASCII, spaces and tabs, and only CRLF ends a line. A name may not contain an underscore, because
# WSGI cannot tell it from a dash.
_LINE = re.compile(rb"([A-Za-z0-9!#$%%&'*+.^`|~-]{1,%d}+):([\t\x20-\x7e]{0,%d}+)" % (LONGEST_NAME, LONGEST_VALUE))
_LENGTH = re.compile("0|[1-9][0-9]{0,4}")
#: Headers that change how a request is read or answered.
_UNUSUAL = frozenset(["HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", "HTTP_UPGRADE", "HTTP_TRAILER"])
#: The longest line and the longest head in bytes that are remembered.
_LONGEST_KNOWN_LINE, _LONGEST_KNOWN = 512, 2048


class Head(NamedTuple):
    """The head of a request: its headers as WSGI variables, not to be changed, and the bytes of its body."""

    method: str
    path: str
    variables: dict[str, str]
    length: int
    keep_alive: bool


def read_head(received: bytes, end: int) -> Head | None:
    """Read the head of a request; return None to leave the request to gunicorn's parser.

    The caller leaves it, too, if more than the body follows, or if the whole is longer than MAX_BYTES.

    Args:
        received: everything received so far.
        end: where the first empty line ends.
    """
    return _read(received[:end]) if end <= _LONGEST_KNOWN else _read.__wrapped__(received[:end])


# Cached: a client sends the same head again and again.
@lru_cache(maxsize=1024)
def _read(head: bytes) -> Head | None:
    match = _REQUEST_LINE.match(head)
    if match is None:
        return None
    lines = head[match.end() : -2]
    headers = _read_lines(lines) if len(lines) <= _LONGEST_KNOWN else _read_lines.__wrapped__(lines)
    if headers is None:
        return None
    variables, length, keep_alive = headers
    # A body has a length; a request without one has none.
    if (length < 0) is (match[1] is not None):
        return None
    path = (match[2] or match[4]).decode("ascii")
    return Head("POST" if match[1] else "GET", path, variables, max(length, 0), keep_alive)


# Cached: the same lines come with other addresses.
@lru_cache(maxsize=1024)
def _read_lines(lines: bytes) -> tuple[dict[str, str], int, bool] | None:
    """Read header lines, each with its end: the variables, the length of the body (-1 for none), and keep-alive."""
    variables: dict[str, str] = {}
    each = lines.split(b"\r\n")
    each.pop()
    for line in each:
        header = _read_line(line) if len(line) <= _LONGEST_KNOWN_LINE else _read_line.__wrapped__(line)
        if header is None:
            return None
        variables[header[0]] = header[1]
    # Fewer variables than lines means that a name is repeated.
    if not 0 < len(variables) == len(each) <= MOST_LINES:
        return None
    if not _UNUSUAL.isdisjoint(variables) or "HTTP_HOST" not in variables:
        return None
    connection = variables.get("HTTP_CONNECTION", "keep-alive").lower()
    if connection not in ("close", "keep-alive"):
        return None
    length = variables.get("CONTENT_LENGTH")
    if length is not None and not _LENGTH.fullmatch(length):
        return None
    return variables, -1 if length is None else int(length), connection != "close"


@lru_cache(maxsize=4096)
def _read_line(line: bytes) -> tuple[str, str] | None:
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    name = match[1].decode("ascii").upper().replace("-", "_")
    value = match[2].decode("ascii").strip(" \t")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}", value
