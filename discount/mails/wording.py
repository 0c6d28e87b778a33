"""Format numbers, amounts and times for a language."""

from datetime import date, datetime

from discount.domain.order_lines import Selection
from discount.domain.rules import Rule, decimals

# fmt: off
_MONTHS = {
    "en": [
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    ],
    "de": [
        "Januar", "Februar", "März", "April", "Mai", "Juni",
        "Juli", "August", "September", "Oktober", "November", "Dezember",
    ],
}
# fmt: on
_MARKS = {"en": (",", "."), "de": (".", ",")}
# No line break between a number and its unit.
_JOIN = "\u00a0"


def number(locale: str, value: int, behind: int = 0) -> str:
    """Format a number whose last `behind` digits follow the decimal point: 105000 with 2 is 1,050.00."""
    thousands, point = _MARKS[locale]
    whole, rest = divmod(abs(value), 10**behind)
    text = f"{whole:,}".replace(",", thousands)
    text = f"{text}{point}{rest:0{behind}d}" if behind else text
    return f"-{text}" if value < 0 else text


def amount(locale: str, value: int, currency: str) -> str:
    """Format an amount in minor units: 1050 is 10.50 EUR, or 1,050 JPY."""
    return f"{number(locale, value, decimals(currency))}{_JOIN}{currency}"


def percent(locale: str, hundredths: int) -> str:
    """Format hundredths of a percent: 1250 is 12.5%."""
    whole, rest = divmod(hundredths, 100)
    text = number(locale, whole)
    if rest:
        text += _MARKS[locale][1] + f"{rest:02d}".rstrip("0")
    return f"{text}{_JOIN if locale == 'de' else ''}%"


def off(locale: str, rule: Rule) -> str | None:
    """Format the discount of a rule and what it is for; None if the rule has none."""
    text = _taken_off(locale, rule)
    return None if text is None else text + _products(locale, rule.selection)


def _taken_off(locale: str, rule: Rule) -> str | None:
    if rule.amount_off is not None and rule.currency is not None:
        return amount(locale, rule.amount_off, rule.currency)
    if rule.percent is None:
        return None
    text = percent(locale, rule.percent)
    if rule.maximum_discount is None or rule.currency is None:
        return text
    most = {"en": "at most", "de": "höchstens"}[locale]
    return f"{text}, {most} {amount(locale, rule.maximum_discount, rule.currency)}"


def _products(locale: str, selection: Selection | None) -> str:
    """Say that not the whole order is meant. Which products these are is for the shop: it knows them by its numbers."""
    if selection is None or not selection.is_for_some:
        return ""
    chosen = (selection.applies_to, selection.excluded, selection.cheapest, selection.dearest)
    if any(each is not None for each in chosen):
        return {"en": " on selected products", "de": " auf ausgewählte Produkte"}[locale]
    return {"en": " on each product", "de": " auf jedes Produkt"}[locale]


def minimum(locale: str, rule: Rule) -> str | None:
    """Format the minimum order of a rule; None if the rule has none."""
    if rule.minimum_amount is None or rule.currency is None:
        return None
    return amount(locale, rule.minimum_amount, rule.currency)


def day(locale: str, given: date) -> str:
    """Format a date: 20 November 2026."""
    number = f"{given.day}." if locale == "de" else f"{given.day}"
    return f"{number}{_JOIN}{_MONTHS[locale][given.month - 1]} {given.year}"


def moment(locale: str, time: datetime) -> str:
    """Format an aware time to the minute in its own time zone: 20 November 2026, 10:27 UTC."""
    zone = time.tzname() or ""
    zone = f"UTC{zone}" if zone[:1] in "+-" else zone
    return f"{day(locale, time)}, {time:%H:%M}{_JOIN}{zone}"
