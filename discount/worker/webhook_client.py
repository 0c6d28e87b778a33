"""The only HTTP client towards strangers: it reaches public addresses alone, follows nobody, and waits for so long."""

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

#: How much of an answer is read, and how much of that is kept.
READ = 16 * 1024
KEPT = 500
#: What the other side may ask to be left alone for, in seconds.
LONGEST_PAUSE = 24 * 3600


class WebhookClient:
    """Posts to webhooks. Connections are kept a while, one set a thread.

    Args:
        timeout: seconds for a whole call, from its name to the end of the answer; looking the name up ends only
            when the machine's resolver gives up.
        context: what certificates are checked with.
    """

    def __init__(self, allowed: ssrfguard.Policy, timeout: float, context: Any = None) -> None:
        self._allowed = allowed
        self._timeout = timeout
        self._context = context or httpcore.default_ssl_context()
        self._local = threading.local()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Receipt:
        """How it went; never raises for what the other side does."""
        started = time.monotonic()
        status, answer, retry_after = "", "", None
        try:
            target = self._allowed.check_url(url)
            status, answer, retry_after = self._call(target, url, headers, body, started + self._timeout)
        except ssrfguard.SSRFGuardError as error:
            status, answer = "blocked", str(getattr(error, "reason", error))
        except (httpcore.TimeoutException, TimeoutError):
            status, answer = "timeout", f"No whole answer within {self._timeout:g} s."
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
        given = [(name.encode(), value.encode()) for name, value in headers.items()]
        with pool.stream("POST", url, headers=given, content=body) as response:
            read = b""
            for piece in response.iter_stream():
                read += piece
                if len(read) > READ:
                    break
            asked = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
            return str(response.status), read[:KEPT].decode("utf-8", "replace"), _pause(asked.decode("latin-1"))

    def _pool(self) -> "tuple[httpcore.ConnectionPool, _Backend]":
        found: tuple[httpcore.ConnectionPool, _Backend] | None = getattr(self._local, "pool", None)
        if found is None:
            backend = _Backend(self._allowed)
            pool = httpcore.ConnectionPool(
                ssl_context=self._context,
                network_backend=backend,
                max_connections=8,
                max_keepalive_connections=4,
                keepalive_expiry=20,
            )
            found = self._local.pool = pool, backend
        return found


class _Backend(httpcore.NetworkBackend):
    """Connects to an address that was looked at, and to no other: asked twice, a name may answer otherwise."""

    def __init__(self, allowed: ssrfguard.Policy) -> None:
        self._allowed = allowed
        #: What the call that is under way goes to, and when it has to be over.
        self.target: ssrfguard.Target
        self.until = 0.0

    def connect_tcp(self, host: str, port: int, *_args: Any, **_options: Any) -> httpcore.NetworkStream:
        if (host, port) != (self.target.host, self.target.port):
            raise ssrfguard.BlockedURLError(f"{host}:{port}", "two readers of it disagree on where it leads")
        addresses = ssrfguard.resolve(self.target, policy=self._allowed)
        connected = ssrfguard.connect(addresses, policy=self._allowed, timeout=self.left() / len(addresses))
        # A head and its body are two writes: the second would wait for who is slow to acknowledge the first.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Stream(self, connected)

    def left(self) -> float:
        left = self.until - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left


class _Stream(SyncStream):
    """A stream whose every wait ends when the call has to end: a byte a second is no way to hold a sender."""

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


def _pause(asked: str) -> float | None:
    """What Retry-After asks for in seconds, as a number or as a date (RFC 9110, section 10.2.3)."""
    if asked.isascii() and asked.isdecimal():
        return float(min(int(asked[:9]), LONGEST_PAUSE))
    try:
        moment = parsedate_to_datetime(asked)
        # A date without a zone is one of UTC. The first and the last hours of all time cannot be told in another zone.
        left = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, left), float(LONGEST_PAUSE))


def _visible(text: str) -> str:
    """A stranger's text for logs, lists and terminals: on one line, with nothing that moves a cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:KEPT]
