"""The form of a discount: its fields as texts, and the bodies of requests that they make.

The texts of a form are a flat mapping: `limits.total` is a number of the limits, and `opens.0.from` a field of the
first row of hours. A text of several lines is a list with one entry on each line.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from discount.console import fields
from discount.domain.code_sequence import ALPHABET
from discount.domain.combinations import CLASSES
from discount.domain.errors import Invalid
from discount.domain.windows import DAYS

#: Fields that are sent as they are written.
_PLAIN = (
    *("discount_code", "total_count", "currency", "timezone", "valid_for", "claim_within", "webhook_url"),
    *("minimum_quantity", "per", "cheapest_lines", "dearest_lines"),
    *("audience.first_order", "audience.orders_at_least", "audience.spent_at_least", "returns_use"),
)
_MONEY = ("amount_off", "minimum_amount", "maximum_discount")
_TIMES = ("starts_at", "expires_at")
#: Lists with one entry on each line.
_LISTS = (
    *("applies_to.skus", "applies_to.categories", "except.skus", "except.categories"),
    *("audience.groups", "audience.lists"),
)
#: Limits that are numbers. `per_identity` cannot be changed.
_LIMITS = (
    *("total", "per_user", "per_user_per_day", "per_user_per_week", "per_user_per_month"),
    *("per_day", "per_week", "per_month"),
)
#: The fields of codes of each kind.
_OF_KIND = {"unique": ("pattern", "alphabet", "prefix"), "personal": ("template",), "shared": ("code",)}
#: The fields of a row, by group, and the most rows of each.
_ROWS: dict[str, tuple[tuple[str, ...], int]] = {
    "limits.windows": (("period", "per_user"), 5),
    "limits.amount": (("currency", "most"), 20),
    "opens": (("from", "to", *DAYS), 50),
}
#: Empty rows that a form has for more.
_MORE = 2
#: The fields of a discount that may change, besides rows. A list may only be replaced whole.
CHANGEABLE = (
    *("discount_code", "total_count", *_TIMES, *(f"limits.{each}" for each in _LIMITS)),
    *("limits.budget_caps", "release.at", "release.per_minute", "metadata"),
)
_CHANGEABLE_ROWS = ("limits.windows", "limits.amount")


def read(form: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of a submitted form, without blanks around them. Rows are joined, without empty ones."""
    texts = {name: _clean(name, value) for name, value in form.items()}
    for group, (names, most) in _ROWS.items():
        rows = [_row(texts, group, n, names) for n in range(most)]
        for n in range(most):
            for name in names:
                texts.pop(f"{group}.{n}.{name}", None)
        for n, row in enumerate([each for each in rows if each]):
            texts |= {f"{group}.{n}.{name}": value for name, value in row.items()}
    return texts


def rows_of(texts: Mapping[str, str]) -> dict[str, range]:
    """Return the rows that a form shows, by group: those with texts, and some empty ones."""
    return {
        group: range(min(most, sum(bool(_row(texts, group, n, names)) for n in range(most)) + _MORE))
        for group, (names, most) in _ROWS.items()
    }


def of(discount: Any) -> dict[str, str]:
    """Return the texts of a discount, as a form shows what is set."""
    texts = {name: _shown(_find(discount, name)) for name in _PLAIN if name not in ("returns_use", "webhook_url")}
    texts |= {"brand_id": discount.brand_id, "codes.kind": discount.codes.kind}
    for field in _OF_KIND.get(discount.codes.kind, ()):
        texts[f"codes.{field}"] = getattr(discount.codes, field, "")
    if texts.get("codes.alphabet") == ALPHABET:
        texts["codes.alphabet"] = ""
    if discount.percent_off is not None:
        texts["percent_off"] = f"{discount.percent_off:g}"
    for name in _MONEY:
        value = getattr(discount, name)
        texts[name] = "" if value is None else fields.plain_money(value, discount.currency)
    for name in _TIMES:
        texts[name] = fields.plain_moment(getattr(discount, name), discount.timezone)
    for name in _LISTS:
        texts[name] = "\n".join(_find(discount, name) or ())
    audience = _find(discount, "audience")
    texts["audience.at"] = "" if audience is None or audience.at == "both" else audience.at
    texts |= _combines(discount) | _limits(discount)
    for n, each in enumerate(_find(discount, "opens") or ()):
        texts |= {f"opens.{n}.from": each.from_, f"opens.{n}.to": each.to}
        texts |= {f"opens.{n}.{day}": "1" for day in each.days}
    if discount.release is not None:
        texts["release.at"] = fields.plain_moment(discount.release.at, discount.timezone)
        texts["release.per_minute"] = str(discount.release.per_minute)
    texts["returns_use"] = "" if discount.returns_use else "false"
    texts["metadata"] = "\n".join(f"{name}={value}" for name, value in discount.metadata.items())
    if discount.codes.kind == "imported":
        # It is the number of codes that were imported.
        texts["total_count"] = ""
    return texts


