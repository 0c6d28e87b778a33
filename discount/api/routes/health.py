"""Routes of health checks and metrics."""

from discount import metrics
from discount.api.contract import Contract, ViewResult
from discount.api.schemas.common import missing_out
from discount.api.schemas.health import Ready
from discount.api.streaming import Stream
from discount.services.partitions import ask_each
from discount.store import keys
from discount.store.connection import Store


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of health checks and metrics."""

    @contract.declare("GET", "/healthy", tag="health", answers={200: None}, produces=("text/plain",), fast_path=True)
    def show_health() -> ViewResult:
        """Answer OK while the process runs."""
        return Stream([b"OK"], "text/plain; charset=utf-8")

    @contract.declare("GET", "/ready", tag="health", answers={200: Ready})
    def show_readiness() -> ViewResult:
        """Check that Redis answers; 503 while none of it can be reached, or it is loading."""
        _, missing = ask_each(store, lambda partition: ("EXISTS", keys.installation(partition)))
        return Ready(True, missing_out(missing)), 200

    @contract.declare("GET", "/metrics", tag="health", answers={200: None}, produces=("text/plain",))
    def show_metrics() -> ViewResult:
        """Show metrics for Prometheus. The proxy does not publish them."""
        return Stream([metrics.exposition()], metrics.CONTENT_TYPE)
