"""The hot worker: one thread that owns the clients' connections and one connection to Redis.

- It reads the heads of all requests, without blocking.
- The busiest calls are answered here. Each waits only for Redis, and what all of them send in a turn goes out in one
  piece (`discount.store.autopipeline`).
- Every other request goes to a pool worker, with its connection. The connection comes back once it is idle.

`doc/decisions/018-one-loop.md` lists the gunicorn internals that this module relies on.
"""

import contextlib
import gc
import os
import socket
from collections import deque
from collections.abc import Callable
from errno import EAGAIN, ECONNABORTED
from time import monotonic
from typing import Any, Protocol

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from discount.serving import fast_parser, worker
from discount.serving.connections import BODY_SECONDS, HEAD_SECONDS, LINGER_BYTES, LINGER_SECONDS, SEND_SECONDS
from discount.serving.handover import Handed, Outbox
from discount.serving.loop import ENDED, READABLE, WRITABLE, EventLoop
from discount.serving.roster import State
from discount.store.autopipeline import Calls, Leave

#: The most bytes read from a connection at a time.
CHUNK = 16 * 1024
#: Seconds of a turn without events: while something waits, and otherwise.
_SHORT, _LONG = 0.05, 0.5
#: Seconds between two checks for connections that have timed out, and between two signs of life.
SWEEP_SECONDS, BEAT_SECONDS = 0.5, 1.0
#: Connections taken back from pool workers in a turn.
_MOST_BACK = 16
_NEVER = float("inf")
_HEALTH = "/healthy"
# The thresholds of the garbage collector: new objects, and collections of each generation.
_GARBAGE = (20_000, 20, 50)


class Application(Protocol):
    """The part of the application that a hot worker needs."""

    def respond(
        self, method: str, path: str, variables: dict[str, str], body: bytes, address: str, *, keep_alive: bool
    ) -> bytes:
        """Return the whole response to a request that the fast parser has read."""


