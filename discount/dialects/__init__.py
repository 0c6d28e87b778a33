"""Dialects: what clients of earlier services say, in words of the verbs. They own no rule and no key."""
