"""Compare single requests over HTTP with a Flask no-op: same gunicorn, nginx and connections, alternating rounds.

The no-op runs on gunicorn's own threaded worker: what ours does past the framework must not slow the unit down.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import jwt

from bench import load, servers, tables
from discount.domain import code_kinds
from discount.domain.model import Grant
from discount.domain.rules import Rule
from discount.services import brands, discounts, grants
from discount.store.connection import Store
from tests.stack.proxy import Proxy
from tests.support.redis_server import RedisServer

BRAND = "IKEA"
SECRET = "only-for-measuring-and-only-here"
NOOP, GRANT, KEY, AGAIN = "Flask no-op", "grant", "grant with an API key", "grant again: the code held"
REFUSED, REDEMPTION = "grant refused: sold out", "redemption"
FIRST = "grant with a user's token, seen first"
NOOP_NGINX, GRANT_NGINX, REDEMPTION_NGINX = (
    f"{each}, through nginx" for each in ("Flask no-op", "grant", "redemption")
)
#: What is compared, with what, and the lowest acceptable share of the other's rate.
BARS = (
    (GRANT, NOOP, 0.80),
    (GRANT_NGINX, NOOP_NGINX, 0.80),
    (REDEMPTION, NOOP, 0.75),
    (REDEMPTION_NGINX, NOOP_NGINX, 0.75),
    (AGAIN, GRANT, 1.00),
    (REFUSED, GRANT, 1.00),
    (KEY, GRANT, 0.95),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests of one kind: where they go, the expected answer, and the requests of a round."""

    name: str
    unit: str
    status: int
    port: int
    master: int
    requests: Callable[[int], Sequence[bytes]]
    proxy: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """The results of the rounds of one kind."""

    runs: list[load.Run]
    app_cpu: list[float]
    redis_cpu: list[float]
    nginx_cpu: list[float]


def run(rounds: int, requests: int, *, workers: int = 2, threads: int = 4, connections: int = 32) -> None:
    """Print the tables.

    Raises:
        RuntimeError: an answer was not the one that the kind of request must have.
    """
    found: dict[str, Figures] = defaultdict(lambda: Figures([], [], [], []))
    with ExitStack() as started:
        redis = started.enter_context(RedisServer(appendonly="yes", appendfsync="everysec"))
        several = _start(started, redis, workers, threads, requests, rounds)
        for turn in range(rounds + 1):
            for kind in several[:: 1 if turn % 2 == 0 else -1]:
                sent = kind.requests(turn)
                before = _cpu(kind, redis)
                done = load.drive(kind.port, sent, connections)
                app, of_redis, nginx = (
                    (after - earlier) / len(sent) * 1e6
                    for after, earlier in zip(_cpu(kind, redis), before, strict=True)
                )
                # The first round warms up, and supplies the users of the first repeated grants.
                if turn == 0:
                    continue
                if done.statuses != {kind.status: len(sent)}:
                    raise RuntimeError(f"{kind.name}: {dict(done.statuses)}, not {len(sent)} times {kind.status}")
                found[kind.name].runs.append(done)
                found[kind.name].app_cpu.append(app)
                found[kind.name].redis_cpu.append(of_redis)
                found[kind.name].nginx_cpu.append(nginx)
    served = f"{workers} workers of {threads} threads, {connections} connections"
    _show(f"{served}, {rounds} rounds of {requests:,} requests", several, found)
    _show_bars(found)


