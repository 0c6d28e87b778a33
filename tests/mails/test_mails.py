"""E-mails to users and brands: headers, parts, languages, and names that try to inject something."""

from datetime import UTC, datetime, timedelta, timezone
from email.parser import BytesParser
from email.policy import compat32, default
from email.utils import getaddresses
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discount.domain.errors import Invalid
from discount.domain.order_lines import Products, Selection
from discount.domain.rules import Rule
from discount.mails import FACTS as TOLD
from discount.mails import KINDS, LONGEST, MailKind, Recipient, check_address, clean, read_sender, unlinked, write
from discount.mails.wording import moment
from tests.mails.mail_parser import (
    FACTS,
    LINK,
    SENDER,
    UNTIL,
    bare,
    decoded,
    example_mail,
    headers_of,
    html_of,
    read,
    shown,
    text_of,
)

CHAIRS = Products(skus=("CHAIR",))
LOCALES = {"en": "en", "de": "de", "de-AT": "de", "de_CH": "de", "DE": "de", "fr": "en", "": "en", "tlh-x-de": "en"}
SUBJECTS = {
    ("code-granted", "en"): "Your code from IKEA: Christmas 2026",
    ("code-granted", "de"): "Ihr Code von IKEA: Christmas 2026",
    ("code-expiring", "en"): "Your code from IKEA expires soon: Christmas 2026",
    ("code-expiring", "de"): "Ihr Code von IKEA läuft bald ab: Christmas 2026",
    ("sold-out", "en"): "Sold out: Christmas 2026",
    ("sold-out", "de"): "Ausverkauft: Christmas 2026",
    ("limit-reached", "en"): "Limit reached: Christmas 2026",
    ("limit-reached", "de"): "Limit erreicht: Christmas 2026",
    ("webhook-off", "en"): "A webhook of IKEA has been switched off",
    ("webhook-off", "de"): "Ein Webhook von IKEA wurde abgeschaltet",
    ("digest", "en"): "Your codes on 20 November 2026",
    ("digest", "de"): "Ihre Codes am 20. November 2026",
}
HEADERS = {
    *("from", "to", "subject", "date", "message-id", "auto-submitted"),
    *("mime-version", "content-type", "content-language"),
}
WAYS_OUT = {"list-unsubscribe", "list-unsubscribe-post"}
EVIL = {
    "a line break": "Ann\r\nBcc: eve@evil.example",
    "a bare line break": "Ann\nBcc: eve@evil.example\n\nNothing",
    "a bare return": "Ann\rBcc: eve@evil.example",
    "a folded line": "Ann\r\n Bcc: eve@evil.example",
    "a line separator": "Ann\u2028Bcc: eve@evil.example\u2029\x85x",
    "a script": "<script>alert(1)</script>",
    "an attribute": "\"'><img src=x onerror=alert(1)>",
    "an entity": "&lt;b&gt; &amp; &#x3c;",
    "a template": "{{7*7}}{% for a in b %}${7*7}#{7*7}",
    "bidi overrides": "\u202eelpmaxe.live\u202c\u2066x\u2069\u200f",
    "a NUL": "An\0n\x07\x1b[31m",
    "an encoded word": "=?utf-8?q?=0D=0ABcc:_eve@evil.example?=",
    "a base64 word": "=?utf-8?b?DQpCY2M6IGV2ZUBldmlsLmV4YW1wbGU=?=",
    "a second address": "Ann <eve@evil.example>, Bob",
    "many wide words": "Många ord på så många språk är väldigt långa och får inte plats på en enda rad alls",
    "emoji": "🎄👩\u200d👧 Ønskekode",
    "half a pair": "Ann\ud83d",
    "500 letters": "N" * 500,
    "500 wide letters": "ö" * 500,
    "nothing": "",
    "quotes": 'A "quoted" \\ name',
    "a boundary": "--===============1==--",
    "a dot": ".",
}


