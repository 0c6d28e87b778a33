"""Settings: read once from the environment, checked, frozen, passed down as a value."""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

import limits
import msgspec
from msgspec import Meta

from discount.domain import reasons
from discount.domain.reasons import told


class SettingsError(Exception):
    """A setting that cannot be used; the message is one line for the person who set it."""


#: Never shown, not even in the line that says what is wrong with one.
SECRETS = ("admin_key", "secret", "jwt_secret", "smtp_url")
#: The interfaces of earlier services that can be spoken besides our own.
DIALECTS = ("brand-pools", "readable-codes", "coupons", "personal-codes")
QuotaText = Annotated[
    str, Meta(pattern=told(r"^(off|[0-9]{1,15})$(?!\n)", "[^0-9of]", "`off` or a whole number is expected"))
]
Secret = Annotated[str, Meta(min_length=32)]
# What `Authorization: Bearer` can carry (RFC 6750).
AdminKey = Annotated[
    str,
    Meta(
        min_length=32,
        pattern=told(
            r"^[A-Za-z0-9._~+/-]+=*$(?!\n)",
            "[^A-Za-z0-9._~+/=-]",
            "the letters A-Z and a-z, digits and . _ ~ + / - may stand there, and = at the end:"
            " a bearer token has no others",
        ),
    ),
]


def _url(pattern: str, beginnings: str) -> str:
    return told(pattern, "[^!-~]", f"a URL is expected that begins with {beginnings}")


_PAUSES = told(
    r"^\d+(\.\d+)?(,\d+(\.\d+)?)*$(?!\n)", "[^0-9.,]", "seconds with commas between them are expected, such as 5,60,300"
)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be set. Each field is read from the variable of its name in upper case.

    A secret is read from the file that its variable with `_FILE` names, if that is set instead.
    """

    redis_url: Annotated[str, Meta(pattern=_url("^(rediss?|unix)://", "redis://, rediss:// or unix://"))] = (
        "redis://127.0.0.1:6379/0"
    )
    redis_timeout: Annotated[float, Meta(gt=0, le=60)] = 1.0
    partitions: Annotated[int, Meta(ge=1, le=256)] = 16
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    workers: Annotated[int, Meta(ge=1, le=256)] = 2
    threads: Annotated[int, Meta(ge=1, le=256)] = 4
    #: Calls that take long, which one process answers at a time besides all others: in all, of a brand, of a key.
    long_calls: Annotated[int, Meta(ge=1, le=256)] = 8
    long_calls_per_brand: Annotated[int, Meta(ge=1, le=256)] = 4
    long_calls_per_key: Annotated[int, Meta(ge=1, le=256)] = 2
    data: Annotated[str, Meta(min_length=1)] = "./var"
    proxies: Annotated[int, Meta(ge=0, le=8)] = 0
    log_format: Literal["json", "text"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    auth: Literal["open", "token"] = "open"
    allow_open: bool = False
    #: Where callers reach the service, if not at `host`: behind a proxy, out of a container.
    address: str = ""
    admin_key: AdminKey = ""
    #: What API keys are hashed with.
    secret: Secret = ""
    jwt_secret: Secret = ""
    jwks_url: Annotated[str, Meta(pattern=_url("^https?://", "https:// or http://"))] = ""
    jwt_audience: str = ""
    jwt_issuer: str = ""
    #: The mail server; without one no e-mails are sent.
    smtp_url: Annotated[str, Meta(pattern=_url(r"^(smtps?|smtp\+plain)://", "smtp://, smtps:// or smtp+plain://"))] = ""
    mail_from: Annotated[str, Meta(min_length=3, max_length=200)] = "Discounts <discounts@localhost.invalid>"
    #: Where users reach the service, for links in e-mails.
    public_url: Annotated[str, Meta(pattern=_url("^(https?://[!-~]+)?$(?!\n)", "https:// or http://"))] = ""
    #: Seconds that one call to a webhook may take in all.
    webhook_timeout: Annotated[float, Meta(gt=0, le=60)] = 10
    #: Seconds after the first try, the second, and so on; the tries end after three days at the latest.
    webhook_pauses: Annotated[str, Meta(pattern=_PAUSES)] = "5,60,300,1800,7200,18000,36000,43200,43200,43200,43200"
    #: Days of failing after which a webhook is switched off.
    webhook_off_after: Annotated[float, Meta(gt=0, le=365)] = 5
    #: Lets webhooks be on this machine, and without TLS: for trying it out, and for tests.
    webhook_loopback: bool = False
    event_days: Annotated[int, Meta(ge=4, le=365)] = 7
    #: Days for which uses are kept; for good where none are given.
    use_days: Annotated[int, Meta(ge=7, le=3650)] | None = None
    remind_days: Annotated[float, Meta(gt=0, le=365)] = 3
    #: Webhook calls, and e-mails, that one worker makes at the same time.
    senders: Annotated[int, Meta(ge=1, le=256)] = 16
    mail_senders: Annotated[int, Meta(ge=1, le=256)] = 4
    worker_port: Annotated[int, Meta(ge=0, le=65535)] = 8001
    rate_key: str = "60000/minute"
    rate_user: str = "120/minute"
    rate_address: str = "6000/minute"
    #: How much a brand may have that has no quotas of its own; `off` for no bound.
    quota_discounts: QuotaText = "100000"
    quota_codes: QuotaText = "1000000000"
    quota_grants_a_day: QuotaText = "10000000"
    quota_emails_a_day: QuotaText = "10000"
    quota_stored_bytes: QuotaText = "10000000000"
    dialects: str = ",".join(DIALECTS)

    @property
    def enabled_dialects(self) -> frozenset[str]:
        """The dialects that are on."""
        return frozenset() if self.dialects == "off" else frozenset(map(str.strip, self.dialects.split(",")))

    @property
    def quotas(self) -> dict[str, str]:
        """The quotas by name, each a number or `off`."""
        names = (name for name in self.__struct_fields__ if name.startswith("quota_"))
        return {name.removeprefix("quota_"): getattr(self, name) for name in names}

    @property
    def pauses(self) -> tuple[float, ...]:
        """`webhook_pauses` as numbers."""
        return tuple(map(float, self.webhook_pauses.split(",")))


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the environment gives; an empty variable counts as not set.

    Raises:
        SettingsError: naming the variable and what is wrong with it.
    """
    given = {name: environment[name.upper()] for name in Settings.__struct_fields__ if environment.get(name.upper())}
    for name in SECRETS:
        path = environment.get(f"{name.upper()}_FILE")
        if path:
            given[name] = _read_secret(name.upper(), path, name in given)
    try:
        settings = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        # Without the values: a reason may repeat one, and it may be a secret.
        pointer, reason = reasons.explain(error, Settings, None, text=True)
        name = pointer.lstrip("/")
        # A URL may hold a password, and this line goes to a log.
        shown = "***" if name in SECRETS else re.sub(r"//[^@/]*@", "//***@", given.get(name, ""))
        raise SettingsError(f"{name.upper()}={shown!r}: {reason}") from None
    _check_rates(settings)
    _check_dialects(settings)
    _check_days(settings)
    _check_access(settings)
    return settings


