"""Shapes of the dialects, one file a dialect."""