@pytest.mark.parametrize(
    ("kind", "locale"),
    [(kind, locale) for kind in KINDS for locale in ("en", "de", "de-AT", "tlh-x-de")]
    + [("sold-out", locale) for locale in LOCALES],
)
def test_every_kind_in_every_language_is_a_whole_message(kind: MailKind, locale: str) -> None:
    language = LOCALES[locale]
    raw = bytes(example_mail(kind, Recipient("ann@mail.example", "Ann Müller", locale)))
    headers, message = headers_of(raw), read(raw)
    assert headers.keys() == HEADERS
    assert headers["from"] == SENDER
    assert headers["to"] == "Ann Müller <ann@mail.example>"
    assert headers["subject"] == SUBJECTS[kind, language]
    assert headers["date"] == "Sun, 01 Nov 2026 08:00:05 +0000"
    assert headers["message-id"] == "<dlv-01@shop.example>"
    assert headers["auto-submitted"] == "auto-generated"
    assert headers["content-language"] == language
    assert [each.get_content_type() for each in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert f'<html lang="{language}">' in html_of(message)
    greeting = {"en": "Hello Ann Müller,", "de": "Guten Tag Ann Müller,"}[language]
    assert text_of(message).startswith(greeting)
    assert greeting in shown(html_of(message)).text
    assert [each.defects for each in message.walk()] == [[], [], []]
    _assert_fit_for_smtp(raw)


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_link_the_headers_and_both_parts_carry_it(kind: MailKind) -> None:
    raw = bytes(example_mail(kind, unsubscribe_url=LINK))
    headers = headers_of(raw)
    assert headers.keys() == HEADERS | WAYS_OUT
    assert headers["list-unsubscribe"] == f"<{LINK}>"
    assert headers["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert LINK in text_of(read(raw))
    assert shown(html_of(read(raw))).links == [LINK]
    assert shown(html_of(example_mail(kind))).links == []


def test_the_longest_link_fits_unbroken_in_its_header() -> None:
    link = "https://shop.example/unsubscribe/" + "a" * 850
    raw = bytes(example_mail(unsubscribe_url=link))
    assert f"List-Unsubscribe: <{link}>\r\n".encode() in raw
    _assert_fit_for_smtp(raw)


@pytest.mark.parametrize(
    ("locale", "alone", "for_all"),
    [
        ("en", "only for you", "feel free to share it"),
        ("de", "Er gilt nur für Sie", "also gerne weitergeben"),
    ],
)
def test_a_shared_code_may_be_passed_on_and_a_unique_code_may_not(locale: str, alone: str, for_all: str) -> None:
    for shared in (False, True):
        message = example_mail("code-granted", Recipient("ann@mail.example", None, locale), for_all=shared)
        for part in (text_of(message), shown(html_of(message)).text):
            words = " ".join(part.split())
            assert (alone in words, for_all in words) == (not shared, shared)


@pytest.mark.parametrize(
    ("locale", "headline", "before"),
    [("en", "It is your turn", "Use it before: 20"), ("de", "Sie sind an der Reihe", "Einzulösen vor: 20.")],
)
def test_the_e_mail_after_a_wait_says_so_and_until_when_the_code_is_good(
    locale: str, headline: str, before: str
) -> None:
    for waited, until in ((False, None), (True, UNTIL)):
        recipient = Recipient("ann@mail.example", None, locale)
        message = example_mail("code-granted", recipient, waited=waited, claim_until=until)
        assert (headline in shown(html_of(message)).text) == waited
        assert (before in text_of(message)) == (until is not None)


@pytest.mark.parametrize("locale", ["en", "de"])
@pytest.mark.parametrize("kind", ["code-granted", "code-expiring"])
def test_both_parts_show_the_code_its_end_and_the_discount(kind: MailKind, locale: str) -> None:
    message = example_mail(kind, Recipient("ann@mail.example", None, locale))
    until = {"en": "20\xa0November 2026, 10:27\xa0UTC", "de": "20.\xa0November 2026, 10:27\xa0UTC"}[locale]
    for part in (text_of(message), shown(html_of(message)).text):
        assert part.count("XMAS-7F3K") == 1
        assert part.count(until) == 1
        assert part.count({"en": "12.5%", "de": "12,5\xa0%"}[locale]) == 1
        assert "None" not in part


@pytest.mark.parametrize(
    ("rule", "locale", "words"),
    [
        (Rule(percent=2000), "en", "20%"),
        (Rule(percent=2000), "de", "20\xa0%"),
        (Rule(percent=1), "en", "0.01%"),
        (Rule(percent=1005), "de", "10,05\xa0%"),
        (Rule(percent=10000), "en", "100%"),
        (Rule(percent=1000, maximum_discount=5000, currency="EUR"), "en", "10%, at most 50.00\xa0EUR"),
        (Rule(percent=1000, maximum_discount=5000, currency="EUR"), "de", "10\xa0%, höchstens 50,00\xa0EUR"),
        (Rule(amount_off=1050, currency="EUR"), "en", "10.50\xa0EUR"),
        (Rule(amount_off=123456789, currency="EUR"), "de", "1.234.567,89\xa0EUR"),
        (Rule(amount_off=5, currency="EUR"), "en", "0.05\xa0EUR"),
        (Rule(amount_off=1050, currency="JPY"), "en", "1,050\xa0JPY"),
        (Rule(amount_off=1050, currency="JPY"), "de", "1.050\xa0JPY"),
        (Rule(amount_off=1050, currency="KWD"), "en", "1.050\xa0KWD"),
        (Rule(amount_off=1234567, currency="KWD"), "de", "1.234,567\xa0KWD"),
        (Rule(percent=2000, selection=Selection(applies_to=CHAIRS)), "en", "20% on selected products"),
        (Rule(percent=2000, selection=Selection(excluded=CHAIRS)), "de", "20\xa0% auf ausgewählte Produkte"),
        (Rule(percent=2000, selection=Selection(cheapest=1)), "en", "20% on selected products"),
        (Rule(percent=2000, selection=Selection(per_line=True)), "en", "20% on each product"),
        (Rule(percent=2000, selection=Selection(per_line=True)), "de", "20\xa0% auf jedes Produkt"),
        (Rule(percent=2000, selection=Selection(minimum_quantity=3)), "en", "20%"),
    ],
)
def test_the_discount_is_written_in_the_readers_locale(rule: Rule, locale: str, words: str) -> None:
    message = example_mail("code-granted", Recipient("ann@mail.example", None, locale), rule=rule)
    label = {"en": "Your discount", "de": "Ihr Rabatt"}[locale]
    assert f"{label}: {words}\n" in text_of(message)
    assert f"{label}</span><bdi>{words}</bdi>" in html_of(message)


@pytest.mark.parametrize(
    ("locale", "line"), [("en", "Minimum order: 50.00\xa0EUR\n"), ("de", "Mindestbestellwert: 50,00\xa0EUR\n")]
)
def test_the_least_amount_of_an_order_is_shown(locale: str, line: str) -> None:
    rule = Rule(percent=1000, minimum_amount=5000, currency="EUR")
    assert line in text_of(example_mail("code-granted", Recipient("ann@mail.example", None, locale), rule=rule))


@pytest.mark.parametrize("kind", ["code-granted", "code-expiring"])
def test_unknown_facts_about_a_code_get_no_line(kind: MailKind) -> None:
    message = example_mail(kind, rule=Rule(), valid_until=None)
    assert ":" not in text_of(message).partition("XMAS-7F3K")[2].replace("-- \n", "")
    assert "<bdi>" not in html_of(message)
    assert "None" not in text_of(message) + html_of(message)


@pytest.mark.parametrize(
    ("until", "words"),
    [
        (UNTIL.astimezone(ZoneInfo("Europe/Vienna")), "20\xa0November 2026, 11:27\xa0CET"),
        (datetime(2027, 3, 31, 22, 0, tzinfo=UTC).astimezone(ZoneInfo("Asia/Tokyo")), "1\xa0April 2027, 07:00\xa0JST"),
        (datetime(2027, 1, 5, tzinfo=UTC).astimezone(ZoneInfo("Asia/Dubai")), "5\xa0January 2027, 04:00\xa0UTC+04"),
        (datetime(2027, 1, 5, tzinfo=timezone(timedelta(hours=-3))), "5\xa0January 2027, 00:00\xa0UTC-03:00"),
    ],
)
def test_the_end_is_shown_in_its_zone(until: datetime, words: str) -> None:
    assert f"Valid until: {words}\n" in text_of(example_mail(valid_until=until))


def test_every_month_has_a_german_name() -> None:
    names = "Januar,Februar,März,April,Mai,Juni,Juli,August,September,Oktober,November,Dezember"
    for month, name in enumerate(names.split(","), 1):
        assert moment("de", UNTIL.replace(month=month)) == f"20.\xa0{name} 2026, 10:27\xa0UTC"


@pytest.mark.parametrize(
    ("kind", "facts", "lines"),
    [
        ("sold-out", {"total_count": 1234567}, {"en": "Total codes: 1,234,567", "de": "Codes insgesamt: 1.234.567"}),
        ("limit-reached", {"limit": "total", "limit_count": 1000},
         {"en": "Limit: 1,000 uses in total", "de": "Limit: 1.000 Einlösungen insgesamt"}),
        ("limit-reached", {"limit": "per_user", "limit_count": 1},
         {"en": "Limit: 1 use per user", "de": "Limit: 1 Einlösung pro Person"}),
        ("limit-reached", {"limit": "per_user_per_week", "limit_count": 2},
         {"en": "Limit: 2 uses per user per week", "de": "Limit: 2 Einlösungen pro Person und Woche"}),
        ("limit-reached", {"limit": "per_user_per_day", "limit_count": 2},
         {"en": "Limit: 2 uses per user per day", "de": "Limit: 2 Einlösungen pro Person und Tag"}),
        ("webhook-off", {"last_answer": "503 away"},
         {"en": "Last response: 503 away", "de": "Letzte Antwort: 503 away"}),
        ("webhook-off", {"reason": "gone", "last_answer": None},
         {"en": "it replied that it no longer exists (410 Gone).", "de": "dass es ihn nicht mehr gibt (410 Gone)."}),
    ],
)  # fmt: skip
def test_e_mails_to_brands_have_the_numbers_and_the_reasons(
    kind: MailKind, facts: dict[str, Any], lines: dict[str, str]
) -> None:
    for locale, line in lines.items():
        message = example_mail(kind, Recipient("ann@mail.example", None, locale), **facts)
        text = text_of(message)
        assert f"{line}\n" in text or f" {line}" in text
        assert "None" not in text + html_of(message)


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("name", ["brand_name", "discount_name", "code", "name", "last_answer"])
def test_nothing_in_a_name_becomes_a_header_a_tag_or_an_instruction(name: str, evil: str) -> None:
    _assert_shown_only(name, EVIL[evil])


@pytest.mark.parametrize("name", ["brand_name", "discount_name", "code", "name", "last_answer"])
@settings(max_examples=20)
@given(text=st.text(max_size=200) | st.text(st.sampled_from("\r\n\t :=?_<>&\"'{}%#.,@\\()[];é🎄aQb"), max_size=200))
def test_any_text_is_shown_and_never_executed(name: str, text: str) -> None:
    _assert_shown_only(name, text)


@pytest.mark.parametrize("name", ["evil@evil.example," + "b" * 80, "Eve <eve@evil.example>, x", "a, b", "x" * 119])
def test_a_name_cannot_add_a_second_address(name: str) -> None:
    _assert_one_address(name)


@settings(max_examples=300)
@given(
    name=st.text(max_size=150)
    | st.text(st.sampled_from("abM @,;:.<>()[]\"\\=?_-'ö"), max_size=150)
    | st.lists(st.sampled_from(["evil@evil.example", ",", " ", "b" * 30, "<", ">", '"', "Ann", ";", "é", ":"])).map(
        "".join
    )
)
def test_no_name_is_a_second_address(name: str) -> None:
    _assert_one_address(name)


def _assert_one_address(name: str) -> None:
    raw = bytes(example_mail(to=Recipient("ann@user.example", name)))
    for policy in (default, compat32):
        parsed = BytesParser(policy=policy).parsebytes(raw)
        assert len(parsed.get_all("To", [])) == 1
        # As it is written, and with what is encoded read.
        found = (
            getaddresses([str(parsed["To"])])
            if policy is compat32
            else [(each.display_name, each.addr_spec) for each in parsed["To"].addresses]
        )
        assert [address for _, address in found] == ["ann@user.example"]


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("Your bank: log in at https://bank.example/login", "Your bank: log in at https: //bank. example/login"),
        ("www.1bank.example", "www. 1bank. example"),
        ("WWW.bank\u3002example", "WWW. bank\u3002 example"),
        ("Dr.Oetker, 2.5 off, v1.0", "Dr. Oetker, 2.5 off, v1.0"),
        ("H&M", "H&M"),
    ],
)
def test_no_name_becomes_a_link(name: str, seen: str) -> None:
    for field in ("brand_name", "discount_name"):
        facts: dict[str, Any] = {field: name}
        message = example_mail(**facts)
        assert seen in message["Subject"]
        assert seen in text_of(message)
        assert seen in shown(html_of(message)).text
    assert f"Hello {seen}," in text_of(example_mail(to=Recipient("ann@user.example", name)))


