"""The operations of the OpenAPI document, for tests that make random calls which fit it, or just do not.

for operation in operations(app):

    @given(case=operation.as_strategy())
    def call(case): ...
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

_from_regex = st.from_regex
_read: dict[tuple[Any, str], Any] = {}


def operations(app: Flask) -> Iterator[Any]:
    """Yield the operations of the application's own document, as Schemathesis reads them."""
    config: Any = schemathesis.Config()
    config.projects.default.analysis.constants.enabled = False  # else the calls depend on the modules imported so far
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(st, "from_regex", _read_once)
        schema: Any = schemathesis.openapi.from_wsgi("/openapi.json", app, config=config)
        for result in schema.get_all_operations():
            yield result.ok()


def _read_once(regex: Any, **given: Any) -> Any:
    """Return the strategy of a pattern, read once. The pattern of ids takes a second to read, and most calls use it."""
    key = (regex, repr(sorted(given.items())))
    if key not in _read:
        lazy: Any = _from_regex(regex, **given)
        try:
            lazy.validate()
        except InvalidArgument:
            # The caller sees the same error, and tries another strategy.
            return lazy
        # Strategies made from the lazy one would read the pattern again.
        _read[key] = lazy.wrapped_strategy
    return _read[key]
