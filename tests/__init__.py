"""The tests; README.md says which suite holds what. Hypothesis tries the same examples in every run."""

from hypothesis import settings

settings.register_profile("suite", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("suite")
