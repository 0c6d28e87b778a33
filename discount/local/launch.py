"""`discount run`: an embedded Redis, the mail sink, the server and the worker, started and stopped in order."""

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

from discount.config import Settings, SettingsError
from discount.domain.errors import Unavailable
from discount.environment import read_settings
from discount.local.redis_cluster import EmbeddedCluster
from discount.local.redis_server import Embedded, EmbeddedRedis, die_with_parent
from discount.local.welcome import welcome
from discount.store.connection import Store

#: Seconds for the server to answer its first request, and for a child process to stop after SIGTERM.
PATIENCE = 60
#: How much less of the processor the worker gets than the server, if both want it.
NICE = 10


def launch(*, cluster: bool = False) -> None:
    """Run the service until a signal stops it.

    Args:
        cluster: start an embedded Redis Cluster, not a single Redis.

    Raises:
        SettingsError, NoRedisError, LayoutError: the message is one line that says what is wrong.
    """
    pause = _stop_on_signals()
    for name, value in defaults_of_run(os.environ.get("AUTH") or "open").items():
        os.environ[name] = os.environ.get(name) or value
    try:
        settings = read_settings()
        with ExitStack() as started:
            _run(settings, started, pause, EmbeddedCluster if cluster else EmbeddedRedis)
    except _Stop:
        pass


def defaults_of_run(auth: str) -> dict[str, str]:
    """Return the defaults of `discount run` that differ from the usual ones."""
    defaults = {"LOG_FORMAT": "text", "WORKER_PORT": "0"}
    # With tokens, brands may be strangers, whose webhooks must not reach other services on this machine.
    return defaults | {"WEBHOOK_LOOPBACK": "1"} if auth == "open" else defaults


def ledger_in(folder: str) -> str:
    """Return the URL of the ledger that `discount run` keeps in its folder."""
    return f"sqlite:///{Path(folder).resolve() / 'ledger.db'}"


class _Stop(Exception):
    """A signal asked the service to stop."""


def _stop_on_signals() -> Callable[[], None]:
    """Handle signals; return a function that sleeps briefly and raises _Stop once a signal has arrived.

    Raising right in the signal handler could lose a child that was just started, or interrupt the shutdown.
    """
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Under nohup, SIGHUP is ignored and must stay so.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _frame: signals.append(number))

    def pause() -> None:
        if signals:
            raise _Stop
        time.sleep(0.05)

    return pause


def _run(settings: Settings, started: ExitStack, pause: Callable[[], None], kind: type[Embedded]) -> None:
    listener = started.enter_context(_listen(settings.host, settings.port))
    redis = None
    if not os.environ.get("REDIS_URL"):
        redis = started.enter_context(kind(Path(settings.data), pause))
    url = redis.url if redis else settings.redis_url
    _check(url, settings)
    address = _address(listener)
    environment = os.environ | {"REDIS_URL": url, "PUBLIC_URL": settings.public_url or f"http://{address}"}
    environment["LEDGER_URL"] = settings.ledger_url or ledger_in(settings.data)
    children: dict[str, subprocess.Popen[bytes]] = {}
    sink = None if settings.smtp_url else _listen("127.0.0.1", 0)
    if sink:
        environment["SMTP_URL"] = f"smtp+plain://{_address(sink)}"
    server = children["server"] = _start(started, [*_GUNICORN, "discount.app:create_app()"], environment, listener)
    _wait(address, server, pause)
    # The sink and the worker start only now, because they would slow down the start of the server.
    mails = Path(settings.data) / "mail" if sink else None
    if mails:
        children["sink"] = _start(started, ["discount", "sink", "--fd", "{fd}", str(mails)], environment, sink)
    upgrade = _start(started, ["discount.ledger"], environment)
    click.echo(welcome(settings, f"http://{address}", mails), err=True)
    while True:
        if upgrade.poll():
            raise SettingsError("the ledger could not be upgraded")
        # The worker needs the tables of the ledger.
        if upgrade.returncode == 0 and "worker" not in children:
            worker = children["worker"] = _start(started, ["discount", "worker"], environment)
            # All share one machine: answers come before their log lines and events.
            os.setpriority(os.PRIO_PROCESS, worker.pid, os.getpriority(os.PRIO_PROCESS, 0) + NICE)
        for name, child in children.items():
            if child.poll() is not None:
                raise SettingsError(f"the {name} stopped unexpectedly")
        if redis and redis.ended():
            raise SettingsError("Redis stopped unexpectedly")
        pause()


_GUNICORN = ["gunicorn", "-c", "python:discount.serving.gunicorn_config", "--bind", "fd://{fd}"]


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens already, so that no other process can take the port before the child uses it."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # With SO_REUSEADDR, two sockets may bind the same port as long as neither listens.
        listener.listen(1024)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}; set HOST or PORT") from None
    return listener


def _address(listener: socket.socket) -> str:
    """Return the host and port under which this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check(url: str, settings: Settings) -> None:
    try:
        Store.at(
            url,
            settings.redis_timeout,
            settings.partitions,
            secret=settings.secret,
            password=settings.redis_password,
        ).prepare()
    except Unavailable as error:
        raise SettingsError(f"REDIS_URL: {error.detail}") from None
    except ValueError as error:
        raise SettingsError(f"REDIS_URL: {error}") from None


def _start(
    started: ExitStack, command: list[str], environment: dict[str, str], listener: socket.socket | None = None
) -> "subprocess.Popen[bytes]":
    """Start a child process that `started` stops. `{fd}` in the command becomes the listener's file descriptor."""
    fds = [] if listener is None else [listener.fileno()]
    child = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", *(each.format(fd=fds[0]) if fds else each for each in command)],
        env=environment,
        stdin=subprocess.DEVNULL,
        pass_fds=fds,
        # Ctrl-C reaches a whole process group. In its own session the child is stopped by us alone, before Redis.
        start_new_session=True,
        preexec_fn=die_with_parent(),  # noqa: PLW1509 - this process has no threads
    )
    started.callback(_stop, child)
    if listener is not None:
        # Now only the child listens, so that clients are refused at once when it has ended.
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
        # Not urllib, which would use the proxy that the environment may name.
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
