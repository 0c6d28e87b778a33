"""Adds the console to the web application."""

from collections.abc import Sequence
from functools import partial

from flask import Flask

from discount.api.contract import Endpoint
from discount.api.gate import Gate
from discount.console import system
from discount.console.frame import Frame
from discount.console.routes import (
    brand_settings,
    brands,
    changes,
    codes,
    deliveries,
    discounts,
    edits,
    many_discounts,
    new_discounts,
    overview,
    sign_in,
    users,
    waits,
)
from discount.console.sessions import Sessions
from discount.security.openid import OpenId
from discount.security.signing import Signer
from discount.security.tokens import Tokens
from discount.services import delivery_lanes, workers
from discount.store.connection import Store


def add_console(
    app: Flask,
    endpoints: Sequence[Endpoint],
    store: Store,
    *,
    gate: Gate,
    tokens: Tokens,
    signatures: Signer,
    ledger: bool,
    worker_away: float,
    is_open: bool,
    proxies: int,
    public_url: str,
    openid: OpenId | None,
) -> None:
    """Serve the console below `/console`.

    Args:
        endpoints: the operations of the API, which the pages call.
        store: for the state of the installation.
        ledger: whether the service has one.
        worker_away: seconds without a sign of a worker after which the pages say that none is running.
        is_open: whether the service asks nobody for a token.
        proxies: how many proxies are in front of the service.
        public_url: where people reach the service, or an empty text.
        openid: where people may sign in besides with keys.
    """
    sessions = Sessions(signatures.session_key, tokens)
    zone_of = partial(system.zone_of, store)
    frame = Frame(
        app, endpoints, gate, sessions, zone_of=zone_of, is_open=is_open, proxies=proxies, public_url=public_url
    )
    sign_in.add_routes(frame, app, openid)
    overview.add_routes(frame)
    discounts.add_routes(frame)
    many_discounts.add_routes(frame)
    new_discounts.add_routes(frame)
    edits.add_routes(frame)
    waits.add_routes(frame)
    codes.add_routes(frame)
    users.add_routes(frame)
    deliveries.add_routes(frame, partial(delivery_lanes.list_waiting, store))
    changes.add_routes(frame)
    brand_settings.add_routes(frame)
    describe = partial(system.describe, store, ledger=ledger)
    brands.add_routes(frame, describe, partial(workers.are_away, store), worker_away)
