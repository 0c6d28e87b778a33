"""Settings: what each is for, and the values it may have. They are frozen and passed down as a value."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from discount.domain.reasons import with_rule


class SettingsError(Exception):
    """A setting that cannot be used. The message is one line for the person who set it."""


#: Settings whose values are never shown, not even in an error message.
SECRETS = ("admin_key", "secret", "jwt_secret", "oidc_client_secret", "smtp_url", "redis_password", "ledger_url")
#: The dialects that can be enabled.
DIALECTS = ("brand-pools", "readable-codes", "coupons", "personal-codes")
QuotaText = Annotated[
    str, Meta(pattern=with_rule(r"^(off|[0-9]{1,15})$(?!\n)", "[^0-9of]", "must be `off` or a whole number"))
]
Secret = Annotated[str, Meta(min_length=32)]
# The characters of a bearer token (RFC 6750).
AdminKey = Annotated[
    str,
    Meta(
        min_length=32,
        pattern=with_rule(
            r"^[A-Za-z0-9._~+/-]+=*$(?!\n)",
            "[^A-Za-z0-9._~+/=-]",
            "only A-Z, a-z, 0-9, . _ ~ + / - and a = at the end are allowed in a bearer token",
        ),
    ),
]


def _url(pattern: str, beginnings: str) -> str:
    return with_rule(pattern, "[^!-~]", f"must be a URL that begins with {beginnings}")


_PAUSES = with_rule(
    r"^\d+(\.\d+)?(,\d+(\.\d+)?)*$(?!\n)", "[^0-9.,]", "must be seconds separated by commas, such as 5,60,300"
)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings. Each field is read from the variable with its name in upper case.

    A secret is read from the file that its variable with `_FILE` names, if that one is set instead.
    `doc/settings.md` is made from these fields and their descriptions.
    """

    host: Annotated[str, Meta(min_length=1, description="The address on which the server listens.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="The port on which the server listens; 0 takes a free one.")
    ] = 8000
    address: Annotated[
        str,
        Meta(
            description="Where callers reach the service, if not at `HOST`: behind a proxy, or outside a container."
            " It decides whether an open service may start."
        ),
    ] = ""
    public_url: Annotated[
        str,
        Meta(
            pattern=_url("^(https?://[!-~]+)?$(?!\n)", "https:// or http://"),
            description="Where users reach the service; e-mails link to it.",
        ),
    ] = ""
    proxies: Annotated[
        int,
        Meta(
            ge=0,
            le=8,
            description="How many proxies in front of the service add the caller's address to `X-Forwarded-For`.",
        ),
    ] = 0
    workers: Annotated[
        int,
        Meta(ge=1, le=256, description="Hot workers: processes that own the connections and answer the busiest calls."),
    ] = 2
    pool_workers: Annotated[
        int, Meta(ge=1, le=256, description="Pool workers: processes that answer all other calls.")
    ] = 1
    threads: Annotated[int, Meta(ge=1, le=256, description="Threads for ordinary calls in each pool worker.")] = 4
    long_calls: Annotated[
        int, Meta(ge=1, le=256, description="[Long calls](limits.md) that one pool worker answers at a time.")
    ] = 8
    long_calls_per_brand: Annotated[int, Meta(ge=1, le=256, description="The most of them for one brand.")] = 4
    long_calls_per_key: Annotated[int, Meta(ge=1, le=256, description="The most of them for one API key or user.")] = 2
    caller_share: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="[Percent of a processor](limits.md#processor-time) that one brand or user gets in each pool"
            " worker while others need it; 100 is no bound at all.",
        ),
    ] = 10
    pool_share: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Percent of a processor that all callers together get in each pool worker while hot workers are"
            " busy; 100 is no such bound.",
        ),
    ] = 50
    log_format: Annotated[Literal["json", "text"], Meta(description="The form of a log line.")] = "json"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The lowest level that is logged. A request is logged at `info`."),
    ] = "info"
    dialects: Annotated[
        str,
        Meta(description="Enabled [interfaces of earlier services](dialects.md), separated by commas, or `off`."),
    ] = ",".join(DIALECTS)

    console: Annotated[
        Literal["on", "off"], Meta(description="Whether the [console](console.md) is served, at `/console`.")
    ] = "on"
    worker_away: Annotated[
        float,
        Meta(
            gt=0,
            le=36,
            description="Seconds without a sign of a worker after which the console says that none is running. It says"
            " so within a minute in any case.",
        ),
    ] = 20

    redis_url: Annotated[
        str,
        Meta(
            pattern=_url(r"^(rediss?(\+(cluster|sentinel))?|unix)://", "redis://, rediss:// or unix://"),
            description="The Redis that holds all data: [one server, Sentinels or a Cluster](topologies.md). If it is"
            " not set, `make run` starts its own.",
        ),
    ] = "redis://127.0.0.1:6379/0"
    redis_password: Annotated[
        str, Meta(description="The password for Redis, and for Sentinels that ask for one, if `REDIS_URL` has none.")
    ] = ""
    redis_timeout: Annotated[
        float, Meta(gt=0, le=60, description="Seconds that a call waits for Redis before it answers 503.")
    ] = 1.0
    durability: Annotated[
        Literal["fast", "replicated", "synced"] | None,
        Meta(
            description="What an answer [has survived](durability.md): `fast`, `replicated` or `synced`. By default"
            " `replicated` with Sentinels and on a Cluster, and `fast` on one Redis."
        ),
    ] = None
    durability_replicas: Annotated[
        int,
        Meta(
            ge=1,
            le=5,
            description="Replicas that confirm an answer, in the modes `replicated` and `synced`. Each node needs one"
            " more, or the first death stops grants.",
        ),
    ] = 1
    partitions: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="Number of [partitions](keys.md). The first start fixes it; a process with another number does"
            " not start.",
        ),
    ] = 16
    data: Annotated[str, Meta(min_length=1, description="The folder of the Redis that `make run` starts.")] = "./var"

    ledger_url: Annotated[
        str,
        Meta(
            pattern=_url(r"^(sqlite:///|postgresql://)", "sqlite:/// or postgresql://"),
            description="The [ledger](ledger.md): the database that keeps the history. Without one, history ends with"
            " `EVENT_DAYS`. `make run` keeps its ledger in `DATA`.",
        ),
    ] = ""

    auth: Annotated[
        Literal["open", "token"],
        Meta(description="`token` asks every caller for a [token](access.md); `open` asks for none."),
    ] = "open"
    allow_open: Annotated[
        bool,
        Meta(description="Whether an open service may be reached from other machines, and by any host name."),
    ] = False
    admin_key: Annotated[
        AdminKey,
        Meta(
            description="The operator's token. Needed with `AUTH=token`; 32 characters or more,"
            " [those of a bearer token](access.md#with-tokens)."
        ),
    ] = ""
    secret: Annotated[
        Secret,
        Meta(
            description="Hashes API keys and derives the secrets of webhooks. Needed with `AUTH=token`; 32 characters"
            " or more, and not `ADMIN_KEY`. [Changing it](access.md#another-secret) is a command of its own."
        ),
    ] = ""
    jwt_secret: Annotated[
        Secret, Meta(description="Verifies users' tokens (HS256); 32 characters or more. Excludes `JWKS_URL`.")
    ] = ""
    jwks_url: Annotated[
        str,
        Meta(
            pattern=_url("^https?://", "https:// or http://"),
            description="The key set that verifies users' tokens (RS256, ES256, EdDSA). Excludes `JWT_SECRET`.",
        ),
    ] = ""
    jwt_audience: Annotated[str, Meta(description="The `aud` that users' tokens must have.")] = ""
    jwt_issuer: Annotated[str, Meta(description="The `iss` that users' tokens must have.")] = ""

    oidc_issuer: Annotated[
        str,
        Meta(
            pattern=_url("^https?://", "https:// or http://"),
            description="The OpenID Connect provider whose people may"
            " [sign in at the console](console.md#openid-connect).",
        ),
    ] = ""
    oidc_client_id: Annotated[str, Meta(description="The console's client id at the provider.")] = ""
    oidc_client_secret: Annotated[str, Meta(description="The console's client secret at the provider.")] = ""
    oidc_claim: Annotated[
        str, Meta(min_length=1, description="The claim of the ID token that has a person's brand and role.")
    ] = "discount"

    rate_key: Annotated[str, Meta(description="Requests with one API key, or with the admin key; or `off`.")] = (
        "60000/minute"
    )
    rate_user: Annotated[str, Meta(description="Requests of one user; or `off`.")] = "120/minute"
    rate_address: Annotated[
        str, Meta(description="Requests of users, and without a valid token, from one address; or `off`.")
    ] = "6000/minute"
    quota_discounts: Annotated[QuotaText, Meta(description="Discounts that a brand may make; or `off`.")] = "100000"
    quota_codes: Annotated[QuotaText, Meta(description="Codes of all discounts of a brand; or `off`.")] = "1000000000"
    quota_grants_a_day: Annotated[QuotaText, Meta(description="New grants of a brand in a day; or `off`.")] = "10000000"
    quota_emails_a_day: Annotated[QuotaText, Meta(description="E-mails for a brand in a day; or `off`.")] = "10000"
    quota_stored_bytes: Annotated[
        QuotaText, Meta(description="Bytes that a brand keeps in Redis, as estimated; or `off`.")
    ] = "10000000000"

    smtp_url: Annotated[
        str,
        Meta(
            pattern=_url(r"^(smtps?|smtp\+plain)://", "smtp://, smtps:// or smtp+plain://"),
            description="The mail server. Without one, no e-mails are sent.",
        ),
    ] = ""
    mail_from: Annotated[str, Meta(min_length=3, max_length=200, description="The sender of e-mails.")] = (
        "Discounts <discounts@localhost.invalid>"
    )
    webhook_timeout: Annotated[
        float, Meta(gt=0, le=60, description="Seconds that one call to a webhook may take in all.")
    ] = 10
    webhook_pauses: Annotated[
        str,
        Meta(
            pattern=_PAUSES,
            description="Seconds to wait after each attempt of a delivery, separated by commas. Attempts"
            " [end after three days](webhooks.md#when-a-delivery-is-tried-again).",
        ),
    ] = "5,60,300,1800,7200,18000,36000,43200,43200,43200,43200"
    webhook_off_after: Annotated[
        float, Meta(gt=0, le=365, description="Days of failing after which a webhook is switched off.")
    ] = 5
    webhook_loopback: Annotated[
        bool,
        Meta(
            description="Whether webhooks may be on this machine, on any port, and without TLS. For trials and tests."
        ),
    ] = False

    event_days: Annotated[int, Meta(ge=4, le=365, description="Days for which events are kept at least.")] = 7
    use_days: Annotated[
        Annotated[int, Meta(ge=7, le=3650)] | None,
        Meta(
            description="Days for which [uses of codes](operations.md#old-uses) are kept; more than `EVENT_DAYS`."
            " Without it they are kept for good."
        ),
    ] = None
    redemption_days: Annotated[
        int,
        Meta(
            ge=7,
            le=3650,
            description="Days after which Redis [lets redemptions go](ledger.md#what-redis-lets-go) that the ledger"
            " has; more than `EVENT_DAYS`. Without a ledger none go.",
        ),
    ] = 400
    ledger_event_days: Annotated[
        Annotated[int, Meta(ge=30, le=3650)] | None,
        Meta(
            description="Days for which the ledger keeps [events](ledger.md#how-long-it-keeps-rows). Without it they"
            " are kept for good, and [a restore](ledger.md#what-redis-lost) can rebuild everything."
        ),
    ] = None
    ledger_change_days: Annotated[
        Annotated[int, Meta(ge=30, le=3650)] | None,
        Meta(description="Days for which it keeps changes of discounts. Without it they are kept for good."),
    ] = None
    figure_minute_days: Annotated[
        int, Meta(ge=1, le=3650, description="Days for which the ledger keeps [figures](ledger.md#figures) by minute.")
    ] = 90
    figure_hour_days: Annotated[
        int, Meta(ge=1, le=3650, description="Days for which it keeps figures by hour. Those by day it keeps for good.")
    ] = 730
    remind_days: Annotated[
        float, Meta(gt=0, le=365, description="Days before a code ends at which its user is reminded.")
    ] = 3
    senders: Annotated[int, Meta(ge=1, le=256, description="Webhook calls that one worker makes at the same time.")] = (
        16
    )
    mail_senders: Annotated[int, Meta(ge=1, le=256, description="E-mails that one worker sends at the same time.")] = 4
    worker_port: Annotated[
        int,
        Meta(ge=0, le=65535, description="The port of a worker's health and metrics; 0 takes a free one."),
    ] = 8001

    @property
    def kept_rows(self) -> dict[str, int | None]:
        """Days for which the ledger keeps rows, by kind; None for good."""
        return {
            "minute": self.figure_minute_days,
            "hour": self.figure_hour_days,
            "events": self.ledger_event_days,
            "changes": self.ledger_change_days,
            "uses": self.use_days,
        }

    @property
    def enabled_dialects(self) -> frozenset[str]:
        """Return the enabled dialects."""
        return frozenset() if self.dialects == "off" else frozenset(map(str.strip, self.dialects.split(",")))

    @property
    def quotas(self) -> dict[str, str]:
        """Return the quotas by name, each a number or `off`."""
        names = (name for name in self.__struct_fields__ if name.startswith("quota_"))
        return {name.removeprefix("quota_"): getattr(self, name) for name in names}

    @property
    def pauses(self) -> tuple[float, ...]:
        """Return `webhook_pauses` as seconds."""
        return tuple(map(float, self.webhook_pauses.split(",")))
