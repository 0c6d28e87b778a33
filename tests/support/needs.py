"""What a test needs of this machine: a program that works, or else the test is left out."""

import os

import pytest

from tests.support import programs


def need(name: str) -> str:
    """Return the path of a program; a test that needs one that is missing is left out, and fails where CI=true."""
    path = programs.find(name)
    if path is None:
        leave_out = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        leave_out(programs.advice(name))
    return path
