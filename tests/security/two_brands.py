"""Two brands with tokens on, each with a key, a discount, and the codes and uses of two users."""

from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from discount.app import create_app
from discount.config import Settings
from discount.domain.events import parse_event_id
from discount.domain.ids import make_delivery_id
from discount.ledger import schema
from discount.ledger.consumer import Consumer
from discount.ledger.database import Database
from discount.services import contacts, deliveries, outbox
from discount.services.deliveries import PlannedDelivery
from discount.store.connection import Store
from tests.security.issuer import AUDIENCE, ISSUER, SECRET
from tests.support.patience import PATIENCE

ADMIN = "admin-" + "a" * 32
PEPPER = "pepper-" + "p" * 32


@dataclass
class Shop:
    """A brand, its key, and the ids of its things."""

    brand: str
    key: str
    discount: str
    code: str
    redemption: str
    webhook: str = ""
    delivery: str = ""
    #: A discount of the dialect of personal codes.
    personal: str = ""
    #: A discount without codes, for which Ann waits.
    empty: str = ""
    #: A use of a readable code.
    used: str = ""

    @property
    def key_id(self) -> str:
        return self.key.split("_")[1]


class TwoBrands:
    """The service with tokens on, and shortcuts for calls and for setting up a brand."""

    def __init__(self, redis_url: str, redis: Any, **settings: Any) -> None:
        given = {"jwt_secret": SECRET, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE} | settings
        # SQLite in memory would be another database for each connection.
        self._folder = TemporaryDirectory()
        self._reader: Consumer | None = None
        given["ledger_url"] = f"sqlite:///{self._folder.name}/ledger.db"
        self.settings = Settings(redis_url=redis_url, auth="token", admin_key=ADMIN, secret=PEPPER, **given)
        self.redis = redis
        self.trips = 0
        self.app = self.replica()
        self.http = self.app.test_client()

    def store(self) -> Store:
        """Return a store, as a worker has it."""
        return Store.at(self.settings.redis_url, PATIENCE, self.settings.partitions)

    def read_into_ledger(self) -> None:
        """Write what happened so far into the ledger, as a worker does."""
        if self._reader is None:
            database = Database(self.settings.ledger_url)
            schema.upgrade(database)
            self._reader = Consumer(self.store(), database, "one")
            self._reader.open()
        while self._reader.turn():
            pass

    def replica(self) -> Flask:
        """Return another replica of the service."""

        def count() -> None:
            self.trips += 1

        return create_app(self.settings, Store.at(self.settings.redis_url, PATIENCE, self.settings.partitions, count))

    def ask(self, method: str, path: str, token: str | None = None, **call: Any) -> TestResponse:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.http.open(path, method=method, headers=headers | call.pop("headers", {}), **call)

    def done(self, method: str, path: str, token: str, **call: Any) -> Any:
        """Make a call that must succeed, and return its answer."""
        answer = self.ask(method, path, token, **call)
        assert answer.status_code in (200, 201), answer.text
        return answer.get_json()

    def make_key(self, brand: str, *scopes: str, **more: Any) -> str:
        body = {"name": "a key"} | ({"scopes": list(scopes)} if scopes else {}) | more
        text: str = self.done("POST", f"/brand/{brand}/keys", ADMIN, json=body)["key"]
        return text

    def open_shop(self, brand: str) -> Shop:
        """Create a brand with a discount, of which Ann holds and has redeemed a code."""
        self.done("POST", "/brand", ADMIN, json={"id": brand, "email": "shop@brand.example"})
        key = self.make_key(brand)
        body = {"brand_id": brand, "discount_code": "Sale", "total_count": 9, "limits": {"per_user": 9}}
        discount = self.done("POST", "/discount", key, json=body)["id"]
        code = self.done("POST", f"/discount/{discount}/grant", key, json={"user_id": "Ann"})["code"]
        shop = Shop(brand, key, discount, code, "")
        shop.redemption = self.done("POST", "/redemption", key, json=checkout(shop, "first"))["id"]
        body = {"brand_id": brand, "url": "https://brand.example/events"}
        shop.webhook = self.done("POST", "/webhook", key, json=body)["id"]
        shop.delivery = self.plan_delivery(brand, shop.webhook)
        for said_by in (brand, None):
            contacts.put(self.store(), "Ann", brand_id=said_by, email="ann@brand.example")
        return shop

    def plan_delivery(self, brand: str, webhook: str) -> str:
        """Plan a delivery of the webhook for the brand's oldest event, and return its id."""
        store = self.store()
        event = outbox.list_page(store, brand, limit=1).items[0]
        partition, entry_id = parse_event_id(event.id) or (0, "")
        delivery_id = make_delivery_id(partition, event.id, webhook)
        planned = PlannedDelivery(delivery_id, brand, "webhook", webhook, "discount.created", event.id, "", entry_id, 1)
        deliveries.plan(store, partition, store.now(), [("", [planned])])
        return delivery_id


def checkout(shop: Shop, order: str = "A-1", user: str = "Ann") -> dict[str, Any]:
    """Return the body of a redemption."""
    of_order = {"id": order, "amount": 1000, "currency": "EUR"}
    return {"discount_id": shop.discount, "user_id": user, "code": shop.code, "order": of_order}
