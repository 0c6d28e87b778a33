"""Signatures of webhook calls by Standard Webhooks, and of the links to unsubscribe."""

import base64
import time
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook as Reference
from standardwebhooks.webhooks import WebhookVerificationError

from discount.api.schemas.common import BrandId
from discount.domain.errors import NotFound
from discount.domain.model import Webhook
from discount.security.signing import Signer
from discount.services import webhooks
from discount.services.webhooks import OVERLAP
from discount.store.connection import Store
from tests.api.client import Client
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer

BODY = '{"type":"code.granted","brand_id":"Möbel"}'
SECOND = 1_000_000


def verify(signatures: Signer, signed_by: list[int], version: int, body: str = BODY, event: str = "evt-1") -> None:
    """Verify a call as a receiver does that has this version's secret."""
    at = int(time.time())
    signature = signatures.sign_call("whk-1", signed_by, "evt-1", at, BODY.encode())
    headers = {"webhook-id": event, "webhook-timestamp": str(at), "webhook-signature": signature}
    Reference(signatures.webhook_secret("whk-1", version)).verify(body, headers)


def test_the_reference_library_verifies_a_call(signatures: Signer) -> None:
    verify(signatures, [1], 1)


def test_a_call_signed_with_two_secrets_is_verified_by_each_and_by_no_third(signatures: Signer) -> None:
    verify(signatures, [3, 2], 3)
    verify(signatures, [3, 2], 2)
    with pytest.raises(WebhookVerificationError):
        verify(signatures, [3, 2], 1)


@pytest.mark.parametrize("changed", [{"body": BODY + " "}, {"event": "evt-2"}])
def test_a_call_that_was_changed_is_not_verified(signatures: Signer, changed: dict[str, str]) -> None:
    with pytest.raises(WebhookVerificationError):
        verify(signatures, [1], 1, **changed)


def test_a_secret_is_as_the_specification_writes_one(signatures: Signer) -> None:
    secret = signatures.webhook_secret("whk-1", 1)
    assert secret.startswith("whsec_")
    assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64


def test_each_webhook_and_each_version_has_a_secret_of_its_own(signatures: Signer) -> None:
    made = {signatures.webhook_secret(webhook, version) for webhook in ("whk-1", "whk-11") for version in (1, 2, 11)}
    assert len(made) == 6


def test_a_webhook_is_signed_with_the_former_secret_until_the_overlap_ends(store: Store, client: Client) -> None:
    made = webhooks.create(store, "IKEA", "https://ikea.example/")
    assert webhooks.versions(made, made.created_at) == [made.version]
    now = int(store.command("TIME")[0]) * SECOND
    rotated = webhooks.rotate(store, made.id)
    assert rotated.before_until is not None
    assert 0 < rotated.before_until - now - OVERLAP * SECOND < 60 * SECOND
    assert webhooks.versions(rotated, rotated.before_until - 1) == [made.version + 1, made.version]
    assert webhooks.versions(rotated, rotated.before_until) == [made.version + 1]


def test_rotating_twice_leaves_the_last_two(store: Store, client: Client) -> None:
    made = webhooks.create(store, "IKEA", "https://ikea.example/")
    rotated = [webhooks.rotate(store, made.id) for _ in range(2)][-1]
    assert webhooks.versions(rotated, rotated.created_at) == [made.version + 2, made.version + 1]


def test_one_secret_of_the_installation_is_made_where_none_is_set(redis_server: RedisServer, store: Store) -> None:
    others = [Signer(Store.at(redis_server.url, PATIENCE, store.partitions), "") for _ in range(2)]
    assert others[0].webhook_secret("whk-1", 1) == others[1].webhook_secret("whk-1", 1)
    assert others[1].read_mail_token(others[0].mail_token("IKEA", "Ann")) == ("IKEA", "Ann")


def test_another_installation_has_other_secrets(store: Store, redis: Any) -> None:
    one = Signer(store, "")
    first = (one.webhook_secret("whk-1", 1), one.mail_token("IKEA", "Ann"))
    redis.flushall()
    second = Signer(store, "")
    assert second.webhook_secret("whk-1", 1) != first[0]
    with pytest.raises(NotFound):
        second.read_mail_token(first[1])


def test_a_secret_that_is_set_counts_and_is_stored_nowhere(store: Store) -> None:
    one, other = Signer(store, "s" * 32), Signer(store, "t" * 32)
    assert one.webhook_secret("whk-1", 1) == Signer(store, "s" * 32).webhook_secret("whk-1", 1)
    assert one.webhook_secret("whk-1", 1) != other.webhook_secret("whk-1", 1)
    assert store.command("HGET", "{00}:installation", "secret") is None


# The way out of e-mails.

# All kinds of characters that an id may have, many of four bytes.
IDS = st.one_of(
    st.from_regex(r"[A-Za-z0-9\"]{1,128}", fullmatch=True),
    st.text(st.characters(min_codepoint=0xA1, max_codepoint=0x1EFFF, categories=["L", "Sc"]), min_size=1, max_size=128),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(brand=IDS, user=IDS)
@example(brand="IKEA", user='Ann"')
@example(brand='"' * 128, user='"' * 128)
@example(brand="\U00010400" * 128, user="\U00010400" * 128)
def test_a_link_carries_any_brand_and_user(signatures: Signer, brand: str, user: str) -> None:
    for each in (brand, user):
        msgspec.convert(each, BrandId)
    token = signatures.mail_token(brand, user)
    assert signatures.read_mail_token(token) == (brand, user)


def test_a_link_needs_no_escaping_in_an_address(signatures: Signer) -> None:
    assert set(signatures.mail_token("/?#%&ä\U0001f600", "Ann")) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    )


def test_no_letter_of_a_link_can_be_another(signatures: Signer) -> None:
    token = signatures.mail_token("IKEA", "Ann")
    for place, letter in enumerate(token):
        for other in "AB_.":
            changed = token[:place] + other + token[place + 1 :]
            if other != letter:
                with pytest.raises(NotFound):
                    signatures.read_mail_token(changed)


@pytest.mark.parametrize(
    "token", ["", ".", "a.b", "WyJJS0VBIiwiQW5uIl0", "x" * 5000, "ä.ä", "WyJJS0VBIiwiQW5uIl0." + "A" * 22]
)
def test_a_foreign_link_is_refused(signatures: Signer, token: str) -> None:
    with pytest.raises(NotFound):
        signatures.read_mail_token(token)


def test_a_shortened_or_extended_link_is_refused(signatures: Signer) -> None:
    token = signatures.mail_token("IKEA", "Ann")
    for changed in (token[1:], token[:-1], token + "=", token + "\n", " " + token, token + "." + token):
        with pytest.raises(NotFound):
            signatures.read_mail_token(changed)


def test_a_brand_and_a_user_can_be_separated_in_one_way_only(signatures: Signer) -> None:
    assert signatures.mail_token("a", "b,c") != signatures.mail_token("a,b", "c")


def test_each_use_of_signing_has_a_separate_key(signatures: Signer) -> None:
    # A webhook of that name would else have the key that links are signed with.
    assert signatures.derived("unsubscribe") != signatures.derived("webhook:unsubscribe:1")


def test_a_webhook_that_was_never_rotated_has_one_version() -> None:
    found = Webhook("whk-1", "IKEA", None, "https://ikea.example/", (), 7, 0)
    assert webhooks.versions(found, 10**18) == [7]
