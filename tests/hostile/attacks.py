"""The attacks of one tenant on the others. `ATTACKS` has them all, by their numbers in the report.

Each is a context manager: it is set up before its block begins, and goes on until the block ends.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from tests.chaos.receiver import Receiver
from tests.chaos.worker_processes import WorkerProcesses
from tests.hostile.street import ATTACKER, NEIGHBOUR, PEPPER, Street
from tests.support.patience import PATIENCE
from tests.support.service import ask, wait_until


@dataclass(frozen=True)
class Size:
    """The size of an attack: small in `make test`, full in `make hostile`."""

    connections: int = 8
    holds: int = 60
    codes: int = 120
    bulk: int = 1_000
    megabytes: int = 1


FULL = Size(connections=16, holds=3_000, codes=2_000, bulk=10_000, megabytes=8)
Attack = Callable[[Street, Size], Any]


@contextmanager
def _repeated(act: Callable[[], object], threads: int) -> Iterator[None]:
    """Repeat a call in many threads of another process. Refusals do not stop it."""
    attacker = get_context("fork").Process(target=_run, args=(act, threads), daemon=True)
    attacker.start()
    try:
        time.sleep(0.5)
        yield
    finally:
        attacker.kill()
        attacker.join()


def _run(act: Callable[[], object], threads: int) -> None:
    def repeat() -> None:
        while True:
            try:
                reply = act()
            except OSError:
                reply = None
            if reply is None or getattr(reply, "status", 0) == 429:
                # The attacker shares this machine: what it computes to be refused at once is not what is measured.
                time.sleep(0.1)

    for _ in range(threads):
        threading.Thread(target=repeat, daemon=True).start()
    threading.Event().wait()


@contextmanager
def _calls(street: Street, threads: int, method: str, path: str, body: Any = None, token: str = "") -> Iterator[None]:
    headers = {"Authorization": f"Bearer {token or street.key}"}
    act = lambda: ask(street.url, method, path, body, headers=headers, timeout=PATIENCE)  # noqa: E731
    with _repeated(act, threads):
        yield


def _connect(port: int, head: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
    connection.sendall(head.encode())
    return connection


def _request(street: Street, line: str, *headers: str) -> str:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {street.key}", *headers, "", ""])


@contextmanager
def slow_uploads(street: Street, size: Size) -> Iterator[None]:
    """H1: imports sent at 300 bytes a second."""
    own = street.create(1, codes={"kind": "imported"})
    path = f"POST /discount/{own}/codes"
    head = _request(street, path, "Content-Type: text/plain", "Content-Length: 99999999")

    def upload() -> None:
        with _connect(street.proxy.port, head) as connection:
            connection.settimeout(1)
            while True:
                connection.sendall(b"A" * 299 + b"\n")
                try:
                    if connection.recv(65536):
                        # Refused, or ended for being slow.
                        time.sleep(0.1)
                        return
                except TimeoutError:
                    continue

    with _repeated(upload, size.connections):
        yield


@contextmanager
def slow_exports(street: Street, size: Size) -> Iterator[None]:
    """H1: exports of a million codes, hardly read at all."""
    line = _request(street, f"GET /discount/{street.mine}/codes")
    with ExitStack() as open_ones:
        for _ in range(size.connections):
            connection = open_ones.enter_context(_connect(street.proxy.port, line))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        time.sleep(1)
        yield


@contextmanager
def quick_exports(street: Street, size: Size) -> Iterator[None]:
    """H1: exports of many codes, read at full speed."""
    many = street.create(size.bulk * 10)
    with _calls(street, size.connections, "GET", f"/discount/{many}/codes"):
        yield


@contextmanager
def many_holds(street: Street, size: Size) -> Iterator[None]:
    """H2: validations of a user with many holds of a discount whose total was lowered."""
    own = street.create(10, limits={"per_user": None, "total": size.holds * 2})
    code = street.done("POST", f"/discount/{own}/grant", {"user_id": "Mallory"})["code"]
    body = {"discount_id": own, "user_id": "Mallory", "code": code}
    headers = {"Authorization": f"Bearer {street.key}"}
    for number in range(size.holds):
        order = {"id": f"order {number}", "amount": 1000, "currency": "EUR"}
        ask(street.url, "POST", "/redemption", {**body, "order": order, "hold_seconds": 3600}, headers=headers)
    ask(street.url, "PATCH", f"/discount/{own}", {"limits": {"total": size.holds // 2}}, headers=headers)
    order = {"id": "another", "amount": 1000, "currency": "EUR"}
    with _calls(street, size.connections, "POST", "/validation", {**body, "order": order}):
        yield


@contextmanager
def crowded_user(street: Street, size: Size) -> Iterator[None]:
    """H3: validations of unknown codes by a user who holds many codes of the brand."""
    for _ in range(size.codes):
        street.done("POST", f"/discount/{street.create(1)}/grant", {"user_id": "Crowd"})
    order = {"id": "another", "amount": 1000, "currency": "EUR"}
    body = {"brand_id": ATTACKER, "user_id": "Crowd", "code": "none of them", "order": order}
    with _calls(street, size.connections, "POST", "/validation", body):
        yield


@contextmanager
def repeated_names(street: Street, size: Size) -> Iterator[None]:
    """H4: 64 KB of JSON with as many names as fit, the last one twice, with a user's token."""
    names = ",".join(f'"{number}":0' for number in range(6_500))
    body = f'{{{names},"6499":0}}'.encode()
    with _calls(street, size.connections, "POST", "/api/v1/discountcodeusage/", body, street.user):
        yield


