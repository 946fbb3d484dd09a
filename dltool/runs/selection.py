"""Which epoch's model is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dltool.runs.directory import RunDirectory


class Selector:
    """Keeps the weights of the best epoch.

    Args:
        monitor: the figure that decides, None for the last epoch.
        mode: "min" or "max".
        min_delta: by how much an epoch must be better than the best before it.
        start: complete epochs before the first one that may be chosen.
    """

    def __init__(self, monitor: str | None, mode: str, min_delta: float = 0.0, start: int = 0) -> None:
        self.monitor, self.mode, self.min_delta, self.start = monitor, mode, abs(min_delta), start
        self.epoch: int | None = None
        self.value: float | None = None
        self.weights: list[Any] | None = None

    def consider(self, row: Mapping[str, float], model: Any) -> None:
        """Keep the model of this row of the history if it is the best so far."""
        if self.monitor is None:
            self.epoch = int(row["epoch"])
            return
        value = row.get(self.monitor)
        if value is None or math.isnan(value) or row["epoch"] <= self.start:
            return
        if self.value is None or self._gain(value, self.value) > self.min_delta:
            self.epoch, self.value, self.weights = int(row["epoch"]), value, model.get_weights()

    def _gain(self, value: float, before: float) -> float:
        return before - value if self.mode == "min" else value - before

    def apply(self, model: Any, epochs: int) -> dict[str, Any]:
        """Put the best weights into the model, else it stays that of the last of `epochs`; what was selected."""
        if self.weights is not None:
            model.set_weights(self.weights)
        return {**self.plain(), "epoch": epochs if self.epoch is None else self.epoch}

    def plain(self) -> dict[str, Any]:
        return {"monitor": self.monitor, "mode": self.mode, "epoch": self.epoch, "value": self.value}

    def file(self) -> str | None:
        """Return where a run keeps the best weights, None before there are any."""
        return f"checkpoint/best-{self.epoch}.npz" if self.weights is not None else None

    def restore(self, plain: Mapping[str, Any], run: RunDirectory) -> None:
        """Go on from what `plain` gave."""
        if (plain["monitor"], plain["mode"]) != (self.monitor, self.mode):
            return  # another rule, accepted by the user: it starts afresh
        self.epoch, self.value = plain["epoch"], plain["value"]
        if self.monitor is not None and self.epoch is not None:
            arrays, _ = run.load_state(f"checkpoint/best-{self.epoch}.npz")
            self.weights = [arrays[str(index)] for index in range(len(arrays))]
