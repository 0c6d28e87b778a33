"""The example receiver in the page on webhooks works."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from discount.security.signing import Signer
from tests.unit.fake import fake_store

PAGE = Path(__file__).parents[2] / "doc" / "webhooks.md"
WEBHOOK = "whk-0c3f9a1b2c4d5e6f708192a3b4"
BODY = b'{"type": "code.granted", "id": "evt-1", "data": {"user_id": "User 1"}}'


@pytest.fixture
def signatures() -> Signer:
    return Signer(fake_store(), "s" * 32)


@pytest.fixture
def receiver(signatures: Signer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the code of the page defines."""
    monkeypatch.setenv("WEBHOOK_SECRET", signatures.webhook_secret(WEBHOOK, 1))
    code = re.search(r"## Receive in Flask\n\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code
    defined: dict[str, Any] = {"__name__": "receiver"}
    exec(code[1], defined)
    return defined


def call(receiver: dict[str, Any], signatures: Signer, body: bytes = BODY, at: float | None = None) -> int:
    app: Flask = receiver["app"]
    seconds = int(time.time() if at is None else at)
    signature = signatures.sign_call(WEBHOOK, [2, 1], "evt-1", seconds, BODY)
    headers = {"webhook-id": "evt-1", "webhook-timestamp": str(seconds), "webhook-signature": signature}
    return app.test_client().post("/discounts", data=body, headers=headers).status_code


def test_a_signed_call_is_taken_and_counted_once(receiver: dict[str, Any], signatures: Signer) -> None:
    assert [call(receiver, signatures) for _ in range(2)] == [204, 204]
    assert receiver["seen"] == {"evt-1"}


def test_a_tampered_or_old_call_is_refused(receiver: dict[str, Any], signatures: Signer) -> None:
    assert call(receiver, signatures, BODY.replace(b"User 1", b"User 2")) == 400
    assert call(receiver, signatures, at=time.time() - 3600) == 400
    assert receiver["seen"] == set()
