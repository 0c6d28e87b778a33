"""The environment: the settings are read from it once and checked."""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

import msgspec

from discount.config import DIALECTS, SECRETS, Settings, SettingsError
from discount.domain import reasons
from discount.domain.rates import read_rate


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in the environment; an empty variable counts as not set.

    Raises:
        SettingsError: names the variable and says what is wrong with it.
    """
    given = {name: environment[name.upper()] for name in Settings.__struct_fields__ if environment.get(name.upper())}
    for name in SECRETS:
        path = environment.get(f"{name.upper()}_FILE")
        if path:
            given[name] = _read_secret(name.upper(), path, name in given)
    try:
        settings = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        # The value is not passed on: the reason could repeat it, and it may be a secret.
        pointer, reason = reasons.explain(error, Settings, None, text=True)
        name = pointer.lstrip("/")
        # A URL may contain a password, and this line is logged.
        shown = "***" if name in SECRETS else re.sub(r"//[^@/]*@", "//***@", given.get(name, ""))
        raise SettingsError(f"{name.upper()}={shown!r}: {reason}") from None
    _check_rates(settings)
    _check_dialects(settings)
    _check_days(settings)
    _check_access(settings)
    _check_openid(settings)
    return settings


def _read_secret(variable: str, path: str, given: bool) -> str:
    if given:
        raise SettingsError(f"{variable} and {variable}_FILE: set only one of them")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}_FILE={path!r}: {getattr(error, 'strerror', None) or 'is not text'}") from None


def _check_rates(settings: Settings) -> None:
    for name in ("rate_key", "rate_user", "rate_address"):
        text = getattr(settings, name)
        try:
            if text != "off":
                read_rate(text)
        except ValueError:
            raise SettingsError(f"{name.upper()}={text!r}: must be `off` or a rate such as `100/minute`") from None


def _check_dialects(settings: Settings) -> None:
    unknown = sorted(settings.enabled_dialects.difference(DIALECTS))
    if unknown:
        known = ", ".join(DIALECTS)
        raise SettingsError(
            f"DIALECTS={settings.dialects!r}: {unknown[0]!r} is unknown; allowed are {known}, or `off` alone"
        )


def _check_days(settings: Settings) -> None:
    # A user's events are found by the user's uses when the user is forgotten.
    for name in ("use_days", "redemption_days"):
        days = getattr(settings, name)
        if days is not None and days <= settings.event_days:
            least = f"must be more than EVENT_DAYS, which is {settings.event_days}"
            raise SettingsError(f"{name.upper()}='{days}': {least}")


def _check_access(settings: Settings) -> None:
    if settings.admin_key and settings.admin_key == settings.secret:
        raise SettingsError("ADMIN_KEY and SECRET: must differ")
    if settings.auth == "open":
        address = settings.address or settings.host
        if not settings.allow_open and not _is_loopback(address):
            raise SettingsError(
                f"AUTH='open': anyone who reaches {address} could do anything;"
                " set AUTH=token, or ALLOW_OPEN=1 if you mean it"
            )
        return
    for name in ("admin_key", "secret"):
        if not getattr(settings, name):
            raise SettingsError(f"{name.upper()}: is needed with AUTH=token; 32 characters or more")
    if settings.jwt_secret and settings.jwks_url:
        raise SettingsError("JWT_SECRET and JWKS_URL: set only one of them")
    if settings.jwt_secret or settings.jwks_url:
        for name in ("jwt_audience", "jwt_issuer"):
            if not getattr(settings, name):
                raise SettingsError(f"{name.upper()}: is needed to verify users' tokens")


def _check_openid(settings: Settings) -> None:
    if not settings.oidc_issuer:
        return
    for name in ("oidc_client_id", "oidc_client_secret"):
        if not getattr(settings, name):
            raise SettingsError(f"{name.upper()}: is needed with OIDC_ISSUER")
    if settings.auth == "open":
        raise SettingsError("OIDC_ISSUER: nobody signs in at an open service; set AUTH=token")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
