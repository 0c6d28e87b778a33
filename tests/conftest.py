"""What holds for all tests: the summary names the skipped ones, and Ctrl-C reaches the processes that they start."""

import gc
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator

import pytest

from discount import logs

# A shell starts its background jobs with SIGINT ignored, and every process below inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Without bytecode, this process and all that tests start would compile the same modules again and again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_collection_finish() -> None:
    """Leave modules and tests, which all stay, out of every later collection of garbage."""
    gc.freeze()


@pytest.fixture(autouse=True)
def captured_lines() -> Iterator[None]:
    """Write the held lines of requests while pytest still captures them for this test."""
    yield
    logs.flush()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the skipped tests by reason."""
    left_out: dict[str, set[str]] = defaultdict(set)
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        left_out[reason].add(report.nodeid.partition("[")[0])
    if left_out:
        terminalreporter.section("left out")
    for reason, tests in sorted(left_out.items()):
        terminalreporter.write_line(f"{reason}. Left out:")
        for each in sorted(tests):
            terminalreporter.write_line(f"  {each}")
