"""Adds the console to the web application."""

from collections.abc import Sequence

from flask import Flask

from discount.api.contract import Endpoint
from discount.api.gate import Gate
from discount.console.frame import Frame
from discount.console.routes import discounts, overview, sign_in
from discount.console.sessions import Sessions
from discount.security.signing import Signer
from discount.security.tokens import Tokens


def add_console(
    app: Flask,
    endpoints: Sequence[Endpoint],
    gate: Gate,
    tokens: Tokens,
    signatures: Signer,
    *,
    is_open: bool,
    proxies: int,
    public_url: str,
) -> None:
    """Serve the console below `/console`.

    Args:
        endpoints: the operations of the API, which the pages call.
        is_open: whether the service asks nobody for a token.
        proxies: how many proxies are in front of the service.
        public_url: where people reach the service, or an empty text.
    """
    sessions = Sessions(signatures.session_key, tokens)
    frame = Frame(app, endpoints, gate, sessions, is_open=is_open, proxies=proxies, public_url=public_url)
    sign_in.add_routes(frame, app)
    overview.add_routes(frame)
    discounts.add_routes(frame)
