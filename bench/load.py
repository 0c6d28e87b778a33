"""A load generator: prepared requests go over a few open connections, one at a time on each.

It takes some 15 us of one core for a request. That is the same for whatever answers, so that ratios hold.
"""

import gc
import json
import selectors
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Run:
    """The result: the total time, the count of each status, and the time of each answer, in seconds."""

    seconds: float
    statuses: Counter[int]
    times: list[float]

    @property
    def rate(self) -> float:
        """The answers per second."""
        return len(self.times) / self.seconds


class _Client:
    """A connection with at most one request under way."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.started = 0.0
        self.received = b""

    def send(self, request: bytes) -> None:
        self.received = b""
        self.started = perf_counter()
        self.socket.sendall(request)

    def read(self) -> int:
        """Return the status of the current answer, or 0 while it is incomplete."""
        piece = self.socket.recv(65536)
        if not piece:
            raise RuntimeError(f"the server closed a connection after {self.received!r}")
        self.received += piece
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator or not _is_whole(head.lower(), body):
            return 0
        return int(head[9:12])


def _is_whole(head: bytes, body: bytes) -> bool:
    _, found, after = head.partition(b"\r\ncontent-length:")
    if found:
        return len(body) >= int(after.partition(b"\r\n")[0])
    return b"\r\ntransfer-encoding: chunked" not in head or body.endswith(b"0\r\n\r\n")


def post(path: str, body: object, token: str = "") -> bytes:
    """Return the bytes of a POST with a JSON body, and with a bearer token if one is given."""
    raw = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}"
    if token:
        head += f"\r\nAuthorization: Bearer {token}"
    return head.encode() + b"\r\n\r\n" + raw


def drive(port: int, requests: Sequence[bytes], connections: int, *, host: str = "127.0.0.1") -> Run:
    """Send all requests; each connection sends the next one as soon as it has its answer.

    The first of each connection is not timed: connections come at once, and one worker would take them all.
    """
    statuses: Counter[int] = Counter()
    times: list[float] = []
    waiting = iter(requests)
    clients = []
    for _ in range(min(connections, len(requests) // 2)):
        client = _Client(host, port)
        client.send(next(waiting))
        clients.append(client)
        while not (status := client.read()):
            pass
        statuses[status] += 1
    timed = len(requests) - len(clients)
    gc.disable()
    with selectors.DefaultSelector() as selector:
        started = perf_counter()
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.send(next(waiting))
        while len(times) < timed:
            ready = selector.select(PATIENCE)
            if not ready:
                raise RuntimeError(f"no answer in {PATIENCE:.0f} s")
            for key, _ in ready:
                client = key.data
                status = client.read()
                if status:
                    times.append(perf_counter() - client.started)
                    statuses[status] += 1
                    request = next(waiting, None)
                    if request is not None:
                        client.send(request)
        seconds = perf_counter() - started
    gc.enable()
    for client in clients:
        client.socket.close()
    return Run(seconds, statuses, times)