def _start(
    started: ExitStack, redis: RedisServer, workers: int, threads: int, requests: int, rounds: int
) -> list[Kind]:
    store = Store.at(redis.url, 10.0, 16)
    total = requests * (rounds + 1)
    brands.create(store, BRAND, BRAND)
    key = brands.create_key(store, SECRET, BRAND, "bench")[1]
    # Rates are counted, but high enough never to refuse.
    endless = dict.fromkeys(("RATE_KEY", "RATE_USER", "RATE_ADDRESS"), "1000000000/minute")
    tokens = {
        "AUTH": "token",
        "ADMIN_KEY": "admin-" + SECRET,
        "JWT_SECRET": SECRET,
        "JWT_ISSUER": "shop",
    }
    settings = {"REDIS_URL": redis.url, "SECRET": SECRET}

    def serve(app: str, **more: str) -> tuple[int, int]:
        return started.enter_context(servers.gunicorn(app, workers, threads, settings | more))

    service = "discount.app:create_app()"
    noop, plain = started.enter_context(servers.noop(workers, threads)), serve(service)
    guarded = serve(service, **tokens, **endless, JWT_AUDIENCE="discount")
    folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    proxies = []
    for name, (port, _) in (("noop", noop), ("service", plain)):
        (folder / name).mkdir()
        proxies.append(started.enter_context(Proxy([f"127.0.0.1:{port}"], folder / name)))

    def of(discount_id: str, token: Callable[[str], str] = lambda _: "") -> Callable[[int], Sequence[bytes]]:
        return lambda turn: grant_requests(discount_id, range(turn * requests, (turn + 1) * requests), token)

    open_id, uses = create_discount(store, total), orders(store, total)
    nginx_id, nginx_uses = create_discount(store, total), orders(store, total)
    sold_out = create_discount(store, 1)
    grants.grant(store, sold_out, "the only one")
    held = create_discount(store, 1)
    grants.grant(store, held, "User 0")
    empty = [load.post("/noop", {"user_id": "User 1000000"})] * requests
    mine = grant_requests(held, [0], _user_token) * requests
    return [
        Kind(NOOP, NOOP, 200, *noop, lambda _: empty),
        Kind(GRANT, NOOP, 201, *plain, of(open_id)),
        Kind(KEY, NOOP, 201, *guarded, of(create_discount(store, total), lambda _: key)),
        Kind(
            "grant with a user's token, seen first", NOOP, 201, *guarded, of(create_discount(store, total), _user_token)
        ),
        Kind(AGAIN, NOOP, 200, *plain, lambda turn: of(open_id)(max(0, turn - 1))),
        Kind("grant again with a user's token, seen before", NOOP, 200, *guarded, lambda _: mine),
        Kind(REFUSED, NOOP, 409, *plain, lambda _: of(sold_out)(0)),
        Kind(REDEMPTION, NOOP, 201, *plain, lambda turn: uses[turn * requests : (turn + 1) * requests]),
        Kind("redemption again", NOOP, 200, *plain, lambda turn: uses[max(0, turn - 1) * requests :][:requests]),
        Kind("redemption refused: used already", NOOP, 409, *plain, lambda _: [_other_order(uses[0])] * requests),
        Kind(NOOP_NGINX, NOOP_NGINX, 200, proxies[0].port, noop[1], lambda _: empty, proxies[0].pid),
        Kind(GRANT_NGINX, NOOP_NGINX, 201, proxies[1].port, plain[1], of(nginx_id), proxies[1].pid),
        Kind(
            REDEMPTION_NGINX,
            NOOP_NGINX,
            201,
            proxies[1].port,
            plain[1],
            lambda turn: nginx_uses[turn * requests : (turn + 1) * requests],
            proxies[1].pid,
        ),
    ]


def create_discount(store: Store, total: int) -> str:
    """Create a discount with so many codes; return its id."""
    return discounts.create(
        store, brand_id=BRAND, discount_code="Christmas 2020 discount", total_count=total, kind=code_kinds.unique(total)
    )[0].id


def grant_requests(discount_id: str, users: Sequence[int], token: Callable[[str], str] = lambda _: "") -> list[bytes]:
    """Return a grant request for each user, with the user's token."""
    path = f"/discount/{discount_id}/grant"
    return [load.post(path, {"user_id": f"User {number}"}, token(f"User {number}")) for number in users]


