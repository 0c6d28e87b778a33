"""Client connections: requests wait in buffers until a thread can answer them, and no client may be too slow.

The worker's main loop reads a request until a thread can answer it without waiting for the client. Threads wait only
to read a large body or to write a long response, and there the client has to keep a minimum speed.
"""

import re
import select
import socket
from time import monotonic
from typing import Any

from gunicorn.workers.gthread import TConn

from discount.domain.errors import TooSlow
from discount.serving.handover import Handed
from discount.serving.shares import Meter

#: Seconds to receive the head of a request, from its first byte or from the start of the connection.
HEAD_SECONDS = 10
#: Seconds to receive the body of an ordinary request, once the head has been received.
BODY_SECONDS = 30
#: Seconds for a client to receive the rest of a buffered response.
SEND_SECONDS = 30
#: The most seconds and bytes that are read and dropped after a final response, while the client is still sending.
#: A connection closed before that is reset, and the client may lose the response.
LINGER_SECONDS = 5
LINGER_BYTES = 128 * 1024 * 1024
#: Bodies up to this many bytes are received completely before a thread takes the request.
WHOLE = 64 * 1024
#: The longest head, in bytes.
LONGEST_HEAD = 64 * 1024
#: The most bytes, chunk headers included, that are buffered for a small body in chunks. Tiny chunks are mostly headers.
LONGEST_CHUNKS = 1024 * 1024
#: The lowest speed of a client in bytes a second, averaged over this many seconds of waiting for it.
MIN_SPEED = 2000
WINDOW = 20.0
#: The most bytes of a response that are buffered for a slow client before the thread of a long request waits for it.
BUFFER = 256 * 1024
#: The same limit for all other requests; their responses never get that long.
MAX_BUFFER = 8 * 1024 * 1024

