"""gunicorn's threaded worker, in which the calls that are made most are answered together, and nobody stops the rest.

The main loop reads requests as they come in, and no thread waits for a client that is slow to send one. A hot call
waits for nothing but Redis: such calls are gathered, and one thread answers all that are there at a time, with one
exchange with Redis for all of them. They are read and written here, past gunicorn's parser and response. Calls for
health have threads of their own. Whatever else comes goes to the pool of threads, of which long calls never have all
(`discount.api.long_calls`).
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
from gunicorn.http import errors as faults
from gunicorn.http.wsgi import base_environ
from gunicorn.util import http_date
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from discount import logs
from discount.serving import fast_parser
from discount.serving.connections import LONGEST_CHUNKS, Connection
from discount.store import autopipeline

#: The most calls that are answered together.
MOST = 64
#: Seconds for a client to take the rest of an answer that is kept for it.
SEND_SECONDS = 30
#: Seconds and bytes for which a client that is still sending is listened to, so that it sees its answer.
LINGER_SECONDS = 5
LINGER_BYTES = 128 * 1024 * 1024
#: Bytes read of a connection at a time.
PIECE = 64 * 1024
#: Seconds after which a thread that computes lets another go on: calls that take long must not slow the short ones.
SWITCH_SECONDS = 0.001
#: Seconds between two looks at who has waited too long.
SWEEP_SECONDS = 0.5
_HEALTH = re.compile(rb"(?:\r\n)?(?:GET|HEAD) /(healthy|ready|metrics)[ ?]")
# What the parser refuses: the word it is told with, and what is wrong. Never a piece of the request.
_FAULTS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, str], ...] = (
    (faults.LimitRequestLine, "uri-too-long", ""),
    (faults.LimitRequestHeaders, "headers-too-large", ""),
    (faults.InvalidHTTPVersion, "bad-request", "The version of HTTP is none that is spoken here."),
    (faults.InvalidRequestMethod, "bad-request", "The method is not one word of letters."),
    (faults.InvalidRequestLine, "bad-request", "The first line is not method, address and version in ASCII."),
    (faults.UnsupportedTransferCoding, "bad-request", "Transfer-Encoding is not chunked."),
    (faults.ExpectationFailed, "bad-request", "Expect is not 100-continue."),
    (
        (faults.InvalidChunkSize, faults.ChunkMissingTerminator, faults.InvalidChunkExtension),
        "bad-request",
        "The body's chunks cannot be read.",
    ),
    (faults.ParseException, "bad-request", "A header cannot be read."),
)


def _outcome(stays: bool) -> Future[bool]:
    """What the worker is told of a connection that is done with: whether it stays for another request."""
    future: Future[bool] = Future()
    future.set_result(stays)
    return future


_OUTCOMES = {stays: _outcome(stays) for stays in (True, False)}


class BatchingWorker(ThreadWorker):  # type: ignore[misc]
    """A worker with two more threads for hot calls, and one for each call of health."""

    alive: bool
    wsgi: Callable[..., Any]

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise ConfigError("TLS ends at the proxy: certfile and keyfile are not for this worker")

    def init_process(self) -> None:
        # Connections that no thread has, the one that waits longest first, and until when each may wait.
        self._waiting: dict[Connection, float] = {}
        self._next_sweep = 0.0
        self._health = {name: ThreadPoolExecutor(1, name.decode()) for name in (b"healthy", b"ready", b"metrics")}
        super().init_process()

    def run(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        self._gathered: SimpleQueue[tuple[Connection, dict[str, Any]]] = SimpleQueue()
        # With other settings a parser has more to do than is done here.
        plain = not (self.cfg.secure_scheme_headers or os.environ.get("SCRIPT_NAME"))
        self._plain = plain and self.cfg.proxy_protocol == "off"
        self._environ = base_environ(self.cfg) | {
            "REQUEST_METHOD": "POST",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "wsgi.url_scheme": "http",
            "wsgi.multithread": True,
        }
        self._app, self.wsgi = self.wsgi, self._ask_through_parser
        # While one waits for Redis, the other works.
        for number in range(2):
            threading.Thread(target=self._answer_together, name=f"gathered-{number}", daemon=True).start()
        super().run()

    # Connections: all of this runs in the main loop, and none of it waits.

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection; the one that waits longest gives way where there are as many as there may be."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in (EAGAIN, EWOULDBLOCK, ECONNABORTED):
                return
            raise
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections and self._waiting:
            # First those that have never asked for anything: a proxy's connections have.
            self._drop(next((conn for conn in self._waiting if conn.fresh), next(iter(self._waiting))))
        self._receive(Connection(self.cfg, accepted, address, listener.getsockname()))

    def enqueue_req(self, conn: Connection) -> None:
        """Give a request to a thread."""
        if call := self._read(conn):
            conn.hand_over()
            self._gathered.put((conn, call))
            return
        health = _HEALTH.match(conn.received)
        self._submit(self._health[health[1]] if health else self.tpool, conn, self.handle, conn)

    def _submit(self, pool: ThreadPoolExecutor, conn: Connection, work: Callable[..., bool], *arguments: Any) -> None:
        done = pool.submit(work, *arguments)
        done.add_done_callback(partial(self.method_queue.defer, self.finish_request, conn))

    def _read(self, conn: Connection) -> dict[str, Any] | None:
        """The hot call that has come in whole, if one has."""
        if not self._plain or len(conn.received) > fast_parser.LOOKED_AT or not isinstance(conn.client, tuple):
            return None
        return fast_parser.parse(bytes(conn.received))

    def _receive(self, conn: Connection) -> None:
        try:
            piece = conn.sock.recv(PIECE)
        except BlockingIOError:
            self._wait(conn, selectors.EVENT_READ, self._receive)
            return
        except OSError:
            self._close(conn)
            return
        if piece:
            conn.add(piece)
            self._look(conn)
        elif conn.has_head:
            # The app says that the body was cut short.
            self.enqueue_req(conn)
        else:
            self._close(conn)

    def _look(self, conn: Connection) -> None:
        """Give what has come in to a thread, or wait for more of it."""
        if conn.ready():
            self.enqueue_req(conn)
        elif word := conn.too_long:
            conn.hand_over()
            self._submit(self.tpool, conn, self._refuse, conn.sock, conn.client, word, "")
        else:
            self._wait(conn, selectors.EVENT_READ, self._receive)

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:
        """Go on with a connection that a thread is done with."""
        conn.sock.waits = False
        try:
            stays = fs.result()
        except Exception:
            stays = False
        conn.until = time.monotonic() + SEND_SECONDS
        self._send_rest(conn, stays)

    def _send_rest(self, conn: Connection, stays: bool) -> None:
        try:
            sent = conn.sock.send_held()
        except OSError:
            self._close(conn)
            return
        if not sent:
            self._wait(conn, selectors.EVENT_WRITE, partial(self._send_rest, stays=stays))
        elif stays:
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
            self._look(conn)
        else:
            self._wait(conn, selectors.EVENT_READ, self._receive)

    def _linger(self, conn: Connection) -> None:
        """End a connection so that its client sees the answer, whatever it is still sending (RFC 9112, 9.6)."""
        conn.until, conn.idle = time.monotonic() + LINGER_SECONDS, False
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            self._drain(conn, LINGER_BYTES)

    def _drain(self, conn: Connection, left: int) -> None:
        try:
            piece = conn.sock.recv(PIECE)
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
        """Do something once a connection can be read or written; it ends if that takes too long."""
        self._waiting[conn] = conn.until
        self.poller.register(conn.sock, event, partial(self._go_on, conn, then))

    def _go_on(self, conn: Connection, then: Callable[[Connection], None], _socket: Any) -> None:
        # It may have given way to another one since the poller told of it.
        if self._waiting.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)
            then(conn)

    def _drop(self, conn: Connection) -> None:
        """End a connection that waits."""
        del self._waiting[conn]
        self.poller.unregister(conn.sock)
        self._close(conn)

    def _close(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()

    def murder_keepalived(self, force: bool = False) -> None:
        """End the connections that have waited too long, or all that wait."""
        now = time.monotonic()
        if force or now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            for conn in [conn for conn, until in self._waiting.items() if force or until <= now]:
                self._drop(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """Keep idle connections until then at most: the worker ends."""
        for conn in self._waiting:
            if conn.idle:
                self._waiting[conn] = min(self._waiting[conn], deadline)

    # What threads do.

    def handle(self, conn: Connection) -> bool:
        """Answer the request that has come in on a connection; whether it stays."""
        received = conn.hand_over()
        conn.init()
        conn.parser.unreader.unread(received)
        return bool(super().handle(conn))

    def _ask_through_parser(self, environ: dict[str, Any], start_response: Any) -> Any:
        """The app's answer to a request of gunicorn's parser. It says so if the connection will end."""

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            reader = environ["wsgi.input"].reader
            read = getattr(reader, "length", 1) == 0 or getattr(reader, "parser", reader) is None
            if not (read or environ["gunicorn.socket"].whole):
                # A proxy would send another request on it, and lose that.
                start_response.__self__.force_close()
            return start_response(status, headers, *rest)

        return self._app(environ, start)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Whether the connection can be used again: not if some of the body has yet to come."""
        if not keepalive:
            return False
        conn.sock.waits = False
        # Of what has come: the thread does not wait for the rest.
        try:
            return bool(conn.parser.finish_body(max_bytes=LONGEST_CHUNKS))
        except OSError:
            return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Tell a client what is wrong with its request, as a problem; the log has no piece of the request."""
        for kinds, word, detail in _FAULTS:
            if isinstance(exc, kinds) and not isinstance(
                exc, faults.InvalidResponseHeader | faults.InvalidResponseHeaderName
            ):
                self.log.warning("A request cannot be read: %s", type(exc).__name__)
                self._refuse(client, addr, word, detail)
                return
        where = "".join(traceback.format_tb(exc.__traceback__))
        self.log.error("A request broke: %s\n%s", type(exc).__name__, where)
        self._refuse(client, addr, "internal", "")

    def _refuse(self, client: Any, addr: Any, word: str, detail: str) -> bool:
        """Answer a request that never reaches the app, in the app's way; the connection ends."""
        own = {"REQUEST_METHOD": "other", "PATH_INFO": "", "HTTP_X_REQUEST_ID": client.request_id}
        call = own | {"discount.refused": (word, detail)}
        try:
            client.sendall(self._ask_app(call, addr, client.getsockname(), stays=False))
        except OSError:
            self.log.debug("The client of a request that cannot be read is gone.")
        return False

    def _answer_together(self) -> None:
        while True:
            calls = [self._gathered.get()]
            try:
                while len(calls) < MOST:
                    calls.append(self._gathered.get_nowait())
            except Empty:
                pass
            outcomes: Sequence[bool | BaseException]
            try:
                with logs.buffered():
                    outcomes = autopipeline.run_batch([partial(self._answer, *call) for call in calls])
            except Exception:
                # Without this thread no hot call would ever be answered again.
                self.log.exception("calls that were gathered are lost")
                outcomes = [False] * len(calls)
            left = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, autopipeline.Leave)]
            for number in reversed(left):
                self._submit(self.tpool, calls[number][0], self._answer, *calls.pop(number))
            done = [outcome for outcome in outcomes if not isinstance(outcome, autopipeline.Leave)]
            self.method_queue.defer(self._finish, [call[0] for call in calls], done)

    def _finish(self, conns: Sequence[Connection], outcomes: Sequence[bool | BaseException]) -> None:
        for conn, outcome in zip(conns, outcomes, strict=True):
            self.finish_request(conn, _OUTCOMES[outcome is True])

    def _answer(self, conn: Connection, call: dict[str, Any]) -> bool:
        """Answer a call: whether its connection stays. What its client does not take at once, the main loop sends.

        Raises:
            Leave: it would hold up those it was gathered with.
        """
        try:
            call["wsgi.input"].seek(0)
            stays = self._stays(call)
            conn.sock.sendall(self._ask_app(call, conn.client, conn.server, stays=stays))
        except OSError:
            return False
        except Exception as error:
            self.handle_error(None, conn.sock, conn.client, error)
            return False
        return stays

    def _stays(self, call: dict[str, Any]) -> bool:
        """Whether the connection stays for another request, by gunicorn's own rules."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        if call.get("HTTP_CONNECTION", "").lower() == "close" or not self.cfg.keepalive:
            return False
        return self.alive

    def _ask_app(self, call: dict[str, Any], client: Any, server: Any, *, stays: bool) -> bytes:
        """The app's answer to a call, as it goes out."""
        environ = self._environ | call
        if isinstance(client, tuple):
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
        if isinstance(server, tuple):
            environ["SERVER_NAME"], environ["SERVER_PORT"] = server[0], str(server[1])
        head = ["", f"Server: {SERVER}", f"Date: {_date(int(time.time()))}"]
        head.append("Connection: keep-alive" if stays else "Connection: close")

        def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> None:
            head[0] = f"HTTP/1.1 {status}"
            # Whether the connection ends is not the app's to say.
            head.extend(f"{name}: {value}" for name, value in headers if name != "Connection")

        body = b"".join(self._app(environ, start_response))
        return "\r\n".join([*head, "\r\n"]).encode("latin-1") + body


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return str(http_date(second))
