"""HTML pages, rendered from `discount/api/templates`."""

from typing import Any

from jinja2 import Environment, PackageLoader

_TEMPLATES = Environment(loader=PackageLoader("discount.api"), autoescape=True)


def render(template: str, **values: Any) -> bytes:
    """Render a template with values; text in them is escaped."""
    return _TEMPLATES.get_template(template).render(**values).encode()
