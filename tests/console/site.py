"""The service with its console on a port of this process, for a browser; and what the tests do before they look at it.

The server is a plain threaded one, which starts at once. The console behind gunicorn and nginx is tested in
`tests/stack/test_page.py`.
"""

import logging
import threading
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
        self.ask("POST", "/brand", {"id": brand_id})
        return self.key(brand_id, *scopes)

    def key(self, brand_id: str, *scopes: str) -> str:
        """Return a new API key of a brand."""
        body = {"name": "test"} | ({"scopes": list(scopes)} if scopes else {})
        return str(self.ask("POST", f"/brand/{brand_id}/keys", body)["key"])

    def discount(self, key: str, name: str = "Spring", **fields: Any) -> str:
        """Create a discount, and return its id."""
        body = {"discount_code": name, "total_count": 100, **fields}
        return str(self.ask("POST", "/discount", body, key)["id"])

    def grant(self, key: str, discount_id: str, user: str = "User 1") -> str:
        """Grant a code, and return it."""
        return str(self.ask("POST", f"/discount/{discount_id}/grant", {"user_id": user}, key)["code"])
