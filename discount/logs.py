"""Logs on standard error, one line per entry: JSON for machines or text for people."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor

from discount.config import Settings

_encode = msgspec.json.Encoder().encode


def _as_json(_logger: Any, _name: str, entry: EventDict) -> bytes:
    try:
        return _encode(entry)
    except TypeError:
        return _encode({key: str(value) for key, value in entry.items()})


def _as_text(_logger: Any, _name: str, entry: EventDict) -> bytes:
    time, level, event = entry.pop("time"), entry.pop("level"), entry.pop("event")
    error = entry.pop("exception", None)
    # Quoted, so that a line break in text from outside cannot start a new line.
    rest = " ".join(f"{key}={value if isinstance(value, int | float) else repr(value)}" for key, value in entry.items())
    message = event if event.isprintable() else repr(event)
    trace = "".join(f"\n  {line}" for line in error.splitlines()) if error else ""
    return (f"{time[11:23]} {level:7} {message} {rest}".rstrip() + trace).encode()


class Handler(logging.Handler):
    """Logs the entries of libraries in the same format as our own."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            exception = record.exc_info if record.exc_info and record.exc_info[0] else None
            structlog.get_logger().log(record.levelno, record.getMessage(), logger=record.name, exc_info=exception)
        except Exception:  # the logging module's own way: a log call never breaks its caller
            self.handleError(record)


class _Lines:
    """Standard error, written by line, or at the end of `buffered` for a thread that is inside it."""

    def __init__(self) -> None:
        self._local = threading.local()

    def write(self, line: bytes) -> None:
        held = getattr(self._local, "lines", None)
        if held is None:
            sys.stderr.buffer.write(line)
        else:
            held.append(line)

    def flush(self) -> None:
        if getattr(self._local, "lines", None) is None:
            sys.stderr.buffer.flush()

    def hold(self) -> None:
        self._local.lines = []

    def release(self) -> None:
        held, self._local.lines = self._local.lines, None
        sys.stderr.buffer.write(b"".join(held))
        sys.stderr.buffer.flush()


_lines = _Lines()


@contextmanager
def buffered() -> Iterator[None]:
    """Buffer the log lines of this thread, and write them together at the end."""
    _lines.hold()
    try:
        yield
    finally:
        _lines.release()


def configure(settings: Settings) -> None:
    """Set up logging for this process and its libraries."""
    level = getattr(logging, settings.log_level.upper())
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _as_json if settings.log_format == "json" else _as_text,
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(file=cast("BinaryIO", _lines)),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[Handler()], level=level, force=True)
