"""The console: the time of its pages with many discounts, and what open consoles cost grants.

python bench/console.py [discounts]
"""

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import load, servers, tables
from discount.app import create_app
from discount.config import Settings
from discount.domain import code_kinds
from discount.services import discounts
from discount.store.connection import Store
from tests.support.redis_server import RedisServer
from tests.support.sqlite_ledger import SqliteLedger

CONSOLES = 20
#: Seconds between two questions of a console, as its script has it.
EVERY = 5.0
_BRAND = "IKEA"
_PAGES = (
    "/console/discounts",
    "/console/discounts?live=1",
    "/console/discounts?name=discount+1",
    "/console/",
)


def run(count: int, rounds: int, grants: int, seconds: float = EVERY) -> None:
    """Print both tables.

    Args:
        count: the discounts of the brand.
        grants: grants of a round.
        seconds: between two questions of a console.
    """
    with RedisServer(tcp=True) as redis, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ledger = SqliteLedger(Path(folder))
        store = Store.at(redis.url, 20.0, 16)
        for number in range(count):
            _create(store, _BRAND, f"discount {number}", 1)
        _show_pages(Settings(redis_url=redis.url, ledger_url=ledger.url), store, count, rounds)
        settings = {"REDIS_URL": redis.url, "LEDGER_URL": ledger.url, "LOG_LEVEL": "warning"}
        with servers.gunicorn("discount.app:create_app()", 2, 4, settings) as (port, _):
            _show_grants(store, port, rounds, grants, seconds)


def _create(store: Store, brand_id: str, name: str, total: int) -> str:
    kind = code_kinds.unique(total)
    return discounts.create(store, brand_id=brand_id, discount_code=name, total_count=total, kind=kind)[0].id


def _show_pages(settings: Settings, store: Store, count: int, rounds: int) -> None:
    client = create_app(settings, store).test_client()
    rows = []
    for path in _PAGES:
        times = []
        for turn in range(rounds + 1):
            joined = f"{path}{'&' if '?' in path else '?'}brand_id={_BRAND}"
            started = perf_counter()
            answer = client.get(joined)
            if answer.status_code != 200:
                raise RuntimeError(f"{joined}: {answer.status}")
            if turn:
                times.append((perf_counter() - started) * 1000)
        rows.append((path, tables.spread(times, 1)))
        tables.keep(f"console: {path}", ms=sorted(times)[len(times) // 2])
    tables.show(f"Pages of the console, with {count:,} discounts", ("page", "ms of the server"), rows)


def _show_grants(store: Store, port: int, rounds: int, grants: int, seconds: float) -> None:
    """Print the rates of grants beside consoles, each compared with the turns before and after it, without consoles.

    The ratio of those two turns is the noise.
    """
    discount_id = _create(store, "another brand", "Christmas", (3 * rounds + 1) * grants)
    rates: list[tuple[float, float, float]] = []
    user = 0

    def turn(consoles: int) -> float:
        nonlocal user
        path = f"/discount/{discount_id}/grant"
        requests = [load.post(path, {"user_id": f"user {user + number}"}) for number in range(grants)]
        user += grants
        with _consoles(port, consoles, seconds):
            found = load.drive(port, requests, 16)
        if found.statuses.keys() - {200, 201}:
            raise RuntimeError(f"{found.statuses}")
        return found.rate

    turn(0)
    for _ in range(rounds):
        rates.append((turn(0), turn(CONSOLES), turn(0)))
    share = [2 * beside / (before + after) for before, beside, after in rates]
    noise = [after / before for before, _, after in rates]
    rows = [
        ("no console", tables.spread([rate for before, _, after in rates for rate in (before, after)]), "1"),
        ("no console, after / before", "", tables.spread(noise, 3)),
        (f"{CONSOLES} consoles", tables.spread([beside for _, beside, _ in rates]), tables.spread(share, 3)),
    ]
    title = f"Grants beside open consoles, each asking every {seconds:g} s"
    tables.show(title, ("beside", "grants/s", "ratio to no console"), rows)
    tables.keep("console: grants beside consoles", share=sorted(share)[len(share) // 2])


@contextmanager
def _consoles(port: int, count: int, seconds: float) -> Iterator[None]:
    """Have that many consoles ask for the live part of the overview while this runs."""
    ended = threading.Event()
    threads = [threading.Thread(target=_ask, args=(port, ended, seconds, number)) for number in range(count)]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        ended.set()
        for each in threads:
            each.join()


def _ask(port: int, ended: threading.Event, seconds: float, number: int) -> None:
    mark = ""
    # They were opened at different moments.
    ended.wait(seconds * number / CONSOLES)
    while not ended.is_set():
        connection = HTTPConnection("127.0.0.1", port, timeout=servers.PATIENCE)
        headers = {"If-None-Match": mark} if mark else {}
        connection.request("GET", f"/console/discounts?live=1&brand_id={_BRAND}", headers=headers)
        answer = connection.getresponse()
        answer.read()
        mark = answer.headers.get("ETag", "")
        connection.close()
        ended.wait(seconds)


if __name__ == "__main__":
    run(int(sys.argv[1]) if sys.argv[1:] else 100_000, 7, 20_000)
