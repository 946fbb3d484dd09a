"""How the distribution of a layer's activations moves during training, as percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.data.pipelines.base import Pipeline
from dltool.errors import suggest, suggest_or_list
from dltool.graph.layer_tree import CELL, OPERATION, parts
from dltool.library.callbacks._periodic import PeriodicCallback
from dltool.output.files import atomic, write_rows
from dltool.output.percentiles import plot_percentiles

SIGNALS = ("output", "input")


class ActivationPercentiles(PeriodicCallback):
    """Percentiles of one layer's activations on fixed examples, recorded during training into a CSV and a picture.

    p_q(step) = mean over units of the q-th percentile of that unit's activations over examples (and positions).

    The file has a row for each time: `step`, then a column per percentile (`p15`, `p50`, `p85`). It is rewritten
    after each epoch, and the picture in the same folder (`percentiles.png`) at the end of training. A resumed training
    goes on with its rows.

    Args:
        layer: the layer's name, or its path where it is nested (`encoder/activation_3`).
        percentiles: which, in percent, each in [0, 100]. Defaults to 15, 50 and 85, as the paper's.
        every: steps between rows, int > 0; the first row is before the first step.
        examples: number of examples, int > 0: the first in stored order of the validation split, otherwise the training
            split.
        signal: "output" of the layer, or its "input": of an activation layer, what goes into the nonlinearity.
        unit: which unit (index of the last axis) alone; None takes the mean over all units of their percentiles.
        training: whether layers behave as in training: batch normalisation by the statistics of these examples,
            dropout on. Random state and moving averages are put back afterwards.
        filename: the CSV.
    Raises:
        ValueError: an argument is out of range; there is no such layer or unit.
    Limits: examples go through the model in one batch, which must fit in memory. The mean over units hides a shift
        that goes up in some units and down in others: take one `unit` to see it.
    Reference: Ioffe & Szegedy, 2015, arXiv:1502.03167, section 4.1, figure 1 (b, c); lecture slide 92.
    """

    def __init__(
        self,
        layer: str,
        percentiles: Sequence[float] | float = (15, 50, 85),
        every: int = 100,
        examples: int = 1000,
        signal: str = "output",
        unit: int | None = None,
        training: bool = True,
        filename: str = "percentiles.csv",
    ) -> None:
        super().__init__(every)
        wanted = percentiles if isinstance(percentiles, list | tuple) else [percentiles]
        numbers = all(isinstance(q, int | float) and not isinstance(q, bool) and 0 <= q <= 100 for q in wanted)
        if not wanted or not numbers or len(set(wanted)) < len(wanted):
            raise ValueError(f"'percentiles' must be different numbers from 0 to 100. Got {percentiles!r}.")
        self.percentiles = sorted(wanted)
        if isinstance(examples, bool) or not isinstance(examples, int) or examples < 1:
            raise ValueError(f"'examples' must be an int >= 1. Got {examples!r}.")
        if signal not in SIGNALS:
            raise ValueError(f"'signal' must be one of {', '.join(SIGNALS)}. Got {signal!r}.")
        if unit is not None and (isinstance(unit, bool) or not isinstance(unit, int) or unit < 0):
            raise ValueError(f"'unit' must be an int >= 0 or nothing. Got {unit!r}.")
        if not isinstance(filename, str) or Path(filename).suffix != ".csv":
            raise ValueError(f"'filename' must end in .csv. Got {filename!r}.")
        self.layer, self.examples, self.signal = layer, examples, signal
        self.unit, self.training, self.filename = unit, training, filename
        self.rows: list[dict[str, float]] = []
        self._measured: Any = None  # the layer
        self._inputs: Any = None
        self._forward: Any = None

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self._measured = _named(model, self.layer)
        units = _units(self._measured, self.signal)
        if self.unit is not None and units is not None and self.unit >= units:
            raise ValueError(f"layer '{self.layer}' has {units} units: there is no unit {self.unit}")
        self._forward = None

    def set_data(self, train: Pipeline, validation: Pipeline | None) -> None:
        pipeline = validation or train
        batches = [x for x, _ in pipeline.batches(-(-self.examples // pipeline.batch_size))]
        self._inputs = tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0)[: self.examples], *batches)

    def on_train_begin(self, logs: Any = None) -> None:
        self.rows = []

    def on_step(self, step: int) -> None:
        values = self._activations()  # (examples x positions, units)
        if self.unit is not None:
            if self.unit >= values.shape[1]:
                raise ValueError(f"layer '{self.layer}' has {values.shape[1]} units: there is no unit {self.unit}")
            values = values[:, self.unit : self.unit + 1]
        found = np.percentile(values, self.percentiles, axis=0).mean(axis=1)
        self.rows.append({"step": step} | {f"p{q:g}": float(p) for q, p in zip(self.percentiles, found, strict=True)})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        write_rows(Path(self.filename), self.rows)

    def on_train_end(self, logs: Any = None) -> None:
        path = Path(self.filename)
        write_rows(path, self.rows)
        with atomic(path.with_suffix(".png")) as file:
            of = f"{self.signal} of {self.layer}" + ("" if self.unit is None else f", unit {self.unit}")
            plot_percentiles([(path.absolute().parent.name, self.rows)], file, ylabel=of)

    def _activations(self) -> np.ndarray:
        if self._forward is None:
            self._forward = tf.function(self._signal)
        kept = [(variable, np.array(variable)) for variable in self.model.non_trainable_variables]
        try:
            found = np.asarray(self._forward(self._inputs), np.float32)
        finally:
            if self.training:
                for variable, value in kept:
                    variable.assign(value)
        return found.reshape(-1, found.shape[-1]) if found.ndim > 1 else found.reshape(-1, 1)

    def _signal(self, inputs: Any) -> tf.Tensor:
        """Return a layer's input or output in a forward pass, recorded by replacing its `call`."""
        layer, seen = self._measured, []
        call = layer.call

        def watched(*args: Any, **kwargs: Any) -> Any:
            outputs = call(*args, **kwargs)
            signal = outputs if self.signal == "output" else args
            seen.append(tf.cast(tf.nest.flatten(signal)[0], tf.float32))
            return outputs

        held = vars(layer).get("call")  # training may have put a faster one in the class's place
        layer.call = watched
        try:
            self.model(inputs, training=self.training)
        finally:
            if held is None:
                del layer.call
            else:
                layer.call = held
        return seen[-1]


def _units(layer: Any, signal: str) -> int | None:
    """Return the size of the last axis of a layer's signal, None if unknown before it runs."""
    try:
        shapes = tf.nest.flatten(getattr(layer, signal))
        return shapes[0].shape[-1]
    except (AttributeError, ValueError, IndexError):
        return None


def _named(model: Any, name: str) -> Any:
    """Return the layer of a path, or of a name that only one layer has."""
    known = {part.path: part.layer for part in parts(model) if part.kind not in (CELL, OPERATION)}
    if name in known:
        return known[name]
    paths = [path for path in known if path.rpartition("/")[2] == name]
    if len(paths) > 1:
        raise ValueError(f"several layers are named '{name}': give one of {', '.join(paths)}")
    if not paths:
        near = suggest(name, known) or suggest_or_list(name, [path.rpartition("/")[2] for path in known], "Layers")
        raise ValueError(f"the model has no layer '{name}'.{near}")
    return known[paths[0]]
