"""A threaded gunicorn worker that answers fast-path requests in batches, and that slow clients cannot block.

- The main loop reads requests without blocking, so no thread waits for a client that sends slowly.
- A fast-path request waits only for Redis. A batch thread answers all that are waiting with a shared pipeline. They
  bypass gunicorn's parser and response (`discount.serving.fast_parser`).
- Health checks and metrics have threads of their own.
- All other requests go to the thread pool, which long requests can never fill (`discount.api.long_calls`).

`doc/decisions/013-past-the-parser.md` lists the gunicorn internals that this module relies on.
"""

import os
import re
import selectors
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from errno import EAGAIN, ECONNABORTED, EWOULDBLOCK
from functools import lru_cache, partial
from queue import Empty, SimpleQueue
from typing import Any

from gunicorn import SERVER
from gunicorn.errors import ConfigError
from gunicorn.http import errors
from gunicorn.http.wsgi import base_environ
from gunicorn.util import http_date
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from discount.serving import fast_parser
from discount.serving.connections import LONGEST_CHUNKS, Connection
from discount.store import autopipeline

#: The most requests of a batch.
BATCH = 64
#: Seconds for a client to receive the rest of a buffered response.
SEND_SECONDS = 30
#: The most seconds and bytes that are read and dropped after a final response, while the client is still sending.
#: A connection closed before that is reset, and the client may lose the response.
LINGER_SECONDS = 5
LINGER_BYTES = 128 * 1024 * 1024
#: The most bytes read from a connection at a time.
CHUNK = 64 * 1024
#: Seconds until a computing thread yields to another: long requests must not delay short ones.
SWITCH_SECONDS = 0.001
#: Seconds between two checks for connections that have timed out.
SWEEP_SECONDS = 0.5
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


def _finished(keep_alive: bool) -> Future[bool]:
    future: Future[bool] = Future()
    future.set_result(keep_alive)
    return future


#: What gunicorn's `finish_request` takes for an answered request, by whether its connection is kept alive.
_FINISHED = {keep_alive: _finished(keep_alive) for keep_alive in (True, False)}


