"""Two brands on one service: an attacker with the rights of any tenant, and a neighbour who must not notice.

with Street() as street:
    quiet = street.watch(5)
    with attacks.slow_uploads(street, Size()):
        attacked = street.watch(5)
"""

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import psutil

from tests.security.issuer import (
    AUDIENCE,
    ISSUER,
    SECRET,
    signed,
)
from tests.stack.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask

ADMIN, PEPPER = "admin-" + "a" * 32, "pepper-" + "p" * 32
#: The neighbour's grants a second, and the seconds between two looks at `/healthy`.
RATE = 50
PROBE = 0.1
#: Far longer than any answer takes.
PATIENCE = 60.0
ATTACKER, NEIGHBOUR = "Attacker", "Neighbour"


@dataclass
class Watch:
    """The answers to the neighbour and to the health probe, and their times in seconds."""

    statuses: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    health: list[int] = field(default_factory=list)
    health_times: list[float] = field(default_factory=list)

    def add(self, other: "Watch") -> None:
        """Add the figures of another watch."""
        for name in ("statuses", "times", "health", "health_times"):
            getattr(self, name).extend(getattr(other, name))

    @property
    def p99(self) -> float:
        """The time in seconds that one grant in a hundred exceeds."""
        return sorted(self.times)[int(len(self.times) * 0.99)]


class Street:
    """nginx, two replicas and Redis, with tokens. `key` is the attacker's, `mine` is its discount."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._users = count()
        self._started = ExitStack()

    def __enter__(self) -> Self:
        with self._started:
            self.redis = self._started.enter_context(RedisServer())
            tokens = {"auth": "token", "admin_key": ADMIN, "secret": PEPPER}
            users = {"jwt_secret": SECRET, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "rate_user": "off"}
            settings = {
                "threads": 4,
                "proxies": 1,
                "redis_timeout": 20,
                "webhook_loopback": 1,
                **tokens,
                **users,
                **self._settings,
            }
            self.service = self._started.enter_context(Service(self.redis.url, replicas=2, **settings))
            folder = Path(self._started.enter_context(TemporaryDirectory(prefix="hostile-")))
            self.proxy = self._started.enter_context(Proxy(self.service.addresses, folder))
            self.url = self.proxy.url
            self.key, self.other = self._open_brand(ATTACKER), self._open_brand(NEIGHBOUR)
            self.mine = self.create(1_000_000)
            self.theirs = self.done("POST", "/discount", self.wanted(NEIGHBOUR, 1_000_000), token=self.other)["id"]
            self.user = signed("Mallory")
            self._started = self._started.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()

    def wanted(self, brand: str, total: int, **fields: Any) -> dict[str, Any]:
        """Return the body of a new discount."""
        return {"brand_id": brand, "discount_code": "Sale", "total_count": total, **fields}

    def create(self, total: int, **fields: Any) -> str:
        """Create a discount of the attacker, and return its id."""
        return str(self.done("POST", "/discount", self.wanted(ATTACKER, total, **fields))["id"])

    def done(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Any:
        """Make a call that must succeed, with the attacker's key by default, and return its answer."""
        headers = {"Authorization": f"Bearer {token or self.key}"}
        until = time.monotonic() + PATIENCE
        while True:
            reply = ask(self.url, method, path, body, headers=headers, timeout=PATIENCE)
            # Long calls of the attack before this one may still be ending.
            if reply.status != 429 or time.monotonic() > until:
                break
            time.sleep(0.2)
        assert reply.status < 300, reply.raw
        return reply.json

    def granted(self) -> int:
        """Return how many codes of the neighbour are granted."""
        return int(self.done("GET", f"/discount/{self.theirs}", token=self.other)["granted_count"])

    def watch(self, seconds: float) -> Watch:
        """Grant as the neighbour at a fixed rate, and probe `/healthy`, for some seconds."""
        seen, lock = Watch(), threading.Lock()
        local = threading.local()
        headers = {"Authorization": f"Bearer {self.other}", "Content-Type": "application/json"}
        started = time.monotonic()

        def grant(at: float) -> None:
            connection = getattr(local, "connection", None)
            if connection is None:
                address = self.url.removeprefix("http://")
                connection = local.connection = http.client.HTTPConnection(address, timeout=PATIENCE)
            time.sleep(max(0.0, at - time.monotonic()))
            begun = time.monotonic()
            body = json.dumps({"user_id": f"User {next(self._users)}"})
            connection.request("POST", f"/discount/{self.theirs}/grant", body, headers)
            response = connection.getresponse()
            response.read()
            with lock:
                seen.statuses.append(response.status)
                seen.times.append(time.monotonic() - begun)

        def probe() -> None:
            while time.monotonic() - started < seconds:
                begun = time.monotonic()
                seen.health.append(ask(self.url, "GET", "/healthy", timeout=PATIENCE).status)
                seen.health_times.append(time.monotonic() - begun)
                time.sleep(PROBE)

        with ThreadPoolExecutor(16) as pool:
            probing = pool.submit(probe)
            # Warm connections: what is measured is not the first hand-shake.
            grants = [pool.submit(grant, started + number / RATE) for number in range(int(seconds * RATE))]
            for each in [*grants, probing]:
                each.result()
        return seen

    def processes(self) -> dict[str, list[int]]:
        """Return the processes by their part, the attacker's among them."""
        bench, nginx = psutil.Process(), psutil.Process(self.proxy.pid)
        parts = {"nginx": [nginx.pid, *(child.pid for child in nginx.children())], "Redis": [self.redis.pid]}
        for replica in range(len(self.service.ports)):
            for worker in self.service.workers(replica):
                # Only pool workers are nicer than we are.
                kind = "pool" if psutil.Process(worker).nice() > bench.nice() else "hot"
                parts.setdefault(kind, []).append(worker)
        known = {pid for pids in parts.values() for pid in pids}
        parts["others"] = [child.pid for child in bench.children(recursive=True) if child.pid not in known]
        parts["neighbour"] = [bench.pid]
        return parts

    def _open_brand(self, brand: str) -> str:
        self.done("POST", "/brand", {"id": brand}, token=ADMIN)
        return str(self.done("POST", f"/brand/{brand}/keys", {"name": "a key"}, token=ADMIN)["key"])
