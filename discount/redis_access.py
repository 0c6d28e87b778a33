"""Access to Redis, for the processes that serve: a store made from the settings, and made ready."""

from functools import partial

from structlog import get_logger

from discount import metrics
from discount.config import Settings
from discount.domain.errors import Unavailable
from discount.store import replicas
from discount.store.connection import Store
from discount.store.quotas import Quotas


def connect(settings: Settings) -> Store:
    """Return the store that the settings name. It counts its exchanges, and Redis may start later."""
    return Store.at(
        settings.redis_url,
        settings.redis_timeout,
        settings.partitions,
        metrics.ROUND_TRIPS.inc,
        settings.secret,
        password=settings.redis_password,
    )


def make_ready(store: Store, settings: Settings) -> None:
    """Set the store's quotas and durability, and check what Redis holds.

    Raises:
        LayoutError: with one line on what does not fit.
    """
    store.quotas = Quotas(settings.quotas)
    store.set_durability(settings.durability, settings.durability_replicas)
    store.nodes.report_to(partial(metrics.show_unreachable, settings.partitions))
    try:
        store.prepare()
    except Unavailable as error:
        # The store prepares itself once Redis can be reached.
        get_logger().warning("Redis is unavailable", detail=error.detail)
    for problem in replicas.problems(store.nodes):
        get_logger().warning("answers cannot be made safe", detail=problem)
