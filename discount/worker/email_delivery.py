"""Which e-mail a delivery is: whom it is for, and what it tells, as things stand when it is sent."""

from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any, cast
from zoneinfo import ZoneInfo

from discount import mails
from discount.domain.errors import Invalid, NotFound, NotGranted
from discount.domain.events import Entry
from discount.domain.model import (
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
    grants,
    quotas,
    webhooks,
)
from discount.store import keys
from discount.store.connection import Store
from discount.worker import reminders
from discount.worker.dispatcher import Attempt
from discount.worker.smtp_client import SmtpClient

#: Which e-mail tells of which type of event.
KINDS: dict[str, MailKind] = {
    "code.granted": "code-granted",
    "code.expiring": "code-expiring",
    "discount.sold-out": "sold-out",
    "discount.limit-reached": "limit-reached",
    "webhook.disabled": "webhook-off",
}
#: A line of an e-mail holds 998 letters (RFC 5322, section 2.1.1).
LONGEST_LINK = 900
#: The most e-mails to one mailbox within a day, of all brands together.
A_DAY = 50
#: Names of one host that ignores dots in an address.
GMAIL = ("gmail.com", "googlemail.com")


class EmailDelivery:
    """Writes e-mails and hands them to a mail server.

    Args:
        sender: whom they come from, an address or a name with one.
        public_url: where users reach the service; empty leaves the link to unsubscribe out.
    """

    def __init__(self, store: Store, postman: SmtpClient, signatures: Signer, *, sender: str, public_url: str) -> None:
        self._store = store
        self._postman = postman
        self._signatures = signatures
        self._sender = sender
        self._domain = mails.read_sender(sender).domain
        self._public_url = public_url.rstrip("/")

    def send(self, delivery: Delivery, entry: Entry | None) -> Attempt:
        """Send an e-mail, unless who would get it does not want it, or has no address any more."""
        kind = KINDS[delivery.type]
        brand = brands.read(self._store, [delivery.brand_id])[delivery.brand_id]
        if brand is not None and kind in brand.mails_off:
            return _not_sent("unwanted")
        user_id = delivery.target.removeprefix("user:") if delivery.target != "brand" else None
        to = self._recipient(delivery.brand_id, user_id, brand.email if brand else None)
        if to is None:
            return _not_sent("no-address")
        try:
            facts = self._facts(kind, delivery, entry, user_id)
            if facts is None:
                return _not_sent("no-longer-so")
            message = mails.write(
                kind,
                to,
                facts | {"brand_name": brand.name if brand else delivery.brand_id},
                sender=self._sender,
                message_id=f"<{delivery.id}@{self._domain}>",
                date=datetime.now(UTC),
                unsubscribe_url=self._way_out(delivery.brand_id, user_id),
            )
        except (NotFound, NotGranted):
            return _not_sent("no-longer-kept")
        except Invalid as error:
            return Attempt(Receipt("failed", "refused", error.detail, 0), called=False)
        return self._hand_over(message, to.address, delivery.brand_id)

    def _hand_over(self, message: EmailMessage, address: str, brand_id: str) -> Attempt:
        if self._count(address, "INCR") > A_DAY:
            return _not_sent("too-many")
        if not quotas.count_email(self._store, brand_id):
            self._count(address, "DECR")
            return _not_sent("quota-reached")
        receipt = self._postman.send(message)
        if receipt.outcome != "delivered":
            # It will be tried again, and be the same e-mail still.
            self._count(address, "DECR")
            quotas.uncount_email(self._store, brand_id)
        return Attempt(receipt)

    def _recipient(self, brand_id: str, user_id: str | None, brand_email: str | None) -> Recipient | None:
        if user_id is None:
            return Recipient(brand_email) if brand_email else None
        known = contacts.find(self._store, [(brand_id, user_id)])[brand_id, user_id]
        return Recipient(known.email, known.name, known.locale) if known and known.email else None

    def _way_out(self, brand_id: str, user_id: str | None) -> str | None:
        if user_id is None or not self._public_url:
            return None
        link = f"{self._public_url}/unsubscribe/{self._signatures.mail_token(brand_id, user_id)}"
        # The longest ids make a link that no header takes.
        return link if len(link) <= LONGEST_LINK else None

    def _count(self, address: str, command: str) -> int:
        """One e-mail more within a day, or one less, to an address; how many that makes."""
        name = keys.mailed(mailbox_of(address), self._store.partitions)
        return int(self._store.commands([("SET", name, 0, "EX", 86400, "NX"), (command, name)])[1])

    def _facts(
        self, kind: MailKind, delivery: Delivery, entry: Entry | None, user_id: str | None
    ) -> dict[str, Any] | None:
        """What an e-mail tells; None if that is not so any more."""
        fields = entry.fields if entry else {}
        if kind == "webhook-off":
            return self._of_webhook(delivery.brand_id, fields["webhook"], fields["reason"])
        discount, _ = discounts.show(self._store, delivery.discount_id)
        if user_id is not None:
            held = grants.held_grant(self._store, discount.id, user_id)
            return _of_grant(discount, held) if kind == "code-granted" or self._ends_soon(discount, held) else None
        if kind == "sold-out":
            return {"discount_name": discount.discount_code, "total_count": discount.total_count}
        name = cast(LimitName, fields["limit"])
        count = discount.limits.get(name)
        if count is None:
            return None
        return {"discount_name": discount.discount_code, "limit": name, "limit_count": count}

    def _ends_soon(self, discount: Discount, held: Grant) -> bool:
        # A mail server can have been away for days.
        until = discount.good_until(held.granted_at)
        to_come = until is not None and self._store.now() < until
        return to_come and not discount.closed and bool(reminders.unused(self._store, discount, [held]))

    def _of_webhook(self, brand_id: str, webhook_id: str, reason: str) -> dict[str, Any]:
        webhook = webhooks.show(self._store, webhook_id)
        failed = deliveries.list_page(self._store, brand_id, webhook_id=webhook_id, kind="webhook", limit=1).items
        last = f"{failed[0].status} {failed[0].answer}".strip() if failed else None
        return {"webhook_url": webhook.url, "reason": reason, "last_answer": last}


def mailbox_of(address: str) -> str:
    """The mailbox that an address leads to: hosts ignore what follows a `+`, and Gmail ignores dots as well."""
    local, _, domain = address.lower().rpartition("@")
    untagged = local.partition("+")[0] or local
    if domain in GMAIL:
        return f"{untagged.replace('.', '')}@{GMAIL[0]}"
    return f"{untagged}@{domain}"


def _of_grant(discount: Discount, held: Grant) -> dict[str, Any]:
    until = discount.good_until(held.granted_at)
    return {
        "discount_name": discount.discount_code,
        "code": held.code,
        "for_all": discount.codes.kind == "shared",
        "rule": discount.rule,
        "valid_until": None if until is None else to_time(until).astimezone(ZoneInfo(discount.timezone)),
    }


def _not_sent(status: str) -> Attempt:
    return Attempt(Receipt("failed", status, "", 0), called=False)
