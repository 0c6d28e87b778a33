"""The summary of a run: which tests were skipped, and what they need."""

from collections import defaultdict

import pytest


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
