"""The longest wait of a test, in seconds. Only something that hangs takes so long, however busy the computer is."""

PATIENCE = 180.0
