"""A client's connection: what has come in of its request, and how slow the client may be.

The worker's main loop reads a request until a thread can answer it without waiting for the client. Only a large body
is read, and only a long answer is written, by a thread that waits; there a client has to keep a least speed.
"""

import re
import select
import socket
from time import monotonic
from typing import Any

from gunicorn.workers.gthread import TConn

from discount.domain.errors import TooSlow

#: Seconds for a request's head, from its first byte, or from the start of a connection.
HEAD_SECONDS = 10
#: Seconds for the body of an ordinary request, once its head is there.
BODY_SECONDS = 30
#: A body up to this size comes in whole before a thread takes its request, in bytes.
WHOLE = 64 * 1024
#: The longest head, in bytes.
LONGEST_HEAD = 64 * 1024
#: The most bytes of chunks that are looked at for a small body: so many chunks of one byte are no honest client's.
LONGEST_CHUNKS = 1024 * 1024
#: Bytes a second that a thread expects of a client, taken over so many seconds of waiting for it.
LEAST_SPEED = 2000
WINDOW = 20.0
#: Bytes of an answer that are kept for a client that does not take them at once, so that no thread waits.
HELD = 256 * 1024
#: The same for ordinary answers, which are never that long.
MOST_HELD = 8 * 1024 * 1024

_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*(?=\r\n)", re.IGNORECASE)
_CODED = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_REQUEST_ID = re.compile(rb"\r\nx-request-id:[ \t]*([A-Za-z0-9._-]{1,64})[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]{0,100}\r\n")
_LONGEST_CHUNK_LINE = 110


class _Pace:
    """Bytes that moved, and the time spent waiting for them."""

    def __init__(self) -> None:
        self.bytes = 0
        self.waited = 0.0

    def wait(self, connection: socket.socket, event: int) -> None:
        poller = select.poll()
        poller.register(connection, event)
        started = monotonic()
        poller.poll(max(1.0, (WINDOW - self.waited) * 1000))
        self.waited += monotonic() - started
        if self.waited >= WINDOW:
            if self.bytes < LEAST_SPEED * WINDOW:
                raise TooSlow
            self.bytes, self.waited = 0, 0.0


class ClientSocket(socket.socket):
    """A socket that never blocks by itself. For a long call that sets `waits` it waits, and minds the speed."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        super().setblocking(False)
        self.waits = False
        #: What the client has not taken yet.
        self.held = bytearray()
        #: The head of the request that a thread has, for what is said of it if it cannot be read.
        self.head = b""
        #: Whether that request had come in whole, with its body.
        self.whole = True
        self._in, self._out = _Pace(), _Pace()

    def setblocking(self, flag: bool) -> None:
        """Change nothing: gunicorn would let every thread wait for its client."""

    def begin(self) -> None:
        """Measure the speed anew: a request begins."""
        self._in, self._out = _Pace(), _Pace()

    def recv(self, size: int, flags: int = 0) -> bytes:
        while True:
            try:
                piece = super().recv(size, flags)
            except BlockingIOError:
                if not self.waits:
                    raise
                self._in.wait(self, select.POLLIN)
            else:
                self._in.bytes += len(piece)
                return piece

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send, or keep what the client does not take; who waits keeps no more than HELD, and nobody more than
        MOST_HELD.
        """
        self.held += data
        try:
            while not self.send_held() and len(self.held) > (HELD if self.waits else MOST_HELD):
                self._out.wait(self, select.POLLOUT)
        except TooSlow:
            self.held.clear()
            raise

    def send_held(self) -> bool:
        """Send of what is kept as much as the client takes; whether all is gone."""
        while self.held:
            try:
                sent = super().send(self.held)
            except BlockingIOError:
                return False
            del self.held[:sent]
            self._out.bytes += sent
        return True

    @property
    def request_id(self) -> str:
        """The id that the client gave the request, if it did."""
        found = _REQUEST_ID.search(self.head)
        return found[1].decode() if found else ""


