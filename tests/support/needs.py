"""Skip tests whose program is not on this computer."""

import os

import pytest

from tests.support import programs


def need(name: str) -> str:
    """Return the path of a program. Where it is missing the test is skipped, or fails if CI=true."""
    path = programs.find(name)
    if path is None:
        leave_out = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        leave_out(programs.advice(name))
    return path
