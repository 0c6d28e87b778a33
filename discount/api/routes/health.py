"""Routes of health and figures."""

from flask import Response

from discount import metrics
from discount.api.contract import Contract, ViewResult
from discount.api.schemas.health import Ready
from discount.store.connection import Store


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of health."""

    @contract.declare("GET", "/healthy", tag="health", answers={200: None}, also=("text/plain",))
    def show_health() -> ViewResult:
        """OK while the process lives."""
        return Response("OK", content_type="text/plain; charset=utf-8")

    @contract.declare("GET", "/ready", tag="health", answers={200: Ready})
    def show_readiness() -> ViewResult:
        """Whether Redis answers; 503 while it is away or loading."""
        store.command("PING")
        return Ready(ready=True), 200

    @contract.declare("GET", "/metrics", tag="health", answers={200: None}, also=("text/plain",))
    def show_metrics() -> ViewResult:
        """Figures for Prometheus; the proxy does not let them out."""
        return Response(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
