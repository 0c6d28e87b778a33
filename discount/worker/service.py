"""The worker as a process: its loops, its health and figures, its end."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from structlog import get_logger

from discount import metrics
from discount.config import Settings, SettingsError
from discount.domain.errors import Unavailable
from discount.domain.model import DeliveryKind
from discount.security import url_policy
from discount.security.signing import Signer
from discount.store.connection import Store
from discount.store.quotas import Quotas
from discount.worker import figures
from discount.worker.dispatcher import Dispatcher, Schedule
from discount.worker.email_delivery import EmailDelivery
from discount.worker.housekeeper import Housekeeper
from discount.worker.planner import Planner
from discount.worker.reminders import Reminders
from discount.worker.retention import Retention
from discount.worker.smtp_client import SmtpClient
from discount.worker.webhook_client import WebhookClient
from discount.worker.webhook_delivery import WebhookDelivery

#: Seconds between two turns, where nothing is to be done at once.
PAUSE = 0.2
TAKE_OVER = 1.0
REMIND = 30.0
CLEAN = 60.0
#: A loop that has not come round for so many seconds, and well, hangs.
HANGS = 60.0


def run(settings: Settings) -> None:
    """Work until a signal asks for the end; calls that are under way come to theirs.

    Raises:
        SettingsError, LayoutError: one line on what is wrong.
    """
    store = Store.at(
        settings.redis_url, settings.redis_timeout, settings.partitions, metrics.ROUND_TRIPS.inc, settings.secret
    )
    store.quotas = Quotas(settings.quotas)
    try:
        store.prepare()
    except Unavailable as error:
        get_logger().warning("redis away", detail=error.detail)
    ending, asked = threading.Event(), list[bool]()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not the event itself: its lock may be this thread's own while a signal comes.
        signal.signal(number, lambda *_: asked.append(True))
    signatures = Signer(store, settings.secret)
    reminders = Reminders(store, settings.remind_days) if settings.smtp_url else None
    planner = Planner(store, f"{socket.gethostname()}-{os.getpid()}-{time.time_ns():x}", reminders)
    schedule = Schedule(settings.pauses, settings.webhook_timeout, settings.webhook_off_after * 86400)
    sender = WebhookClient(url_policy.policy(loopback=settings.webhook_loopback), settings.webhook_timeout)
    courier = WebhookDelivery(store, sender, signatures, _mailer(settings, store, signatures))
    senders: dict[DeliveryKind, int] = {"webhook": settings.senders, "email": settings.mail_senders}
    due = {kind: threading.Event() for kind in senders}
    dispatchers = {
        kind: Dispatcher(store, schedule, courier.prepare, several, due[kind].set, kind=kind)
        for kind, several in senders.items()
    }
    housekeeper = Housekeeper(store, planner, reminders, settings.event_days * 86400)

    def plan() -> None:
        if planner.turn():
            for each in due.values():
                each.set()

    def dispatch(kind: DeliveryKind) -> None:
        due[kind].clear()
        if not dispatchers[kind].turn():
            due[kind].wait(PAUSE)

    loops = [
        _Loop("planner", plan, ending, before=planner.open),
        *(_Loop(f"{kind}-dispatcher", partial(dispatch, kind), ending) for kind in senders),
        _Loop("measures", housekeeper.measure, ending, every=PAUSE * 10, before=planner.open),
        _Loop("takeover", housekeeper.take_over, ending, every=TAKE_OVER, before=planner.open),
        _Loop("reminders", housekeeper.remind, ending, every=REMIND),
        _Loop("retention", Retention(store, settings.use_days).turn, ending, every=CLEAN),
        _Loop("cleaning", housekeeper.clean, ending, every=CLEAN, before=planner.open),
    ]
    with _figures(settings, loops) as figures:
        for loop in loops:
            loop.start()
        get_logger().info("working", port=figures.server_port)
        while not asked:
            time.sleep(PAUSE)
        ending.set()
        for loop in loops:
            loop.join(HANGS)
        for dispatcher in dispatchers.values():
            dispatcher.end()


class _Loop(threading.Thread):
    """Does something again and again until the end. What goes wrong is logged, and tried again.

    Args:
        before: done before the first turn, and before the next one after each that failed.
        every: seconds between two turns; 0 where a turn itself waits.
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
        self._came_round = time.monotonic()

    @property
    def hangs(self) -> bool:
        """Whether it has not come round for long, be it that it waits or that it fails again and again."""
        return not self.is_alive() or time.monotonic() - self._came_round > HANGS + self._every

    def run(self) -> None:
        ready = False
        while not self._ending.is_set():
            try:
                if not ready:
                    self._before()
                ready = True
                self._turn()
                self._came_round = time.monotonic()
                pause = self._every
            except Unavailable as error:
                get_logger().warning("redis away", loop=self.name, detail=error.detail)
                ready, pause = False, 1.0
            except Exception as error:
                get_logger().error("broken", loop=self.name, exc_info=error)
                ready, pause = False, 1.0
            if pause:
                self._ending.wait(pause)


def _mailer(settings: Settings, store: Store, signatures: Signer) -> EmailDelivery | None:
    if not settings.smtp_url:
        return None
    postman = SmtpClient(settings.smtp_url, settings.webhook_timeout)
    return EmailDelivery(store, postman, signatures, sender=settings.mail_from, public_url=settings.public_url)


def _figures(settings: Settings, loops: list[_Loop]) -> "_Served":
    """Health, readiness and figures over HTTP, for orchestrators and Prometheus.

    Raises:
        SettingsError: nobody can listen there.
    """

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, metrics.CONTENT_TYPE, metrics.exposition(figures.OF_WORKER))
            elif path == "/healthy":
                self._answer(200, "text/plain; charset=utf-8", b"OK")
            elif path == "/ready":
                hang = sorted(loop.name for loop in loops if loop.hangs)
                self._answer(503 if hang else 200, "text/plain; charset=utf-8", " ".join(hang).encode() or b"OK")
            else:
                self._answer(404, "text/plain; charset=utf-8", b"There is no such thing here.")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    try:
        return _Served((settings.host, settings.worker_port), Answers)
    except OSError as error:
        raise SettingsError(f"WORKER_PORT={settings.worker_port}: {error.strerror}") from None


class _Served(ThreadingHTTPServer):
    daemon_threads = True

    def __enter__(self) -> "_Served":
        threading.Thread(target=self.serve_forever, name="figures", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
