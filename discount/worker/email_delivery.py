"""Attempt e-mail deliveries: find the recipient and the current facts, write the e-mail and send it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from discount import mails
from discount.domain.errors import Invalid, NotFound, NotGranted, Unavailable
from discount.domain.events import Entry
from discount.domain.model import (
    Brand,
    Delivery,
    Discount,
    Grant,
    Receipt,
    to_time,
)
from discount.domain.rules import LimitName
from discount.mails import MailKind, Recipient
from discount.security.signing import Signer
from discount.services import (
    brands,
    contacts,
    deliveries,
    discounts,
    grant_records,
    quotas,
    webhooks,
)
from discount.store import keys
from discount.store.connection import Store
from discount.worker import digests, reminders
from discount.worker.dispatcher import Attempt
from discount.worker.smtp_client import SmtpClient

if TYPE_CHECKING:
    from discount.ledger.figures import Figures

#: The e-mail that each type of event leads to.
KINDS: dict[str, MailKind] = {
    "code.granted": "code-granted",
    "code.expiring": "code-expiring",
    "discount.sold-out": "sold-out",
    "discount.limit-reached": "limit-reached",
    "webhook.disabled": "webhook-off",
    digests.TYPE: "digest",
}
#: The longest unsubscribe link, in characters: a header line holds 998 (RFC 5322, section 2.1.1).
LONGEST_LINK = 900
#: The most e-mails to one mailbox in 24 hours, from all brands together.
MOST_PER_MAILBOX = 50
#: The domains of Gmail, which ignores dots before the @; the first is the canonical one.
GMAIL = ("gmail.com", "googlemail.com")


class EmailDelivery:
    """The delivery of e-mails by the SMTP client.

    Args:
        sender: the From address, with or without a name.
        public_url: where users reach the service; if empty, e-mails have no unsubscribe link.
        figures: for digests; None without a ledger.
    """

    def __init__(
        self,
        store: Store,
        client: SmtpClient,
        signer: Signer,
        *,
        sender: str,
        public_url: str,
        figures: "Figures | None" = None,
    ) -> None:
        self._store = store
        self._client = client
        self._signer = signer
        self._sender = sender
        self._domain = mails.read_sender(sender).domain
        self._public_url = public_url.rstrip("/")
        self._figures = figures

    def send(self, delivery: Delivery, entry: Entry | None) -> Attempt:
        """Attempt a delivery. Nothing is sent if the e-mail is unwanted, outdated, over a limit or has no address."""
        kind = KINDS[delivery.type]
        brand = brands.read(self._store, [delivery.brand_id])[delivery.brand_id]
        if brand is not None and kind in brand.mails_off:
            return _not_called("unwanted")
        if kind == "digest":
            return self._send_digest(delivery, brand)
        user_id = delivery.target.removeprefix("user:") if delivery.target != "brand" else None
        to = self._recipient(delivery.brand_id, user_id, brand.email if brand else None)
        if to is None:
            return _not_called("no-address")
        try:
            facts = self._facts(kind, delivery, entry, user_id)
        except (NotFound, NotGranted):
            return _not_called("no-longer-kept")
        if facts is None:
            return _not_called("no-longer-so")
        facts |= {"brand_name": brand.name if brand else delivery.brand_id}
        return self._write(delivery, kind, to, facts, self._unsubscribe_url(delivery.brand_id, user_id))

    def _send_digest(self, delivery: Delivery, brand: Brand | None) -> Attempt:
        if brand is None or brand.digest is None or self._figures is None:
            return _not_called("unwanted")
        digest, day = brand.digest, digests.day_of(delivery.target)
        address = digest.email or brand.email
        if not address:
            return _not_called("no-address")
        try:
            if not digests.is_read(self._store, brand.id, digest.bounds(day)[1]):
                return Attempt(Receipt("retry", "ledger-behind", "", 0), called=False)
            facts = digests.facts_of(self._store, self._figures, brand.id, digest, day)
        except Unavailable as error:
            # Other e-mails of the brand go on.
            return Attempt(Receipt("retry", "ledger-away", error.detail, 0), called=False)
        to = Recipient(address, None, digest.language)
        return self._write(delivery, "digest", to, facts | {"brand_name": brand.name}, None)

    def _write(
        self, delivery: Delivery, kind: MailKind, to: Recipient, facts: dict[str, Any], unsubscribe_url: str | None
    ) -> Attempt:
        try:
            message = mails.write(
                kind,
                to,
                facts,
                sender=self._sender,
                message_id=f"<{delivery.id}@{self._domain}>",
                date=datetime.now(UTC),
                unsubscribe_url=unsubscribe_url,
            )
        except Invalid as error:
            return Attempt(Receipt("failed", "refused", error.detail, 0), called=False)
        return self._send(message, to.address, delivery.brand_id)

    def _send(self, message: EmailMessage, address: str, brand_id: str) -> Attempt:
        if self._count(address, "INCR") > MOST_PER_MAILBOX:
            return _not_called("too-many")
        if not quotas.count_email(self._store, brand_id):
            self._count(address, "DECR")
            return _not_called("quota-reached")
        receipt = self._client.send(message)
        if receipt.outcome != "delivered":
            # Nothing was sent, so it does not count against the limits.
            self._count(address, "DECR")
            quotas.uncount_email(self._store, brand_id)
        return Attempt(receipt)

    def _recipient(self, brand_id: str, user_id: str | None, brand_email: str | None) -> Recipient | None:
        if user_id is None:
            return Recipient(brand_email) if brand_email else None
        known = contacts.find(self._store, [(brand_id, user_id)])[brand_id, user_id]
        return Recipient(known.email, known.name, known.locale) if known and known.email else None

    def _unsubscribe_url(self, brand_id: str, user_id: str | None) -> str | None:
        if user_id is None or not self._public_url:
            return None
        link = f"{self._public_url}/unsubscribe/{self._signer.mail_token(brand_id, user_id)}"
        # With the longest ids the link does not fit in a header.
        return link if len(link) <= LONGEST_LINK else None

    def _count(self, address: str, command: str) -> int:
        """Change the count of e-mails to a mailbox with INCR or DECR; return the new count."""
        name = keys.mailed(mailbox_of(address), self._store.partitions)
        return int(self._store.commands([("SET", name, 0, "EX", 86400, "NX"), (command, name)])[1])

    def _facts(
        self, kind: MailKind, delivery: Delivery, entry: Entry | None, user_id: str | None
    ) -> dict[str, Any] | None:
        """Return the facts that the template needs; None if the reason for the e-mail is gone."""
        fields = entry.fields if entry else {}
        if kind == "webhook-off":
            return self._webhook_facts(delivery.brand_id, fields["webhook"], fields["reason"])
        discount, _ = discounts.show(self._store, delivery.discount_id)
        if user_id is not None:
            held = grant_records.held_grant(self._store, discount.id, user_id)
            current = kind == "code-granted" or self._still_expiring(discount, held)
            if not current:
                return None
            facts = _grant_facts(discount, held)
            return facts | _claim_facts(discount, held, fields) if kind == "code-granted" else facts
        if kind == "sold-out":
            return {"discount_name": discount.discount_code, "total_count": discount.total_count}
        name = cast(LimitName, fields["limit"])
        count = discount.limits.get(name)
        if count is None:
            return None
        return {"discount_name": discount.discount_code, "limit": name, "limit_count": count}

    def _still_expiring(self, discount: Discount, held: Grant) -> bool:
        # The mail server may have been down for days, so check again what was true when the reminder was planned.
        until = discount.good_until(held.granted_at)
        not_yet = until is not None and self._store.now() < until
        return not_yet and not discount.closed and bool(reminders.unused(self._store, discount, [held]))

    def _webhook_facts(self, brand_id: str, webhook_id: str, reason: str) -> dict[str, Any]:
        webhook = webhooks.show(self._store, webhook_id)
        newest = deliveries.list_page(self._store, brand_id, webhook_id=webhook_id, kind="webhook", limit=1).items
        last = f"{newest[0].status} {newest[0].answer}".strip() if newest else None
        return {"webhook_url": webhook.url, "reason": reason, "last_answer": last}


def mailbox_of(address: str) -> str:
    """Return the mailbox of an address: without a `+tag`, and for Gmail without dots before the @."""
    local, _, domain = address.lower().rpartition("@")
    untagged = local.partition("+")[0] or local
    if domain in GMAIL:
        return f"{untagged.replace('.', '')}@{GMAIL[0]}"
    return f"{untagged}@{domain}"


def _grant_facts(discount: Discount, held: Grant) -> dict[str, Any]:
    until = discount.good_until(held.granted_at)
    return {
        "discount_name": discount.discount_code,
        "code": held.code,
        "for_all": discount.codes.kind == "shared",
        "rule": discount.rule,
        "valid_until": None if until is None else to_time(until).astimezone(ZoneInfo(discount.timezone)),
    }


def _claim_facts(discount: Discount, held: Grant, fields: Mapping[str, str]) -> dict[str, Any]:
    until = held.claim_until
    return {
        "waited": "waited" in fields,
        "claim_until": None if until is None else to_time(until).astimezone(ZoneInfo(discount.timezone)),
    }


def _not_called(status: str) -> Attempt:
    return Attempt(Receipt("failed", status, "", 0), called=False)
