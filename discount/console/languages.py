"""The languages of the console: its catalogues, and numbers, money and times as each language writes them."""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache, lru_cache
from importlib import resources
from io import BytesIO
from zoneinfo import ZoneInfo

from babel import Locale, dates, numbers
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from iso4217 import Currency

from discount.domain.rules import NO_CURRENCY

#: Languages that people may choose, by their own names.
LANGUAGES = {"en": "English", "de": "Deutsch"}
#: A language for tests: each text is longer, and its letters have accents.
PSEUDO = "en-XA"
_ACCENTS = str.maketrans("aeiounycsAEIOUNYCS", "áéíóúñýçšÁÉÍÓÚÑÝÇŠ")
_PLACEHOLDER = re.compile(r"(%\(\w+\)[sd]|<[^>]+>)")


class Language:
    """One language: its texts, and how it writes numbers, money and times."""

    def __init__(self, tag: str, catalogue: NullTranslations) -> None:
        self.tag = tag
        self.catalogue = catalogue
        self.locale = Locale.parse("en_GB" if tag == PSEUDO else {"en": "en_GB"}.get(tag, tag), sep="_")

    @property
    def direction(self) -> str:
        """The direction of its writing, as HTML says it."""
        return str(self.locale.text_direction)

    def gettext(self, text: str) -> str:
        return str(self.catalogue.ugettext(text))

    def ngettext(self, one: str, many: str, count: int) -> str:
        return str(self.catalogue.ungettext(one, many, count))

    def number(self, value: float) -> str:
        """Return a number: 1,204.5."""
        return numbers.format_decimal(value, locale=self.locale)

    def percent(self, value: float) -> str:
        """Return a percentage: 12.5%."""
        return numbers.format_percent(value / 100, "#,##0.##%" if self.tag != "de" else "#,##0.## %", self.locale)

    def money(self, minor: int, currency: str) -> str:
        """Return an amount in minor units: 12.50 EUR."""
        exponent = 2 if currency == NO_CURRENCY else Currency(currency).exponent or 0
        amount = numbers.format_decimal(
            minor / 10**exponent, "#,##0" + ("." + "0" * exponent if exponent else ""), self.locale
        )
        return amount if currency == NO_CURRENCY else f"{amount}\u00a0{currency}"

    def moment(self, time: datetime, zone: str, *, seconds: bool = False) -> str:
        """Return a time in a zone: 26 Nov 2026, 08:15."""
        local = time.astimezone(ZoneInfo(zone))
        clock = dates.format_time(local, "HH:mm:ss" if seconds else "HH:mm", locale=self.locale)
        return f"{dates.format_date(local, 'medium', locale=self.locale)}, {clock}"

    def clock(self, time: datetime, zone: str) -> str:
        """Return the time of a day: 08:15."""
        return dates.format_time(time.astimezone(ZoneInfo(zone)), "HH:mm", locale=self.locale)

    def day(self, time: datetime, zone: str) -> str:
        """Return a day: 26 Nov."""
        return dates.format_skeleton("MMMd", time.astimezone(ZoneInfo(zone)), locale=self.locale)


class _Pseudo(NullTranslations):
    """A catalogue that shows each text longer and with accents, and with marks at its ends."""

    def gettext(self, message: str) -> str:
        return f"[{_accented(message)}{' ~' * (1 + len(message) // 12)}]"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)

    ugettext = gettext
    ungettext = ngettext


def _accented(text: str) -> str:
    parts = _PLACEHOLDER.split(text)
    return "".join(part if place % 2 else part.translate(_ACCENTS) for place, part in enumerate(parts))


@cache
def language(tag: str) -> Language:
    """Return a language by its tag."""
    if tag == PSEUDO:
        return Language(tag, _Pseudo())
    if tag == "en":
        return Language(tag, NullTranslations())
    compiled = BytesIO()
    path = resources.files("discount.console") / "locales" / tag / "console.po"
    write_mo(compiled, read_po(BytesIO(path.read_bytes()), locale=tag))
    compiled.seek(0)
    return Language(tag, Translations(compiled))


@lru_cache(maxsize=256)
def choose(chosen: str, accepted: Sequence[str]) -> Language:
    """Return the language of a person: the one that was chosen, else the first that the browser accepts.

    Args:
        chosen: a tag, or an empty text.
        accepted: tags, the dearest first.
    """
    for tag in (chosen, *accepted):
        if tag == PSEUDO:
            return language(tag)
        name = tag.partition("-")[0].lower()
        if name in LANGUAGES:
            return language(name)
    return language("en")
