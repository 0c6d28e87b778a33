"""The pool worker: a threaded gunicorn worker that answers what hot workers pass on, and that no slow client blocks.

- The main loop receives connections from hot workers, and the bodies of requests, without blocking. So no thread waits
  for a client that sends slowly.
- Health checks and metrics have threads of their own.
- All other requests go to the thread pool, which long requests can never fill (`discount.api.long_calls`). A caller who
  has used up its share of the processor waits before that (`discount.serving.shares`).
- A connection that is idle goes back to a hot worker.

`doc/decisions/018-one-loop.md` lists the gunicorn internals that this module relies on.
"""

import os
import re
import selectors
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from gunicorn import SERVER
from gunicorn.http import errors
from gunicorn.http.wsgi import base_environ
from gunicorn.util import http_date
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER

from discount.serving import worker
from discount.serving.connections import (
    LINGER_BYTES,
    LINGER_SECONDS,
    LONGEST_CHUNKS,
    SEND_SECONDS,
    Connection,
)
from discount.serving.handover import Handed
from discount.serving.roster import State
from discount.serving.shares import Meter, Shares

#: The most bytes read from a connection at a time.
CHUNK = 64 * 1024
#: How much less of the processor a pool worker gets than a hot one, if both want it (the niceness of its process).
NICE = 10
#: Seconds within which a hot worker notes that it is stopping, if it was told to when this one was.
NOTICE_SECONDS = 2
#: Seconds between two looks at the other workers while stopping.
STOP_SECONDS = 0.1
#: Seconds until a computing thread yields to another: long requests must not delay short ones.
SWITCH_SECONDS = 0.001
#: Seconds between two checks for connections that have timed out.
SWEEP_SECONDS = 0.5
_NEVER = float("inf")
_HEALTH = re.compile(rb"(?:\r\n)?(?:GET|HEAD) /(healthy|ready|metrics)[ ?]")
# The slug and detail of each parser error. The detail never quotes the request.
_PARSER_ERRORS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, str], ...] = (
    (errors.LimitRequestLine, "uri-too-long", ""),
    (errors.LimitRequestHeaders, "headers-too-large", ""),
    (errors.InvalidHTTPVersion, "bad-request", "The HTTP version must be 1.0 or 1.1."),
    (errors.InvalidRequestMethod, "bad-request", "The method must be a single word of letters."),
    (errors.InvalidRequestLine, "bad-request", "The request line must be a method, an address and a version in ASCII."),
    (errors.UnsupportedTransferCoding, "bad-request", "Transfer-Encoding may only be `chunked`."),
    (errors.ExpectationFailed, "bad-request", "Expect may only be `100-continue`."),
    (
        (errors.InvalidChunkSize, errors.ChunkMissingTerminator, errors.InvalidChunkExtension),
        "bad-request",
        "The chunks of the body are malformed.",
    ),
    (errors.ParseException, "bad-request", "A header is malformed."),
)