@pytest.mark.parametrize("code", ["https://bank.example/login", "www.bank.example", "AT HTTP://BANK"])
def test_a_code_that_is_a_link_is_not_sent(code: str) -> None:
    with pytest.raises(Invalid, match="/code looks like a link"):
        example_mail(code=code)


def test_names_are_cut_and_codes_never() -> None:
    message = example_mail(discount_name="N" * 500, code="C" * 500)
    assert "“" + "N" * (LONGEST - 1) + "…”" in text_of(message)
    assert "C" * 500 in text_of(message)
    assert ">" + "C" * 500 + "<" in html_of(message)


@pytest.mark.parametrize(
    "address",
    [
        "", "ann", "@mail.example", "ann@", "ann@mail.example\r\nBcc: eve@evil.example", "ann@mail.example\n",
        "\nann@mail.example", "ann@mail.example,eve@evil.example", "ann@mail.example, eve@evil.example",
        "ann@mail.example;eve@evil.example", "Ann <ann@mail.example>", "<ann@mail.example>", "an n@mail.example",
        "ann@mail .example", " ann@mail.example", "ann@mail.example ", "ann@mail@evil.example", "ann@mail..example",
        "ann..b@mail.example", ".ann@mail.example", "ann.@mail.example", "ann@-mail.example", "ann@mail-.example",
        '"ann"@mail.example', "ann(x)@mail.example", "ann@[127.0.0.1]", "ann@mail.example.", "änn@mail.example",
        "ann@mäil.example", "ann\0@mail.example", "=?utf-8?q?ann?=@mail.example", "a" * 65 + "@mail.example",
        "ann@" + "a." * 126 + "example", "ann@" + "a" * 64 + ".example", "ann\u202e@mail.example",
        "group: ann@mail.example;",
    ],
)  # fmt: skip
def test_anything_but_a_single_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid) as refused:
        example_mail(to=Recipient(address))
    assert refused.value.detail == "/email is not an e-mail address."
    assert refused.value.facts["errors"] == [{"pointer": "/email", "detail": "is not an e-mail address"}]
    with pytest.raises(Invalid):
        check_address(address, "/email")
    with pytest.raises(Invalid):
        example_mail(sender=f"Shop <{address}>")


