"""What every command runs in: Redis, and one line on what is wrong."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from discount import embedded
from discount.config import SettingsError, read_settings
from discount.embedded import NoRedisError
from discount.errors import Refusal
from discount.store import LayoutError, Store
from discount.store.quotas import Quotas


@contextmanager
def one_line() -> Iterator[None]:
    """Whatever is wrong is told in one line, and the exit code is 1."""
    try:
        yield
    except Refusal as error:
        sys.exit(f"discount: {error.word}: {error.detail}")
    except (SettingsError, NoRedisError, LayoutError) as error:
        sys.exit(f"discount: {error}")


def open_store(secret: str | None = None) -> Store:
    """The Redis of REDIS_URL, or the one that `discount run` has.

    Args:
        secret: the one that its data must be used with, for commands that need it.

    Raises:
        SettingsError, LayoutError, Unavailable
    """
    settings = read_settings()
    url = settings.redis_url
    if not os.environ.get("REDIS_URL"):
        url = embedded.address_of(Path(settings.data)) or url
    try:
        store = Store.at(url, settings.redis_timeout, settings.partitions, secret=secret)
    except ValueError as error:
        raise SettingsError(f"REDIS_URL: {error}") from None
    store.quotas = Quotas(settings.quotas)
    store.prepare()
    return store