class Worker(worker.Worker):
    """A worker with a thread for each health check and for metrics, besides its pool."""

    alive: bool
    sockets: list[Any]
    wsgi: Callable[..., Any]

    def init_process(self) -> None:
        # Connections that wait in the main loop, longest first, and when each of them times out.
        self._waiting: dict[Connection, float] = {}
        self._next_sweep = 0.0
        self._health = {name: ThreadPoolExecutor(1, name.decode()) for name in (b"healthy", b"ready", b"metrics")}
        self._stopping_since = 0.0
        replica = self.replica
        self._shares = Shares(
            replica.caller_share, replica.pool_share, max(1, self.cfg.threads // 2), replica.activity.last
        )
        # When the next of the requests that wait for their caller's share is due.
        self._next_turn = _NEVER
        # Only hot workers accept.
        for listener in self.sockets:
            listener.close()
        self.sockets = [self.replica.to_pool.outlet]
        os.nice(NICE)
        # The method of the class between would choose a kind again.
        super(worker.Worker, self).init_process()

    def run(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        self._environ = base_environ(self.cfg) | {
            "REQUEST_METHOD": "other",
            "PATH_INFO": "",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "wsgi.url_scheme": "http",
            "wsgi.multithread": True,
        }
        self._app, self.wsgi = self.wsgi, self._answer_parsed
        self.note(State.RUNNING)
        super().run()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin a graceful stop, once no hot worker needs this one."""
        self.note(State.STOPPING)
        self._stopping_since = self._stopping_since or time.monotonic()
        self.method_queue.defer(self._stop_if_unneeded)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for events; for a short time only while this worker waits for others to stop."""
        longest = STOP_SECONDS if self._stopping_since else timeout
        super().wait_for_and_dispatch_events(max(0.0, min(longest, self._next_turn - time.monotonic())))
        if time.monotonic() >= self._next_turn:
            self._start_due()

    def _stop_if_unneeded(self) -> None:
        """End the main loop, unless hot workers that are stopping, too, may pass requests on to nobody else."""
        if not self._stopping_since:
            return
        roster = self.replica.roster
        is_early = time.monotonic() < self._stopping_since + NOTICE_SECONDS
        waited_for = (State.RUNNING, State.STOPPING) if is_early else (State.STOPPING,)
        is_needed = not roster.has("pool", State.RUNNING) and roster.has("hot", *waited_for)
        self.alive = self.alive and (is_needed or self.is_awaited())

    # Connections. All of this runs in the main loop and never blocks.

    def accept(self, channel: socket.socket) -> None:
        """Take a connection from a hot worker; if there are too many, close the one that has waited longest."""
        taken = self.replica.to_pool.take()
        if taken is None:
            return
        sock, handed = taken
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections and self._waiting:
            # Prefer one that never sent a request: connections from a proxy have.
            self._drop(next((conn for conn in self._waiting if conn.fresh), next(iter(self._waiting))))
        conn = Connection(self.cfg, sock, handed)
        conn.add(handed.received)
        self._enqueue_or_wait(conn)

    def enqueue_req(self, conn: Connection) -> None:
        """Pass a request to a thread of a pool, now or once its caller's turn has come."""
        health = _HEALTH.match(conn.received)
        if health:
            self._submit(self._health[health[1]], conn, self.handle, conn)
            return
        caller = self._shares.caller_of(conn.credentials, conn.address(self.replica.proxies))
        if self._shares.enter(caller, conn):
            self._start_due()
            return
        conn.hand_over()
        retry = [("Retry-After", str(self._shares.retry_after(caller)))]
        self._submit(self.tpool, conn, self._refuse, conn.sock, conn.client, "too-many-at-once", "", retry)

    def _start_due(self) -> None:
        """Pass requests whose turn has come to threads."""
        for caller, conn in self._shares.due():
            conn.meter = Meter(self._shares, caller, conn.credentials)
            self._submit(self.tpool, conn, self.handle, conn)
        self._next_turn = time.monotonic() + self._shares.next_turn()

    def _submit(self, pool: ThreadPoolExecutor, conn: Connection, work: Callable[..., bool], *arguments: Any) -> None:
        future = pool.submit(work, *arguments)
        future.add_done_callback(partial(self.method_queue.defer, self.finish_request, conn))

    def _receive(self, conn: Connection) -> None:
        try:
            piece = conn.sock.recv(CHUNK)
        except BlockingIOError:
            self._wait(conn, selectors.EVENT_READ, self._receive)
            return
        except OSError:
            self._close(conn)
            return
        if piece:
            conn.add(piece)
            self._enqueue_or_wait(conn)
        elif conn.has_head:
            # The client has stopped sending within the body; the app answers that.
            self.enqueue_req(conn)
        else:
            self._close(conn)

    def _enqueue_or_wait(self, conn: Connection) -> None:
        """Enqueue the request if it is ready, refuse it if it is too long, otherwise wait for more of it."""
        if conn.ready():
            self.enqueue_req(conn)
        elif slug := conn.too_long:
            conn.hand_over()
            self._submit(self.tpool, conn, self._refuse, conn.sock, conn.client, slug, "")
        else:
            self._wait(conn, selectors.EVENT_READ, self._receive)

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:
        """Send what is left of the response, then await the next request or close the connection."""
        conn.sock.waits = False
        if conn.meter is not None:
            conn.meter.end(conn.announced)
            conn.meter = None
            self._start_due()
        try:
            keep_alive = fs.result()
        except Exception:
            keep_alive = False
        conn.until = time.monotonic() + SEND_SECONDS
        self._send_rest(conn, keep_alive)

    def _send_rest(self, conn: Connection, keep_alive: bool) -> None:
        try:
            sent = conn.sock.send_held()
        except OSError:
            self._close(conn)
            return
        if not sent:
            self._wait(conn, selectors.EVENT_WRITE, partial(self._send_rest, keep_alive=keep_alive))
        elif keep_alive:
            self._await_next(conn)
        else:
            self._linger(conn)

    def _await_next(self, conn: Connection) -> None:
        """Give an idle connection back to a hot worker; keep it here if bytes of the next request have been read."""
        seconds = self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER
        conn.idle, conn.fresh, conn.until = True, False, time.monotonic() + seconds
        conn.begin()
        ahead = conn.parser.unreader.take_buffered() if conn.parser else b""
        if ahead:
            conn.add(ahead)
            self._enqueue_or_wait(conn)
        elif self._give_back(conn):
            self.nr_conns -= 1
        else:
            self._wait(conn, selectors.EVENT_READ, self._receive)

    def _give_back(self, conn: Connection) -> bool:
        handed = Handed(conn.client, conn.server, until=conn.until, fresh=False)
        try:
            return self.replica.roster.has("hot", State.RUNNING) and self.replica.to_hot.send(conn.sock, handed)
        except OSError:
            return False

    def _linger(self, conn: Connection) -> None:
        """Close a connection so that the client gets the response even while it is sending (RFC 9112, section 9.6)."""
        conn.until, conn.idle = time.monotonic() + LINGER_SECONDS, False
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            self._drain(conn, LINGER_BYTES)

    def _drain(self, conn: Connection, left: int) -> None:
        try:
            piece = conn.sock.recv(CHUNK)
        except BlockingIOError:
            self._wait(conn, selectors.EVENT_READ, partial(self._drain, left=left))
            return
        except OSError:
            piece = b""
        if piece and left > 0:
            self._wait(conn, selectors.EVENT_READ, partial(self._drain, left=left - len(piece)))
        else:
            self._close(conn)

    def _wait(self, conn: Connection, event: int, then: Callable[[Connection], None]) -> None:
        """Call `then` once the connection is readable or writable; close the connection if it times out before."""
        self._waiting[conn] = conn.until
        self.poller.register(conn.sock, event, partial(self._go_on, conn, then))

    def _go_on(self, conn: Connection, then: Callable[[Connection], None], _socket: Any) -> None:
        # `accept` may have closed it after the poller reported it.
        if self._waiting.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)
            then(conn)

    def _drop(self, conn: Connection) -> None:
        """Close a waiting connection."""
        del self._waiting[conn]
        self.poller.unregister(conn.sock)
        self._close(conn)

    def _close(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()

    def murder_keepalived(self, force: bool = False) -> None:
        """Close the waiting connections that have timed out, or all of them with `force`."""
        self._stop_if_unneeded()
        now = time.monotonic()
        if force or now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            for conn in [conn for conn, until in self._waiting.items() if force or until <= now]:
                self._drop(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """Keep idle connections only until the deadline, because the worker is stopping."""
        for conn in self._waiting:
            if conn.idle:
                self._waiting[conn] = min(self._waiting[conn], deadline)

    # Requests. All of this runs in other threads.

    def handle(self, conn: Connection) -> bool:
        """Answer a request through gunicorn's parser; return whether to keep the connection alive."""
        meter = conn.sock.meter = conn.meter
        if meter is not None:
            meter.begin()
        try:
            received = conn.hand_over()
            conn.init()
            conn.parser.unreader.unread(received)
            return bool(super().handle(conn))
        finally:
            if meter is not None:
                meter.charge()

    def _answer_parsed(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Call the app for a request from gunicorn's parser; announce if the connection will be closed."""

        environ["discount.meter"] = environ["gunicorn.socket"].meter

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            reader = environ["wsgi.input"].reader
            is_read = getattr(reader, "length", 1) == 0 or getattr(reader, "parser", reader) is None
            if not (is_read or environ["gunicorn.socket"].whole):
                # Part of the body is still to come. Unannounced, a proxy would send its next request and lose it.
                start_response.__self__.force_close()
            return start_response(status, headers, *rest)

        return self._app(environ, start)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Return whether the connection can be kept alive: not while part of the body has yet to arrive."""
        if not keepalive:
            return False
        conn.sock.waits = False
        # This reads what has arrived and raises where it would have to wait.
        try:
            return bool(conn.parser.finish_body(max_bytes=LONGEST_CHUNKS))
        except OSError:
            return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a malformed request, or a failed one, with a problem; the log quotes nothing of the request."""
        for kinds, slug, detail in _PARSER_ERRORS:
            if isinstance(exc, kinds) and not isinstance(
                exc, errors.InvalidResponseHeader | errors.InvalidResponseHeaderName
            ):
                self.log.warning("malformed request: %s", type(exc).__name__)
                self._refuse(client, addr, slug, detail)
                return
        where = "".join(traceback.format_tb(exc.__traceback__))
        self.log.error("request failed: %s\n%s", type(exc).__name__, where)
        self._refuse(client, addr, "internal", "")

    def _refuse(self, client: Any, addr: Any, slug: str, detail: str, headers: Sequence[tuple[str, str]] = ()) -> bool:
        """Let the app render the problem for a request that it cannot get; the connection is then closed."""
        environ = self._environ | {"HTTP_X_REQUEST_ID": client.request_id, "discount.refused": (slug, detail, headers)}
        try:
            client.sendall(self._response(environ))
        except OSError:
            self.log.debug("client of a malformed request disconnected")
        return False

    def _response(self, environ: dict[str, Any]) -> bytes:
        """Call the app and return its complete response, head and body; the connection closes after it."""
        head = ["", f"Server: {SERVER}", f"Date: {http_date()}", "Connection: close"]

        def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> None:
            head[0] = f"HTTP/1.1 {status}"
            head.extend(f"{name}: {value}" for name, value in headers if name != "Connection")

        body = b"".join(self._app(environ, start_response))
        return "\r\n".join([*head, "\r\n"]).encode("latin-1") + body