@pytest.mark.parametrize(
    "address", ["ann@mail.example", "a.n+n@mail.example", "a@b", "o'neil_{x}=1@a-b.example", "a" * 64 + "@mail.example"]
)
def test_an_address_reaches_the_header_as_it_is(address: str) -> None:
    assert read(bytes(example_mail(to=Recipient(address))))["To"].addresses[0].addr_spec == address


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("mail@shop.example", ""),
        ("<mail@shop.example>", ""),
        ("Discounts <mail@shop.example>", "Discounts"),
        ('"Shop, Ltd." <mail@shop.example>', "Shop, Ltd."),
        ("Größe <mail@shop.example>", "Größe"),
        ("Shop\r\nBcc: eve@evil.example <mail@shop.example>", "Shop Bcc: eve@evil.example"),
    ],
)
def test_a_sender_is_an_address_or_a_name_with_one(sender: str, name: str) -> None:
    assert (read_sender(sender).display_name, read_sender(sender).addr_spec) == (name, "mail@shop.example")
    raw = bytes(example_mail(sender=sender))
    assert headers_of(raw).keys() == HEADERS
    assert [(each.display_name, each.addr_spec) for each in read(raw)["From"].addresses] == [
        (name, "mail@shop.example")
    ]


@pytest.mark.parametrize("sender", ["", "Shop", "a@b.example, c@d.example", "A <a@b.example>, B <c@d.example>", "<>"])
def test_a_sender_that_is_not_one_is_refused(sender: str) -> None:
    with pytest.raises(Invalid):
        read_sender(sender)


