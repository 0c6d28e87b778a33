"""Shapes of health checks."""

from discount.api.schemas.common import Shape


class Ready(Shape):
    """The readiness of the service."""

    ready: bool
