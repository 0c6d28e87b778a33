"""The tables of settings in doc/settings.md, made from `discount/config.py`, `make run` and docker-compose.yml."""

import re
from pathlib import Path
from typing import Any

from msgspec import inspect

from discount.config import Settings
from discount.local.launch import defaults_of_run

_TABLES = re.compile(r"(?<=<!-- settings -->\n).*(?=<!-- end of settings -->)", re.DOTALL)
_HEAD = "| setting | default | values | meaning |\n|---|---|---|---|\n"
_COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
#: The first setting of each section, in the order of the fields.
SECTIONS = {
    "host": "Server",
    "redis_url": "Redis",
    "auth": "Access",
    "rate_key": "Rates and quotas",
    "smtp_url": "E-mails and webhooks",
    "event_days": "Worker",
}
#: What `make run` starts, or finds out, where nothing is set.
_STARTED = {
    "redis_url": "its own Redis in `make run`",
    "smtp_url": "the sink in `make run`",
    "public_url": "where it listens in `make run`",
    "ledger_url": "`DATA/ledger.db` in `make run`",
}


def describe() -> str:
    """Return one table for each section: each setting with its defaults, values and meaning."""
    lines = []
    run, compose = _run_defaults(), _compose_defaults()
    for field in inspect.type_info(Settings).fields:  # type: ignore[attr-defined]
        if field.name in SECTIONS:
            lines.append(f"\n## {SECTIONS[field.name]}\n\n{_HEAD}")
        default = _default(field, run.get(field.name, ""), compose.get(field.name, ""))
        lines.append(f"| `{field.name.upper()}` | {default} | {_values(field.type)} | {_meaning(field.type)} |\n")
    return "".join(lines)


def renew(page: str) -> str:
    """Return the page with its tables renewed."""
    return _TABLES.sub(lambda _: describe() + "\n", page)


def _run_defaults() -> dict[str, str]:
    """Return the settings that `make run` sets, by field. Some are set only while the service is open."""
    with_tokens = defaults_of_run("token")
    return _STARTED | {
        name.lower(): f"`{value}` in `make run`" + ("" if name in with_tokens else " with `AUTH=open`")
        for name, value in defaults_of_run("open").items()
    }


def _compose_defaults() -> dict[str, str]:
    """Return the settings that docker-compose.yml sets, by field."""
    lines = re.findall(r"^      ([A-Z_]+): (.+)$", _COMPOSE.read_text(encoding="utf-8"), re.MULTILINE)
    defaults = {name.lower(): re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value) for name, value in lines}
    return {name: f"`{value}` in compose" for name, value in defaults.items() if value}


def _default(field: Any, run: str, compose: str) -> str:
    default = "" if field.default in ("", None) else f"`{_text(field.default)}`"
    # Compose differs only where its value is another one.
    others = [other for other in (run, compose) if other and not other.startswith(f"{default} in")]
    return "; ".join(([default] if default else []) + others) or "none"


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool | float) and value == int(value) else str(value)


def _values(kind: Any) -> str:
    kind = kind.type if isinstance(kind, inspect.Metadata) else kind
    # An optional number comes before its None.
    match kind.types[0] if isinstance(kind, inspect.UnionType) else kind:
        case inspect.IntType(ge=least, le=most):
            return f"{least} to {most}"
        case inspect.FloatType(gt=least, le=most):
            return f"more than {least:g}, at most {most:g}"
        case inspect.LiteralType(values=values):
            return ", ".join(f"`{value}`" for value in values)
        case inspect.BoolType():
            return "`0`, `1`"
    return ""


def _meaning(kind: Any) -> str:
    return str(kind.extra_json_schema["description"])
