"""The machine's own share while a service is attacked: three answers that take no work, and the users of the CPU.

with Bystander({"Redis PING": redis, "nginx alone": nginx}) as bystander, Processors(groups) as used:
    ...
bystander.p99       # seconds by probe; "echo" is that of a process that nobody else asks
used.shares         # shares of one processor by group
"""

import socket
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Self

import psutil

from bench import tables

#: Seconds between two rounds of probes.
PAUSE = 0.02
#: Seconds until a probe gives up.
PATIENCE = 60.0
#: A request's address and what is sent: an answer is one piece.
Probe = tuple[Callable[[], socket.socket], bytes]


class Bystander:
    """A process that times small answers, one after the other, and a process that answers at once."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes
        self.p99: dict[str, float] = {}

    def __enter__(self) -> Self:
        context = get_context("fork")
        near, far = socket.socketpair()
        self._end, end = context.Pipe()
        self._processes = [
            context.Process(target=_echo, args=(far, near), daemon=True),
            context.Process(target=_probe, args=(self._probes, near, far, end), daemon=True),
        ]
        for process in self._processes:
            process.start()
        near.close()
        far.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.send(None)
        self.p99 = {name: tables.percentile(times, 0.99) for name, times in self._end.recv().items()}
        for process in self._processes:
            process.kill()
            process.join()


def _echo(own: socket.socket, other: socket.socket) -> None:
    other.close()
    while piece := own.recv(64):
        own.sendall(piece)


def _probe(probes: Mapping[str, Probe], echo: socket.socket, other: socket.socket, end: Connection) -> None:
    other.close()
    times: dict[str, list[float]] = {name: [] for name in ("echo", *probes)}
    connections = {"echo": (echo, b"?")}
    for name, (connect, sent) in probes.items():
        connection = connect()
        connection.settimeout(PATIENCE)
        connections[name] = connection, sent
    while not end.poll():
        for name, (connection, sent) in connections.items():
            begun = time.perf_counter()
            connection.sendall(sent)
            connection.recv(4096)
            times[name].append(time.perf_counter() - begun)
        time.sleep(PAUSE)
    end.send(times)


class Processors:
    """The CPU that groups of processes use inside the block; `groups` returns the processes of each group."""

    def __init__(self, groups: Callable[[], dict[str, list[int]]]) -> None:
        self._groups = groups
        self.shares: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._begun, self._before = time.monotonic(), self._seconds()
        return self

    def __exit__(self, *_: object) -> None:
        after, passed = self._seconds(), time.monotonic() - self._begun
        self.shares = {
            name: sum(used - self._before.get(name, {}).get(pid, 0.0) for pid, used in processes.items()) / passed
            for name, processes in after.items()
        }

    def _seconds(self) -> dict[str, dict[int, float]]:
        found: dict[str, dict[int, float]] = {}
        for name, pids in self._groups().items():
            for pid in pids:
                try:
                    times = psutil.Process(pid).cpu_times()
                except psutil.NoSuchProcess:
                    continue
                found.setdefault(name, {})[pid] = times.user + times.system
        return found
