"""Renders the pages from `discount/console/templates`. Everything in a value is text, whatever it contains."""

import hashlib
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from discount import __version__
from discount.api.problems import TITLES
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
    environment.globals |= {"language": language, "static": static, "title_of": lambda slug: TITLES.get(slug, slug)}
    return environment


def render(template: str, language: Language, values: dict[str, Any]) -> str:
    """Render a template in a language."""
    return _environment(language).get_template(template).render(values)


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
