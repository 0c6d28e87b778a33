"""German texts of the reasons why a field is refused.

The domain makes a reason as one English text, with its values in it. A `{}` stands for a value here. A reason may join
two by a semicolon; each of them has a text of its own then.
"""

import re
from functools import cache, lru_cache

from discount.console.languages import Language

#: German texts by the English ones.
GERMAN: dict[str, str] = {
    # Values that do not fit their type.
    "cannot be accepted": "kann nicht angenommen werden",
    "is missing": "fehlt",
    "is given twice": "ist zweimal angegeben",
    "is not a field of this request": "ist kein Feld dieser Anfrage",
    "allowed are {}": "erlaubt sind {}",
    "has a name that {}": "hat einen Namen, der nicht geht: {}",
    "must be from {} to {}": "muss von {} bis {} sein",
    "must be at least {}": "muss mindestens {} sein",
    "must be at most {}": "darf höchstens {} sein",
    "must be more than {}": "muss mehr als {} sein",
    "must be less than {}": "muss weniger als {} sein",
    "must be more than {} and at most {}": "muss mehr als {} und höchstens {} sein",
    "must be more than {} and less than {}": "muss mehr als {} und weniger als {} sein",
    "must be at least {} and less than {}": "muss mindestens {} und weniger als {} sein",
    "must be a number that is not as large": "muss eine kleinere Zahl sein",
    "has {} character": "hat {} Zeichen",
    "has {} characters": "hat {} Zeichen",
    "has {} entry": "hat {} Eintrag",
    "has {} entries": "hat {} Einträge",
    "{} to {} are allowed": "erlaubt sind {} bis {}",
    "{} or more are needed": "nötig sind {} oder mehr",
    "does not fit": "passt nicht",
    "has {} as character {}": "hat {} als Zeichen Nummer {}",
    "begins with a space": "beginnt mit einem Leerzeichen",
    "ends with a space": "endet mit einem Leerzeichen",
    "cannot be {}": "kann nicht {} sein",
    "has no offset from UTC": "hat keinen Abstand zu UTC",
    "write it as 2026-12-24T18:00:00Z": "zum Beispiel 2026-12-24T18:00:00Z",
    "is not a time in RFC 3339, such as 2026-12-24T18:00:00Z": "ist keine Zeit nach RFC 3339 wie 2026-12-24T18:00:00Z",
    "is not a date, such as 2026-12-24": "ist kein Datum wie 2026-12-24",
    "is not a duration in ISO 8601, such as P14D or PT12H": "ist keine Dauer nach ISO 8601 wie P14D oder PT12H",
    "is not a decimal number, such as 12.50": "ist keine Dezimalzahl wie 12.50",
    "has more than {} entries": "hat mehr als {} Einträge",
    "has more than {} values": "hat mehr als {} Werte",
    "at most {} are allowed": "höchstens {} sind erlaubt",
    # What texts may have.
    (
        "letters, digits and most signs are allowed, and blanks between them, but no / \\ { }, emoji or control"
        " characters"
    ): (
        "erlaubt sind Buchstaben, Ziffern, die meisten Zeichen und Leerzeichen dazwischen, aber nicht / \\ { }, Emoji"
        " und Steuerzeichen"
    ),
    "any character is allowed except control characters, such as line breaks, and blanks at either end": (
        "erlaubt ist jedes Zeichen außer Steuerzeichen wie Zeilenumbrüchen, und außer Leerzeichen am Anfang und Ende"
    ),
    "any character is allowed except control characters, such as line breaks": (
        "erlaubt ist jedes Zeichen außer Steuerzeichen wie Zeilenumbrüchen"
    ),
    "the letters A-Z and a-z, digits and _ - are allowed": "erlaubt sind die Buchstaben A-Z und a-z, Ziffern und _ -",
    "the letters A-Z and a-z and digits are allowed": "erlaubt sind die Buchstaben A-Z und a-z und Ziffern",
    "the letters A-Z and a-z, digits and . _ - are allowed": (
        "erlaubt sind die Buchstaben A-Z und a-z, Ziffern und . _ -"
    ),
    "the letters A-Z and a-z, digits and . _ : - are allowed": (
        "erlaubt sind die Buchstaben A-Z und a-z, Ziffern und . _ : -"
    ),
    "the letters A-Z and a-z, digits and . _ - are allowed, with no . at the end": (
        "erlaubt sind die Buchstaben A-Z und a-z, Ziffern und . _ -, aber kein . am Ende"
    ),
    "the letters A-Z and a-z, digits and # . _ - are allowed, with at least one #": (
        "erlaubt sind die Buchstaben A-Z und a-z, Ziffern und # . _ -, mit mindestens einem #"
    ),
    "visible ASCII and blanks are allowed, but not blanks alone": (
        "erlaubt sind sichtbare ASCII-Zeichen und Leerzeichen, aber nicht Leerzeichen allein"
    ),
    "an e-mail address in ASCII is expected, such as ann@example.com": (
        "erwartet wird eine E-Mail-Adresse in ASCII wie ann@example.com"
    ),
    "the three capital letters of a currency are expected, such as EUR": (
        "erwartet werden die drei großen Buchstaben einer Währung wie EUR"
    ),
    "a language of BCP 47 is expected, such as de or de-AT": "erwartet wird eine Sprache nach BCP 47 wie de oder de-AT",
    "a URL in visible ASCII is expected that begins with https://": (
        "erwartet wird eine URL in sichtbaren ASCII-Zeichen, die mit https:// beginnt"
    ),
    "the id of a webhook is expected: whk- and 26 of the characters 0-9 and a-f": (
        "erwartet wird die Kennung eines Webhooks: whk- und 26 der Zeichen 0-9 und a-f"
    ),
    "a time of day is expected, from 00:00 to 23:59": "erwartet wird eine Uhrzeit von 00:00 bis 23:59",
    # Discounts.
    "has more decimals than {} has": "hat mehr Nachkommastellen als {}",
    "is in {}: no decimals": "ist in {}, also ohne Nachkommastellen",
    "has more than two decimals": "hat mehr als zwei Nachkommastellen",
    "is not an amount, such as 12.50": "ist kein Betrag wie 12,50",
    "is not a time, such as 2026-12-24T18:00": "ist keine Zeit wie 2026-12-24T18:00",
    "is not an IANA time zone, such as Europe/Stockholm": "ist keine Zeitzone wie Europe/Stockholm",
    "is not an ISO 4217 currency code, such as EUR": "ist keine Währung nach ISO 4217 wie EUR",
    "is not a duration as ISO 8601 writes it, for example P14D, P2W, P1M or PT36H": (
        "ist keine Dauer nach ISO 8601 wie P14D, P2W, P1M oder PT36H"
    ),
    "must be longer than zero, and at most 36,525 days (a hundred years)": (
        "muss länger als null sein und höchstens 36.525 Tage (hundert Jahre)"
    ),
    "must be from 2001-09-10 to 2286-11-20": "muss vom 10.09.2001 bis zum 20.11.2286 sein",
    "is in the past": "liegt in der Vergangenheit",
    "must be after starts_at": "muss nach dem Beginn liegen",
    "would let the discount end before it starts": "ließe den Rabatt enden, bevor er beginnt",
    "cannot be changed": "kann nicht geändert werden",
    "create another discount instead": "legen Sie stattdessen einen anderen Rabatt an",
    "cannot be combined with cheapest_lines": "geht nicht zusammen mit den billigsten Positionen",
    "cannot be combined with first_order": "geht nicht zusammen mit „nur für die erste Bestellung“",
    "cannot be combined with percent_off": "geht nicht zusammen mit einem Nachlass in Prozent",
    "needs percent_off": "braucht einen Nachlass in Prozent",
    "needs percent_off or amount_off": "braucht einen Nachlass in Prozent oder als Betrag",
    "needs webhook_url": "braucht die Adresse eines Webhooks",
    "is missing: {} needs a currency": "fehlt: ein Betrag braucht eine Währung",
    "is only for an amount, and there is none": "gehört zu einem Betrag, und es gibt keinen",
    "names no SKU and no category": "nennt weder eine Artikelnummer noch eine Warengruppe",
    "has no condition": "hat keine Bedingung",
    "name groups, lists or orders": "nennen Sie Gruppen, Listen oder Bestellungen",
    "has the same day twice": "hat denselben Tag zweimal",
    "has the same period twice": "hat denselben Zeitraum zweimal",
    "must be a duration from PT1S to P400D without months and years, such as PT24H": (
        "muss eine Dauer von PT1S bis P400D ohne Monate und Jahre sein, zum Beispiel PT24H"
    ),
    "must be a time of day from 00:00 to 23:59": "muss eine Uhrzeit von 00:00 bis 23:59 sein",
    "cannot be null for unique codes": "darf bei einmaligen Codes nicht fehlen",
    "cannot be set for a shared code, which needs no grant": (
        "geht nicht bei einem Code für alle, der nicht vergeben werden muss"
    ),
    "cannot be set: it is the number of imported codes": (
        "kann nicht gesetzt werden: es ist die Zahl der importierten Codes"
    ),
    "import more instead": "importieren Sie stattdessen weitere",
    "cannot have months or years": "darf keine Monate und Jahre haben",
    "weeks, days and hours have a fixed length": "Wochen, Tage und Stunden haben eine feste Länge",
    "must name at least one field to change": "muss mindestens ein Feld nennen, das geändert wird",
    # Codes.
    "does not belong to codes of kind {}": "gehört nicht zu Codes dieser Art",
    "does not fit: {} gives {} codes, and with {} made one guess in {} would be right": (
        "passt nicht: {} ergibt {} Codes, und bei {} vergebenen träfe einer von {} Versuchen"
    ),
    "at most one in {} may": "höchstens einer von {} darf treffen",
    "has two letters that count as equal, such as a and A": "hat zwei Buchstaben, die als gleich gelten, wie a und A",
    "has a placeholder other than {brand}, {user}, {name}, {discount}, {id}, {seq} and {random}": (
        "hat einen anderen Platzhalter als {brand}, {user}, {name}, {discount}, {id}, {seq} und {random}"
    ),
    "needs {user}, {name}, {id}, {seq} or {random}: users' codes must differ": (
        "braucht {user}, {name}, {id}, {seq} oder {random}: Codes von Nutzern müssen verschieden sein"
    ),
    "has {seq} twice": "hat {seq} zweimal",
    "has {seq} beside text that could be part of the number": (
        "hat {seq} neben Text, der ein Teil der Nummer sein könnte"
    ),
    "put a letter between": "setzen Sie einen Buchstaben dazwischen",
    "has only spaces and dashes": "besteht nur aus Leerzeichen und Strichen",
    "is empty": "ist leer",
    "is longer than {} characters": "ist länger als {} Zeichen",
    "has bytes that are not valid in UTF-8 or in the declared charset": (
        "hat Bytes, die weder in UTF-8 noch im angegebenen Zeichensatz gültig sind"
    ),
    "has an unprintable character": "hat ein Zeichen, das nicht darstellbar ist",
    "must be a list": "muss eine Liste sein",
    "{} is not a column of the first line": "{} ist keine Spalte der ersten Zeile",
    "is not a column of this file": "ist keine Spalte dieser Datei",
    "is given twice in the first line": "steht zweimal in der ersten Zeile",
    "is missing in the first line": "fehlt in der ersten Zeile",
    "is for a row with one use": "ist für eine Zeile mit einer Einlösung",
    "give each order a row of its own": "geben Sie jeder Bestellung eine eigene Zeile",
    "is given without a use": "ist ohne eine Einlösung angegeben",
    "is more than the amount": "ist mehr als der Betrag",
    "is the user whose code is taken back": "ist der Nutzer, dem der Code entzogen wird",
    "is only for `back` next": "ist nur für den Fall, dass der nächste Nutzer den Code bekommt",
    # Orders.
    "add up to {}, not to the order's amount, {}": "ergeben zusammen {}, nicht den Betrag der Bestellung, {}",
    "delivery and the like are lines, too": "auch Versand und dergleichen sind Positionen",
    "is the id of an earlier line": "ist die Kennung einer früheren Position",
    "is of the same discount as an earlier code": "gehört zum selben Rabatt wie ein früherer Code",
    "cannot be combined with code": "geht nicht zusammen mit `code`",
    "is for one code": "ist für einen einzelnen Code",
    "name the brand instead": "nennen Sie stattdessen die Marke",
    "brand_id or discount_id is required": "brand_id oder discount_id ist nötig",
    "code or codes is required": "code oder codes ist nötig",
    "has no letter or digit": "hat weder Buchstaben noch Ziffern",
    # Brands, users, webhooks and keys.
    "is missing, and the brand has no address of its own": "fehlt, und die Marke hat keine eigene Adresse",
    "is not an e-mail address": "ist keine E-Mail-Adresse",
    "is not a link": "ist kein Link",
    "is not a message id": "ist keine Kennung einer Nachricht",
    "looks like a link": "sieht aus wie ein Link",
    "is not a URL that a webhook may have": "ist keine URL, die ein Webhook haben darf",
    "use http or https, to this machine or a public address": (
        "erlaubt ist http oder https zu diesem Rechner oder einer öffentlichen Adresse"
    ),
    "use https, to a public address on port 443 or 8443": (
        "erlaubt ist https zu einer öffentlichen Adresse am Port 443 oder 8443"
    ),
    "applies to the e-mails of one brand": "gilt für die E-Mails einer Marke",
    "are those of one brand": "sind die einer Marke",
    "brand_id must name it": "brand_id muss sie nennen",
    "cannot have more: a brand has {} lists of {} users at most": (
        "kann nicht mehr haben: eine Marke hat höchstens {} Listen mit je {} Nutzern"
    ),
    "must be 1 to 255 visible ASCII characters": "muss aus 1 bis 255 sichtbaren ASCII-Zeichen bestehen",
    # Lists and their pages.
    "is not a parameter of this address": "ist kein Parameter dieser Adresse",
    "is not a cursor of this list": "ist keine Seite dieser Liste",
    "use `next` of the page before": "nehmen Sie `next` der Seite davor",
    "is not a cursor that this service gave": "ist keine Seite, die dieser Dienst genannt hat",
    "is not a change of this brand": "ist keine Änderung dieser Marke",
    "is not an event of this brand": "ist kein Ereignis dieser Marke",
    "has {}, which is not an event type": "hat {}, und das ist keine Art von Ereignissen",
    "must be before `to`": "muss vor `to` liegen",
    "gives more than {} steps": "ergibt mehr als {} Schritte",
    "take a longer step or a shorter time": "nehmen Sie längere Schritte oder eine kürzere Zeit",
    "cannot be parquet here: pyarrow is not installed (pip install .[parquet])": (
        "kann hier nicht parquet sein: pyarrow ist nicht installiert (pip install .[parquet])"
    ),
    # Forms of the console.
    "has no name and = in line {}": "hat in Zeile {} keinen Namen mit = dahinter",
    "has the name {} twice": "hat den Namen {} zweimal",
    "is not what the form had": "ist nicht, was das Formular hatte",
    "load the page again": "laden Sie die Seite neu",
}
#: The types of JSON as reasons name them.
_TYPES = {
    "an integer": "eine ganze Zahl",
    "a number": "eine Zahl",
    "a number with a fraction": "eine Zahl mit Nachkommastellen",
    "a decimal number": "eine Dezimalzahl",
    "a string": "ein Text",
    "an object": "ein Objekt",
    "a list": "eine Liste",
    "true or false": "true oder false",
    "a time": "eine Zeit",
    "a date": "ein Datum",
    "a duration": "eine Dauer",
    "null": "null",
    "of another type": "von anderer Art",
}
_A_TYPE = "|".join(sorted(map(re.escape, _TYPES), key=len, reverse=True))
_WRONG_TYPE = re.compile(rf"is (?:({_A_TYPE}), )?not ((?:{_A_TYPE})(?: or (?:{_A_TYPE}))*)")
_NUMBER = re.compile(r"-?\d{1,3}(?:,\d{3})+")


