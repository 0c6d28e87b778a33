"""What is said at the end of a run: which tests were left out, and what they need."""

from collections import defaultdict

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name each test that was left out, under the reason."""
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