@pytest.mark.parametrize(
    "link",
    [
        "", "javascript:alert(1)", "ftp://shop.example/", "https://", "shop.example/x", "https://shop.example/a b",
        "https://shop.example/\r\nBcc: eve@evil.example", "https://shop.example/>, <https://evil.example/",
        'https://shop.example/"onclick="alert(1)', "https://shop.example/ä", "https://shop.example/" + "a" * 900,
        "https://shop.example/a,b",
    ],
)  # fmt: skip
def test_a_malformed_link_is_refused(link: str) -> None:
    with pytest.raises(Invalid):
        example_mail(unsubscribe_url=link)


@pytest.mark.parametrize(
    "message_id", ["", "dlv-01@shop.example", "<dlv-01>", "<a@b>\r\nBcc: eve@evil.example", "<a b@c>", "<a@b>\n"]
)
def test_a_malformed_id_is_refused(message_id: str) -> None:
    with pytest.raises(Invalid):
        example_mail(message_id=message_id)


@pytest.mark.parametrize("kind", KINDS)
def test_facts_that_are_missing_or_too_many_raise(kind: MailKind) -> None:
    more: dict[str, Any] = {"sender": SENDER, "message_id": "<a@b>", "date": UNTIL}
    assert FACTS[kind].keys() == TOLD[kind]
    for name in TOLD[kind]:
        with pytest.raises(ValueError, match=kind):
            write(kind, Recipient("a@b"), {each: FACTS[kind][each] for each in TOLD[kind] - {name}}, **more)
    with pytest.raises(ValueError, match=kind):
        write(kind, Recipient("a@b"), FACTS[kind] | {"password": "x"}, **more)


