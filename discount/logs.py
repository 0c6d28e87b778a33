"""Log entries on standard error, one line each: JSON for machines or text for people.

The lines of requests are held for a moment and written together. Every other line is written at once, and the held
lines before it, so lines stay in order.
"""

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from select import PIPE_BUF
from typing import Any, BinaryIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor

from discount.config import Settings
from discount.deferred import Deferred

#: Seconds that the line of a request is held at most; a process that is killed loses the lines of so long.
HELD_SECONDS = 0.05
#: The most lines that are held.
MOST_HELD = 1000
_encoder = msgspec.json.Encoder()


class RequestLine(msgspec.Struct, gc=False):
    """The line of an answered request."""

    request_id: str
    method: str
    route: str
    status: int
    ms: float
    event: str = "request"
    level: str = "info"
    time: datetime = msgspec.field(default_factory=partial(datetime.now, UTC))


def _as_json(_logger: Any, _name: str, entry: EventDict) -> bytes:
    try:
        return _encoder.encode(entry)
    except TypeError:
        return _encoder.encode({key: str(value) for key, value in entry.items()})


def _as_text(_logger: Any, _name: str, entry: EventDict) -> bytes:
    time, level, event = entry.pop("time"), entry.pop("level"), entry.pop("event")
    error = entry.pop("exception", None)
    # Quoted, so that a line break in text from outside cannot start a new line.
    rest = " ".join(f"{key}={value if isinstance(value, int | float) else repr(value)}" for key, value in entry.items())
    message = event if event.isprintable() else repr(event)
    trace = "".join(f"\n  {line}" for line in error.splitlines()) if error else ""
    return (f"{time[11:23]} {level:7} {message} {rest}".rstrip() + trace).encode()


def _request_lines_as_text(lines: Sequence[RequestLine]) -> bytes:
    return b"".join(_as_text(None, "", msgspec.to_builtins(line)) + b"\n" for line in lines)


class Handler(logging.Handler):
    """A handler that logs the entries of libraries in the same format as our own."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            exception = record.exc_info if record.exc_info and record.exc_info[0] else None
            structlog.get_logger().log(record.levelno, record.getMessage(), logger=record.name, exc_info=exception)
        except Exception:  # the logging module's own way: a log call never breaks its caller
            self.handleError(record)


class _Output:
    """Standard error, with the lines of requests that are not written yet."""

    def __init__(self) -> None:
        self.encode: Callable[[Sequence[RequestLine]], bytes] = _encoder.encode_lines
        self.logs_requests = False
        # `append` and `popleft` are atomic, so no request waits for another, or for the writing.
        self._held: deque[RequestLine] = deque()
        # Reentrant: a signal handler may log while its thread is writing.
        self._writing = threading.RLock()
        self._deferred = Deferred("log lines", HELD_SECONDS, self.flush)

    def hold(self, line: RequestLine) -> None:
        self._held.append(line)
        if len(self._held) < MOST_HELD:
            self._deferred.ask()
        else:
            self.flush()

    def write(self, line: bytes) -> None:
        """Write a line and those held before it. This is what structlog's logger calls, followed by `flush`."""
        with self._writing:
            text = self._take() + line
            for piece in _pieces(text):
                sys.stderr.buffer.write(piece)
                sys.stderr.buffer.flush()

    def flush(self) -> None:
        if self._held:
            self.write(b"")

    def _take(self) -> bytes:
        """Return the held lines, encoded, and hold them no longer."""
        return self.encode([self._held.popleft() for _ in range(len(self._held))])


def _pieces(text: bytes) -> Iterator[bytes]:
    """Split lines into pieces that a pipe takes whole: lines of two processes that share it never mix."""
    start = 0
    while start < len(text):
        end = text.rfind(b"\n", start, start + PIPE_BUF) + 1 or text.find(b"\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


_output = _Output()
#: Writes the held lines now.
flush = _output.flush


def log_request(*, request_id: str, method: str, route: str, status: int, ms: float) -> None:
    """Log the line of an answered request, which is written within `HELD_SECONDS`. Any thread may call this."""
    if _output.logs_requests:
        _output.hold(RequestLine(request_id, method, route, status, ms))


def configure(settings: Settings) -> None:
    """Set up logging for this process and its libraries."""
    flush()
    level = getattr(logging, settings.log_level.upper())
    is_json = settings.log_format == "json"
    _output.logs_requests = level <= logging.INFO
    _output.encode = _encoder.encode_lines if is_json else _request_lines_as_text
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _as_json if is_json else _as_text,
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(file=cast("BinaryIO", _output)),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[Handler()], level=level, force=True)
    # It says at `info` what it does at each start of a worker.
    logging.getLogger("alembic").setLevel(max(level, logging.WARNING))