@contextmanager
def slow_receivers(street: Street, size: Size) -> Iterator[None]:
    """H5: as many webhooks as a brand may have, each of which takes seven seconds to answer 200.

    At the end, the neighbour's webhook must be called for each of the neighbour's grants.
    """
    with Receiver() as receiver, WorkerProcesses(street.redis.url, workers=1, secret=PEPPER) as worker:
        worker.await_ready()
        for _ in range(20):
            street.done("POST", "/webhook", {"brand_id": ATTACKER, "url": receiver.url("slow", ATTACKER)})
        theirs = {"brand_id": NEIGHBOUR, "url": receiver.url("ok", NEIGHBOUR)}
        street.done("POST", "/webhook", theirs, token=street.other)
        users = [f"Receiver {number}" for number in range(size.bulk)]
        street.done("POST", f"/discount/{street.mine}/grants", {"user_ids": users})
        wait_until(lambda: receiver.counts()[ATTACKER] > 0, "the attacker's receiver is called")
        before = street.granted()
        yield
        grants = street.granted() - before
        wait_until(lambda: receiver.counts()[NEIGHBOUR] >= grants, "the neighbour's webhook is called for each grant")


@contextmanager
def half_requests(street: Street, size: Size) -> Iterator[None]:
    """M7: incomplete requests, sent straight to each replica's port without a token."""
    with ExitStack() as open_ones:
        for port in street.service.ports:
            for begun in (
                "",
                "GET /discount HTT",
                "POST /discount HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
            ):
                for _ in range(size.connections * 3):
                    open_ones.enter_context(_connect(port, begun))
        yield


@contextmanager
def bad_bulk(street: Street, size: Size) -> Iterator[None]:
    """M11: bulk grants with a bad id at the end."""
    names = ",".join(f'"{number:09}"' for number in range(size.megabytes * 80_000))
    body = f'{{"user_ids":[{names},7]}}'.encode()
    with _calls(street, size.connections, "POST", f"/discount/{street.mine}/grants", body):
        yield


@contextmanager
def personal_bulk(street: Street, size: Size) -> Iterator[None]:
    """M11: bulk grants of personal codes."""
    own = street.create(10_000_000, codes={"kind": "personal", "template": "{brand}-thinks-{user}-is-awesome-{id}"})
    body = {"user_ids": [f"User number {number}" for number in range(size.bulk)]}
    with _calls(street, size.connections, "POST", f"/discount/{own}/grants", body):
        yield


@contextmanager
def tiny_lines(street: Street, size: Size) -> Iterator[None]:
    """M11: imports of rows that are no codes."""
    own = street.create(1, codes={"kind": "imported"})
    rows = b"code\n" + b'""""\n' * (size.megabytes * 50_000)
    headers = {"Authorization": f"Bearer {street.key}", "Content-Type": "text/csv"}
    act = lambda: ask(street.url, "POST", f"/discount/{own}/codes", rows, headers=headers)  # noqa: E731
    with _repeated(act, size.connections):
        yield


@contextmanager
def rare_events(street: Street, size: Size) -> Iterator[None]:
    """M11: replays of an event type that never occurred, and forgetting of unknown users."""
    street.done("POST", f"/discount/{street.mine}/grants", {"user_ids": [f"{number}" for number in range(size.bulk)]})
    path = f"/event?brand_id={ATTACKER}&types=webhook.disabled"
    with _calls(street, size.connections, "GET", path), _calls(street, size.connections, "DELETE", "/user/nobody"):
        yield


@contextmanager
def readable_codes(street: Street, size: Size) -> Iterator[None]:
    """M11: readable codes, each granted to all users of the brand."""
    for number in range(size.codes):
        street.done("PUT", f"/user/User{number}?brand_id={ATTACKER}", {"email": f"user{number}@users.example"})
    numbers = iter(range(10**9))
    headers = {"Authorization": f"Bearer {street.key}"}

    def create() -> None:
        body = {"id": f"CODE{next(numbers)}", "discount": 10, "validity": "2099-01-01T00:00:00Z"}
        ask(street.url, "POST", "/api/v1/discountcode/", body, headers=headers, timeout=PATIENCE)

    with _repeated(create, size.connections):
        yield


@contextmanager
def large_pictures(street: Street, size: Size) -> Iterator[None]:
    """M11: pictures of long codes."""
    own = street.create(9, codes={"kind": "personal", "template": "{user}-{id}" + "-{user}" * 10})
    street.done("POST", f"/discount/{own}/grant", {"user_id": "M" * 40})
    with _calls(street, size.connections, "GET", f"/discount/{own}/grant/picture?user_id={'M' * 40}"):
        yield


@contextmanager
def closed_discounts(street: Street, size: Size) -> Iterator[None]:
    """M11: grants of a brand with many closed discounts."""
    for _ in range(size.codes):
        street.done("DELETE", f"/discount/{street.create(1)}")
    with _calls(street, size.connections, "POST", f"/brand/{ATTACKER}/grant", {"user_id": "Mallory"}):
        yield


ATTACKS: dict[str, Attack] = {
    "H1 slow uploads": slow_uploads,
    "H1 slow exports": slow_exports,
    "H1 quick exports": quick_exports,
    "H2 many holds": many_holds,
    "H3 a crowded user": crowded_user,
    "H4 repeated names": repeated_names,
    "H5 slow receivers": slow_receivers,
    "M7 half requests": half_requests,
    "M11 bulk with a bad id": bad_bulk,
    "M11 bulk of personal codes": personal_bulk,
    "M11 tiny lines": tiny_lines,
    "M11 rare events, unknown users": rare_events,
    "M11 readable codes": readable_codes,
    "M11 large pictures": large_pictures,
    "M11 closed discounts": closed_discounts,
}
