"""HTTP client for webhooks: public addresses only, no redirects, one total timeout."""

import socket
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore
import ssrfguard
from httpcore._backends.sync import SyncStream

from discount.domain.model import Receipt

#: The most bytes of a response body that are read, and the most characters of it that are kept.
READ = 16 * 1024
KEPT = 500
#: The longest pause that `Retry-After` may ask for, in seconds.
LONGEST_PAUSE = 24 * 3600


class WebhookClient:
    """A client that posts to webhooks. Each thread has its own connection pool.

    Args:
        policy: the addresses that may be called.
        timeout: the most seconds for one call, from the name lookup to the end of the response. The lookup
            cannot be cut short: it ends when the system's resolver gives up.
        context: checks certificates; by default with the usual authorities.
    """

    def __init__(self, policy: ssrfguard.Policy, timeout: float, context: Any = None) -> None:
        self._policy = policy
        self._timeout = timeout
        self._context = context or httpcore.default_ssl_context()
        self._local = threading.local()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Receipt:
        """Post and return the receipt; never raise for what the receiver does or answers."""
        started = time.monotonic()
        status, answer, retry_after = "", "", None
        try:
            target = self._policy.check_url(url)
            status, answer, retry_after = self._call(target, url, headers, body, started + self._timeout)
        except ssrfguard.SSRFGuardError as error:
            status, answer = "blocked", str(getattr(error, "reason", error))
        except (httpcore.TimeoutException, TimeoutError):
            status, answer = "timeout", f"No complete response within {self._timeout:g} s."
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
            status, answer = "no-answer", str(error) or type(error).__name__
        outcome: Any = "delivered" if status.startswith("2") else "failed" if status == "410" else "retry"
        milliseconds = int((time.monotonic() - started) * 1000)
        return Receipt(outcome, status, _visible(answer), milliseconds, retry_after, gone=status == "410")

    def _call(
        self, target: ssrfguard.Target, url: str, headers: Mapping[str, str], body: bytes, until: float
    ) -> tuple[str, str, float | None]:
        pool, backend = self._pool()
        backend.target, backend.until = target, until
        raw_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        with pool.stream("POST", url, headers=raw_headers, content=body) as response:
            read = b""
            for piece in response.iter_stream():
                read += piece
                if len(read) > READ:
                    break
            retry_after = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
            pause = _pause_seconds(retry_after.decode("latin-1"))
            return str(response.status), read[:KEPT].decode("utf-8", "replace"), pause

    def _pool(self) -> "tuple[httpcore.ConnectionPool, _Backend]":
        kept: tuple[httpcore.ConnectionPool, _Backend] | None = getattr(self._local, "pool", None)
        if kept is None:
            backend = _Backend(self._policy)
            pool = httpcore.ConnectionPool(
                ssl_context=self._context,
                network_backend=backend,
                max_connections=8,
                max_keepalive_connections=4,
                keepalive_expiry=20,
            )
            kept = self._local.pool = pool, backend
        return kept


class _Backend(httpcore.NetworkBackend):
    """A transport that connects only to addresses that it has checked: a second lookup could return another one."""

    def __init__(self, policy: ssrfguard.Policy) -> None:
        self._policy = policy
        #: The target of the current call, and when the call must be over by the monotonic clock.
        self.target: ssrfguard.Target
        self.until = 0.0

    def connect_tcp(self, host: str, port: int, *_args: Any, **_options: Any) -> httpcore.NetworkStream:
        if (host, port) != (self.target.host, self.target.port):
            raise ssrfguard.BlockedURLError(f"{host}:{port}", "two parsers read a different host or port from this URL")
        addresses = ssrfguard.resolve(self.target, policy=self._policy)
        connected = ssrfguard.connect(addresses, policy=self._policy, timeout=self.left() / len(addresses))
        # Head and body are two writes; with Nagle's algorithm the body would wait until the head is acknowledged.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Stream(self, connected)

    def left(self) -> float:
        """Return the seconds left for the current call.

        Raises:
            httpcore.ReadTimeout: none are left.
        """
        left = self.until - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left


class _Stream(SyncStream):
    """A stream on which every wait ends with the call, so that a slow receiver cannot hold a thread."""

    def __init__(self, backend: _Backend, connected: Any) -> None:
        super().__init__(connected)
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return super().read(max_bytes, self._backend.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        super().write(buffer, self._backend.left())

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = super().start_tls(ssl_context, server_hostname, self._backend.left())
        return _Stream(self._backend, stream.get_extra_info("socket"))


def _pause_seconds(retry_after: str) -> float | None:
    """Return the seconds of a Retry-After value, a number or a date (RFC 9110, section 10.2.3); None if invalid."""
    if retry_after.isascii() and retry_after.isdecimal():
        return float(min(int(retry_after[:9]), LONGEST_PAUSE))
    try:
        moment = parsedate_to_datetime(retry_after)
        # A date without a zone is in UTC. Dates at either end of the calendar overflow when converted.
        left = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, left), float(LONGEST_PAUSE))


def _visible(text: str) -> str:
    """Make a receiver's text safe for logs, lists and terminals: one line, without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:KEPT]
