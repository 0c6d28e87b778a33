"""What the OpenAPI document says can be called, for tests that make any call that fits it or just does not.

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
    """The operations of the application's own document, as Schemathesis has them."""
    config: Any = schemathesis.Config()
    config.projects.default.analysis.constants.enabled = False  # else what is tried depends on what was imported
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(st, "from_regex", _read_once)
        schema: Any = schemathesis.openapi.from_wsgi("/openapi.json", app, config=config)
        for result in schema.get_all_operations():
            yield result.ok()


def _read_once(regex: Any, **given: Any) -> Any:
    """The strategy of a pattern. That of ids has a million letters: a second to read, and most calls have it."""
    key = (regex, repr(sorted(given.items())))
    if key not in _read:
        lazy: Any = _from_regex(regex, **given)
        try:
            lazy.validate()
        except InvalidArgument:
            # Who asked for it finds out alike, and tries another.
            return lazy
        # What is made out of the lazy one would read the pattern again.
        _read[key] = lazy.wrapped_strategy
    return _read[key]
