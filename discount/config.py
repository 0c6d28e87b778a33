"""Settings: read once from the environment, checked, frozen, passed down as a value."""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class SettingsError(Exception):
    """A setting that cannot be used; the message is one line for the person who set it."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be set. Each field is read from the variable of its name in upper case."""

    redis_url: Annotated[str, Meta(pattern=r"^(rediss?|unix)://")] = "redis://127.0.0.1:6379/0"
    redis_timeout: Annotated[float, Meta(gt=0, le=60)] = 1.0
    partitions: Annotated[int, Meta(ge=1, le=256)] = 16
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    workers: Annotated[int, Meta(ge=1, le=256)] = 2
    threads: Annotated[int, Meta(ge=1, le=256)] = 4
    data: Annotated[str, Meta(min_length=1)] = "./var"
    proxies: Annotated[int, Meta(ge=0, le=8)] = 0
    log_format: Literal["json", "text"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the environment gives; an empty variable counts as not set.

    Raises:
        SettingsError: naming the variable and what is wrong with it.
    """
    given = {name: environment[name.upper()] for name in Settings.__struct_fields__ if environment.get(name.upper())}
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        name = path.rstrip("`").upper()
        # A URL may hold a password, and this line goes to a log.
        shown = re.sub(r"//[^@/]*@", "//***@", given.get(name.lower(), ""))
        raise SettingsError(f"{name}={shown!r}: {reason}") from None
