"""The suites. Properties are checked on the same examples every time, state machines on the first so many of them."""

from hypothesis import settings

settings.register_profile("suite", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("suite")
