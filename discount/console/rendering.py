"""Renders the pages from `discount/console/templates`. Everything in a value is text, whatever it contains."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from discount import __version__
from discount.api import texts
from discount.api.problems import TITLES
from discount.console import reasons
from discount.console.languages import Language
from discount.domain import model


@cache
def _environment(language: Language) -> Environment:
    environment = Environment(
        loader=PackageLoader("discount.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        language.gettext, language.ngettext, newstyle=True
    )
    environment.filters |= {
        "number": language.number,
        "percent": language.percent,
        "money": language.money,
        "moment": lambda value, zone, seconds=False: _time(language, value, zone, seconds=seconds),
        "clock": lambda value, zone: language.clock(_datetime(value), zone),
        "day": lambda value, zone: language.day(_datetime(value), zone),
    }
    environment.filters["union"] = lambda one, other: one | other
    environment.filters["reason"] = lambda text: reasons.in_language(text, language)
    environment.globals |= {"language": language, "static": static, "title_of": partial(title_of, language=language)}
    environment.globals |= {"reason_of": reason_of, "is_used": is_used, "field_of": field_of}
    return environment


def render(template: str, language: Language, values: dict[str, Any]) -> str:
    """Render a template in a language."""
    return _environment(language).get_template(template).render(values)


def title_of(slug: str, language: Language) -> str:
    """Return the title of a problem in a language."""
    return language.gettext(texts.title(slug, TITLES.get(slug, slug), language.tag))


def reason_of(problem: Any, name: str) -> str:
    """Return why a field, or an entry of it, was refused; an empty text if it was not."""
    found = {} if problem is None else problem.fields
    return next((str(reason) for field, reason in found.items() if _is_in(field, name)), "")


def is_used(form: Mapping[str, str], problem: Any, names: Sequence[str]) -> bool:
    """Return whether one of the fields has a text, or was refused."""
    return any(
        reason_of(problem, name) or any(text and _is_in(field, name) for field, text in form.items()) for name in names
    )


def field_of(labels: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """Return the field of a form that a reason is about, and its label; None if the form has none.

    The label of a field in rows has no number: `opens.from` is that of `opens.0.from`.
    """
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        field = re.sub(r"(\.\d+)+$", "", ".".join(parts[:length]))
        label = labels.get(re.sub(r"\.\d+", "", field))
        if label is not None:
            return field, label
    return None


def _is_in(field: str, name: str) -> bool:
    return field == name or field.startswith(f"{name}.")


@cache
def static(name: str) -> str:
    """Return the address of a static file; it changes with the file, so that browsers may keep it."""
    content = (resources.files("discount.console") / "static" / name).read_bytes()
    return f"/console/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


@cache
def fingerprint() -> str:
    """Return a text that differs between versions of the pages."""
    templates = resources.files("discount.console") / "templates"
    whole = b"".join(each.read_bytes() for each in sorted(templates.iterdir(), key=lambda each: each.name))
    return hashlib.sha256(__version__.encode() + whole).hexdigest()[:12]


def _datetime(value: datetime | int) -> datetime:
    return model.to_time(value) if isinstance(value, int) else value


def _time(language: Language, value: datetime | int | None, zone: str, *, seconds: bool) -> Markup:
    """Return a time as an element that programs can read, too; a dash for none."""
    if value is None:
        return Markup("–")
    time = _datetime(value)
    shown = language.moment(time, zone, seconds=seconds)
    return Markup('<time datetime="{}">{}</time>').format(time.strftime("%Y-%m-%dT%H:%M:%SZ"), shown)
