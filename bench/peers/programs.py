"""The peers: what each is made of, how it is built, and how to get what is missing."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from getpass import getuser
from pathlib import Path

from bench import servers

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: Debian's packages of Go have no modules of their own.
_DEBIAN_GO = Path("/usr/share/gocode")
_REDIGO = "github.com/gomodule/redigo"
_GUNICORN = [sys.executable, "-m", "gunicorn"]


class Missing(Exception):
    """A peer cannot be built; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that answers a grant, or a no-op that answers a constant.

    Args:
        command: `{port}`, `{folder}` and `{build}` are put in.
        build: makes in the folder of builds what the command needs.
    """

    name: str
    command: tuple[str, ...]
    build: Callable[[Path], None] = lambda _: None
    settings: dict[str, str] = field(default_factory=dict)
    is_noop: bool = False


def _build_c(build: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        raise Missing("a C compiler: apt-get install gcc libc6-dev")
    for name in ("drive", "noop"):
        _run([compiler, "-O2", "-o", str(build / name), str(HERE / f"{name}.c")])


def _build_go(build: Path) -> None:
    if shutil.which("go") is None:
        raise Missing("Go and redigo: apt-get install golang-go golang-github-gomodule-redigo-dev")
    words = ["go", "build", "-o", str(build / "go"), "gathered.go"]
    if (_DEBIAN_GO / "src" / _REDIGO).is_dir():
        _run(words, GO111MODULE="off", GOPATH=str(_DEBIAN_GO), folder=HERE)
        return
    module = build / "module"
    module.mkdir(exist_ok=True)
    shutil.copy(HERE / "gathered.go", module)
    if not (module / "go.mod").exists():
        _run(["go", "mod", "init", "peer"], folder=module)
    try:
        _run(["go", "get", f"{_REDIGO}@v1.8.3"], folder=module)
    except Missing as error:
        raise Missing(f"redigo: apt-get install golang-github-gomodule-redigo-dev ({error})") from None
    _run(words, folder=module)


@cache
def _build_node(build: Path) -> None:
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise Missing("Node: apt-get install nodejs npm")
    for name in ("package.json", "command.mjs", "node.mjs", "bun.mjs"):
        shutil.copy(HERE / name, build)
    _run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"], folder=build)


def _build_bun(build: Path) -> None:
    _build_node(build)
    _run([str(build / "node_modules/.bin/bun"), "--version"])


def _find_lua(_build: Path) -> None:
    modules = Path("/usr/lib/nginx/modules/ngx_http_lua_module.so"), Path("/usr/share/lua/5.1/nginx/redis.lua")
    if shutil.which("nginx", path=_PATH) is None or not all(map(Path.exists, modules)):
        raise Missing("nginx with Lua: apt-get install nginx-light libnginx-mod-http-lua lua-cjson lua-nginx-redis")


def _find_uvicorn(_build: Path) -> None:
    if importlib.util.find_spec("uvicorn_worker") is None:
        raise Missing("uvicorn: pip install -r bench/peers/requirements.txt")


def _run(words: list[str], *, folder: Path | None = None, **settings: str) -> None:
    try:
        done = subprocess.run(
            words, cwd=folder, env=os.environ | settings, check=False, capture_output=True, text=True, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{words[0]}: {error}") from None
    if done.returncode:
        raise Missing(f"`{' '.join(words)}` failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


# A plain user's PATH has no sbin.
_PATH = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin"

GO = "Go net/http + redigo, gathered"
ASGI = "bare ASGI, gathered, gunicorn + uvicorn"
FLASK_NOOP = "Flask no-op, gthread"
PEERS = (
    Peer("C no-op, epoll", ("{build}/noop", "{port}"), _build_c, is_noop=True),
    Peer(FLASK_NOOP, tuple(servers.noop_command(2, 4, "{port}")), is_noop=True),
    Peer(GO, ("{build}/go",), _build_go, {"GATHERED": "1", "GOMAXPROCS": "2"}),
    Peer("Go net/http + redigo, pool", ("{build}/go",), _build_go, {"GOMAXPROCS": "2"}),
    Peer(
        ASGI,
        (
            *_GUNICORN,
            *("--bind", "127.0.0.1:{port}", "--worker-class", "uvicorn_worker.UvicornWorker"),
            *("--workers", "2", "--keep-alive", "75", "bench.peers.asgi:app"),
        ),
        _find_uvicorn,
    ),
    Peer("nginx + Lua", ("nginx", "-c", "{folder}/nginx.conf", "-e", "{folder}/error.log"), _find_lua),
    Peer("Node, fastify + ioredis", ("node", "{build}/node.mjs"), _build_node, {"NODE_ENV": "production"}),
    Peer("Bun.serve", ("{build}/node_modules/.bin/bun", "{build}/bun.mjs"), _build_bun, {"NODE_ENV": "production"}),
)


def build_sender(build: Path) -> Path:
    """Return the program that sends requests.

    Raises:
        Missing
    """
    _build_c(build)
    return build / "drive"


def prepare(peer: Peer, folder: Path, build: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """Write what a peer reads at its start; return its command and what it needs in the environment."""
    marks = {"port": str(port), "folder": str(folder), "build": str(build)}
    text = (HERE / "nginx.conf").read_text()
    for mark, value in {"FOLDER": str(folder), "HERE": str(HERE), "PORT": str(port), "USER": getuser()}.items():
        text = text.replace(mark, value)
    (folder / "nginx.conf").write_text(text)
    own = {"PORT": str(port), "HOST": "127.0.0.1", "LOG": str(folder / "requests.log"), "PATH": _PATH}
    return [word.format_map(marks) for word in peer.command], own | peer.settings