def test_a_fact_that_cannot_be_shown_raises() -> None:
    with pytest.raises(TypeError, match="discount_name"):
        example_mail(discount_name=["Christmas"])


def _assert_shown_only(name: str, text: str) -> None:
    """Check that an e-mail shows a name as plain text: same headers and tags, the text unchanged."""
    kind: MailKind = "webhook-off" if name == "last_answer" else "code-granted"
    to = Recipient("ann@mail.example", text if name == "name" else "Ann")
    facts = {} if name == "name" else {name: text}
    written = example_mail(kind, to, **facts)
    raw = bytes(written)
    _assert_fit_for_smtp(raw)
    headers, message = headers_of(raw), read(raw)
    assert headers.keys() == HEADERS
    assert decoded(raw, "subject") == written["Subject"]
    assert [each.addr_spec for each in message["To"].addresses] == ["ann@mail.example"]
    named = written["To"].addresses[0].display_name
    assert bare(decoded(raw, "to")) == bare(f"{named} <ann@mail.example>" if named else "ann@mail.example")
    seen = clean(text, None if name == "code" else LONGEST)
    if name in ("brand_name", "discount_name", "name"):
        seen = clean(unlinked(clean(text, None)))
    html = shown(html_of(message))
    # An empty brand or line has no place of its own.
    assert set(html.tags) <= set(shown(html_of(example_mail(kind))).tags)
    assert seen in text_of(message)
    assert seen in html.text
    assert not set(text_of(message) + html.text) & set("\0\x07\x1b\r\u2028\u2029\x85\u202e\u202c\u2066\u2069\u200f")


def _assert_fit_for_smtp(raw: bytes) -> None:
    assert raw.isascii()
    assert b"\0" not in raw
    lines = raw.split(b"\r\n")
    assert lines[-1] == b""
    assert max(map(len, lines)) <= 998
    assert not [line for line in lines if b"\r" in line or b"\n" in line]