class Client:
    """A connection of a client."""

    __slots__ = (
        *("_address", "_busy", "_end", "_held", "_keep_alive", "_left", "_looked_at", "_more", "_readable"),
        *("_received", "_server", "_worker", "fresh", "idle", "sock", "until"),
    )

    def __init__(self, hot: "Worker", sock: socket.socket, handed: Handed) -> None:
        sock.setblocking(False)
        self.sock = sock
        #: When the connection times out.
        self.until = handed.until
        #: Whether no byte of the next request has been received.
        self.idle = True
        #: Whether no request on this connection has been answered yet.
        self.fresh = handed.fresh
        self._worker = hot
        self._address, self._server = handed.client, handed.server
        # Without a client address (unix sockets) gunicorn's own rules apply.
        self._readable = hot.reads and isinstance(handed.client, tuple)
        self._received = b""
        # How far the end of the head was looked for, and that end, if the body has yet to come.
        self._looked_at = self._end = 0
        # Whether a request is being answered; meanwhile nothing is read.
        self._busy = False
        self._more = False
        # What is left of a response that the client has not received, and what comes after it.
        self._held = b""
        self._keep_alive = True
        # Bytes that are still read and dropped, once the last response is sent.
        self._left = -1

    def begin(self, received: bytes) -> None:
        """Begin with bytes of a request that another worker has received."""
        if received:
            self._add(received)

    def act(self, events: int) -> None:
        """Act on events of the connection."""
        if self._held and events & WRITABLE:
            self._send_rest()
        if events & (READABLE | ENDED):
            if self._busy:
                self._more = True
            else:
                self.read(ended=bool(events & ENDED))

    def read(self, *, ended: bool = True) -> None:
        """Read what has arrived.

        Args:
            ended: the client may have closed, so read to the end.
        """
        while True:
            try:
                piece = self.sock.recv(CHUNK)
            except BlockingIOError:
                return
            except OSError:
                piece = b""
            if not piece:
                self._finish()
                return
            if self._left >= 0:
                self._left -= len(piece)
                if self._left < 0:
                    self._worker.close(self)
                    return
            else:
                self._add(piece)
                if self._busy or self.sock.fileno() < 0:
                    self._more = ended or len(piece) == CHUNK
                    return
            if len(piece) < CHUNK and not ended:
                return

    def _finish(self) -> None:
        """Act on the end of what the client sends. Within a body, the app answers that."""
        if self._left < 0 and b"\r\n\r\n" in self._received:
            self._hand_over()
        else:
            self._worker.close(self)

    def _add(self, piece: bytes) -> None:
        if self.idle:
            self.idle, self.until = False, self._worker.loop.now + HEAD_SECONDS
        received = self._received = self._received + piece if self._received else piece
        end = self._end or received.find(b"\r\n\r\n", max(0, self._looked_at - 3)) + 4
        if end < 4:
            # A bare line feed, or so long a head, is refused by the app.
            bare = received.count(b"\n") != received.count(b"\r\n")
            self._looked_at = len(received)
            if bare or len(received) > fast_parser.MAX_BYTES:
                self._hand_over()
            return
        head = fast_parser.read_head(received, end) if self._readable else None
        if head is None or end + head.length > fast_parser.MAX_BYTES or len(received) > end + head.length:
            self._hand_over()
        elif len(received) < end + head.length:
            if not self._end:
                self._end, self.until = end, self._worker.loop.now + BODY_SECONDS
        else:
            self._busy, self.until = True, _NEVER
            self._worker.calls.start(self._answer, head, received[end:])

    def _answer(self, head: fast_parser.Head, body: bytes) -> None:
        """Answer a request. This runs in a call, which waits for Redis while others go on."""
        hot = self._worker
        keep_alive = hot.count() and head.keep_alive
        if head.path != _HEALTH:
            hot.has_answered = True
        try:
            response = hot.app.respond(
                head.method, head.path, head.variables, body, self._address[0], keep_alive=keep_alive
            )
        except Leave:
            self._hand_over()
            return
        except BaseException:
            hot.log.exception("request failed")
            hot.close(self)
            return
        self._held, self._keep_alive = response, keep_alive
        self.until = hot.loop.now + SEND_SECONDS
        self._send_rest()

    def _send_rest(self) -> None:
        try:
            sent = self.sock.send(self._held)
        except BlockingIOError:
            return
        except OSError:
            self._worker.close(self)
            return
        if sent < len(self._held):
            self._held = self._held[sent:]
            return
        self._held = self._received = b""
        self._looked_at = self._end = 0
        self._busy = False
        if not self._keep_alive:
            self._linger()
            return
        self.idle, self.fresh = True, False
        self.until = self._worker.loop.now + self._worker.keep_seconds
        if self._more:
            self._more = False
            self._worker.again.append(self)

    def _linger(self) -> None:
        """Close so that the client gets the response even while it is sending (RFC 9112, section 9.6)."""
        self.until, self._left = monotonic() + LINGER_SECONDS, LINGER_BYTES
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._worker.close(self)
        else:
            self._worker.again.append(self)

    def _hand_over(self) -> None:
        handed = Handed(self._address, self._server, self._received, min(self.until, 1e9), self.fresh)
        self._worker.hand_over(self, handed)


