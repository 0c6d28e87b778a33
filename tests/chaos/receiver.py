"""A receiver of webhooks in its own process: it answers by chance or in a set way, and records all calls.

    with Receiver(seed=7, faults=0.33) as receiver:
        url = receiver.url("any", "IKEA")   # `any` by chance, else always `ok`, `late`, `slow`, `500`, `hang` or `held`
        receiver.trust("IKEA", secret)      # verify the calls to IKEA, with the reference library
        receiver.calls()

By chance, a call is answered with 500, never, with half an answer, or by closing the connection.
"""

import asyncio
import hashlib
import http.client
import json
import random
import subprocess
import sys
import weakref
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
#: Seconds before an answer, by the mode.
DELAYS = {"late": 0.2, "slow": 7.0}
FAULTS = ("500", "hang", "half", "drop")


@dataclass(frozen=True)
class Call:
    """A call as received. `answer` is `200`, or the fault."""

    name: str
    id: str
    digest: str
    verified: bool
    answer: str


class Receiver:
    """Starts and controls the process; the module's docstring shows how to use it."""

    def __init__(self, *, seed: int = 0, faults: float = 0.0) -> None:
        command = [sys.executable, "-m", "tests.chaos.receiver", str(seed), str(faults)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        # Tests that are interrupted do not reach stop().
        self._finalizer = weakref.finalize(self, _end, self._process)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline() or "0")
        if not self.port:
            raise RuntimeError("the receiver did not start")

    def url(self, mode: str, name: str) -> str:
        """Return the address whose calls are for a name and are answered in a mode."""
        return f"http://127.0.0.1:{self.port}/{mode}/{name}"

    def trust(self, name: str, secret: str) -> None:
        """Set the secret with which calls to a name are verified."""
        self._ask("PUT", f"/trust/{name}", secret.encode())

    def behave(self, faults: float) -> None:
        """Set the share of `any` calls that fail from now on."""
        self._ask("PUT", "/faults", str(faults).encode())

    def turn(self, name: str, mode: str) -> None:
        """Set the mode for calls to a name from now on, instead of the URL's mode; '' restores that."""
        self._ask("PUT", f"/turn/{name}", mode.encode())

    def let_go(self, name: str) -> None:
        """Answer the calls to a name that are held now; later ones are held again."""
        self._ask("PUT", f"/let-go/{name}")

    def calls(self) -> list[Call]:
        """Return all complete calls, in order."""
        return [Call(*each) for each in self._ask("GET", "/calls")]

    def counts(self) -> "Counter[str]":
        """Count the complete calls by the name they were for."""
        return Counter(self._ask("GET", "/counts"))

    def held(self, name: str) -> int:
        """Return how many calls to a name wait for their answer now; its mode must be `held`."""
        answered = Counter(self._ask("GET", "/answered"))[name]
        return self.counts()[name] - answered

    def stop(self) -> None:
        """End it. May be called twice."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ask(self, method: str, path: str, body: bytes = b"") -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


class _Server:
    def __init__(self, seed: int, faults: float) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.calls: list[Call] = []
        self.counts: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.trusted: dict[str, Webhook] = {}
        self.turned: dict[str, str] = {}
        self.held: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if method != "POST":
            _answer(writer, 200, json.dumps(self._control(path, body)).encode())
            return True
        _, mode, name = path.split("/")
        mode = self.turned.get(name) or mode
        answer = mode if mode != "any" else self._by_chance()
        delay, held = DELAYS.get(answer, 0), answer == "held"
        answer = "200" if answer in ("ok", "held", *DELAYS) else answer
        self.counts[name] += 1
        self.calls.append(
            Call(
                name,
                headers.get("webhook-id", ""),
                hashlib.sha256(body).hexdigest(),
                self._verified(name, headers, body),
                answer,
            )
        )
        if answer == "hang":
            # Wait until the other side gives up.
            await reader.read(1)
        elif answer == "half":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of")
            await writer.drain()
        elif answer != "drop":
            await asyncio.sleep(delay)
            if held:
                await self.held[name].wait()
                self.answered[name] += 1
            _answer(writer, int(answer), b"")
            return True
        return False

    def _by_chance(self) -> str:
        return self.random.choice(FAULTS) if self.random.random() < self.faults else "ok"

    def _verified(self, name: str, headers: dict[str, str], body: bytes) -> bool:
        try:
            self.trusted[name].verify(body, headers)
        except (WebhookVerificationError, KeyError):
            return False
        return True

    def _control(self, path: str, body: bytes) -> Any:
        _, what, *name = path.split("/")
        if what == "trust":
            self.trusted[name[0]] = Webhook(body.decode())
        elif what == "turn":
            self.turned[name[0]] = body.decode()
        elif what == "let-go":
            self.held.pop(name[0], asyncio.Event()).set()
        elif what == "answered":
            return self.answered
        elif what == "faults":
            self.faults = float(body)
        elif what == "calls":
            return [[each.name, each.id, each.digest, each.verified, each.answer] for each in self.calls]
        return self.counts


def _answer(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    writer.write(f"HTTP/1.1 {status} So\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


async def _main() -> None:
    ours = _Server(int(sys.argv[1]), float(sys.argv[2]))
    server = await asyncio.start_server(ours.serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
