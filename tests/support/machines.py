"""State machines, run in batches: as many as a quiet machine has time for, fewer on a busy one.

Batch n is the same on every machine, so what fails in one fails again; how fast the machine is decides only how many
batches are run. A test that is given examples alone would take six times as long at six times the load.
"""

import time

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

#: Examples of a batch; the first ones of each are the simplest, so many small batches would find less.
BATCH = 40
#: Seconds after which no batch is begun.
ENOUGH = 60.0


def run_in_batches(machine: type[RuleBasedStateMachine], examples: int, steps: int) -> int:
    """Run a machine with so many examples, or fewer once time is over, but one batch at least: how many were begun."""
    until = time.monotonic() + ENOUGH
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
                # Making a failure smaller takes minutes; as it is found it has a few dozen steps.
                phases=[Phase.generate],
            ),
        )
        begun += size
    return begun
