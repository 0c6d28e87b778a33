"""The CPU of a grant over all processes: as `make run` starts them, and with compose's settings behind nginx.

    python bench/whole.py --against main --rounds 3

Nobody is told of the grants, so the worker only reads their events. What the processes take while nothing is asked
stands apart, in milliseconds a second.
"""

import argparse
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench import load, sides, tables
from tests.stack.proxy import Proxy
from tests.support.redis_server import RedisServer, free_port

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 60.0
#: Seconds for which the idle processes are measured, and in which the worker reads the last events.
PAUSE = 1.5
#: The settings of docker-compose.yml that cost CPU.
COMPOSE = {"WORKERS": "2", "POOL_WORKERS": "1", "THREADS": "4", "LOG_FORMAT": "json", "LOG_LEVEL": "info"}
#: What a process is, by a word of its command line; the first that fits.
ROLES = ("worker", "sink", "gunicorn", "redis", "valkey", "nginx", "discount")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REVISION", help="measure another revision, too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--grants", type=int, default=6_000, help="grants of a round")
    parser.add_argument("--connections", type=int, default=32)
    chosen = parser.parse_args()
    with ExitStack() as started:
        trees = {"this tree": ROOT}
        if chosen.against:
            trees = {chosen.against: started.enter_context(sides.tree(chosen.against))} | trees
        for way in ("make run", "compose"):
            found: dict[str, list[tuple[Counter[str], Counter[str], float]]] = defaultdict(list)
            for _ in range(chosen.rounds):
                for name, tree in trees.items():
                    found[name].append(_round(tree, chosen.grants, chosen.connections, as_compose=way == "compose"))
            _show(way, found, chosen.rounds, chosen.grants)


def _show(
    way: str, found: Mapping[str, list[tuple[Counter[str], Counter[str], float]]], rounds: int, count: int
) -> None:
    rows = []
    for name, results in found.items():
        roles = sorted({role for spent, _, _ in results for role in spent})
        each = {role: median(spent[role] for spent, _, _ in results) for role in roles}
        idle = median(idle.total() for _, idle, _ in results)
        whole = [spent.total() for spent, _, _ in results]
        split = ", ".join(f"{role} {us:.0f}" for role, us in each.items() if us >= 1)
        rate = median(rate for _, _, rate in results)
        rows.append((name, tables.spread(whole), split, f"{rate:,.0f}", f"{idle / 1000:.0f}"))
    tables.show(
        f"{way}: CPU of all processes, {rounds} rounds of {count:,} grants (min / median / max)",
        ("", "us a grant", "of it", "answers/s", "idle ms/s"),
        rows,
    )


def _round(tree: Path, count: int, connections: int, *, as_compose: bool) -> tuple[Counter[str], Counter[str], float]:
    """Return the CPU microseconds of a grant by role, those of an idle second, and the rate."""
    with _service(tree, as_compose=as_compose) as (port, roots):
        discount = _create(port, count)
        warming = [load.post(f"/discount/{discount}/grant", {"user_id": f"First {number}"}) for number in range(4)]
        load.drive(port, warming, 2)
        time.sleep(2 * PAUSE)
        before = _cpu(roots)
        time.sleep(PAUSE)
        after = _cpu(roots)
        idle = Counter({role: int((after[role] - before[role]) / PAUSE) for role in after})
        sent = [load.post(f"/discount/{discount}/grant", {"user_id": f"User {number}"}) for number in range(count)]
        started = time.monotonic()
        done = load.drive(port, sent, connections)
        if done.statuses != {201: count}:
            raise RuntimeError(f"{dict(done.statuses)}, not {count} times 201")
        time.sleep(PAUSE)
        seconds = time.monotonic() - started
        last = _cpu(roots)
        spent = {role: max(0, (last[role] - after[role] - idle[role] * seconds)) / count for role in last}
        return Counter(spent), idle, done.rate  # type: ignore[arg-type]


@contextmanager
def _service(tree: Path, *, as_compose: bool) -> Iterator[tuple[int, list[int]]]:
    """Start a tree's `discount run`; yield the port and the first process of each family."""
    port, roots = free_port(), []
    settings = {"HOST": "127.0.0.1", "PORT": str(port)}
    with ExitStack() as started:
        folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        settings["DATA"] = str(folder / "data")
        if as_compose:
            redis = started.enter_context(RedisServer(appendonly="yes", appendfsync="everysec"))
            settings |= COMPOSE | {"REDIS_URL": redis.url}
            roots.append(redis.pid)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "discount", "run"],
                cwd=tree,
                env={**os.environ, **settings},
                stdout=log,
                stderr=log,
            )
        started.callback(_stop, process)
        roots.append(process.pid)
        _wait(port, process, folder / "log")
        if as_compose and shutil.which("nginx"):
            proxy = started.enter_context(Proxy([f"127.0.0.1:{port}"], folder))
            assert proxy._process is not None
            roots.append(proxy._process.pid)
            port = proxy.port
        yield port, roots


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        # The welcome comes once every process has started.
        if b"/console" in log.read_bytes() or b"http://" in log.read_bytes():
            return
        time.sleep(0.05)
    raise RuntimeError(f"the service did not start on {port}:\n{log.read_text(errors='replace')[-2000:]}")


def _create(port: int, total: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    body = {"brand_id": "IKEA", "discount_code": "Christmas 2020 discount", "total_count": total + 10}
    try:
        connection.request("POST", "/discount", json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return str(answer["id"])


def _cpu(roots: list[int]) -> Counter[str]:
    """Return the CPU microseconds of some processes and all that descend from them, by role."""
    spent, parents = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        pid = int(stat.parent.name)
        ticks = int(fields[11]) + int(fields[12])
        parents[pid] = int(fields[1])
        role = next((each for each in ROLES if each in command), "others")
        spent[pid] = role, ticks * 1_000_000 // os.sysconf("SC_CLK_TCK")
    found: Counter[str] = Counter()
    for pid, (role, microseconds) in spent.items():
        ancestor = pid
        while ancestor in parents and ancestor not in roots:
            ancestor = parents[ancestor]
        if ancestor in roots:
            found[role] += microseconds
    return found


if __name__ == "__main__":
    main()
