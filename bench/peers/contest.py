"""The service's calls and the peers take turns on one Redis, and each turn's CPU is counted."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import load, over_http, servers, tables
from bench.peers import command, processes, programs, sender
from discount.services import brands, code_pools
from tests.support.processes import end
from tests.support.redis_server import RedisServer, free_port

OPEN, KEY, REDEMPTION = "grant", "grant with an API key", "redemption"
PATIENCE = 30.0
#: About how many seconds a turn takes, and the fewest requests of one.
TURN_SECONDS = 0.8
FEWEST = 300


@dataclass(slots=True)
class Row:
    """One side of the contest: a server, and requests that it has not had before.

    Args:
        requests: returns so many requests from a number on.
        count: the requests of a turn.
    """

    name: str
    port: int
    pid: int
    status: int
    requests: Callable[[int, int], Sequence[bytes]]
    is_noop: bool = False
    count: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """The figures of a row in a round: microseconds of CPU a request, and times in milliseconds."""

    rate: float
    p50: float
    p99: float
    app_us: float
    redis_us: float
    switches: float


_SHORT = {programs.GO: "Go's, gathered", programs.ASGI: "ASGI's", programs.FLASK_NOOP: "the Flask no-op's"}
#: The turns of each row, one for each round.
Turns = Mapping[str, Sequence[Turn]]


class Contest:
    """The servers, and their turns.

    Args:
        most: the most requests of a turn.
    """

    def __init__(
        self, program: Path, build: Path, peers: Sequence[programs.Peer], started: ExitStack, rounds: int, most: int
    ) -> None:
        self._program = program
        self._build = build
        self._rounds = rounds
        self._most = most
        self._started = started
        # For 32 and for 64 connections: the rounds, one that warms up, and two turns that find something out.
        self._total = 2 * (rounds + 3) * most
        self._redis = started.enter_context(
            RedisServer(appendonly="yes", appendfsync="everysec", auto_aof_rewrite_percentage=0)
        )
        store = command.RecordingStore.at(self._redis.url, 10.0, 16)
        assert isinstance(store, command.RecordingStore)
        self._store = store
        self._folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        #: The peers that did not start or did not answer right, and why.
        self.failed: dict[str, str] = {}
        self._rows = self._start_service()
        for peer in peers:
            try:
                self._rows.append(self._start_peer(peer))
            except RuntimeError as error:
                self.failed[peer.name] = str(error)

    def run(self, connections: int) -> Turns:
        """Take all turns; the order changes with each round, and the first round only warms up."""
        for row in list(self._rows):
            row.count = min(self._most, FEWEST)
            turn = self._try(row, connections)
            if turn:
                # A no-op needs no codes, and gets enough requests for its rate.
                most = 10 * self._most if row.is_noop else self._most
                row.count = int(min(most, max(FEWEST, turn.rate * TURN_SECONDS)))
        found: dict[str, list[Turn]] = {row.name: [] for row in self._rows}
        for number in range(self._rounds + 1):
            for row in self._rows[:: 1 if number % 2 else -1]:
                turn = self._try(row, connections)
                if turn and number:
                    found[row.name].append(turn)
        return {row.name: found[row.name] for row in self._rows}

    def count_system_calls(self, connections: int) -> Mapping[str, float | None]:
        """Return the system calls for a request of each row; None if perf is missing or not allowed."""
        return {row.name: self._system_calls(row, connections) for row in self._rows}

    def show(self, connections: int, turns: Turns, calls: Mapping[str, float | None]) -> None:
        """Print the tables of a number of connections."""
        rows: list[tuple[str, ...]] = []
        for row in self._rows:
            found = turns[row.name]
            count = calls.get(row.name)
            rows.append(
                (
                    row.name,
                    tables.spread([turn.rate for turn in found]),
                    tables.spread([turn.app_us for turn in found]),
                    "-" if row.is_noop else f"{median(turn.redis_us for turn in found):.0f}",
                    f"{median(turn.p50 for turn in found):.1f}",
                    f"{median(turn.p99 for turn in found):.1f}",
                    f"{processes.megabytes(processes.tree(row.pid)):.0f}",
                    "-" if count is None else f"{count:.1f}",
                    f"{median(turn.switches for turn in found):.2f}",
                )
            )
        tables.show(
            f"{connections} connections, {self._rounds} rounds (min / median / max)",
            ("what", "answers/s", "app CPU us", "Redis CPU us", "p50 ms", "p99 ms", "MB", "system calls", "switches"),
            rows,
        )
        pairs = [(unit, figure) for unit in _SHORT if unit in turns for figure in ("rate", "app_us")]
        tables.show(
            f"{connections} connections: rates and app CPU as ratios in the same round (min / median / max)",
            ("what", *(f"{'rate' if figure == 'rate' else 'CPU'} of {_SHORT[unit]}" for unit, figure in pairs)),
            [(row.name, *(tables.spread(ratios(turns, row.name, *pair), 2) for pair in pairs)) for row in self._rows],
        )

    def _start_service(self) -> list[Row]:
        secret = over_http.SECRET
        brands.create(self._store, over_http.BRAND, over_http.BRAND)
        key = brands.create_key(self._store, secret, over_http.BRAND, "bench")[1]
        settings = {"REDIS_URL": self._redis.url, "SECRET": secret}
        # Rates are counted, but high enough never to refuse.
        endless = dict.fromkeys(("RATE_KEY", "RATE_USER", "RATE_ADDRESS"), "1000000000/minute")
        tokens = {"AUTH": "token", "ADMIN_KEY": f"admin-{secret}"}

        def serve(more: dict[str, str]) -> tuple[int, int]:
            return self._started.enter_context(servers.gunicorn("discount.app:create_app()", 2, 4, settings | more))

        plain, guarded = serve({}), serve(tokens | endless)
        uses = over_http.orders(self._store, self._total)
        return [
            Row(OPEN, *plain, 201, self._grants()),
            Row(KEY, *guarded, 201, self._grants(key)),
            Row(REDEMPTION, *plain, 201, lambda first, count: uses[first : first + count]),
        ]

    def _grants(self, token: str = "") -> Callable[[int, int], Sequence[bytes]]:
        discount_id = self._make_discount()
        return lambda first, count: over_http.grant_requests(discount_id, range(first, first + count), lambda _: token)

    def _make_discount(self) -> str:
        discount_id = over_http.create_discount(self._store, self._total)
        # All codes are made now: making them is no part of what is compared.
        code_pools.refill(self._store, discount_id, self._total)
        return discount_id

    def _start_peer(self, peer: programs.Peer) -> Row:
        """Start a peer with a discount of its own.

        Raises:
            RuntimeError: it does not listen.
        """
        port = free_port()
        folder = self._folder / str(port)
        folder.mkdir()
        words, settings = programs.prepare(peer, folder, self._build, port)
        environment = dict(os.environ)
        environment["REDIS_SOCKET"] = f"{self._redis.folder}/socket"
        requests: Callable[[int, int], Sequence[bytes]]
        if peer.is_noop:
            requests, status = _noops, 200
        else:
            discount_id = self._make_discount()
            environment |= command.environment(self._store, discount_id)
            # The two users by whom the command was found hold a code already.
            requests, status = _grants_after(discount_id), 201
        log = self._started.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(
            words, cwd=programs.ROOT, env=environment | settings, stdout=log, stderr=log, start_new_session=True
        )
        self._started.callback(_stop, process)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"it did not start: {(folder / 'log').read_text()[-500:]}") from None
                time.sleep(0.05)
            else:
                return Row(peer.name, port, process.pid, status, requests, peer.is_noop)

    def _try(self, row: Row, connections: int) -> Turn | None:
        """Take a turn; a peer that fails is out of the contest.

        Raises:
            RuntimeError: the service failed.
        """
        try:
            return self._turn(row, connections)
        except RuntimeError as error:
            if row.name in (OPEN, KEY, REDEMPTION):
                raise
            self._rows.remove(row)
            self.failed[row.name] = str(error)
            return None

    def _turn(self, row: Row, connections: int) -> Turn:
        pids = processes.tree(row.pid)
        before = self._counted(pids)
        done = self._send(row, connections)
        app, redis, switches = (
            (after - earlier) / done.answered for after, earlier in zip(self._counted(pids), before, strict=True)
        )
        return Turn(done.rate, done.p50, done.p99, app * 1e6, redis * 1e6, switches)

    def _counted(self, pids: Sequence[int]) -> tuple[float, float, int]:
        return processes.cpu(pids), processes.cpu([self._redis.pid]), processes.switches(pids)

    def _send(self, row: Row, connections: int, under: Sequence[str] = ()) -> sender.Sent:
        requests = row.requests(row.sent, row.count)
        row.sent += row.count
        return sender.send(self._program, row.port, requests, connections, row.status, under)

    def _system_calls(self, row: Row, connections: int) -> float | None:
        if not processes.can_count():
            return None
        file = self._folder / "perf"
        try:
            done = self._send(row, connections, processes.counting(processes.tree(row.pid), file))
        except RuntimeError:
            return None
        return processes.counted(file) / done.answered


def ratios(turns: Turns, name: str, unit: str, figure: str) -> list[float]:
    """Return a figure of a row as ratios to that of another row in the same rounds."""
    return [
        getattr(one, figure) / max(getattr(other, figure), 1e-9)
        for one, other in zip(turns[name], turns[unit], strict=True)
    ]


def _noops(_first: int, count: int) -> Sequence[bytes]:
    return [load.post("/noop", {"user_id": "User 1000000"})] * count


def _grants_after(discount_id: str) -> Callable[[int, int], Sequence[bytes]]:
    return lambda first, count: over_http.grant_requests(discount_id, range(100 + first, 100 + first + count))


def _stop(process: "subprocess.Popen[bytes]") -> None:
    several = processes.tree(process.pid)
    end(process)
    processes.end(pid for pid in several if pid != process.pid)
