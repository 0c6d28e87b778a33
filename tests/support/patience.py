"""For how many seconds tests wait for what must come: only what hangs takes so long, however busy the machine is."""

PATIENCE = 180.0
