"""Shapes of health checks."""

from msgspec import UNSET

from discount.api.schemas.common import Missing, Shape


class Ready(Shape):
    """The readiness of the service, and the partitions that it cannot reach."""

    ready: bool
    missing: Missing = UNSET
