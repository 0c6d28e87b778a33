"""The service as one command: a Redis of its own, the server, and an orderly end of both."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import click

from discount.config import Settings, SettingsError, read_settings
from discount.domain.errors import Unavailable
from discount.local.redis_server import EmbeddedRedis, die_with_parent
from discount.local.welcome import welcome
from discount.store.connection import Store, answers

#: Seconds for the server to answer its first request, and for it to end after it was asked to.
PATIENCE = 60


def launch() -> None:
    """Run the service until a signal asks for the end.

    Raises:
        SettingsError, NoRedisError, LayoutError: one line each on what is wrong.
    """
    pause = _stop_on_signals()
    for name, value in defaults_of_run(os.environ.get("AUTH") or "open").items():
        os.environ[name] = os.environ.get(name) or value
    try:
        settings = read_settings()
        with ExitStack() as started:
            _run(settings, started, pause)
    except _Stop:
        pass


def defaults_of_run(auth: str) -> dict[str, str]:
    """Settings that `discount run` has where nothing else is said."""
    meant = {"LOG_FORMAT": "text", "WORKER_PORT": "0"}
    # With tokens there are brands that must not reach what else runs on this machine.
    return meant | {"WEBHOOK_LOOPBACK": "1"} if auth == "open" else meant


class _Stop(Exception):
    """A signal asked for the end."""


def _stop_on_signals() -> Callable[[], None]:
    """A short sleep, out of which _Stop is raised once a signal came.

    Raised wherever a signal hits, it could lose a child that was just started, or break off the stopping.
    """
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Started with nohup, the end of the terminal is not our end.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _frame: asked.append(number))

    def pause() -> None:
        if asked:
            raise _Stop
        time.sleep(0.05)

    return pause


def _run(settings: Settings, started: ExitStack, pause: Callable[[], None]) -> None:
    listener = started.enter_context(_listen(settings.host, settings.port))
    redis = None
    if not os.environ.get("REDIS_URL"):
        redis = started.enter_context(EmbeddedRedis(Path(settings.data), pause))
    url = redis.url if redis else settings.redis_url
    _check(url, settings)
    address = _address(listener)
    environment = os.environ | {"REDIS_URL": url, "PUBLIC_URL": settings.public_url or f"http://{address}"}
    children: dict[str, subprocess.Popen[bytes]] = {}
    caught = None if settings.smtp_url else _listen("127.0.0.1", 0)
    if caught:
        environment["SMTP_URL"] = f"smtp+plain://{_address(caught)}"
    server = children["server"] = _start(started, [*_GUNICORN, "discount.app:create_app()"], environment, listener)
    _wait(address, server, pause)
    # These would take the server's time while it starts; what they do can wait for its first answer.
    mails = Path(settings.data) / "mail" if caught else None
    if mails:
        children["sink"] = _start(started, ["discount", "sink", "--fd", "{fd}", str(mails)], environment, caught)
    children["worker"] = _start(started, ["discount", "worker"], environment)
    click.echo(welcome(settings, f"http://{address}", mails), err=True)
    while True:
        for name, child in children.items():
            if child.poll() is not None:
                raise SettingsError(f"the {name} ended by itself")
        if redis and redis.ended():
            raise SettingsError("Redis ended by itself")
        pause()


_GUNICORN = ["gunicorn", "-c", "python:discount.serving.gunicorn_config", "--bind", "fd://{fd}"]


def _listen(host: str, port: int) -> socket.socket:
    """The socket that the server will listen on; held from now on, so that nobody else takes the port meanwhile."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Two that are only bound may share a port.
        listener.listen(1024)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}; set HOST or PORT") from None
    return listener


def _address(listener: socket.socket) -> str:
    """Where this machine reaches what listens there."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check(url: str, settings: Settings) -> None:
    try:
        if not answers(url):
            raise SettingsError("REDIS_URL: Redis cannot be reached.")
        Store.at(url, settings.redis_timeout, settings.partitions, secret=settings.secret).prepare()
    except Unavailable as error:
        raise SettingsError(f"REDIS_URL: {error.detail}") from None
    except ValueError as error:
        raise SettingsError(f"REDIS_URL: {error}") from None


def _start(
    started: ExitStack, command: list[str], environment: dict[str, str], listener: socket.socket | None = None
) -> "subprocess.Popen[bytes]":
    """Start a part of the service, and have it stopped in order at the end. `{fd}` becomes the listener's number."""
    fds = [] if listener is None else [listener.fileno()]
    child = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", *(each.format(fd=fds[0]) if fds else each for each in command)],
        env=environment,
        stdin=subprocess.DEVNULL,
        pass_fds=fds,
        # Ctrl-C reaches a whole group; the child is told by us, so that it stops once and before Redis.
        start_new_session=True,
        preexec_fn=die_with_parent(),  # noqa: PLW1509 - this process has no threads
    )
    started.callback(_stop, child)
    if listener is not None:
        # From here on the child alone listens: once it has ended, nobody waits for an answer in vain.
        listener.close()
    return child


def _stop(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _wait(address: str, server: "subprocess.Popen[bytes]", pause: Callable[[], None]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and server.poll() is None:
        # Not urllib, which would ask a proxy that the environment names.
        connection = http.client.HTTPConnection(address, timeout=1)
        try:
            connection.request("GET", "/healthy")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        pause()
    raise SettingsError("the server did not start")
