"""Which epoch's model is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dltool.runs import RunDirectory


class Selector:
    """Keeps the weights of the best epoch.

    Args:
        monitor: the figure that decides, None for the last epoch.
        mode: "min" or "max".
    """

    def __init__(self, monitor: str | None, mode: str) -> None:
        self.monitor, self.mode = monitor, mode
        self.epoch: int | None = None
        self.value: float | None = None
        self.weights: list[Any] | None = None

    def consider(self, row: Mapping[str, float], model: Any) -> None:
        """Keep the model of this row of the history if it is the best so far."""
        if self.monitor is None:
            self.epoch = int(row["epoch"])
            return
        value = row.get(self.monitor)
        if value is None or math.isnan(value):
            return
        better = self.value is None or (value < self.value if self.mode == "min" else value > self.value)
        if better:
            self.epoch, self.value, self.weights = int(row["epoch"]), value, model.get_weights()

    def apply(self, model: Any) -> dict[str, Any]:
        """Put the best weights into the model; what was selected."""
        if self.weights is not None:
            model.set_weights(self.weights)
        return self.plain()

    def plain(self) -> dict[str, Any]:
        return {"monitor": self.monitor, "mode": self.mode, "epoch": self.epoch, "value": self.value}

    def file(self) -> str | None:
        """Where a run keeps the best weights, None while there are none."""
        return f"checkpoint/best-{self.epoch}.npz" if self.weights is not None else None

    def restore(self, plain: Mapping[str, Any], run: RunDirectory) -> None:
        """Go on from what `plain` gave."""
        if (plain["monitor"], plain["mode"]) != (self.monitor, self.mode):
            return  # another rule, accepted by the user: it starts afresh
        self.epoch, self.value = plain["epoch"], plain["value"]
        if self.monitor is not None and self.epoch is not None:
            arrays, _ = run.load_state(f"checkpoint/best-{self.epoch}.npz")
            self.weights = [arrays[str(index)] for index in range(len(arrays))]
