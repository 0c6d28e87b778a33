"""The end of a process that a test or a benchmark has started."""

import subprocess

from tests.support.patience import PATIENCE


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process to end, and kill it if it does not."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
