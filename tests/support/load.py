"""Put load on the service from several processes, and record the answer to every call.

    calls = [Call(user, "POST", f"/discount/{id}/grant", {"user_id": user}) for user in twice(users, "pairs")]
    answers = drive(["http://127.0.0.1:8001", "http://127.0.0.1:8002"], calls)

Calls are made in the order of the list, 64 at a time. Call n goes to base n modulo the number of bases, so neighbours
in the list go to two replicas at the same moment. With `retries`, a call that fails (no connection, 502, 503, 504) is
repeated at the next base, as a client may do because a grant is idempotent.

    with Load(bases, calls, retries=100) as load:
        load.wait_for(500)      # 500 calls are answered; now break something
    answers = load.answers
"""

import http.client
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

PROCESSES = 4
CONNECTIONS = 64
#: With fewer calls than this, a process takes longer to start than it saves.
CALLS_A_PROCESS = 200
#: The longest that one call and a whole load may take, in seconds: far more than either needs.
CALL_SECONDS = 180.0
LOAD_SECONDS = 360.0
PAUSE = 0.1

Order = Literal["pairs", "shuffled"]
Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a user."""

    user: str
    method: str
    path: str
    body: Any = None
    headers: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one call: status 0 if there was none. `errors` has the error of each try before the last."""

    user: str
    status: int
    body: Any
    served_by: str
    errors: tuple[str, ...]
    started: float
    ended: float

    @property
    def code(self) -> str | None:
        """The code in the answer, if there is one."""
        found: str | None = self.body.get("code") if isinstance(self.body, dict) else None
        return found

    @property
    def slug(self) -> str:
        """The slug of a refusal, or an empty string."""
        return str(self.body["type"]).rpartition("/")[2] if isinstance(self.body, dict) and "type" in self.body else ""


def grant_call(discount_id: str, user: str) -> Call:
    """Return the call with which a user asks for a code of a discount."""
    return Call(user, "POST", f"/discount/{discount_id}/grant", {"user_id": user})


def twice(users: Sequence[str], order: Order, seed: int | None = None) -> list[str]:
    """Return each user twice: side by side, or shuffled by a seed that is printed."""
    both = [user for user in users for _ in range(2)]
    return both if order == "pairs" else shuffled(both, seed)


def shuffled(things: Sequence[Thing], seed: int | None = None) -> list[Thing]:
    """Return the same things in random order. The seed is printed, so that a failure can be repeated."""
    seed = random.randrange(2**32) if seed is None else seed
    print(f"shuffled with seed {seed}")
    return random.Random(seed).sample(things, len(things))


def drive(bases: Sequence[str], calls: Sequence[Call], *, retries: int = 0) -> list[Answer]:
    """Make all calls, and return the answers in the order of the calls."""
    with Load(bases, calls, retries=retries) as load:
        pass
    return load.answers