def _user_token(user: str) -> str:
    claims = {"sub": user, "exp": int(time.time()) + 3600, "aud": "discount", "iss": "shop"}
    return jwt.encode(claims, SECRET, "HS256")


def orders(store: Store, total: int) -> list[bytes]:
    """Return a redemption request for each of so many users, who hold their codes already."""
    discount_id = discounts.create(
        store,
        brand_id=BRAND,
        discount_code="Spring",
        total_count=total,
        kind=code_kinds.unique(total),
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
                "order": {"id": f"order {discount_id} {number:08d}", "amount": 10_001, "currency": "EUR"},
            },
        )
        for number, each in enumerate(held)
    ]


def _other_order(request: bytes) -> bytes:
    """Return the same redemption for another order whose id is equally long."""
    return request.replace(b'"id": "order', b'"id": "other')


def _cpu(kind: Kind, redis: RedisServer) -> tuple[float, float, float]:
    """Return the CPU seconds used by the workers, Redis and nginx."""
    with redis.client() as client:
        told = client.info("cpu")
    of_redis = float(told["used_cpu_user"]) + float(told["used_cpu_sys"])
    return servers.cpu_of_workers(kind.master), of_redis, servers.cpu_of_workers(kind.proxy) if kind.proxy else 0.0


def _show(what: str, several: Sequence[Kind], found: Mapping[str, Figures]) -> None:
    rows = []
    for kind in several:
        figures = found[kind.name]
        times = [time * 1000 for each in figures.runs for time in each.times]
        rates = [each.rate for each in figures.runs]
        no_op = kind.name in (NOOP, NOOP_NGINX)
        rows.append(
            (
                kind.name,
                tables.spread(rates),
                tables.spread(_ratios(found, kind.name, kind.unit), 2),
                f"{tables.percentile(times, 0.5):.1f}",
                f"{tables.percentile(times, 0.99):.1f}",
                f"{median(figures.app_cpu):.0f}",
                "-" if no_op else f"{median(figures.redis_cpu):.0f}",
                f"{median(figures.nginx_cpu):.0f}" if kind.proxy else "-",
            )
        )
        tables.keep(
            f"http: {kind.name}",
            rate=median(rates),
            app_us=median(figures.app_cpu),
            redis_us=median(figures.redis_cpu),
            nginx_us=median(figures.nginx_cpu),
        )
    tables.show(
        f"Over HTTP: {what} each (min / median / max)",
        ("request", "answers/s", "of the no-op", "p50 ms", "p99 ms", "app CPU us", "Redis CPU us", "nginx CPU us"),
        rows,
    )


def _show_bars(found: Mapping[str, Figures]) -> None:
    rows = []
    for name, unit, bar in BARS:
        ratios = _ratios(found, name, unit)
        late = _p99(found, name) / _p99(found, unit)
        work = _work(found, name) / _work(found, unit)
        rows.append((name, unit, f"{bar:.2f}", tables.spread(ratios, 2), f"{late:.2f}", f"{work:.2f}"))
    tables.show(
        "Against the bars: each round's rate beside that of the other in the same round (min / median / max)",
        ("request", "beside", "bar", "reached", "p99 of its p99", "CPU of its CPU"),
        rows,
    )


def _ratios(found: Mapping[str, Figures], name: str, unit: str) -> list[float]:
    return [each.rate / other.rate for each, other in zip(found[name].runs, found[unit].runs, strict=True)]


def _work(found: Mapping[str, Figures], name: str) -> float:
    """Return the total CPU time of a request, which other load on the machine affects least."""
    figures = found[name]
    return median(map(sum, zip(figures.app_cpu, figures.redis_cpu, figures.nginx_cpu, strict=True)))


def _p99(found: Mapping[str, Figures], name: str) -> float:
    return tables.percentile([time for each in found[name].runs for time in each.times], 0.99)
