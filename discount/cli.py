"""The command line."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import click

from discount.config import Settings, SettingsError, read_settings
from discount.embedded import EmbeddedRedis, NoRedisError, die_with_parent
from discount.errors import Unavailable
from discount.store import LayoutError, Store

#: Seconds for the server to answer its first request.
PATIENCE = 60


@click.group()
def main() -> None:
    """Brands create discounts; users get a code out of one, once."""


@main.command()
def run() -> None:
    """Run the service here, with a Redis of its own unless REDIS_URL names one."""
    os.environ.setdefault("LOG_FORMAT", "text")
    try:
        settings = read_settings()
        with ExitStack() as started:
            _run(settings, started)
    except (SettingsError, NoRedisError, LayoutError) as error:
        sys.exit(f"discount: {error}")


class _Stop(Exception):
    """A signal asked for the end."""


def _run(settings: Settings, started: ExitStack) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Stop

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        port = _free_port(settings.host, settings.port)
        redis = None
        if not os.environ.get("REDIS_URL"):
            redis = started.enter_context(EmbeddedRedis(Path(settings.data)))
        url = redis.url if redis else settings.redis_url
        _check(url, settings)
        server = _start_server({"REDIS_URL": url, "PORT": str(port)})
        started.callback(_stop_server, server)
        address = f"http://{settings.host}:{port}"
        _wait(address, server)
        click.echo(_WELCOME.format(address=address), err=True)
        _watch({"the server": server.poll, **({"Redis": redis.process.poll} if redis and redis.process else {})})
    except _Stop:
        # Once more must not break off the stopping.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


_WELCOME = """
The service answers at {address} and its documentation at {address}/apidocs. Ctrl-C stops it. Try:

  curl -XPOST '{address}/discount' -H 'Content-Type: application/json' \\
       -d '{{"brand_id": "IKEA", "discount_code": "Christmas 2020 discount", "total_count": 100}}'
"""


def _free_port(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}; set HOST or PORT") from None
        free: int = probe.getsockname()[1]
        return free


def _check(url: str, settings: Settings) -> None:
    try:
        Store.at(url, settings.redis_timeout, settings.partitions).prepare()
    except Unavailable as error:
        raise SettingsError(f"REDIS_URL: {error.detail}") from None


def _start_server(environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "python:discount.server", "discount.app:create_app()"],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        # Ctrl-C reaches a whole group; the server is told by us, so that it stops once and before Redis.
        start_new_session=True,
        preexec_fn=die_with_parent(),  # noqa: PLW1509 - this process has no threads
    )


def _stop_server(server: "subprocess.Popen[bytes]") -> None:
    if server.poll() is None:
        server.terminate()
        server.wait()


def _wait(address: str, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{address}/healthy", timeout=1).close()  # noqa: S310 - our own address
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SettingsError("the server did not start")


def _watch(children: dict[str, Callable[[], int | None]]) -> None:
    while True:
        for name, poll in children.items():
            if poll() is not None:
                raise SettingsError(f"{name} ended by itself")
        time.sleep(0.2)