class Connection(TConn):  # type: ignore[misc]
    """A connection, with what has come in that no thread has yet."""

    sock: ClientSocket

    def __init__(self, cfg: Any, accepted: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, ClientSocket(accepted), client, server)
        self.received = bytearray()
        self.until = monotonic() + HEAD_SECONDS
        #: Whether it waits for a request of which nothing has come.
        self.idle = True
        #: Whether no request of it has been answered.
        self.fresh = True
        self.begin()

    def begin(self) -> None:
        """Look at what comes as a new request."""
        self._looked_at = 0
        self._head_end = 0
        self._needed = 0
        self._chunks_at = 0
        self._chunks_bytes = 0
        self._body_is_whole = False

    @property
    def too_long(self) -> str:
        """The word for what is longer than any request may be, else empty."""
        if not self._head_end:
            return "headers-too-large" if len(self.received) > LONGEST_HEAD else ""
        return "too-large" if self._chunks_at and len(self.received) > LONGEST_CHUNKS + self._head_end else ""

    def add(self, piece: bytes) -> None:
        """Take in what came."""
        if self.idle:
            self.idle, self.until = False, monotonic() + HEAD_SECONDS
        self.received += piece

    def ready(self) -> bool:
        """Whether a thread can take the request and need not wait for the client, or is meant to."""
        if not self._head_end:
            end = self.received.find(b"\r\n\r\n", max(0, self._looked_at - 3))
            if end < 0:
                # The parser refuses such a line at once, and would never find the end of such a head.
                bare = _BARE_LINE_FEED.search(self.received, max(0, self._looked_at - 1))
                self._looked_at = len(self.received)
                return bare is not None
            self._read_head(end + 4)
        return self._arrived()

    @property
    def has_head(self) -> bool:
        return bool(self._head_end)

    def hand_over(self) -> bytes:
        """What has come in; from now on a thread has it."""
        received = bytes(self.received)
        self.received.clear()
        self.sock.head = received[: self._head_end or LONGEST_HEAD]
        self.sock.whole = self._body_is_whole
        self.sock.begin()
        return received

    def _read_head(self, end: int) -> None:
        self._head_end, self._needed = end, end
        self.until = monotonic() + BODY_SECONDS
        head = bytes(self.received[:end])
        length = _LENGTH.search(head)
        coded = _CODED.search(head)
        if coded is not None:
            if coded[1].lower() != b"chunked":
                return
            self._chunks_at = end
        elif length is None:
            self._body_is_whole = True
            return
        elif int(length[1]) <= WHOLE:
            self._needed += int(length[1])
        else:
            return
        expects = _EXPECTS.search(head)
        if expects is not None and not self._arrived() and head.partition(b"\r\n")[0].endswith(b" HTTP/1.1"):
            # Said here, and taken out, so that the parser does not say it again.
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            cut = expects.end() - expects.start()
            del self.received[expects.start() : expects.end()]
            self._head_end -= cut
            self._needed -= cut
            self._chunks_at -= cut if self._chunks_at else 0

    def _arrived(self) -> bool:
        if self._chunks_at:
            return self._chunks_are_there()
        there = len(self.received) >= self._needed
        self._body_is_whole = self._body_is_whole or (there and self._needed > self._head_end)
        return there

    def _chunks_are_there(self) -> bool:
        """Whether a body in chunks has ended, is larger than a small one, or cannot be read."""
        while True:
            chunk = _CHUNK.match(self.received, self._chunks_at)
            if chunk is None:
                line = self.received[self._chunks_at : self._chunks_at + _LONGEST_CHUNK_LINE]
                return b"\n" in line or len(line) == _LONGEST_CHUNK_LINE
            size = int(chunk[1], 16)
            if size == 0:
                self._body_is_whole = self.received.find(b"\r\n\r\n", chunk.end() - 2) >= 0
                return self._body_is_whole
            there = len(self.received) - chunk.end()
            if self._chunks_bytes + min(size, there) > WHOLE:
                return True
            if there < size + 2:
                return False
            self._chunks_bytes += size
            self._chunks_at = chunk.end() + size + 2
