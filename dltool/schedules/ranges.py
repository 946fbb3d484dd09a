"""Which values an optimizer's scheduled argument may take."""

from __future__ import annotations

import numpy as np

# argument of an optimizer -> what its values must stay below; each may be scheduled, and none may be negative
BOUNDS = {"learning_rate": np.inf, "momentum": 1.0, "beta_1": 1.0, "weight_decay": np.inf}


def check(argument: str, values: np.ndarray, first: int = 0) -> None:
    """Raise unless all values of an argument are in its range.

    Args:
        values: float64 (steps,), those of steps `first`, first + 1, ...
    Raises:
        ValueError: one is negative, not finite or too large; the line names the first such step.
    """
    bound = BOUNDS[argument]
    wrong = ~((values >= 0) & (values < bound))  # NaN too
    if wrong.any():
        index = int(np.argmax(wrong))
        where = "finite and >= 0" if bound == np.inf else f"in [0, {bound:g})"
        message = f"the schedule of '{argument}' must stay {where}, but is {float(values[index]):g} at step"
        raise ValueError(f"{message} {first + index}.")
