"""The only way to Redis."""
