"""E-mails to users and brands, in English or German, as text and HTML."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from functools import cache
from typing import Any, Literal, get_args

from jinja2 import Environment, PackageLoader, StrictUndefined

from discount.domain.errors import Invalid
from discount.domain.rules import Rule
from discount.mails import wording

MailKind = Literal["code-granted", "code-expiring", "sold-out", "limit-reached", "webhook-off", "digest"]
KINDS: tuple[MailKind, ...] = get_args(MailKind)
#: The facts of each kind. All of them are required, and no others are allowed.
FACTS: dict[MailKind, frozenset[str]] = {
    "code-granted": frozenset(
        {"brand_name", "discount_name", "code", "rule", "valid_until", "for_all", "claim_until", "waited"}
    ),
    "code-expiring": frozenset({"brand_name", "discount_name", "code", "rule", "valid_until", "for_all"}),
    "sold-out": frozenset({"brand_name", "discount_name", "total_count"}),
    "limit-reached": frozenset({"brand_name", "discount_name", "limit", "limit_count"}),
    "webhook-off": frozenset({"brand_name", "webhook_url", "reason", "last_answer"}),
    "digest": frozenset(
        {"brand_name", "day", "timezone", "granted", "redeemed", "refused", "taken_off", "discounts", "more", "ending"}
    ),
}
_NAMES = ("brand_name", "discount_name")
LOCALES = ("en", "de")
#: The longest name and the longest subject, in characters; longer ones are cut. Codes are never cut.
LONGEST = 120
LONGEST_SUBJECT = 160
# Invisible characters that join letters and emoji.
_JOINERS = "\u200c\u200d"
# A display name that needs neither quotes nor folding.
_PLAIN = re.compile(r"(?=.{1,60}\Z)[A-Za-z0-9'-]+(?: [A-Za-z0-9'-]+)*")
# What mail programs turn into links: a scheme, `www.`, and a dot before a letter.
_DOT = "[.\\u3002\\uff0e\\uff61]"
_LINKS = re.compile(rf"(?<=\w):(?=//)|(?<=\bwww){_DOT}(?=\S)|{_DOT}(?=[^\W\d_]|[{_JOINERS}])", re.IGNORECASE)
_LINK_CODE = re.compile(r"\w://|\bwww\.", re.IGNORECASE)
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{3,254}}\Z)(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_SENDER = re.compile(r'\s*(?:"([^"\\]*)"|([^"<>\\]*?))\s*<([^<>]*)>\s*')
_MESSAGE_ID = re.compile(r"<[!-;=?A-~]{1,200}@[!-;=?A-~]{1,200}>")
_LINK = re.compile(r"https?://[!-~]{1,900}")


@dataclass(frozen=True, slots=True)
class Recipient:
    """The recipient of an e-mail. Any `locale` is allowed, such as `de-AT`; unknown ones get English."""

    address: str
    name: str | None = None
    locale: str = ""


@dataclass(frozen=True, slots=True)
class Amounts:
    """Amounts by currency, in minor units."""

    by_currency: Mapping[str, int]


class _Policy(EmailPolicy):
    """A policy that serialises headers for SMTP. Headers that must not be folded, such as links, stay on one line."""

    _WHOLE = ("list-unsubscribe", "message-id")

    def fold(self, name: str, value: str) -> str:
        if name.lower() in self._WHOLE:
            return f"{name}: {value}\r\n"
        addresses = getattr(value, "addresses", ())
        if addresses:
            return f"{name}: {_mailbox(name, addresses[0])}\r\n"
        if value.isascii():
            folded: str = super().fold(name, value)
            return folded
        return f"{name}: {_encoded(name, value)}\r\n"

    def fold_binary(self, name: str, value: str) -> bytes:
        return self.fold(name, value).encode("ascii")


def _mailbox(header: str, address: Address) -> str:
    """Format an address with its name. Names that are not plain are encoded: Python drops quotes when it folds."""
    name = address.display_name
    if not name:
        return address.addr_spec
    if not _PLAIN.fullmatch(name):
        name = _encoded(header, name)
    return f"{name}\r\n <{address.addr_spec}>"


def _encoded(header: str, text: str) -> str:
    # Some Python versions lose spaces when they fold between encoded words themselves.
    return Header(text, "utf-8", header_name=header).encode(linesep="\r\n")


_POLICY = _Policy(linesep="\r\n", max_line_length=78)


def write(
    kind: MailKind,
    to: Recipient,
    facts: Mapping[str, object],
    *,
    sender: str,
    message_id: str,
    date: datetime,
    unsubscribe_url: str | None = None,
) -> EmailMessage:
    """Write an e-mail that is ready to be sent. Its bytes are ASCII, whatever names it contains.

    Args:
        facts: the facts of the kind, see `FACTS`. Times are aware and shown in their own time zone. A list has
            facts for each of its entries.
        sender: an address with or without a name: `Discounts <mail@ikea.example>`.
        unsubscribe_url: accepts a POST (RFC 8058), and shows a page in a browser.

    Raises:
        Invalid: an address, the message id or the link is not valid, or the code looks like a link.
    """
    if _LINK_CODE.search(str(facts.get("code", ""))):
        raise Invalid("/code", "looks like a link")
    if facts.keys() != FACTS[kind]:
        raise ValueError(f"{kind} needs the facts {sorted(FACTS[kind])}, not {sorted(facts)}")
    message = EmailMessage(policy=_POLICY)
    locale = _locale(to.locale)
    shown = _shown(locale, facts) | {"name": _name(to.name or ""), "unsubscribe_url": _link(unsubscribe_url)}
    path = f"{locale}/{kind}.jinja"
    message["From"] = read_sender(sender)
    message["To"] = _address(to.address, _name(to.name or ""), "/email")
    message["Subject"] = _in_header(_render(path, "subject.txt", shown), LONGEST_SUBJECT)
    message["Date"] = date
    message["Message-ID"] = _checked(message_id, _MESSAGE_ID, "/message_id", "is not a message id")
    message["Auto-Submitted"] = "auto-generated"
    if unsubscribe_url is not None:
        message["List-Unsubscribe"] = f"<{unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(_render(path, "layout.txt", shown), cte="quoted-printable")
    message.add_alternative(_render(path, "layout.html", shown), subtype="html", cte="quoted-printable")
    message["Content-Language"] = locale
    return message


def read_sender(text: str) -> Address:
    """Parse a From address with or without a name.

    Raises:
        Invalid: the address is not valid.
    """
    match = _SENDER.fullmatch(text)
    if match is None:
        return _address(text, "", "/sender")
    return _address(match[3], match[1] or match[2] or "", "/sender")


def check_address(address: str, field: str) -> None:
    """Check that the text is a single e-mail address that any mail server accepts.

    Raises:
        Invalid: names the field.
    """
    _checked(address, _ADDRESS, field, "is not an e-mail address")
    if "=?" in address:
        raise Invalid(field, "is not an e-mail address")


def clean(text: str, longest: int | None = LONGEST) -> str:
    """Put a text on one line, without control characters and without characters that reverse or hide text."""
    seen = "".join(" " if _separates(char) else char for char in text if char in _JOINERS or not _hides(char))
    line = " ".join(seen.split())
    return line if longest is None or len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def unlinked(text: str) -> str:
    """Add spaces so that mail programs make no links of a name: `bank.example` becomes `bank. example`."""
    return _LINKS.sub(lambda match: f"{match[0]} ", text)


def _name(text: str) -> str:
    return clean(unlinked(clean(text, None)))


def _separates(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Zl", "Zp", "Zs")


def _hides(char: str) -> bool:
    # Format characters such as bidi controls, and lone surrogates, which cannot be encoded.
    return unicodedata.category(char) in ("Cf", "Cs")


def _in_header(text: str, longest: int) -> str:
    # Some clients, and Python's parser, decode anything that looks like an encoded word.
    return clean(text, longest).replace("=?", "= ?")


def _address(address: str, name: str, field: str) -> Address:
    check_address(address, field)
    return Address(display_name=_in_header(name, LONGEST), addr_spec=address)


def _checked(text: str, pattern: re.Pattern[str], field: str, detail: str) -> str:
    if pattern.fullmatch(text) is None:
        raise Invalid(field, detail)
    return text


def _link(url: str | None) -> str | None:
    if url is None:
        return None
    _checked(url, _LINK, "/unsubscribe_url", "is not a link")
    if set(url) & set("<>\"'`,\\"):
        raise Invalid("/unsubscribe_url", "is not a link")
    return url


def _locale(given: str) -> str:
    language = re.split("[-_]", given.strip().lower())[0]
    return language if language in LOCALES else LOCALES[0]


def _shown(locale: str, facts: Mapping[str, object]) -> dict[str, Any]:
    """Format the facts for a language: clean names, and format times, amounts and numbers."""
    shown: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Rule):
            shown |= {
                "off": wording.off(locale, value),
                "minimum": wording.minimum(locale, value),
            }
        elif isinstance(value, datetime):
            shown[name] = wording.moment(locale, value)
        elif isinstance(value, date):
            shown[name] = wording.day(locale, value)
        elif isinstance(value, Amounts):
            amounts = (wording.amount(locale, amount, currency) for currency, amount in value.by_currency.items())
            shown[name] = ", ".join(amounts)
        elif isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
            shown[name] = [_shown(locale, each) for each in value]
        elif isinstance(value, str):
            shown[name] = _name(value) if name in _NAMES else clean(value, None if name == "code" else LONGEST)
        elif isinstance(value, bool):
            shown[name] = value
        elif isinstance(value, int):
            shown[name] = wording.number(locale, value)
        elif value is None:
            shown[name] = None
        else:
            raise TypeError(f"{name} is {type(value)}")
    return shown | {"locale": locale}


def _render(path: str, layout: str, shown: Mapping[str, Any]) -> str:
    template = _environment(layout.endswith(".html")).get_template(path)
    return template.render(shown, layout=layout).strip() + "\n"


@cache
def _environment(html: bool) -> Environment:
    # Text and HTML share the templates; only HTML is escaped.
    return Environment(
        loader=PackageLoader("discount.mails"),
        undefined=StrictUndefined,
        autoescape=html,  # noqa: S701 - text is not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
