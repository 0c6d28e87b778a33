"""The worker process: its loops, its health checks and metrics, and an orderly shutdown."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from structlog import get_logger

from discount import metrics
from discount.config import Settings, SettingsError
from discount.domain.model import DeliveryKind
from discount.redis_access import connect, make_ready
from discount.security import url_policy
from discount.security.signing import Signer
from discount.services import slices
from discount.store.connection import Store
from discount.worker import metrics as worker_metrics
from discount.worker.dispatcher import Dispatcher, Schedule
from discount.worker.email_delivery import EmailDelivery
from discount.worker.housekeeper import Housekeeper
from discount.worker.loops import CLEAN, HANGS, MEASURE, PAUSE, REMIND, Loop
from discount.worker.planner import Planner
from discount.worker.reminders import Reminders
from discount.worker.retention import Retention
from discount.worker.smtp_client import SmtpClient
from discount.worker.waiting_lists import WaitingLists
from discount.worker.webhook_client import WebhookClient
from discount.worker.webhook_delivery import WebhookDelivery

if TYPE_CHECKING:
    from discount.ledger.figures import Figures

#: Seconds after which events are looked for again if nobody is told of the last ones: they come in larger pieces then.
PLAN_PAUSE = 0.1
#: Seconds between two turns of other kinds of periodic work.
TAKE_OVER = 1.0
INDEX = 1.0
SERVE = 0.5


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


def _build(settings: Settings, store: Store, ending: threading.Event) -> tuple[list[Loop], list[Callable[[], None]]]:
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
        Loop("planner", plan, ending, before=planner.open),
        *(Loop(f"{kind}-dispatcher", partial(dispatch, kind), ending) for kind in threads),
        Loop("measures", housekeeper.measure, ending, every=MEASURE, before=planner.open),
        Loop("takeover", housekeeper.take_over, ending, every=TAKE_OVER, before=planner.open),
        Loop("reminders", housekeeper.remind, ending, every=REMIND),
        Loop("index", housekeeper.index, ending, every=INDEX, before=planner.open),
        Loop("waiting-lists", WaitingLists(store).turn, ending, every=SERVE),
        Loop("retention", retention.turn, ending, every=CLEAN),
        Loop("cleaning", housekeeper.clean, ending, every=CLEAN, before=planner.open),
    ]
    ends: list[Callable[[], None]] = [each.end for each in dispatchers.values()]
    if settings.ledger_url:
        # Most of what it imports is slow to import, and no other worker needs it.
        from discount.worker import ledger_loops  # noqa: PLC0415

        of_ledger, end = ledger_loops.build(settings, store, name, ending)
        loops += of_ledger
        ends.append(end)
    return loops, ends


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
            figures=_figures(settings, store),
        )
    return WebhookDelivery(store, client, signer, email_delivery)


def _figures(settings: Settings, store: Store) -> "Figures | None":
    if not settings.ledger_url:
        return None
    from discount.ledger.database import Database  # noqa: PLC0415
    from discount.ledger.figures import Figures  # noqa: PLC0415

    return Figures(store, Database(settings.ledger_url))


def _status_server(settings: Settings, loops: list[Loop]) -> "_StatusServer":
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
