"""Which e-mail a delivery is: whom it is for, and what it tells, as things stand when it is sent."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from discount import brands, contacts, deliveries, discounts, grants, mails, webhooks
from discount.errors import Invalid, NotFound, NotGranted
from discount.events import Entry
from discount.mails import MailKind, Recipient
from discount.model import Delivery, Discount, Grant, Receipt, to_time
from discount.postman import Postman
from discount.signatures import Signatures
from discount.store import Store, keys
from discount.worker.dispatcher import Attempt

#: Which e-mail tells of which type of event.
KINDS: dict[str, MailKind] = {
    "code.granted": "code-granted",
    "code.expiring": "code-expiring",
    "discount.sold-out": "sold-out",
    "discount.limit-reached": "limit-reached",
    "webhook.disabled": "webhook-off",
}
#: The most e-mails to one address within a day, of all brands together.
A_DAY = 50


class Mailer:
    """Writes e-mails and hands them to a mail server.

    Args:
        sender: whom they come from, an address or a name with one.
        public_url: where users reach the service; empty leaves the link to unsubscribe out.
    """

    def __init__(self, store: Store, postman: Postman, signatures: Signatures, *, sender: str, public_url: str) -> None:
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
        # A mail server that is away makes many tries of one e-mail.
        if delivery.attempts == 0 and not self._within_a_day(to.address):
            return _not_sent("too-many")
        try:
            facts = self._facts(kind, delivery, entry, user_id)
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
        return Attempt(self._postman.send(message))

    def _recipient(self, brand_id: str, user_id: str | None, brand_email: str | None) -> Recipient | None:
        if user_id is None:
            return Recipient(brand_email) if brand_email else None
        known = contacts.find(self._store, [(brand_id, user_id)])[brand_id, user_id]
        return Recipient(known.email, known.name, known.locale) if known and known.email else None

    def _way_out(self, brand_id: str, user_id: str | None) -> str | None:
        if user_id is None or not self._public_url:
            return None
        return f"{self._public_url}/unsubscribe/{self._signatures.mail_token(brand_id, user_id)}"

    def _within_a_day(self, address: str) -> bool:
        name = keys.mailed(address, self._store.partitions)
        return (
            int(
                self._store.commands(
                    [("SET", name, 0, "EX", 86400, "NX"), ("INCR", name), ("EXPIRE", name, 86400, "NX")]
                )[1]
            )
            <= A_DAY
        )

    def _facts(self, kind: MailKind, delivery: Delivery, entry: Entry | None, user_id: str | None) -> dict[str, Any]:
        fields = entry.fields if entry else {}
        if kind == "webhook-off":
            return self._of_webhook(delivery.brand_id, fields["webhook"], fields["reason"])
        discount, _ = discounts.show(self._store, delivery.discount_id)
        if user_id is not None:
            return _of_grant(discount, grants.held_grant(self._store, discount.id, user_id))
        if kind == "sold-out":
            return {"discount_name": discount.discount_code, "total_count": discount.total_count}
        limit = fields["limit"]
        return {
            "discount_name": discount.discount_code,
            "limit": limit,
            "limit_count": discount.limits.get(limit),  # type: ignore[call-overload]
        }

    def _of_webhook(self, brand_id: str, webhook_id: str, reason: str) -> dict[str, Any]:
        webhook = webhooks.show(self._store, webhook_id)
        failed = deliveries.list_page(self._store, brand_id, webhook_id=webhook_id, kind="webhook", limit=1).deliveries
        last = f"{failed[0].status} {failed[0].answer}".strip() if failed else None
        return {"webhook_url": webhook.url, "reason": reason, "last_answer": last}


def _of_grant(discount: Discount, held: Grant) -> dict[str, Any]:
    until = discount.good_until(held.granted_at)
    return {
        "discount_name": discount.discount_code,
        "code": held.code,
        "rule": discount.rule,
        "valid_until": None if until is None else to_time(until).astimezone(ZoneInfo(discount.timezone)),
    }


def _not_sent(status: str) -> Attempt:
    return Attempt(Receipt("failed", status, "", 0), called=False)