def body(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the body of a new discount.

    Raises:
        Invalid
    """
    given = {name: value for name, value in texts.items() if value}
    kind = given.get("codes.kind", "unique")
    of_codes = ("codes.kind", *(f"codes.{field}" for field in _OF_KIND.get(kind, ())))
    made = fields.nested(given, "brand_id", *_PLAIN, "audience.at", *of_codes)
    zone = given.get("timezone", "UTC")
    for name in _TIMES:
        if name in given:
            made[name] = fields.moment(given[name], zone, name)
    made |= _prices(given)
    if not any(name in given for name in _MONEY):
        made.pop("currency", None)
    if any(f"combines.{each}" in given for each in CLASSES):
        made["combines"] = [each for each in CLASSES if f"combines.{each}" in given]
    for name in _LISTS:
        if name in given:
            group, _, field = name.partition(".")
            made.setdefault(group, {})[field] = _lines(given[name])
    if set(made.get("audience", ())) == {"at"}:
        del made["audience"]
    limits = fields.nested(given, *(f"limits.{each}" for each in (*_LIMITS, "per_identity", "budget_caps")))
    made |= limits
    # Without a number, a new discount would have one use by each user.
    if texts.get("limits.per_user") == "":
        made.setdefault("limits", {})["per_user"] = None
    for group in _CHANGEABLE_ROWS:
        if found := _rows_in(given, group):
            made.setdefault("limits", {})[group.removeprefix("limits.")] = found
    opens = [{"from": row.get("from", ""), "to": row.get("to", "")} | _days(row) for row in _rows(given, "opens")]
    return made | _release(given, zone) | _metadata(given) | ({"opens": opens} if opens else {})


def changeable(texts: Mapping[str, str]) -> dict[str, str]:
    """Return those texts of a discount that may change."""
    return {name: value for name, value in texts.items() if name in CHANGEABLE or name.startswith(_CHANGEABLE_ROWS)}


def changes(texts: Mapping[str, str], was: Mapping[str, str], zone: str) -> dict[str, Any]:
    """Return the body of a change: the fields whose texts differ from those that the form showed.

    Args:
        zone: the time zone of the discount.

    Raises:
        Invalid
    """
    changed = {name for name in CHANGEABLE if texts.get(name, "") != was.get(name, "")}
    made: dict[str, Any] = {}
    for name in ("discount_code", "total_count"):
        if name in changed:
            made[name] = texts.get(name) or None
    if "discount_code" in made and made["discount_code"] is None:
        raise Invalid("discount_code", "is missing")
    for name in _TIMES:
        if name in changed:
            made[name] = fields.moment(texts[name], zone, name) if texts.get(name) else None
    limits: dict[str, Any] = {
        each: texts.get(f"limits.{each}") or None for each in _LIMITS if f"limits.{each}" in changed
    }
    if "limits.budget_caps" in changed:
        limits["budget_caps"] = texts.get("limits.budget_caps", "false") or "false"
    for group in _CHANGEABLE_ROWS:
        if _rows(texts, group) != _rows(was, group):
            limits[group.removeprefix("limits.")] = _rows_in(texts, group) or None
    if limits:
        made["limits"] = limits
    if changed & {"release.at", "release.per_minute"}:
        made["release"] = _release(texts, zone).get("release")
    if "metadata" in changed:
        made["metadata"] = _metadata(texts).get("metadata", {})
    return made


def _clean(name: str, value: str) -> str:
    lines = value.replace("\r\n", "\n").strip("\n")
    # A value of the metadata may end with a blank.
    return lines if name == "metadata" else lines.strip(" \t")


def _shown(value: Any) -> str:
    return "" if value is None or value is UNSET or value is False else "true" if value is True else str(value)


def _find(discount: Any, name: str) -> Any:
    """Return a value of a discount by its dotted name; None if it is not set."""
    value = discount
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else getattr(value, {"except": "except_"}.get(part, part))
        if value is None or value is UNSET:
            return None
    return value


def _combines(discount: Any) -> dict[str, str]:
    found = _find(discount, "combines") or ()
    return {f"combines.{each}": "1" for each in CLASSES if found == "all" or each in found}


def _limits(discount: Any) -> dict[str, str]:
    limits = discount.limits
    texts = {f"limits.{each}": _shown(_find(limits, each)) for each in (*_LIMITS, "per_identity", "budget_caps")}
    for n, window in enumerate(_find(limits, "windows") or ()):
        texts |= {f"limits.windows.{n}.period": window.period, f"limits.windows.{n}.per_user": str(window.per_user)}
    for n, (currency, most) in enumerate((_find(limits, "amount") or {}).items()):
        texts |= {f"limits.amount.{n}.currency": currency}
        texts |= {f"limits.amount.{n}.most": fields.plain_money(most, currency)}
    return texts


def _prices(given: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _MONEY:
        if name in given:
            if "currency" not in given:
                raise Invalid("currency", "is missing")
            found[name] = fields.money(given[name], given["currency"], name)
    if "percent_off" in given:
        found["percent_off"] = given["percent_off"].replace(",", ".")
    return found


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def _row(texts: Mapping[str, str], group: str, n: int, names: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name in names if (value := texts.get(f"{group}.{n}.{name}", ""))}


def _rows(texts: Mapping[str, str], group: str) -> list[dict[str, str]]:
    names, most = _ROWS[group]
    return [row for n in range(most) if (row := _row(texts, group, n, names))]


def _rows_in(texts: Mapping[str, str], group: str) -> Any:
    """Return the windows or the budget of a body; empty without any."""
    if group == "limits.windows":
        return [{"period": "", "per_user": ""} | row for row in _rows(texts, group)]
    budget: dict[str, int] = {}
    for n, row in enumerate(_rows(texts, group)):
        currency = row.get("currency", "")
        for name in ("currency", "most"):
            if name not in row:
                raise Invalid(f"{group}.{n}.{name}", "is missing")
        if currency in budget:
            raise Invalid(f"{group}.{n}.currency", "is given twice")
        try:
            budget[currency] = fields.money(row["most"], currency, f"{group}.{n}.most")
        except Invalid as error:
            if error.facts["errors"][0].get("pointer") != "/currency":
                raise
            raise Invalid(f"{group}.{n}.currency", error.facts["errors"][0]["detail"]) from None
    return budget


def _days(row: Mapping[str, str]) -> dict[str, Any]:
    """Return the days of a row; all days if none is chosen."""
    days = [day for day in DAYS if day in row]
    return {"days": days} if days else {}


def _release(texts: Mapping[str, str], zone: str) -> dict[str, Any]:
    at, per_minute = texts.get("release.at"), texts.get("release.per_minute")
    if not at and not per_minute:
        return {}
    for name, value in (("at", at), ("per_minute", per_minute)):
        if not value:
            raise Invalid(f"release.{name}", "is missing")
    return {"release": {"at": fields.moment(at or "", zone, "release.at"), "per_minute": per_minute}}


def _metadata(texts: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, str] = {}
    for n, line in enumerate(_lines(texts.get("metadata", "")), 1):
        name, sign, value = line.partition("=")
        if not sign or not re.fullmatch(r"\S+", name):
            raise Invalid("metadata", f"has no name and = in line {n}")
        if name in found:
            raise Invalid("metadata", f"has the name {name} twice")
        found[name] = value
    return {"metadata": found} if found else {}
