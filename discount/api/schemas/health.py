"""Shapes of health checks."""

from discount.api.schemas.common import Shape


class Ready(Shape):
    """Whether the service can answer requests."""

    ready: bool
