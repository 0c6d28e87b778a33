"""The web application, put together from settings, store and routes."""

from functools import partial

from flask import Flask

from discount import __version__, logs
from discount.api.contract import Contract, Endpoint
from discount.api.fast_path import FastPath
from discount.api.flask_app import make_app
from discount.api.gate import Gate
from discount.api.long_calls import LongCalls, Places
from discount.api.middleware import RequestMiddleware
from discount.api.routes import (
    brands,
    codes,
    deliveries,
    discounts,
    docs,
    events,
    grants,
    health,
    history,
    redemptions,
    tokens,
    user_lists,
    users,
    waits,
    webhooks,
)
from discount.api.routes.webhooks import CheckUrl
from discount.config import Settings
from discount.console.serve import add_console
from discount.dialects import brand_pools, coupons, greeting, personal_codes, readable_codes
from discount.environment import read_settings
from discount.ledger import positions
from discount.ledger.database import Database
from discount.ledger.history import History
from discount.ledger.past_redemptions import PastRedemptions
from discount.redis_access import connect, make_ready
from discount.security import url_policy
from discount.security.openid import OpenId
from discount.security.signing import Signer
from discount.security.tokens import Tokens
from discount.security.user_tokens import UserTokens
from discount.services import tallies
from discount.store.connection import Store
from discount.store.rate_limits import Rates


def create_app(settings: Settings | None = None, store: Store | None = None) -> Flask:
    """Return the WSGI application.

    Args:
        settings: read from the environment if not given.
        store: made from the settings if not given. Redis may start later.

    Raises:
        SettingsError, LayoutError: with one line on what is wrong.
    """
    settings = settings or read_settings()
    if store is None:
        logs.configure(settings)
        store = _open_store(settings)
    make_ready(store, settings)
    limits = {"key": settings.rate_key, "user": settings.rate_user, "address": settings.rate_address}
    rates = Rates(store, limits)
    user_tokens = UserTokens(
        secret=settings.jwt_secret,
        jwks_url=settings.jwks_url,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )
    callers = Tokens(store, user_tokens, admin_key=settings.admin_key, secret=settings.secret)
    gate = Gate(
        store,
        callers,
        rates,
        is_open=settings.auth == "open",
        loopback=not settings.allow_open,
        proxies=settings.proxies,
    )
    make_places = partial(Places, settings.long_calls, settings.long_calls_per_brand, settings.long_calls_per_key)
    contract = Contract()
    signatures = Signer(store, settings.secret)
    check_url = partial(url_policy.check_url, url_policy.policy(loopback=settings.webhook_loopback))
    health.add_routes(contract, store)
    discounts.add_routes(contract, store, signatures, check_url)
    grants.add_routes(contract, store, signatures)
    codes.add_routes(contract, store)
    for noun in (waits, redemptions):
        noun.add_routes(contract, store, signatures)
    brands.add_routes(contract, store, settings.secret)
    tokens.add_routes(contract, callers, store)
    users.add_routes(contract, store, signatures)
    user_lists.add_routes(contract, store)
    webhooks.add_routes(contract, store, signatures, check_url)
    events.add_routes(contract, store, make_places())
    deliveries.add_routes(contract, store)
    past = History.at(settings.ledger_url)
    if settings.ledger_url:
        store.past = PastRedemptions(past.database)
    history.add_routes(contract, store, past)
    _add_dialects(contract, store, settings.enabled_dialects, check_url)
    long_calls = LongCalls(make_places(), store.seconds_in_redis)
    endpoints = [Endpoint(operation, gate, long_calls) for operation in contract.operations]
    app = make_app(endpoints)
    app.extensions["contract"] = contract
    app.extensions["store"] = store
    docs.add_routes(app, contract.operations, __version__, console=settings.console == "on")
    if settings.console == "on":
        add_console(
            app,
            endpoints,
            store,
            gate=gate,
            tokens=callers,
            signatures=signatures,
            ledger=bool(settings.ledger_url),
            worker_away=settings.worker_away,
            is_open=settings.auth == "open",
            proxies=settings.proxies,
            public_url=settings.public_url,
            openid=_openid(settings),
        )
    app.wsgi_app = RequestMiddleware(app.wsgi_app, FastPath(endpoints))  # type: ignore[method-assign]
    return app


def _openid(settings: Settings) -> OpenId | None:
    if not settings.oidc_issuer:
        return None
    return OpenId(settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret, settings.oidc_claim)


def _open_store(settings: Settings) -> Store:
    store = connect(settings)
    if settings.ledger_url:
        # Without a ledger nothing reads them.
        tallies.start(store)
        store.watch_starts(partial(positions.find_whole, store, Database(settings.ledger_url)))
    return store


def _add_dialects(contract: Contract, store: Store, enabled: frozenset[str], check_url: CheckUrl) -> None:
    if enabled == {"personal-codes"}:
        greeting.add_root(contract)
    if not enabled.isdisjoint(("brand-pools", "coupons")):
        greeting.add_routes(contract)
    if "brand-pools" in enabled:
        brand_pools.add_routes(contract, store)
    if "readable-codes" in enabled:
        readable_codes.add_routes(contract, store)
    if "coupons" in enabled:
        coupons.add_routes(contract, store)
    if "personal-codes" in enabled:
        personal_codes.add_routes(contract, store, check_url)
