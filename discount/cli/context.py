"""What commands talk to: the Redis of the service, and what the service itself is set to."""

import os
import re
from pathlib import Path

from discount.config import Settings, SettingsError, read_settings
from discount.local import redis_server
from discount.local.launch import defaults_of_run
from discount.store.connection import Store
from discount.store.quotas import Quotas


def find_settings() -> Settings:
    """The settings of the service that commands act for.

    Where REDIS_URL is not set, they are those that `discount run` has, if one is at work in DATA.

    Raises:
        SettingsError
    """
    settings = read_settings()
    if os.environ.get("REDIS_URL"):
        return settings
    url = redis_server.address_of(Path(settings.data))
    if url is None:
        return settings
    given = {name: value for name, value in os.environ.items() if value}
    return read_settings(defaults_of_run(settings.auth) | given | {"REDIS_URL": url})


def open_store(settings: Settings | None = None, *, any_secret: bool = False) -> Store:
    """Open the Redis of the service. A SECRET that is set must be the one in use there, unless any will do.

    Raises:
        SettingsError, LayoutError, Unavailable
    """
    settings = settings or find_settings()
    try:
        secret = None if any_secret else settings.secret or None
        store = Store.at(settings.redis_url, settings.redis_timeout, settings.partitions, secret=secret)
    except ValueError as error:
        raise SettingsError(f"REDIS_URL: {error}") from None
    store.quotas = Quotas(settings.quotas)
    store.prepare()
    return store


def whereabouts() -> str:
    """Which Redis commands look for, without its password, and what to do if that is not the one that is meant."""
    settings = find_settings()
    # A password may stand before an @, or in the query.
    told = f"The address is {re.sub('//.*@', '//', settings.redis_url).partition('?')[0]}"
    if os.environ.get("REDIS_URL"):
        return f"{told}, from REDIS_URL."
    folder = Path(settings.data).resolve()
    return (
        f"{told}: REDIS_URL is not set, and no `discount run` is at work in {folder}."
        " Start one, or set DATA or the working directory to those of the one that is meant."
    )
