"""Run state machines in batches: fewer batches on a busy computer.

Batch n is the same everywhere, so a failure can be repeated; the speed of the computer only decides how many batches
run. A fixed number of examples would take six times as long at six times the load.
"""

import os
import time

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

#: Examples in a batch. The first of each batch are the simplest, so many small batches would find less.
BATCH = 40
#: Seconds after which no further batch begins.
ENOUGH = 60.0
#: How many times as many examples run; `make models` sets it.
TIMES = int(os.environ.get("MODEL_TIMES", "1"))


def run_in_batches(machine: type[RuleBasedStateMachine], examples: int, steps: int) -> int:
    """Run a machine with that many examples, fewer when time is up, but one batch at least; return the number."""
    examples *= TIMES
    until = time.monotonic() + ENOUGH * TIMES
    begun = 0
    while begun < examples and (begun == 0 or time.monotonic() < until):
        size = min(BATCH, examples - begun)
        seed(begun)(machine)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=size,
                stateful_step_count=steps,
                suppress_health_check=list(HealthCheck),
                # Shrinking a failure takes minutes; as found, it has a few dozen steps.
                phases=[Phase.generate],
            ),
        )
        begun += size
    return begun