def in_language(reason: str, language: Language) -> str:
    """Return a reason in a language; English where there is no text."""
    if language.tag != "de":
        return language.gettext(reason)
    found = language.gettext(reason)
    return found if found != reason else german(reason)


@lru_cache(maxsize=1024)
def german(reason: str) -> str:
    """Return the German text of a reason; the reason itself if there is none."""
    return _exact(reason) or _joined(reason) or _with_values(reason) or reason


def _joined(reason: str) -> str | None:
    """Return the text of reasons that are joined by a semicolon; None if one of them has none."""
    at = reason.find("; ")
    while at >= 0:
        first, rest = reason[:at], reason[at + 2 :]
        if german(first) != first and german(rest) != rest:
            return f"{german(first)}; {german(rest)}"
        at = reason.find("; ", at + 1)
    return None


def _exact(reason: str) -> str | None:
    types = _WRONG_TYPE.fullmatch(reason)
    if types is None:
        return GERMAN.get(reason)
    wanted = " oder ".join(_TYPES[each] for each in re.findall(_A_TYPE, types[2]))
    if types[1]:
        return f"ist {_TYPES[types[1]]}, erwartet wird {wanted}"
    return f"ist k{wanted}" if wanted.startswith("ein") else f"ist nicht {wanted}"


def _with_values(reason: str) -> str | None:
    for pattern, text in _patterns():
        found = pattern.fullmatch(reason)
        if found:
            parts = text.split("{}")
            values = [_value(each) for each in found.groups()]
            return "".join(part + value for part, value in zip(parts, [*values, ""], strict=False))
    return None


def _value(text: str) -> str:
    """Return a value of a reason as German writes it; it may be a reason itself."""
    return _NUMBER.sub(lambda number: number[0].replace(",", "."), text) if _NUMBER.fullmatch(text) else german(text)


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Return the texts with values, those that begin with the most letters first."""
    found = [(english, text) for english, text in GERMAN.items() if "{}" in english]
    found.sort(key=lambda each: (-each[0].index("{}"), -len(each[0])))
    return [(re.compile(re.escape(english).replace(r"\{\}", "(.+?)"), re.DOTALL), text) for english, text in found]
