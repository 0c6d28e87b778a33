"""Logs: one line an entry on standard error, JSON for machines or text for people."""

import logging
import sys
from typing import Any

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
    # Text from outside is quoted, so that a line break in it cannot make a line of its own.
    rest = " ".join(f"{key}={value if isinstance(value, int | float) else repr(value)}" for key, value in entry.items())
    told = event if event.isprintable() else repr(event)
    trace = "".join(f"\n  {line}" for line in error.splitlines()) if error else ""
    return (f"{time[11:23]} {level:7} {told} {rest}".rstrip() + trace).encode()


class Handler(logging.Handler):
    """What libraries log, in the same form as our own."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            exception = record.exc_info if record.exc_info and record.exc_info[0] else None
            structlog.get_logger().log(record.levelno, record.getMessage(), logger=record.name, exc_info=exception)
        except Exception:  # the logging module's own way: a log call never breaks its caller
            self.handleError(record)


def configure(settings: Settings) -> None:
    """Set up logging of this process, of libraries too."""
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
        logger_factory=structlog.BytesLoggerFactory(file=sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[Handler()], level=level, force=True)
