"""discount.api.schemas.health"""

from discount.api.schemas.common import Shape


class Ready(Shape):
    """Whether the service can serve."""

    ready: bool
