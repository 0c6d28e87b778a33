"""Redis: connection, scripts and keys. Every command and script goes through `connection.Store`."""