_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*(?=\r\n)", re.IGNORECASE)
_CODED = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
# What names a caller, besides its address: the token of any interface.
_CREDENTIALS = re.compile(
    rb"\r\n(?:authorization|brand_auth_token|user_auth_token):[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE
)
_FORWARDED = re.compile(rb"\r\nx-forwarded-for:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE)
_REQUEST_ID = re.compile(rb"\r\nx-request-id:[ \t]*([A-Za-z0-9._-]{1,64})[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]{0,100}\r\n")
_LONGEST_CHUNK_LINE = 110


class _Pace:
    """A client's speed in one direction: bytes transferred per second of waiting."""

    def __init__(self) -> None:
        self.bytes = 0
        self.waited = 0.0

    def wait(self, connection: socket.socket, event: int) -> None:
        """Wait until the socket is ready for the event.

        Raises:
            TooSlow: the client moved fewer than MIN_SPEED bytes a second within WINDOW seconds.
        """
        poller = select.poll()
        poller.register(connection, event)
        started = monotonic()
        poller.poll(max(1.0, (WINDOW - self.waited) * 1000))
        self.waited += monotonic() - started
        if self.waited >= WINDOW:
            if self.bytes < MIN_SPEED * WINDOW:
                raise TooSlow
            self.bytes, self.waited = 0, 0.0


class ClientSocket(socket.socket):
    """A non-blocking socket with a send buffer.

    With `waits` set, as long requests do, it waits for the client and enforces the minimum speed.
    """

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        super().setblocking(False)
        self.waits = False
        #: The bytes of the response that the client has not received yet.
        self.held = bytearray()
        #: The head of the current request; holds the request id for the answer if the request is malformed.
        self.head = b""
        #: Whether the current request was received completely, with its body, before a thread took it.
        self.whole = True
        #: Charges the current request, if anything does.
        self.meter: Meter | None = None
        self._in, self._out = _Pace(), _Pace()

    def setblocking(self, flag: bool) -> None:
        """Do nothing: gunicorn would make the socket block, and its threads would wait for slow clients."""

    def begin(self) -> None:
        """Reset the measured speed for a new request."""
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
        """Send what the client receives at once, and buffer the rest up to BUFFER or MAX_BUFFER bytes.

        Raises:
            TooSlow: the buffer is full and the client receives too slowly.
        """
        self.held += data
        try:
            while not self.send_held() and len(self.held) > (BUFFER if self.waits else MAX_BUFFER):
                self._out.wait(self, select.POLLOUT)
        except TooSlow:
            self.held.clear()
            raise

    def send_held(self) -> bool:
        """Send as much of the buffer as the client receives at once; return whether it is empty."""
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
        """The client's X-Request-Id; empty if it sent none that is valid."""
        match = _REQUEST_ID.search(self.head)
        return match[1].decode() if match else ""


class Connection(TConn):  # type: ignore[misc]
    """A connection with the received bytes that no thread has taken yet."""

    sock: ClientSocket

    def __init__(self, cfg: Any, sock: socket.socket, handed: Handed) -> None:
        super().__init__(cfg, ClientSocket(sock), handed.client, handed.server)
        self.received = bytearray()
        self.until = handed.until
        #: Whether no byte of the next request has been received.
        self.idle = False
        #: Whether no request on this connection has been answered yet.
        self.fresh = handed.fresh
        self.begin()

    def begin(self) -> None:
        """Reset the state for a new request."""
        self._looked_at = 0
        self._head_end = 0
        self._needed = 0
        self._chunks_at = 0
        self._chunks_bytes = 0
        self._body_is_whole = False
        #: The bytes of the body, as the client announced them.
        self.announced = 0
        #: Charges the request, once a thread has it.
        self.meter: Meter | None = None

    @property
    def credentials(self) -> bytes:
        """The tokens in the head of the request; empty if it has none."""
        return b" ".join(_CREDENTIALS.findall(self.received, 0, self._head_end))

    def address(self, proxies: int) -> str:
        """Return the client's address: the peer's, or the one that the outermost of our proxies saw."""
        if proxies:
            addresses = b",".join(_FORWARDED.findall(self.received, 0, self._head_end)).split(b",")
            return addresses[-min(proxies, len(addresses))].strip().decode("latin-1")
        return str(self.client[0]) if isinstance(self.client, tuple) else ""

    @property
    def too_long(self) -> str:
        """The slug of the refusal if the request is longer than any may be, otherwise empty."""
        if not self._head_end:
            return "headers-too-large" if len(self.received) > LONGEST_HEAD else ""
        return "too-large" if self._chunks_at and len(self.received) > LONGEST_CHUNKS + self._head_end else ""

    def add(self, received: bytes) -> None:
        """Append received bytes; the first ones of a request start its timeout."""
        if self.idle:
            self.idle, self.until = False, monotonic() + HEAD_SECONDS
        self.received += received

    def ready(self) -> bool:
        """Return whether a thread should take the request now.

        It is complete, its body is too large to be buffered, or it is malformed and has to be refused.
        """
        if not self._head_end:
            end = self.received.find(b"\r\n\r\n", max(0, self._looked_at - 3))
            if end < 0:
                # With a bare line feed the end of the head may never come. The parser refuses it at once.
                bare = _BARE_LINE_FEED.search(self.received, max(0, self._looked_at - 1))
                self._looked_at = len(self.received)
                return bare is not None
            self._read_head(end + 4)
        return self._is_ready()

    @property
    def has_head(self) -> bool:
        return bool(self._head_end)

    def hand_over(self) -> bytes:
        """Return the received bytes and pass them to a thread."""
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
        else:
            self.announced = int(length[1])
            if self.announced > WHOLE:
                return
            self._needed += self.announced
        expects = _EXPECTS.search(head)
        if expects is not None and not self._is_ready() and head.partition(b"\r\n")[0].endswith(b" HTTP/1.1"):
            # Answered here, and removed so that the parser does not answer it again.
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            cut = expects.end() - expects.start()
            del self.received[expects.start() : expects.end()]
            self._head_end -= cut
            self._needed -= cut
            self._chunks_at -= cut if self._chunks_at else 0

    def _is_ready(self) -> bool:
        if self._chunks_at:
            return self._are_chunks_ready()
        is_ready = len(self.received) >= self._needed
        self._body_is_whole = self._body_is_whole or (is_ready and self._needed > self._head_end)
        return is_ready

    def _are_chunks_ready(self) -> bool:
        """Return whether a chunked body is complete, too large to be buffered, or malformed."""
        while True:
            chunk = _CHUNK.match(self.received, self._chunks_at)
            if chunk is None:
                line = self.received[self._chunks_at : self._chunks_at + _LONGEST_CHUNK_LINE]
                return b"\n" in line or len(line) == _LONGEST_CHUNK_LINE
            size = int(chunk[1], 16)
            if size == 0:
                self._body_is_whole = self.received.find(b"\r\n\r\n", chunk.end() - 2) >= 0
                return self._body_is_whole
            available = len(self.received) - chunk.end()
            if self._chunks_bytes + min(size, available) > WHOLE:
                return True
            if available < size + 2:
                return False
            self._chunks_bytes += size
            self._chunks_at = chunk.end() + size + 2
