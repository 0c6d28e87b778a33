"""The worker process: its loops, its health checks and metrics, and an orderly shutdown."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import nan

from structlog import get_logger

from discount import metrics
from discount.config import Settings, SettingsError
from discount.domain.errors import Unavailable
from discount.domain.model import DeliveryKind
from discount.ledger import results, schema
from discount.ledger.consumer import ENTRIES, Consumer
from discount.ledger.database import Database
from discount.ledger.figures import Figures
from discount.ledger.past_redemptions import PastRedemptions, kept
from discount.ledger.row_retention import RowRetention
from discount.ledger.tallies import TallyReader
from discount.redis_access import connect, make_ready
from discount.security import url_policy
from discount.security.signing import Signer
from discount.services import slices
from discount.store.connection import Store
from discount.worker import metrics as worker_metrics
from discount.worker.digests import Digests
from discount.worker.dispatcher import Dispatcher, Schedule
from discount.worker.email_delivery import EmailDelivery
from discount.worker.housekeeper import Housekeeper
from discount.worker.planner import Planner
from discount.worker.reconciling import Reconciling
from discount.worker.reminders import Reminders
from discount.worker.retention import Retention
from discount.worker.smtp_client import SmtpClient
from discount.worker.waiting_lists import WaitingLists
from discount.worker.webhook_client import WebhookClient
from discount.worker.webhook_delivery import WebhookDelivery

#: Seconds between two turns of a dispatcher that found nothing to do.
PAUSE = 0.2
#: Seconds after which events are looked for again if nobody is told of the last ones: they come in larger pieces then.
PLAN_PAUSE = 0.1
#: Seconds between two turns of each kind of periodic work.
MEASURE = 2.0
TAKE_OVER = 1.0
REMIND = 30.0
INDEX = 1.0
CLEAN = 60.0
SERVE = 0.5
RECONCILE = 30.0
TALLY = 5.0
TRIM = 600.0
#: A loop that has not completed a turn for this many seconds makes the worker not ready.
HANGS = 60.0


def run(settings: Settings) -> None:
    """Run the worker until a signal stops it; attempts under way are finished first.

    Raises:
        SettingsError, LayoutError: the message is one line that says what is wrong.
    """
    store = connect(settings)
    make_ready(store, settings)
    ending, signals = threading.Event(), list[int]()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not `ending.set`: this thread may hold the event's lock when the signal arrives.
        signal.signal(number, lambda number, _frame: signals.append(number))
    loops, ends = _build(settings, store, ending)
    with _status_server(settings, loops) as server:
        for loop in loops:
            loop.start()
        get_logger().info("The worker is running", port=server.server_port)
        while not signals:
            time.sleep(PAUSE)
        ending.set()
        for loop in loops:
            loop.join(HANGS)
        for end in ends:
            end()


def _build(settings: Settings, store: Store, ending: threading.Event) -> "tuple[list[_Loop], list[Callable[[], None]]]":
    """Return the worker's loops, not yet started, and what has to be called after them."""
    reminders = Reminders(store, settings.remind_days) if settings.smtp_url else None
    name = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns():x}"
    planner = Planner(store, name, reminders)
    housekeeper = Housekeeper(store, planner, reminders, settings.event_days * 86400)
    retention = Retention(store, settings.use_days)
    schedule = Schedule(settings.pauses, settings.webhook_timeout, settings.webhook_off_after * 86400)
    delivery = _webhook_delivery(settings, store)
    threads: dict[DeliveryKind, int] = {"webhook": settings.senders, "email": settings.mail_senders}
    wake = {kind: threading.Event() for kind in threads}
    dispatchers = {
        kind: Dispatcher(store, schedule, delivery.prepare, count, wake[kind].set, kind=kind)
        for kind, count in threads.items()
    }

    def plan() -> None:
        # A brand with many webhooks and grants must not fill a processor, or Redis.
        with slices.with_pauses(slices.HalfOfTheTime()):
            turn = planner.turn()
        if turn.wanted:
            for event in wake.values():
                event.set()
        elif not turn.is_full:
            ending.wait(PLAN_PAUSE)

    def dispatch(kind: DeliveryKind) -> None:
        wake[kind].clear()
        if not dispatchers[kind].turn():
            wake[kind].wait(PAUSE)

    loops = [
        _Loop("planner", plan, ending, before=planner.open),
        *(_Loop(f"{kind}-dispatcher", partial(dispatch, kind), ending) for kind in threads),
        _Loop("measures", housekeeper.measure, ending, every=MEASURE, before=planner.open),
        _Loop("takeover", housekeeper.take_over, ending, every=TAKE_OVER, before=planner.open),
        _Loop("reminders", housekeeper.remind, ending, every=REMIND),
        _Loop("index", housekeeper.index, ending, every=INDEX, before=planner.open),
        _Loop("waiting-lists", WaitingLists(store).turn, ending, every=SERVE),
        _Loop("retention", retention.turn, ending, every=CLEAN),
        _Loop("cleaning", housekeeper.clean, ending, every=CLEAN, before=planner.open),
    ]
    ends: list[Callable[[], None]] = [each.end for each in dispatchers.values()]
    if settings.ledger_url:
        database = Database(settings.ledger_url)
        consumer = Consumer(store, database, name, settings.secret)
        reader = TallyReader(store, database, lambda: consumer.partitions)
        rows = RowRetention(database, settings.kept_rows)
        let_go = Retention(store, settings.redemption_days, partial(kept, store, PastRedemptions(database)))
        loops += _ledger_loops(store, database, consumer, ending)
        loops += [
            _Loop("tallies", reader.turn, ending, every=TALLY, before=partial(schema.check, database)),
            _Loop("rows", lambda: rows.turn(store.now()), ending, every=TRIM, before=partial(schema.check, database)),
            _Loop("let-go", let_go.turn, ending, every=CLEAN, before=partial(schema.check, database)),
        ]
        if settings.smtp_url:
            digests = Digests(store)
            loops.append(_Loop("digests", lambda: digests.turn(store.now()), ending, every=REMIND))
        ends.append(consumer.end)
    return loops, ends