class Load:
    """A load that runs while its `with` block does something else. Leaving the block waits for all answers."""

    def __init__(self, bases: Sequence[str], calls: Sequence[Call], *, retries: int = 0) -> None:
        self.calls = calls
        self._bases = list(bases)
        self._retries = retries
        self._answers: dict[int, Answer] = {}
        self._news = threading.Condition()
        self._processes: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []

    @property
    def answers(self) -> list[Answer]:
        """The answers in the order of the calls."""
        return [self._answers[number] for number in range(len(self.calls))]

    def wait_for(self, count: int) -> None:
        """Wait until that many calls are answered."""
        with self._news:
            if not self._news.wait_for(lambda: len(self._answers) >= count, LOAD_SECONDS):
                raise TimeoutError(f"only {len(self._answers)} of {count} calls were answered in time")

    def __enter__(self) -> Self:
        processes = max(2, min(PROCESSES, len(self.calls) // CALLS_A_PROCESS))
        for number in range(processes):
            # Neighbours go to one process, whose threads send them at the same moment.
            share = [(n, call) for n, call in enumerate(self.calls) if n // 2 % processes == number]
            process = subprocess.Popen(
                # Isolated, it imports almost nothing.
                [sys.executable, "-I", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._processes.append(process)
            job = {
                "bases": self._bases,
                "retries": self._retries,
                "threads": CONNECTIONS // processes,
                "calls": [[n, call.method, call.path, call.body, call.headers or {}] for n, call in share],
            }
            print(json.dumps(job), file=_pipe(process.stdin), flush=True)
        for process in self._processes:
            if _pipe(process.stdout).readline() != "ready\n":
                self._kill()
                raise RuntimeError("a process of the load did not start")
        for process in self._processes:
            print("go", file=_pipe(process.stdin), flush=True)
            reader = threading.Thread(target=self._read, args=(_pipe(process.stdout),))
            self._readers.append(reader)
            reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        deadline = time.monotonic() + (LOAD_SECONDS if kind is None else 0)
        try:
            for process in self._processes:
                process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            if kind is None:
                raise TimeoutError(f"the load did not end: {len(self._answers)} of {len(self.calls)} calls") from None
        finally:
            self._kill()
        codes = [process.returncode for process in self._processes]
        if kind is None and (any(codes) or len(self._answers) != len(self.calls)):
            raise RuntimeError(f"a process of the load broke: exit codes {codes}")

    def _kill(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for reader in self._readers:
            reader.join()
        for process in self._processes:
            _pipe(process.stdin).close()
            _pipe(process.stdout).close()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            number, status, body, served_by, errors, started, ended = json.loads(line)
            answer = Answer(self.calls[number].user, status, body, served_by, tuple(errors), started, ended)
            with self._news:
                self._answers[number] = answer
                self._news.notify_all()


def _pipe(end: IO[str] | None) -> IO[str]:
    assert end is not None
    return end


class _Client:
    """One thread's keep-alive connections, one to each base that it has called."""

    def __init__(self, bases: list[str], retries: int) -> None:
        self._bases = bases
        self._retries = retries
        self._connections: dict[str, http.client.HTTPConnection] = {}

    def call(self, number: int, method: str, path: str, body: Any, headers: dict[str, str]) -> list[Any]:
        started = time.monotonic()
        errors: list[str] = []
        for attempt in range(self._retries + 1):
            if attempt:
                time.sleep(PAUSE)
            base = self._bases[(number + attempt) % len(self._bases)]
            try:
                status, answer, served_by = self._send(base, method, path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                self._connections.pop(base).close()
                errors.append(f"{type(error).__name__}: {error}")
                continue
            if status in (502, 503, 504) and attempt < self._retries:
                errors.append(str(status))
                continue
            return [number, status, answer, served_by, errors, started, time.monotonic()]
        return [number, 0, None, "", errors, started, time.monotonic()]

    def _send(self, base: str, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any, str]:
        content = None if body is None else json.dumps(body)
        headers = headers | ({} if content is None else {"Content-Type": "application/json"})
        for _ in range(2):
            connection = self._connections.get(base)
            fresh = connection is None
            if connection is None:
                connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=CALL_SECONDS)
                self._connections[base] = connection
            try:
                connection.request(method, path, content, headers)
                response = connection.getresponse()
                break
            except (ConnectionError, http.client.RemoteDisconnected):
                # A server may close an idle connection just as it is used again; then every client opens another.
                if fresh:
                    raise
                self._connections.pop(base).close()
        raw = response.read()
        is_json = "json" in response.headers.get("Content-Type", "")
        return response.status, json.loads(raw) if is_json else raw.decode(), response.headers.get("X-Served-By", "")


def _work() -> None:
    """Run one process of the load: read a job from standard input, write a line for every call."""
    job = json.loads(sys.stdin.readline())
    calls: Iterator[list[Any]] = iter(job["calls"])
    turn, output = threading.Lock(), threading.Lock()

    def run() -> None:
        client = _Client(job["bases"], job["retries"])
        while True:
            with turn:
                call = next(calls, None)
            if call is None:
                return
            line = json.dumps(client.call(*call))
            with output:
                print(line, flush=True)

    threads = [threading.Thread(target=run) for _ in range(job["threads"])]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    _work()
