"""Shapes of HTTP bodies and queries, one module for each noun."""
