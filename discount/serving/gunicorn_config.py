"""gunicorn's settings: `gunicorn -c python:discount.serving.gunicorn_config 'discount.app:create_app()'`."""

import gc
import os
import shutil
import sys
import tempfile
from importlib import import_module
from typing import Any

from discount import logs
from discount.config import SettingsError
from discount.environment import read_settings
from discount.serving.roster import Roster
from discount.serving.worker import Replica

try:
    _settings = read_settings()
except SettingsError as error:
    sys.exit(f"discount: {error}")
logs.configure(_settings)

bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
workers = _settings.workers + _settings.pool_workers
worker_class = "discount.serving.worker.Worker"
# Of a pool worker: THREADS for ordinary requests, and LONG_CALLS each for long ones and those that wait for events.
threads = _settings.threads + 2 * _settings.long_calls
# Longer than nginx's 60 s: nginx then closes idle connections first, and never sends a request into a closing one.
keepalive = 75
graceful_timeout = 15
timeout = 60
# Workers touch a heartbeat file; on a disk that could block.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
accesslog = None
# The app logs requests. gunicorn's own log lines get the app's format.
logconfig_dict = {
    "root": {"level": "INFO", "handlers": ["ours"]},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True}},
    "handlers": {"ours": {"class": "discount.logs.Handler"}},
}
# sendfile() would bypass `ClientSocket`, which enforces the minimum speed of clients.
sendfile = False
control_socket_disable = True
# The C parser, gunicorn's default if installed, also accepts bare LF line ends and folded headers.
http_parser = "python"
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190
# Headers with an underscore in their name are dropped, except for two from any client. Those are tokens, checked like
# any other, and mean the same with a dash, so they cannot spoof another header. No client may set the scheme.
header_map = "drop"
forwarder_headers = "BRAND_AUTH_TOKEN,USER_AUTH_TOKEN" if "personal-codes" in _settings.enabled_dialects else ""
forwarded_allow_ips = "*" if forwarder_headers else ""
secure_scheme_headers: dict[str, str] = {}

# Import libraries before the fork: workers share their memory and start faster. Our own modules are imported by the
# workers, so that a reload (SIGHUP) loads new code.
for _name in (
    *("flask", "ijson", "isodate", "iso4217", "jwt", "msgspec", "redis", "segno", "shortuuid", "slugify", "sqlalchemy"),
    *("sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite", "email.headerregistry"),
    *("ssrfguard", "babel.dates", "babel.messages.mofile", "babel.messages.pofile", "babel.support", "itsdangerous"),
):
    import_module(_name)

_replica = Replica(
    Roster({"pool": _settings.pool_workers, "hot": _settings.workers}),
    # An open service has no tenants.
    caller_share=1.0 if _settings.auth == "open" else _settings.caller_share / 100,
    pool_share=_settings.pool_share / 100,
    proxies=_settings.proxies,
)
_METRICS = "PROMETHEUS_MULTIPROC_DIR"


def on_starting(_server: Any) -> None:
    """Check the data and create the folder in which all workers keep their metrics."""
    _check_data()
    os.environ[_METRICS] = tempfile.mkdtemp(prefix="discount-metrics-")


def _check_data() -> None:
    """Exit with one line if the data in Redis does not fit the settings, before each worker fails by itself."""
    # In a child process, because the check imports our own modules; the workers import them afresh.
    child = os.fork()
    if not child:
        os._exit(_check_in_child())
    if os.waitpid(child, 0)[1]:
        sys.exit(1)


def _check_in_child() -> int:
    """Return the exit code: 1, with the reason on standard error, if the data does not fit."""
    connection = import_module("discount.store.connection")
    errors = import_module("discount.domain.errors")
    try:
        connection.Store.at(
            _settings.redis_url, _settings.redis_timeout, _settings.partitions, secret=_settings.secret
        ).prepare()
    except connection.LayoutError as error:
        os.write(2, f"discount: {error}\n".encode())
        return 1
    except errors.Unavailable:
        # Redis may start later.
        return 0
    return 0


def pre_fork(_server: Any, worker: Any) -> None:
    """Tell a worker its kind. Freeze the garbage collector's objects: scanning them would copy shared memory pages."""
    worker.join(_replica)
    gc.freeze()


def on_reload(_server: Any) -> None:
    """Replace the workers of both kinds."""
    _replica.roster.renew()


def child_exit(_server: Any, worker: Any) -> None:
    """Let another worker of the same kind take the place of one that has ended."""
    _replica.roster.remove(worker.place)


def on_exit(_server: Any) -> None:
    shutil.rmtree(os.environ.get(_METRICS, ""), ignore_errors=True)
