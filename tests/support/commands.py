"""Run `python -m discount`: each command is a process with its own arguments, environment, folder and streams.

    with Commands() as commands:
        result = commands.run("list", "--json", folder=tmp_path, environment={"REDIS_URL": server.url})

Starting Python and importing take most of a command's time, so commands are forked from a process that has done both.
"""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import click

from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
#: The most bytes that the arguments and the environment of a command may take.
MESSAGE = 1 << 18


class Commands:
    """Runs commands, from several threads at once if need be; a context manager."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE)
        self._turn = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.commands", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def run(
        self, *words: str | bytes, folder: Path, environment: Mapping[str, str], stdin: Any = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, as subprocess.run does. `environment` is added to this process's own."""
        request = {
            "words": [os.fsdecode(word) for word in words],
            "folder": str(folder),
            "environment": os.environ | environment,
        }
        ours, theirs = socket.socketpair()
        with ours, tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            with theirs, open(os.devnull, "rb") as nothing:
                streams = [stream.fileno() for stream in (stdin or nothing, output, errors, theirs)]
                with self._turn:
                    socket.send_fds(self._line, [json.dumps(request).encode()], streams)
            ours.settimeout(PATIENCE)
            code = ours.recv(16)
            assert code, "the process that commands are forked from has ended"
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(words, int(code), output.read(), errors.read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        # This also ends a command that has not ended in time.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _serve(line: socket.socket) -> None:
    """Fork a process for each request, and return in it. The parent never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(line, MESSAGE, 4)
        if not message:
            sys.exit()
        if os.fork():
            for each in descriptors:
                os.close(each)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        line.close()
        *streams, answer = descriptors
        command = os.fork()
        if command:
            # While they are open here, too, their reader would not see their end.
            for each in streams:
                os.close(each)
            code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
            os.write(answer, str(code).encode())
            os._exit(0)
        os.close(answer)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        request = json.loads(message)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv[1:] = request["words"]
        return


if __name__ == "__main__":
    from discount.cli import main

    # Import the modules of all commands but the worker, whose imports no other command needs.
    for name in main.list_commands(click.Context(main)):
        if name != "worker":
            main.get_command(click.Context(main), name)

    _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("discount", run_name="__main__", alter_sys=True)
