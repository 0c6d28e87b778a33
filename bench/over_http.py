"""Single grants over HTTP beside a Flask no-op: same gunicorn, same workers, same connections, taking turns."""

from collections import defaultdict
from statistics import median

from bench import load, servers, tables
from discount import brands, discounts, grants, kinds
from discount.model import Grant
from discount.rules import Rule
from discount.store import Store
from tests.support.redis_server import RedisServer

WORKERS, THREADS, CONNECTIONS = 2, 4, 32
BRAND = "IKEA"
SECRET = "only for measuring, and only here"
_KINDS = {
    "Flask no-op": 200,
    "grant: each request a new user": 201,
    "grant with an API key: each request a new user": 201,
    "grant again: the code held": 200,
    "grant refused: sold out": 409,
    "redemption: each request a new user and order": 201,
    "redemption again: the order done": 200,
}


def run(rounds: int, requests: int) -> None:
    """Print the table.

    Raises:
        RuntimeError: an answer was not the one that the kind of request must have.
    """
    with RedisServer(appendonly="yes", appendfsync="everysec") as redis:
        store = Store.at(redis.url, 10.0, 16)
        total = requests * (rounds + 1)
        open_id, keyed_id = _create(store, total), _create(store, total)
        brands.create(store, BRAND, BRAND)
        key = brands.create_key(store, SECRET, BRAND, "bench")[1]
        sold_out_id = _create(store, 1)
        grants.grant(store, sold_out_id, "the only one")
        orders = _orders(store, total)
        settings = {"REDIS_URL": redis.url}
        # Counted as in use, but never too many.
        tokens = {"AUTH": "token", "SECRET": SECRET, "ADMIN_KEY": SECRET, "RATE_KEY": "1000000000/minute"}
        with (
            servers.gunicorn("bench.noop:app", WORKERS, THREADS, settings) as (noop_port, noop_pid),
            servers.gunicorn("discount.app:create_app()", WORKERS, THREADS, settings) as (port, pid),
            servers.gunicorn("discount.app:create_app()", WORKERS, THREADS, settings | tokens) as (
                key_port,
                key_pid,
            ),
        ):
            runs: dict[str, list[load.Run]] = defaultdict(list)
            app_cpu: dict[str, list[float]] = defaultdict(list)
            redis_cpu: dict[str, list[float]] = defaultdict(list)
            # The first turn only warms up, and gives the users of the first repeated grants.
            for turn in range(rounds + 1):
                fresh = _requests(open_id, turn * requests, requests)
                held = _requests(open_id, max(0, turn - 1) * requests, requests)
                kinds = dict(
                    zip(
                        _KINDS,
                        (
                            (noop_port, noop_pid, [load.post("/noop", {"user_id": "User 1000000"})] * requests),
                            (port, pid, fresh),
                            (key_port, key_pid, _requests(keyed_id, turn * requests, requests, key)),
                            (port, pid, held),
                            (port, pid, _requests(sold_out_id, 0, requests)),
                            (port, pid, orders[turn * requests : (turn + 1) * requests]),
                            (port, pid, orders[max(0, turn - 1) * requests :][:requests]),
                        ),
                        strict=True,
                    )
                )
                for kind in list(kinds)[:: 1 if turn % 2 == 0 else -1]:
                    to, master, sent = kinds[kind]
                    before = servers.cpu_of_workers(master), _redis_cpu(redis)
                    done = load.drive(to, sent, CONNECTIONS)
                    after = servers.cpu_of_workers(master), _redis_cpu(redis)
                    if turn == 0:
                        continue
                    if done.statuses != {_KINDS[kind]: requests}:
                        raise RuntimeError(f"{kind}: {dict(done.statuses)} instead of {requests} times {_KINDS[kind]}")
                    runs[kind].append(done)
                    if before[0] is not None and after[0] is not None:
                        app_cpu[kind].append((after[0] - before[0]) / requests * 1e6)
                    redis_cpu[kind].append((after[1] - before[1]) / requests * 1e6)
        granted = discounts.show(store, open_id)[0].granted_count
    if granted != total:
        raise RuntimeError(f"{granted} granted instead of {total}")
    _show(rounds, requests, runs, app_cpu, redis_cpu)


def _create(store: Store, total: int) -> str:
    return discounts.create(
        store, brand_id=BRAND, discount_code="Christmas 2020 discount", total_count=total, kind=kinds.unique(total)
    )[0].id


def _requests(discount_id: str, first: int, count: int, token: str = "") -> list[bytes]:
    path = f"/discount/{discount_id}/grant"
    users = (f"User {1_000_000 + number}" for number in range(first, first + count))
    return [load.post(path, {"user_id": user}, token) for user in users]


def _orders(store: Store, total: int) -> list[bytes]:
    """A redemption for each of so many users, who hold their codes already."""
    discount_id = discounts.create(
        store,
        brand_id=BRAND,
        discount_code="Spring",
        total_count=total,
        kind=kinds.unique(total),
        rule=Rule(percent=1250, currency="EUR", minimum_amount=1000),
        limits={"total": total, "per_user": 1, "per_user_per_day": 1},
        timezone="Europe/Stockholm",
    )[0].id
    users = [f"User {number}" for number in range(total)]
    held = [each for each in grants.grant_many(store, discount_id, users) if isinstance(each, Grant)]
    return [
        load.post(
            "/redemption",
            {
                "discount_id": discount_id,
                "user_id": each.user_id,
                "code": each.code,
                "order": {"id": f"order {number}", "amount": 10_001, "currency": "EUR"},
            },
        )
        for number, each in enumerate(held)
    ]


def _redis_cpu(redis: RedisServer) -> float:
    with redis.client() as client:
        told = client.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def _show(
    rounds: int,
    requests: int,
    runs: dict[str, list[load.Run]],
    app_cpu: dict[str, list[float]],
    redis_cpu: dict[str, list[float]],
) -> None:
    noop = [done.rate for done in runs["Flask no-op"]]
    rows = []
    for kind, done in runs.items():
        times = [time * 1000 for each in done for time in each.times]
        ratios = [each.rate / unit for each, unit in zip(done, noop, strict=True)]
        rows.append(
            (
                kind,
                tables.spread([each.rate for each in done]),
                tables.spread(ratios, 2),
                f"{tables.percentile(times, 0.5):.1f}",
                f"{tables.percentile(times, 0.99):.1f}",
                f"{median(app_cpu[kind]):.0f}" if app_cpu[kind] else "-",
                f"{median(redis_cpu[kind]):.0f}" if kind != "Flask no-op" else "-",
            )
        )
    tables.show(
        f"Over HTTP: {WORKERS} workers of {THREADS} threads, {CONNECTIONS} connections, "
        f"{rounds} rounds of {requests:,} requests each (min / median / max)",
        ("request", "answers/s", "of the no-op", "p50 ms", "p99 ms", "app CPU us", "Redis CPU us"),
        sorted(rows, key=lambda row: list(_KINDS).index(row[0])),
    )
