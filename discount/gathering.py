"""gunicorn's threaded worker, in which the calls that are made most are answered together.

A hot call that has come in whole waits for nothing but Redis. Such calls are gathered, and one thread answers all that
are there at a time, with one exchange with Redis for all of them. They are read and written here, past gunicorn's
parser and response. Whatever else comes goes to the pool of threads.
"""

import os
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import lru_cache, partial
from queue import Empty, SimpleQueue
from typing import Any

from gunicorn import SERVER
from gunicorn.http.wsgi import base_environ
from gunicorn.util import http_date
from gunicorn.workers.gthread import ThreadWorker

from discount import logs, raw_calls
from discount.store import together

#: The most calls that are answered together.
MOST = 64


def _outcome(stays: bool) -> Future[bool]:
    """What gunicorn is told of a connection that is done with: whether it stays for another request."""
    future: Future[bool] = Future()
    future.set_result(stays)
    return future


_OUTCOMES = {stays: _outcome(stays) for stays in (True, False)}


class GatheringWorker(ThreadWorker):  # type: ignore[misc]
    """A worker with two more threads, for hot calls."""

    alive: bool

    def run(self) -> None:
        self._gathered: SimpleQueue[tuple[Any, dict[str, Any]]] = SimpleQueue()
        # With other settings a parser has more to do than is done here.
        plain = not (self.cfg.is_ssl or self.cfg.secure_scheme_headers or os.environ.get("SCRIPT_NAME"))
        self._plain = plain and self.cfg.proxy_protocol == "off"
        self._environ = base_environ(self.cfg) | {
            "REQUEST_METHOD": "POST",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "wsgi.url_scheme": "http",
            "wsgi.multithread": True,
        }
        # While one waits for Redis, the other works.
        for number in range(2):
            threading.Thread(target=self._answer_together, name=f"gathered-{number}", daemon=True).start()
        super().run()

    def enqueue_req(self, conn: Any) -> None:
        """Called for each connection that has something to read."""
        call = self._read(conn)
        if call is None:
            super().enqueue_req(conn)
        else:
            self._gathered.put((conn, call))

    def _read(self, conn: Any) -> dict[str, Any] | None:
        """The hot call that stands there whole, if one does; then it is taken."""
        if not self._plain or not isinstance(conn.client, tuple):
            return None
        if conn.initialized and conn.parser.unreader.buf.getvalue():
            return None
        try:
            seen = conn.sock.recv(raw_calls.LOOKED_AT, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            call = raw_calls.read(seen)
            if call is not None:
                conn.sock.recv(len(seen), socket.MSG_DONTWAIT)
        except OSError:
            return None
        return call

    def _answer_together(self) -> None:
        while True:
            calls = [self._gathered.get()]
            try:
                while len(calls) < MOST:
                    calls.append(self._gathered.get_nowait())
            except Empty:
                pass
            outcomes: Sequence[bool | None | BaseException]
            try:
                with logs.one_piece():
                    outcomes = together.run([partial(self._answer, *call) for call in calls])
            except Exception:
                # Without this thread no hot call would ever be answered again.
                self.log.exception("calls that were gathered are lost")
                outcomes = [False] * len(calls)
            self.method_queue.defer(self._finish, [call[0] for call in calls], outcomes)

    def _finish(self, conns: Sequence[Any], outcomes: Sequence[bool | None | BaseException]) -> None:
        for conn, outcome in zip(conns, outcomes, strict=True):
            if outcome is not None:
                self.finish_request(conn, _OUTCOMES[outcome is True])

    def _answer(self, conn: Any, call: dict[str, Any]) -> bool | None:
        """Answer a call: whether its connection stays; None leaves that to a thread of the pool."""
        try:
            conn.init()
            stays = self._stays(call)
            answer = self._ask_app(conn, call, stays)
            sent = _send(conn.sock, answer)
            if sent < len(answer):
                # A client that does not read holds up nobody but a thread of the pool, as with any other answer.
                rest = self.tpool.submit(self._send_rest, conn.sock, answer[sent:], stays)
                rest.add_done_callback(partial(self.method_queue.defer, self.finish_request, conn))
                return None
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
        return bool(self.alive and len(self.keepalived_conns) < self.max_keepalived)

    def _ask_app(self, conn: Any, call: dict[str, Any], stays: bool) -> bytes:
        """The app's answer to a call, as it goes out."""
        environ = self._environ | call
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = conn.client[0], str(conn.client[1])
        environ["SERVER_NAME"], environ["SERVER_PORT"] = conn.server[0], str(conn.server[1])
        head = ["", f"Server: {SERVER}", f"Date: {_date(int(time.time()))}"]
        head.append("Connection: keep-alive" if stays else "Connection: close")

        def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> None:
            head[0] = f"HTTP/1.1 {status}"
            # Whether the connection ends is not the app's to say.
            head.extend(f"{name}: {value}" for name, value in headers if name != "Connection")

        body = b"".join(self.wsgi(environ, start_response))
        return "\r\n".join([*head, "\r\n"]).encode("latin-1") + body

    def _send_rest(self, connection: socket.socket, rest: bytes, stays: bool) -> bool:
        connection.setblocking(True)
        connection.sendall(rest)
        return stays


def _send(connection: socket.socket, answer: bytes) -> int:
    """How much of an answer a connection takes at once."""
    try:
        return connection.send(answer, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return 0


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return str(http_date(second))