def _read_secret(variable: str, path: str, given: bool) -> str:
    if given:
        raise SettingsError(f"{variable} and {variable}_FILE: set one of them")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}_FILE={path!r}: {getattr(error, 'strerror', None) or 'is not text'}") from None


def _check_rates(settings: Settings) -> None:
    for name in ("rate_key", "rate_user", "rate_address"):
        text = getattr(settings, name)
        try:
            if text != "off":
                limits.parse(text)
        except ValueError:
            raise SettingsError(f"{name.upper()}={text!r}: is neither `off` nor like `100/minute`") from None


def _check_dialects(settings: Settings) -> None:
    unknown = sorted(settings.enabled_dialects.difference(DIALECTS))
    if unknown:
        known = ", ".join(DIALECTS)
        raise SettingsError(f"DIALECTS={settings.dialects!r}: {unknown[0]!r} is none of {known}, and not `off` alone")


def _check_days(settings: Settings) -> None:
    # By its uses a user's events are found that are to be forgotten.
    if settings.use_days is not None and settings.use_days <= settings.event_days:
        raise SettingsError(
            f"USE_DAYS='{settings.use_days}': is not more than EVENT_DAYS, which is {settings.event_days}"
        )


def _check_access(settings: Settings) -> None:
    if settings.admin_key and settings.admin_key == settings.secret:
        raise SettingsError("ADMIN_KEY and SECRET: are the same; set two that differ")
    if settings.auth == "open":
        address = settings.address or settings.host
        if not settings.allow_open and not _is_loopback(address):
            raise SettingsError(
                f"AUTH='open': anybody who reaches {address} could do anything;"
                " set AUTH=token, or ALLOW_OPEN=1 if that is meant"
            )
        return
    for name in ("admin_key", "secret"):
        if not getattr(settings, name):
            raise SettingsError(f"{name.upper()}: AUTH=token needs it, 32 characters or more")
    if settings.jwt_secret and settings.jwks_url:
        raise SettingsError("JWT_SECRET and JWKS_URL: set one of them")
    if settings.jwt_secret or settings.jwks_url:
        for name in ("jwt_audience", "jwt_issuer"):
            if not getattr(settings, name):
                raise SettingsError(f"{name.upper()}: user tokens need it")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
