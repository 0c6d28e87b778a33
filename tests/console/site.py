"""The service with its console on a port of this process, for a browser; and what the tests do before they look at it.

The server is a plain threaded one, which starts at once. The console behind gunicorn and nginx is tested in
`tests/stack/test_page.py`.
"""

import logging
import threading
from dataclasses import dataclass
from typing import Any

from flask import Flask
from werkzeug.serving import make_server

from discount.app import create_app
from discount.config import Settings
from discount.store.connection import Store
from tests.support.patience import PATIENCE
from tests.support.sqlite_ledger import SqliteLedger

logging.getLogger("werkzeug").setLevel(logging.ERROR)
ADMIN = "admin-key-of-the-tests-0123456789abcdef"
SECRET = "s" * 32


class Site:
    """A running service. `ask` calls its API; without a token it does so as the admin."""

    def __init__(self, redis_url: str, ledger: SqliteLedger, **settings: Any) -> None:
        given = {"auth": "token", "admin_key": ADMIN, "secret": SECRET, "ledger_url": ledger.url} | settings
        self.settings = Settings(redis_url=redis_url, **given)
        self._brand_id = ""
        self.store = Store.at(redis_url, PATIENCE, self.settings.partitions)
        self.ledger = ledger
        self.app: Flask = create_app(self.settings, self.store)
        self._server = make_server("127.0.0.1", 0, self.app, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(PATIENCE)
        self._server.server_close()

    def ask(self, method: str, path: str, body: Any = None, key: str = ADMIN, status: int | None = None) -> Any:
        """Call the API, and return what it answers."""
        headers = {"Authorization": f"Bearer {key}"}
        answer = self.app.test_client().open(path, method=method, json=body, headers=headers)
        assert status is None or answer.status_code == status, answer.text
        assert status is not None or answer.status_code < 300, answer.text
        return answer.get_json(silent=True)

    def brand(self, brand_id: str, *scopes: str) -> str:
        """Create a brand, and return an API key of it, with all scopes if none are named."""
        self._brand_id = brand_id
        self.ask("POST", "/brand", {"id": brand_id})
        return self.key(brand_id, *scopes)

    def key(self, brand_id: str, *scopes: str) -> str:
        """Return a new API key of a brand."""
        body = {"name": "test"} | ({"scopes": list(scopes)} if scopes else {})
        return str(self.ask("POST", f"/brand/{brand_id}/keys", body)["key"])

    def discount(self, key: str, name: str = "Spring", **fields: Any) -> str:
        """Create a discount, of the brand that was created last while the service is open, and return its id."""
        body = {"brand_id": self._brand_id, "discount_code": name, "total_count": 100, **fields}
        return str(self.ask("POST", "/discount", body, key)["id"])

    def grant(self, key: str, discount_id: str, user: str = "User 1") -> str:
        """Grant a code, and return it."""
        return str(self.ask("POST", f"/discount/{discount_id}/grant", {"user_id": user}, key)["code"])

    def fill(self, brand_id: str = "IKEA") -> "Brand":
        """Create a brand with a discount of each kind, grants, uses, a failed delivery, and read its events."""
        key = self.brand(brand_id)
        ids = {
            "unique": self.discount(key, "Spring", percent_off=10, expires_at="2030-01-01T00:00:00Z"),
            "imported": self.discount(key, "Own codes", total_count=None, codes={"kind": "imported"}),
            "personal": self.discount(
                key, "Personal", total_count=None, codes={"kind": "personal", "template": "{brand}-{user}-{id}"}
            ),
            "shared": self.discount(key, "All", total_count=None, codes={"kind": "shared", "code": "AHMED2022BILLO"}),
        }
        self.ask("POST", "/webhook", {"brand_id": brand_id, "url": "https://shop.example/hook"}, key)
        code = self.grant(key, ids["unique"])
        self.ask("POST", f"/discount/{ids['shared']}/grant", {"user_id": "User 2"}, key)
        self.ask("PUT", f"/user/User 1?brand_id={brand_id}", {"email": "ann@example.com", "name": "Ann"}, key)
        order = {"id": "order-1", "amount": 10_000, "currency": "EUR"}
        used = {"discount_id": ids["unique"], "user_id": "User 1", "code": code, "order": order}
        redemption = self.ask("POST", "/redemption", used, key)
        self.ask("PATCH", f"/discount/{ids['shared']}", {"paused": True}, key)
        self.ledger.read(self.store)
        return Brand(brand_id, key, ids, code, str(redemption["id"]))


@dataclass(frozen=True, slots=True)
class Brand:
    """A brand that has everything: its key, its discounts by kind, a code of User 1 and its redemption."""

    id: str
    key: str
    discounts: dict[str, str]
    code: str
    redemption: str
