"""Send requests with a program in C, which takes a few microseconds for each."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Seconds of a turn, answers included. Only a server that hangs takes so long.
PATIENCE = 120.0
#: Seconds after which a turn sends no more.
SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Sent:
    """The outcome of a turn's requests; times in milliseconds."""

    answered: int
    rate: float
    p50: float
    p99: float


def send(
    program: Path, port: int, requests: Sequence[bytes], connections: int, status: int, under: Sequence[str] = ()
) -> Sent:
    """Send the requests to 127.0.0.1; each connection sends the next one as soon as it has its answer.

    Args:
        under: the words of a command that runs the program.

    Raises:
        RuntimeError: an answer had another status, or did not come.
    """
    with tempfile.NamedTemporaryFile(prefix="bench-") as file:
        command = [*under, *_command(program, port, requests, connections, status, Path(file.name), SECONDS)]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"port {port}: it hangs") from None
    told = json.loads(done.stdout) if done.returncode == 0 else {"wrong": 1}
    if told.pop("wrong"):
        raise RuntimeError(f"port {port}: not the answer {status}: {done.stderr}")
    return Sent(**told)


def start(
    program: Path, port: int, requests: Sequence[bytes], connections: int, status: int, folder: Path, seconds: float
) -> "subprocess.Popen[bytes]":
    """Send requests in the background, for so many seconds at most."""
    command = _command(program, port, requests, connections, status, folder / "background", seconds)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _command(
    program: Path, port: int, requests: Sequence[bytes], connections: int, status: int, file: Path, seconds: float
) -> list[str]:
    """Write the requests to a file; return the command that sends them."""
    file.write_bytes(b"".join(b"%d\n%s" % (len(each), each) for each in requests))
    return [str(program), *(str(each) for each in (port, connections, status, seconds)), str(file)]
