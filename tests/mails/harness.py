"""The parts of a worker, run by hand in a test, and the service whose events it handles."""

import ssl
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from flask import Flask
from werkzeug.test import TestResponse

from discount.app import create_app
from discount.config import Settings
from discount.domain.model import Delivery, Receipt, to_time
from discount.security.signing import Signer
from discount.services import deliveries, delivery_lanes, outbox
from discount.store.connection import Store
from discount.worker.dispatcher import Schedule
from discount.worker.email_delivery import EmailDelivery
from discount.worker.planner import Planner
from discount.worker.reminders import Reminders
from discount.worker.smtp_client import SmtpClient
from discount.worker.webhook_client import WebhookClient
from discount.worker.webhook_delivery import WebhookDelivery
from tests.mails.servers import Mailbox
from tests.support.patience import PATIENCE
from tests.worker.harness import due

SECRET = "s" * 32
PUBLIC = "https://shop.example/discounts"
REMIND_DAYS = 3
DAY = 86_400_000_000
HOUR = DAY // 24
# Nothing is encrypted here, and loading the real certificates is slow.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class MailHarness:
    """The service over HTTP, and its worker's planner, reminders and e-mail delivery.

    `plan()`, `remind()` and `deliver()` do all pending work; afterwards `box` has the e-mails that were sent.
    """

    def __init__(self, redis_url: str, box: Mailbox, smtp_url: str, *, public_url: str = PUBLIC) -> None:
        self.box = box
        self.store, app = _service(redis_url)
        self.http = app.test_client()
        self.reminders = Reminders(self.store, REMIND_DAYS)
        self.planner = Planner(self.store, "tests", self.reminders)
        self.planner.open()
        signatures = Signer(self.store, SECRET)
        self.mailer = EmailDelivery(
            self.store,
            SmtpClient(smtp_url, PATIENCE, _NO_CERTIFICATES),
            signatures,
            sender="Discounts <mail@shop.example>",
            public_url=public_url,
        )
        # Every webhook is answered with 410 Gone.
        gone = SimpleNamespace(post=lambda *_: Receipt("failed", "410", "We moved", 1, gone=True))
        self._webhooks = WebhookDelivery(self.store, cast(WebhookClient, gone), signatures, self.mailer)
        self._schedule = Schedule((60.0,), PATIENCE, 86400.0)

    @property
    def now(self) -> int:
        return self.store.now()

    def ask(self, method: str, path: str, body: Any = None) -> TestResponse:
        return self.http.open(path, method=method, json=body)

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """Make a call that must succeed, and return its answer."""
        answer = self.ask(method, path, body)
        assert answer.status_code in (200, 201), answer.text
        return answer.get_json()

    def create(self, **fields: Any) -> str:
        """Create a discount of IKEA, and return its id. Times are in microseconds from now."""
        for name in {"expires_at"} & fields.keys():
            fields[name] = self.at(fields[name])
        body = {"brand_id": "IKEA", "discount_code": "Christmas", "total_count": 10, **fields}
        return str(self.done("POST", "/discount", body)["id"])

    def at(self, ahead: int) -> str:
        """Return the time in `ahead` microseconds, as HTTP takes it."""
        return to_time(self.now + ahead).isoformat().replace("+00:00", "Z")

    def grant(self, discount_id: str, user_id: str = "ann", **fields: Any) -> str:
        body = {"user_id": user_id, **fields}
        return str(self.done("POST", f"/discount/{discount_id}/grant", body)["code"])

    def redeem(self, discount_id: str, code: str, order: str, user_id: str = "ann") -> None:
        paid = {"id": order, "amount": 1000, "currency": "EUR"}
        body = {"discount_id": discount_id, "user_id": user_id, "code": code, "order": paid}
        self.done("POST", "/redemption", body)

    def plan(self) -> None:
        """Plan the deliveries of all events."""
        while any(outbox.waiting(self.store, each)[0] for each in range(self.store.partitions)):
            self.planner.turn()

    def remind(self) -> int:
        """Plan all reminders of codes that end soon, and return how many ends were due."""
        self.plan()
        return self.reminders.turn(self.now)

    def deliver(self) -> list[Delivery]:
        """Make all deliveries that are due, and return them."""
        made: list[str] = []
        for partition, lane in due(self.store):
            leased = delivery_lanes.lease_lane(self.store, partition, lane, self._schedule.lease, 100)
            assert leased is not None
            for delivery, attempt in zip(leased, self._webhooks.prepare(leased), strict=True):
                result = attempt()
                due_at = self._schedule.next_try(delivery, result.receipt, self.now)
                delivery_lanes.settle(
                    self.store,
                    delivery,
                    result.receipt,
                    due_at=due_at,
                    lease=self._schedule.lease,
                    off_after=self._schedule.off_after,
                    called=result.called,
                )
                made.append(delivery.id)
            delivery_lanes.release_lane(self.store, partition, lane)
        return [deliveries.show(self.store, each) for each in made]

    def send(self) -> list[Delivery]:
        """Plan and make all deliveries."""
        self.plan()
        return self.deliver()

    def emails(self, brand_id: str = "IKEA") -> list[Delivery]:
        """Return the planned e-mails, newest first."""
        return deliveries.list_page(self.store, brand_id, kind="email").items


@cache
def _service(redis_url: str) -> tuple[Store, Flask]:
    """Return the store and application for a Redis, made once: that takes longer than a test."""
    store = Store.at(redis_url, PATIENCE, 4)
    return store, create_app(Settings(redis_url=redis_url, partitions=4, secret=SECRET), store)
