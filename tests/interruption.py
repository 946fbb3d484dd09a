"""An observer that interrupts a training, for tests of what goes on from the state before."""

from __future__ import annotations

from typing import Any


class Interrupted(Exception):
    """Training ended before its time."""


class Interrupting:
    """Keeps the state after a number of steps, and ends training a step later."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.state: Any = None

    def begun(self, procedure: Any) -> None: ...

    def epoch_ended(self, procedure: Any, row: Any) -> None: ...

    def advanced(self, procedure: Any) -> None:
        if procedure.position.total_steps == self.steps:
            self.state = procedure.state()
        if procedure.position.total_steps == self.steps + 1:
            raise Interrupted