def _ledger_loops(store: Store, database: Database, consumer: Consumer, ending: threading.Event) -> "list[_Loop]":
    def write() -> None:
        # A transaction for a few events costs nearly as much as one for hundreds.
        if consumer.turn() < ENTRIES:
            ending.wait(PAUSE)

    def measure() -> None:
        partitions, seconds = consumer.behind()
        worker_metrics.LEDGER_PARTITIONS.set(partitions)
        worker_metrics.LEDGER_BEHIND.set(seconds)
        worker_metrics.LEDGER_LOST.set(len(consumer.lost))
        latest = results.read(store)
        worker_metrics.LEDGER_DIFFERENCES.set(results.joined(latest).count)
        oldest = min((each.at for each in latest.values()), default=None)
        worker_metrics.LEDGER_RECONCILED.set(nan if oldest is None else (store.now() - oldest) / 1_000_000)

    def wait(seconds: float) -> bool:
        comparing.beat()
        return ending.wait(seconds)

    comparing = _Loop(
        "reconcile", Reconciling(store, database, lambda: consumer.partitions, wait).turn, ending, every=RECONCILE
    )
    return [
        comparing,
        _Loop("ledger", write, ending, before=consumer.open),
        _Loop("ledger-measures", measure, ending, every=MEASURE, before=consumer.open_groups),
    ]


class _Loop(threading.Thread):
    """A thread that repeats a turn until the worker ends. Errors are logged, and the turn is repeated after a second.

    Args:
        every: seconds between two turns; 0 if the turn itself waits.
        before: called before the first turn, and again after each turn that failed.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], object],
        ending: threading.Event,
        *,
        every: float = 0,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._turn = turn
        self._ending = ending
        self._every = every
        self._before = before
        self._completed_at = time.monotonic()

    @property
    def hangs(self) -> bool:
        """Return True if no turn has completed for long: it blocks, it keeps failing, or the thread has ended."""
        return not self.is_alive() or time.monotonic() - self._completed_at > HANGS + self._every

    def beat(self) -> None:
        """Note in the middle of a long turn that it goes on."""
        self._completed_at = time.monotonic()

    def run(self) -> None:
        ready = False
        while not self._ending.is_set():
            try:
                if not ready:
                    self._before()
                ready = True
                self._turn()
                self._completed_at = time.monotonic()
                pause = self._every
            except Unavailable as error:
                get_logger().warning("Redis or the ledger is unavailable", loop=self.name, detail=error.detail)
                ready, pause = False, 1.0
            except Exception as error:
                get_logger().error("loop failed", loop=self.name, exc_info=error)
                ready, pause = False, 1.0
            if pause:
                self._ending.wait(pause)


def _webhook_delivery(settings: Settings, store: Store) -> WebhookDelivery:
    signer = Signer(store, settings.secret)
    client = WebhookClient(url_policy.policy(loopback=settings.webhook_loopback), settings.webhook_timeout)
    email_delivery = None
    if settings.smtp_url:
        smtp_client = SmtpClient(settings.smtp_url, settings.webhook_timeout)
        email_delivery = EmailDelivery(
            store,
            smtp_client,
            signer,
            sender=settings.mail_from,
            public_url=settings.public_url,
            figures=Figures(store, Database(settings.ledger_url)) if settings.ledger_url else None,
        )
    return WebhookDelivery(store, client, signer, email_delivery)


def _status_server(settings: Settings, loops: list[_Loop]) -> "_StatusServer":
    """Return the HTTP server for health checks and metrics.

    Raises:
        SettingsError: the port cannot be used.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, metrics.CONTENT_TYPE, metrics.exposition(worker_metrics.OF_WORKER))
            elif path == "/healthy":
                self._answer(200, "text/plain; charset=utf-8", b"OK")
            elif path == "/ready":
                hanging = sorted(loop.name for loop in loops if loop.hangs)
                self._answer(503 if hanging else 200, "text/plain; charset=utf-8", " ".join(hanging).encode() or b"OK")
            else:
                self._answer(404, "text/plain; charset=utf-8", b"Not found. Try /healthy, /ready or /metrics.")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing: health checks would crowd out everything else."""

    try:
        return _StatusServer((settings.host, settings.worker_port), Handler)
    except OSError as error:
        raise SettingsError(f"WORKER_PORT={settings.worker_port}: {error.strerror}") from None


class _StatusServer(ThreadingHTTPServer):
    daemon_threads = True

    def __enter__(self) -> "_StatusServer":
        threading.Thread(target=self.serve_forever, name="status", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
