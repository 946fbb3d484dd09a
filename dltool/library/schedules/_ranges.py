"""Which values an optimizer's scheduled argument may take."""

from __future__ import annotations

import numpy as np

# argument of an optimizer -> what its values must stay below; each may be scheduled, and none may be negative
BOUNDS = {"learning_rate": np.inf, "momentum": 1.0, "beta_1": 1.0, "weight_decay": np.inf}
MOST_STEPS = 10**8  # of a training whose schedules are looked at step by step, which then takes some seconds


def check(argument: str, values: np.ndarray, first: int = 0) -> None:
    """Raise unless all values of an argument are in its range.

    Args:
        values: float64 (steps,), at the steps `first`, first + 1, ...
    Raises:
        ValueError: a value is negative, not finite or too large; the line names the first such step.
    """
    bound = BOUNDS[argument]
    wrong = ~((values >= 0) & (values < bound))  # NaN too
    if wrong.any():
        index = int(np.argmax(wrong))
        where = "finite and >= 0" if bound == np.inf else f"in [0, {bound:g})"
        message = f"the schedule of '{argument}' must stay {where}, but is {float(values[index]):g} at step"
        raise ValueError(f"{message} {first + index}.")


def check_length(steps: int) -> None:
    """Raise ValueError if a training has more than `MOST_STEPS` steps, too many to look at every one."""
    if steps > MOST_STEPS:
        message = f"a training with schedules has at most {MOST_STEPS:,} steps, each of which is checked"
        raise ValueError(f"{message}. Got {steps:,}: give fewer steps or epochs.")
