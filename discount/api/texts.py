"""Texts of refusals in the caller's language. Slugs and facts are the same in every language."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

ENGLISH, GERMAN = "en", "de"
# The longest header that is read: enough for any choice of languages.
_LONGEST = 200

#: German titles, by slug.
TITLES: dict[str, str] = {
    "not-found": "Das gibt es hier nicht.",
    "not-granted": "Der Nutzer hat keinen solchen Code.",
    "revoked": "Der Code wurde dem Nutzer wieder entzogen.",
    "already-granted": "Der Nutzer hat bereits einen Code dieses Rabatts.",
    "sold-out": "Alle Codes dieses Rabatts sind vergeben.",
    "not-released": "Der nächste Code dieses Rabatts wird später freigegeben.",
    "others-wait": "Die Codes dieses Rabatts gehen an Nutzer, die auf einen warten.",
    "codes-left": "Ein Code ist noch zu haben; niemand muss warten.",
    "not-waiting": "Der Nutzer steht nicht auf der Warteliste dieses Rabatts.",
    "not-started": "Der Rabatt hat noch nicht begonnen.",
    "expired": "Der Rabatt ist abgelaufen.",
    "paused": "Der Rabatt ist unterbrochen.",
    "closed": "Der Rabatt ist geschlossen.",
    "below-granted": "Die Gesamtzahl kann nicht kleiner sein als die Zahl der vergebenen Codes.",
    "code-taken": "Ein anderer Rabatt dieser Marke hat diesen Code.",
    "brand-taken": "Eine andere Marke hat diese Kennung.",
    "brand-closed": "Die Marke ist geschlossen.",
    "address-taken": "Ein anderer Nutzer hat diese E-Mail-Adresse.",
    "webhook-taken": "Der Rabatt hat bereits einen Webhook.",
    "too-many-webhooks": "Die Marke hat die Höchstzahl an Webhooks.",
    "webhook-off": "Der Webhook ist ausgeschaltet.",
    "no-longer-kept": "Die Ereignisse, die dafür nötig sind, werden nicht mehr aufbewahrt.",
    "no-ledger": "Dieser Dienst führt keinen Verlauf.",
    "wrong-kind": "Die Codes dieses Rabatts sind nicht importiert.",
    "limit-reached": "Der Code wurde so oft verwendet, wie seine Grenzen erlauben.",
    "outside-hours": "Der Code kann zu anderen Zeiten eingelöst werden.",
    "already-granted-elsewhere": "Ein anderer Nutzer mit derselben E-Mail, demselben Gerät, derselben Anschrift oder"
    " Karte hat einen Code dieses Rabatts.",
    "identity-missing": "Der Rabatt verlangt Angaben dazu, wer der Nutzer ist.",
    "not-in-audience": "Der Rabatt ist für andere Nutzer.",
    "already-redeemed": "Der Nutzer hat diesen Code bereits eingelöst.",
    "too-many-holds": "Der Nutzer hat die Höchstzahl an Reservierungen dieses Rabatts.",
    "minimum-amount": "Die Bestellung ist zu klein für diesen Code.",
    "currency-mismatch": "Die Bestellung hat eine andere Währung.",
    "lines-missing": "Der Rabatt gilt für einzelne Positionen, und die Bestellung hat keine.",
    "no-line-fits": "Der Rabatt gilt für keine Position der Bestellung.",
    "minimum-quantity": "Die Bestellung hat zu wenige Stücke, für die der Rabatt gilt.",
    "not-combinable": "Der Code kann nicht zusammen mit einem anderen Code der Bestellung verwendet werden.",
    "hold-ended": "Die Reservierung ist abgelaufen; bitte noch einmal einlösen.",
    "too-late": "Die Einlösung ist zu alt, um sie rückgängig zu machen.",
    "too-many-guesses": "Zu viele falsche Codes wurden versucht; bitte vor dem nächsten warten.",
    "unauthenticated": "Ein Token fehlt oder ist ungültig.",
    "forbidden": "Das Token erlaubt dies nicht.",
    "cross-site": "Solange der Dienst offen ist, nimmt er keine Anfragen von anderen Seiten an.",
    "too-many-requests": "Zu viele Anfragen kamen mit diesem Token oder von dieser Adresse.",
    "too-many-at-once": "Zu viele lange oder aufwendige Aufrufe laufen zur gleichen Zeit.",
    "idempotency-mismatch": "Dieser Idempotency-Key oder diese Bestellung wurde mit einer anderen Anfrage verwendet.",
    "quota-reached": "Die Marke hat ein Kontingent ausgeschöpft.",
    "invalid": "Die Anfrage hat ein Feld, das nicht angenommen werden kann.",
    "malformed": "Der Inhalt kann nicht im erwarteten Format gelesen werden.",
    "unavailable": "Der Dienst kann dies gerade nicht tun; bitte später noch einmal versuchen.",
    "not-yet-durable": "Die Antwort ist noch nicht auf genügend Servern sicher; bitte noch einmal fragen.",
    "restoring": "Was Redis verloren hat, wird gerade wiederhergestellt; bitte noch einmal fragen.",
    "too-large": "Der Inhalt ist größer, als diese Adresse annimmt.",
    "unsupported-media-type": "Diese Adresse nimmt Inhalte dieser Art nicht an.",
    "bad-request": "Die Anfrage kann nicht gelesen werden.",
    "too-slow": "Der Inhalt kam zu langsam.",
    "method-not-allowed": "Diese Adresse erlaubt diese Methode nicht.",
    "uri-too-long": "Die Adresse ist zu lang.",
    "headers-too-large": "Die Kopfzeilen sind zu lang.",
    "internal": "Der Dienst hat versagt; das Protokoll zeigt den Fehler unter der Kennung der Anfrage.",
}
#: German details, by the English ones that users may see.
DETAILS: dict[str, str] = {
    "The user holds no such code here; check the spelling.": "Der Nutzer hat hier keinen solchen Code; bitte die"
    " Schreibweise prüfen.",
    "The user holds no code of this discount.": "Der Nutzer hat keinen Code dieses Rabatts.",
    "No discount of this brand has a code to give now.": "Kein Rabatt dieser Marke hat gerade einen Code zu vergeben.",
    "The caller has to state it in `customer`.": "Der Aufrufer muss es in `customer` angeben.",
}


def language_of(environ: Mapping[str, Any]) -> str:
    """Return the language of a request's `Accept-Language` in which there are texts; English where it names none."""
    given = environ.get("HTTP_ACCEPT_LANGUAGE")
    return _best(given) if given and len(given) <= _LONGEST else ENGLISH


def title(slug: str, english: str, language: str) -> str:
    """Return the title of a refusal in a language."""
    return TITLES.get(slug, english) if language == GERMAN else english


def detail(english: str, language: str) -> str:
    """Return the detail of a refusal in a language; a detail without a translation stays English."""
    return DETAILS.get(english, english) if language == GERMAN else english


@lru_cache(maxsize=256)
def _best(given: str) -> str:
    # Regions do not matter: en-GB is English.
    accepted = LanguageAccept([(tag.partition("-")[0], share) for tag, share in parse_accept_header(given)])
    return accepted.best_match((ENGLISH, GERMAN)) or ENGLISH