class BatchingWorker(ThreadWorker):  # type: ignore[misc]
    """A worker with two extra threads for batches, and one for each health check and for metrics."""

    alive: bool
    wsgi: Callable[..., Any]

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise ConfigError("This worker does not support TLS: set certfile and keyfile at the proxy instead")

    def init_process(self) -> None:
        # Connections that wait in the main loop, longest first, and when each of them times out.
        self._waiting: dict[Connection, float] = {}
        self._next_sweep = 0.0
        self._health = {name: ThreadPoolExecutor(1, name.decode()) for name in (b"healthy", b"ready", b"metrics")}
        super().init_process()

    def run(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        self._batch_queue: SimpleQueue[tuple[Connection, dict[str, Any]]] = SimpleQueue()
        # With any of these settings, requests need work that only gunicorn's parser does.
        needs_parser = self.cfg.secure_scheme_headers or os.environ.get("SCRIPT_NAME")
        self._use_fast_parser = not needs_parser and self.cfg.proxy_protocol == "off"
        self._environ = base_environ(self.cfg) | {
            "REQUEST_METHOD": "POST",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "wsgi.url_scheme": "http",
            "wsgi.multithread": True,
        }
        self._app, self.wsgi = self.wsgi, self._answer_parsed
        # Two, so that one works while the other waits for Redis.
        for number in range(2):
            threading.Thread(target=self._answer_batches, name=f"batch-{number}", daemon=True).start()
        super().run()

    # Connections. All of this runs in the main loop and never blocks.

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection; if there are too many, close the one that has waited longest."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in (EAGAIN, EWOULDBLOCK, ECONNABORTED):
                return
            raise
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections and self._waiting:
            # Prefer one that never sent a request: connections from a proxy have.
            self._drop(next((conn for conn in self._waiting if conn.fresh), next(iter(self._waiting))))
        self._receive(Connection(self.cfg, accepted, address, listener.getsockname()))

    def enqueue_req(self, conn: Connection) -> None:
        """Queue a request for the batch threads, or pass it to a thread of a pool."""
        if environ := self._parse(conn):
            conn.hand_over()
            self._batch_queue.put((conn, environ))
            return
        health = _HEALTH.match(conn.received)
        self._submit(self._health[health[1]] if health else self.tpool, conn, self.handle, conn)

    def _submit(self, pool: ThreadPoolExecutor, conn: Connection, work: Callable[..., bool], *arguments: Any) -> None:
        future = pool.submit(work, *arguments)
        future.add_done_callback(partial(self.method_queue.defer, self.finish_request, conn))

    def _parse(self, conn: Connection) -> dict[str, Any] | None:
        """Return the WSGI variables of a complete fast-path request; None for any other request."""
        is_candidate = self._use_fast_parser and len(conn.received) <= fast_parser.MAX_BYTES
        # Without a client address (unix sockets) gunicorn's own rules apply.
        if not is_candidate or not isinstance(conn.client, tuple):
            return None
        return fast_parser.parse(bytes(conn.received))

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
        seconds = self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER
        conn.idle, conn.fresh, conn.until = True, False, time.monotonic() + seconds
        conn.begin()
        ahead = conn.parser.unreader.take_buffered() if conn.parser else b""
        if ahead:
            conn.add(ahead)
            self._enqueue_or_wait(conn)
        else:
            self._wait(conn, selectors.EVENT_READ, self._receive)

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
        received = conn.hand_over()
        conn.init()
        conn.parser.unreader.unread(received)
        return bool(super().handle(conn))

    def _answer_parsed(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Call the app for a request from gunicorn's parser; announce if the connection will be closed."""

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

    def _refuse(self, client: Any, addr: Any, slug: str, detail: str) -> bool:
        """Let the app render the problem for a request that it cannot get; the connection is then closed."""
        environ = {"REQUEST_METHOD": "other", "PATH_INFO": "", "HTTP_X_REQUEST_ID": client.request_id}
        environ["discount.refused"] = (slug, detail)
        try:
            client.sendall(self._response(environ, addr, client.getsockname(), keep_alive=False))
        except OSError:
            self.log.debug("client of a malformed request disconnected")
        return False

    def _next_batch(self) -> list[tuple[Connection, dict[str, Any]]]:
        """Wait for a request, and return it with those that wait behind it."""
        batch = [self._batch_queue.get()]
        try:
            while len(batch) < BATCH:
                batch.append(self._batch_queue.get_nowait())
        except Empty:
            pass
        return batch

    def _answer_batches(self) -> None:
        while True:
            batch = self._next_batch()
            outcomes: Sequence[bool | BaseException]
            try:
                outcomes = autopipeline.run_batch([partial(self._answer, *request) for request in batch])
            except Exception:
                # If this thread ended, its share of the fast-path requests would never be answered.
                self.log.exception("batch failed")
                outcomes = [False] * len(batch)
            answered: list[tuple[Connection, bool | BaseException]] = []
            for (conn, environ), outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, autopipeline.Leave):
                    self._submit(self.tpool, conn, self._answer, conn, environ)
                else:
                    answered.append((conn, outcome))
            self.method_queue.defer(self._finish, answered)

    def _finish(self, answered: Sequence[tuple[Connection, bool | BaseException]]) -> None:
        for conn, outcome in answered:
            self.finish_request(conn, _FINISHED[outcome is True])

    def _answer(self, conn: Connection, environ: dict[str, Any]) -> bool:
        """Answer a fast-path request; return whether to keep the connection alive.

        The main loop sends what the client does not receive at once.

        Raises:
            Leave: the request would delay the others of its batch; answer it again outside of the batch.
        """
        try:
            environ["wsgi.input"].seek(0)
            keep_alive = self._keeps_alive(environ)
            conn.sock.sendall(self._response(environ, conn.client, conn.server, keep_alive=keep_alive))
        except OSError:
            return False
        except Exception as error:
            self.handle_error(None, conn.sock, conn.client, error)
            return False
        return keep_alive

    def _keeps_alive(self, environ: dict[str, Any]) -> bool:
        """Count a request, and return whether to keep its connection alive, by the same rules as gunicorn."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        if environ.get("HTTP_CONNECTION", "").lower() == "close" or not self.cfg.keepalive:
            return False
        return self.alive

    def _response(self, environ: dict[str, Any], client: Any, server: Any, *, keep_alive: bool) -> bytes:
        """Call the app and return its complete response, head and body."""
        environ = self._environ | environ
        if isinstance(client, tuple):
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
        if isinstance(server, tuple):
            environ["SERVER_NAME"], environ["SERVER_PORT"] = server[0], str(server[1])
        head = ["", f"Server: {SERVER}", f"Date: {_date(int(time.time()))}"]
        head.append("Connection: keep-alive" if keep_alive else "Connection: close")

        def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> None:
            head[0] = f"HTTP/1.1 {status}"
            # This worker decides about the connection, not the app.
            head.extend(f"{name}: {value}" for name, value in headers if name != "Connection")

        body = b"".join(self._app(environ, start_response))
        return "\r\n".join([*head, "\r\n"]).encode("latin-1") + body


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return str(http_date(second))
