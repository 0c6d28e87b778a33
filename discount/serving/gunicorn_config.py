"""gunicorn's settings: `gunicorn -c python:discount.serving.gunicorn_config 'discount.app:create_app()'`."""

import gc
import os
import shutil
import sys
import tempfile
from importlib import import_module
from typing import Any

from discount import logs
from discount.config import SettingsError, read_settings

try:
    _settings = read_settings()
except SettingsError as error:
    sys.exit(f"discount: {error}")
logs.configure(_settings)

bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
workers = _settings.workers
worker_class = "discount.serving.batching_worker.BatchingWorker"
# Ordinary calls have as many as is set, whatever the long calls and those that wait for events take.
threads = _settings.threads + 2 * _settings.long_calls
# Above the 60 s for which nginx keeps an idle connection: the side that closes first must be the one that knows.
keepalive = 75
graceful_timeout = 15
timeout = 60
# A worker's sign of life on a disk would wait for the disk.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
accesslog = None
# The app logs requests; what gunicorn itself has to say comes in the same form.
logconfig_dict = {
    "root": {"level": "INFO", "handlers": ["ours"]},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True}},
    "handlers": {"ours": {"class": "discount.logs.Handler"}},
}
# A file would be sent past what minds the speed of clients.
sendfile = False
control_socket_disable = True
# The one in C, which is taken where it is installed, also takes lines that end in LF alone, and folded ones.
http_parser = "python"
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190
# Of all headers with an underscore in their name these two alone are let in, from anybody: they are tokens, which are
# judged like any other. With a dash the name means the same, so nothing can be passed off as something else. The others
# are dropped, and nobody's word on the scheme is used for anything.
header_map = "drop"
forwarder_headers = "BRAND_AUTH_TOKEN,USER_AUTH_TOKEN" if "personal-codes" in _settings.enabled_dialects else ""
forwarded_allow_ips = "*" if forwarder_headers else ""
secure_scheme_headers: dict[str, str] = {}

# What the app is built on is loaded once, before the workers are forked: they share its memory, and one that follows
# another is there the sooner. Nothing of ours is among it: a reload (SIGHUP) is to bring the new code.
for _name in ("flask", "ijson", "iso4217", "jwt", "msgspec", "redis", "segno", "shortuuid", "slugify"):
    import_module(_name)

_METRICS = "PROMETHEUS_MULTIPROC_DIR"


def on_starting(_server: Any) -> None:
    """Before any worker: a fresh folder in which they count together."""
    _check_data()
    os.environ[_METRICS] = tempfile.mkdtemp(prefix="discount-metrics-")


def _check_data() -> None:
    """End with one line where the data in Redis is not for these settings, before any worker fails in its own way."""
    # In a child, which loads code of ours that the workers are to load themselves.
    child = os.fork()
    if not child:
        os._exit(_refused_data())
    if os.waitpid(child, 0)[1]:
        sys.exit(1)


def _refused_data() -> int:
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
        # Redis may start after us.
        return 0
    return 0


def pre_fork(_server: Any, _worker: Any) -> None:
    """What is there already is nobody's to collect: a look at each object would copy the page it stands on."""
    gc.freeze()


def on_exit(_server: Any) -> None:
    shutil.rmtree(os.environ.get(_METRICS, ""), ignore_errors=True)
