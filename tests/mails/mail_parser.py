"""Write example e-mails, and parse e-mails as a mail client does."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import compat32, default
from html.parser import HTMLParser
from typing import Any

from discount.domain.rules import Rule
from discount.mails import Amounts, MailKind, Recipient, write

SENDER = "Discounts <mail@shop.example>"
MESSAGE_ID = "<dlv-01@shop.example>"
DATE = datetime(2026, 11, 1, 8, 0, 5, tzinfo=UTC)
UNTIL = datetime(2026, 11, 20, 10, 27, tzinfo=UTC)
LINK = "https://shop.example/unsubscribe/abc.def"
BRAND = {"brand_name": "IKEA", "discount_name": "Christmas 2026"}
GRANT = BRAND | {"code": "XMAS-7F3K", "rule": Rule(percent=1250), "valid_until": UNTIL, "for_all": False}
FACTS: dict[MailKind, dict[str, Any]] = {
    "code-granted": GRANT | {"claim_until": None, "waited": False},
    "code-expiring": GRANT,
    "sold-out": BRAND | {"total_count": 1500},
    "limit-reached": BRAND | {"limit": "per_user", "limit_count": 3},
    "webhook-off": {
        "brand_name": "IKEA",
        "webhook_url": "https://ikea.example/hook",
        "reason": "failing",
        "last_answer": "500 Oops",
    },
    "digest": {
        "brand_name": "IKEA",
        "day": UNTIL.date(),
        "timezone": "Europe/Stockholm",
        "granted": 1200,
        "redeemed": 3,
        "refused": 0,
        "taken_off": Amounts({"EUR": 105000, "JPY": 300}),
        "discounts": [
            {
                "discount_name": "Christmas 2026",
                "granted": 1200,
                "redeemed": 3,
                "taken_off": Amounts({"EUR": 105000, "JPY": 300}),
                "left": 12,
            }
        ],
        "more": 2,
        "ending": [{"discount_name": "Christmas 2026", "runs_out_at": UNTIL}],
    },
}


def example_mail(kind: MailKind = "code-granted", to: Recipient | None = None, **given: Any) -> EmailMessage:
    """Write an example e-mail. `given` replaces facts and arguments of `write` by name."""
    facts = {name: given.pop(name, value) for name, value in FACTS[kind].items()}
    more: dict[str, Any] = {"sender": SENDER, "message_id": MESSAGE_ID, "date": DATE} | given
    return write(kind, to or Recipient("ann@mail.example"), facts, **more)


def read(raw: bytes) -> EmailMessage:
    """Parse an e-mail as a mail client does."""
    parsed = BytesParser(policy=default).parsebytes(raw)
    assert isinstance(parsed, EmailMessage)
    return parsed


def text_of(message: EmailMessage) -> str:
    return _part(message, "text/plain")


def html_of(message: EmailMessage) -> str:
    return _part(message, "text/html")


def shown(html: str) -> "Page":
    """Parse HTML as a browser does."""
    page = Page()
    page.feed(html)
    page.close()
    return page


class Page(HTMLParser):
    """The tags, links and text of a page; entities are decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def headers_of(raw: bytes) -> Mapping[str, str]:
    """Return the headers by name, and check that none is repeated."""
    found = [(name.lower(), str(value)) for name, value in read(raw).items()]
    assert len(found) == len(dict(found)), found
    return dict(found)


def decoded(raw: bytes, name: str) -> str:
    """Decode a header strictly by RFC 2047. Python's newer parser puts spaces between the encoded words of a name."""
    value = BytesParser(policy=compat32).parsebytes(raw)[name]
    return str(make_header(decode_header(value.replace("\r\n", "")))).lstrip()


def bare(name: str) -> str:
    """Return a name without its quotes."""
    return name.replace('"', "").replace("\\", "")


def _part(message: EmailMessage, kind: str) -> str:
    parts = [each for each in message.walk() if each.get_content_type() == kind]
    assert len(parts) == 1
    content: str = parts[0].get_content()
    return content.replace("\r\n", "\n")
