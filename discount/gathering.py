"""gunicorn's threaded worker, in which the calls that are made most are answered together.

A hot call that has come in whole waits for nothing but Redis. Such calls are gathered, and one thread answers all that
are there at a time, with one exchange with Redis for all of them. Whatever else comes goes to the pool of threads.
"""

import fcntl
import re
import socket
import struct
import termios
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from discount import logs
from discount.store import together

#: The most calls that are answered together.
MOST = 64
#: What is looked at of a request; a larger one goes to the pool.
LOOKED_AT = 16 * 1024
_HOT = re.compile(rb"POST (?:/redemption|/validation|/discount/[\w-]+/grant) HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,5})[ \t]*\r\n", re.IGNORECASE)
_SLOW = re.compile(rb"\r\n(?:transfer-encoding|expect|upgrade):", re.IGNORECASE)


class GatheringWorker(ThreadWorker):  # type: ignore[misc]
    """A worker with two more threads, for hot calls."""

    def run(self) -> None:
        self._gathered: SimpleQueue[Any] = SimpleQueue()
        # While one waits for Redis, the other works.
        for number in range(2):
            threading.Thread(target=self._answer_together, name=f"gathered-{number}", daemon=True).start()
        super().run()

    def enqueue_req(self, conn: Any) -> None:
        """Called for each connection that has something to read."""
        if _is_hot(conn):
            conn.data_ready = True
            self._gathered.put(conn)
        else:
            super().enqueue_req(conn)

    def _answer_together(self) -> None:
        while True:
            conns = [self._gathered.get()]
            try:
                while len(conns) < MOST:
                    conns.append(self._gathered.get_nowait())
            except Empty:
                pass
            try:
                with logs.one_piece():
                    outcomes = together.run([partial(self.handle, conn) for conn in conns])
            except Exception:
                # Without this thread no hot call would ever be answered again.
                self.log.exception("calls that were gathered are lost")
                outcomes = [False] * len(conns)
            self.method_queue.defer(self._finish, list(zip(conns, outcomes, strict=True)))

    def _finish(self, answered: Sequence[tuple[Any, Any]]) -> None:
        for conn, outcome in answered:
            done: Future[Any] = Future()
            done.set_result(False if isinstance(outcome, BaseException) else outcome)
            self.finish_request(conn, done)


def _is_hot(conn: Any) -> bool:
    """Whether a hot call stands there whole, and its answer will go out without waiting for the client."""
    if conn.initialized and conn.parser.unreader.buf.getvalue():
        return False
    try:
        seen = conn.sock.recv(LOOKED_AT, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        unsent = struct.unpack("i", fcntl.ioctl(conn.sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
    except (OSError, ValueError):
        return False
    if unsent or not _HOT.match(seen):
        return False
    head, end, body = seen.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n")
    return bool(end and length and len(body) >= int(length[1]) and not _SLOW.search(head))