class Worker(worker.Worker):
    """One thread that answers the busiest calls, and passes all others on."""

    alive: bool
    wsgi: Any

    def init_process(self) -> None:
        self.loop = EventLoop()
        self.clients: dict[int, Client] = {}
        #: Clients that may have sent more while they were answered.
        self.again: deque[Client] = deque()
        self._outbox = Outbox(self.replica.to_pool)
        #: Seconds until a connection that becomes idle times out.
        self.keep_seconds = float(self.cfg.keepalive)
        self._keeps_alive = bool(self.cfg.keepalive)
        #: Whether a call was answered in this turn.
        self.has_answered = False
        self._next_sweep = self._next_beat = 0.0
        self._is_stopping = False
        super(ThreadWorker, self).init_process()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin a graceful stop."""
        self.note(State.STOPPING)
        self._is_stopping = True
        self.loop.wake()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop at once."""
        super(ThreadWorker, self).handle_quit(sig, frame)

    def run(self) -> None:
        # With any of these settings, requests need work that only gunicorn's parser does.
        needs_parser = self.cfg.secure_scheme_headers or os.environ.get("SCRIPT_NAME")
        self.reads = not needs_parser and self.cfg.proxy_protocol == "off"
        self.app: Application = self.wsgi.wsgi_app
        store = self.wsgi.extensions["store"]
        self._redis = store.exchanges_of(self.loop)
        self.calls = Calls(self._redis.submit)
        for listener in self.sockets:
            listener.setblocking(False)
            self.loop.watch_shared(listener.fileno(), self._accepts(listener))
        self.loop.watch_shared(self.replica.to_hot.outlet.fileno(), self._take_back)
        # Nothing made so far ever becomes garbage, and calls leave hardly any cycles: look for them seldom.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GARBAGE)
        self.note(State.RUNNING)
        while self.alive and not (self._is_stopping and not self.is_awaited()):
            self._turn()
        self._stop()

    def _stop(self) -> None:
        """Accept no more, and give those who are connected time to end."""
        self.note(State.STOPPING)
        self.alive = False
        self.keep_seconds = float(STOP_KEEPALIVE_LINGER)
        for listener in self.sockets:
            self.loop.unwatch(listener.fileno())
            listener.close()
        until = monotonic() + STOP_KEEPALIVE_LINGER
        for client in self.clients.values():
            if client.idle:
                client.until = min(client.until, until)
        until = monotonic() + self.cfg.graceful_timeout
        while (self.clients or self._outbox) and monotonic() < until:
            self._turn()

    def _turn(self) -> None:
        """Wait for events and act on them; what they send to Redis goes out together."""
        waits = self.again or self._outbox or self._redis.is_waiting or self._is_stopping
        self.loop.turn(_SHORT if waits else _LONG)
        while self.again:
            client = self.again.popleft()
            if client.sock.fileno() >= 0:
                client.read()
        now = self.loop.now
        if self.has_answered:
            self.has_answered = False
            self.replica.activity.note(now)
        self._redis.flush()
        self._redis.fail_late(now)
        if self._outbox:
            self._outbox.flush()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            for client in [client for client in self.clients.values() if client.until <= now]:
                self.close(client)
        if now >= self._next_beat:
            self._next_beat = now + BEAT_SECONDS
            self.notify()
            if not self.is_parent_alive():
                self.alive = False

    def _accepts(self, listener: Any) -> Callable[[int], None]:
        server = listener.getsockname()

        def accept(_events: int) -> None:
            try:
                sock, address = listener.accept()
            except OSError as error:
                if error.errno not in (EAGAIN, ECONNABORTED):
                    # Too many open files: the others are worth more than the one that has waited longest.
                    self._make_room()
                return
            self._add(sock, Handed(address, server, until=monotonic() + HEAD_SECONDS))

        return accept

    def _take_back(self, _events: int) -> None:
        for _ in range(_MOST_BACK):
            taken = self.replica.to_hot.take()
            if taken is None:
                return
            self._add(*taken)

    def _add(self, sock: socket.socket, handed: Handed) -> None:
        if len(self.clients) >= self.worker_connections:
            self._make_room()
        client = Client(self, sock, handed)
        if not handed.fresh:
            client.until = min(client.until, monotonic() + self.keep_seconds)
        self.clients[sock.fileno()] = client
        self.loop.watch(sock.fileno(), client.act)
        client.begin(handed.received)

    def _make_room(self) -> None:
        """Close the waiting connection that times out first."""
        waiting = [client for client in self.clients.values() if client.until < _NEVER]
        if waiting:
            # Prefer one that never sent a request: connections from a proxy have.
            self.close(min(waiting, key=lambda client: (not client.fresh, client.until)))

    def count(self) -> bool:
        """Count a request, and return whether its connection may be kept alive, by the same rules as gunicorn."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        return self.alive and self._keeps_alive

    def hand_over(self, client: Client, handed: Handed) -> None:
        """Pass a connection on to a pool worker."""
        self._forget(client)
        self._outbox.put(client.sock, handed, SEND_SECONDS)

    def close(self, client: Client) -> None:
        """Close a connection."""
        self._forget(client)
        client.sock.close()

    def _forget(self, client: Client) -> None:
        descriptor = client.sock.fileno()
        if self.clients.get(descriptor) is client:
            del self.clients[descriptor]
            with contextlib.suppress(OSError):
                self.loop.unwatch(descriptor)
