"""The service that commands act for: its settings and its Redis."""

import os
import re
from pathlib import Path

from discount.config import Settings, SettingsError
from discount.environment import read_settings
from discount.local import redis_server
from discount.local.launch import defaults_of_run, ledger_in
from discount.store.connection import Store
from discount.store.quotas import Quotas


def find_settings() -> Settings:
    """Return the settings of the service that commands act for.

    If REDIS_URL is not set, these are the settings of the `discount run` that uses DATA, if there is one.

    Raises:
        SettingsError
    """
    settings = read_settings()
    if os.environ.get("REDIS_URL"):
        return settings
    url = redis_server.address_of(Path(settings.data))
    if url is None:
        return settings
    environment = {name: value for name, value in os.environ.items() if value}
    return read_settings(
        {"LEDGER_URL": ledger_in(settings.data)} | defaults_of_run(settings.auth) | environment | {"REDIS_URL": url}
    )


def open_store(settings: Settings | None = None, *, any_secret: bool = False) -> Store:
    """Connect to the service's Redis.

    Args:
        any_secret: accept a SECRET that differs from the one that the data was made with.

    Raises:
        SettingsError, LayoutError, Unavailable
    """
    settings = settings or find_settings()
    try:
        secret = None if any_secret else settings.secret or None
        store = Store.at(
            settings.redis_url,
            settings.redis_timeout,
            settings.partitions,
            secret=secret,
            password=settings.redis_password,
        )
    except ValueError as error:
        raise SettingsError(f"REDIS_URL: {error}") from None
    store.quotas = Quotas(settings.quotas)
    store.set_durability(settings.durability, settings.durability_replicas)
    store.prepare()
    return store


def describe_redis() -> str:
    """Return a sentence on which Redis commands use, without its password, and how to choose another."""
    settings = find_settings()
    # The password is before an @ or in the query.
    address = f"The address is {re.sub('//.*@', '//', settings.redis_url).partition('?')[0]}"
    if os.environ.get("REDIS_URL"):
        return f"{address}, from REDIS_URL."
    folder = Path(settings.data).resolve()
    return (
        f"{address}: REDIS_URL is not set, and no `discount run` uses {folder}."
        " Start one, or use the DATA or the working directory of the one that is running."
    )
