"""The same layers again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dltool.layers.wiring import Composite, apply, checked, copied


class Repeat(Composite):
    """A stack of the same layers: y = f_times(... f_2(f_1(x))), each f_i with weights of its own.

    Args:
        layers: f, a list of layers; `Residual` and `Branches` may stand inside.
        times: how often, int >= 1.
    Input shape: any that f takes; so is f's output if `times` is above 1.
    Output shape: that of the last f.
    Raises:
        ValueError: `times` is no int >= 1, or `layers` no list of layers.
    Limits: a layer that is given a `name` keeps it in the first copy only.
    Reference: He et al., 2016, Deep residual learning for image recognition, table 1 (blocks times a number).
    """

    def __init__(self, layers: Sequence[Any], times: int) -> None:
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            raise ValueError(f"The 'times' parameter of Repeat must be an int >= 1. Got {times!r}.")
        self.layers = checked("Repeat", "layers", layers)
        self.times = times

    def __call__(self, x: Any) -> Any:
        fresh = [copied(self.layers) for _ in range(self.times - 1)]  # before the first call: built layers share names
        for layers in [self.layers, *fresh]:
            x = apply(layers, x)
        return x

    def copy(self) -> Repeat:
        return Repeat(copied(self.layers), self.times)
