"""The path of a few weights during training, with the loss over the training data at each point."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.data.pipelines.base import Pipeline
from dltool.errors import suggest_or_list
from dltool.library.callbacks._periodic import PeriodicCallback
from dltool.output.files import write_rows

MOST = 1000  # columns
GROWN = 1.1  # the file is written again once it has this many times the rows: not a thousand times in all
ELEMENT = re.compile(r"(.+?)\[(\d+(?:, ?\d+)*)\]")  # dense/kernel[0, 3]


class WeightTrajectory(PeriodicCallback):
    """The values of some weights and the training loss J, recorded during training into a CSV.

        J(w) = mean of the losses of the training split's first examples + penalties, as at inference

    The file has a row for each time: `step`, `loss`, then a column per number: `dense/kernel[0,0]`, or `dense/bias` for
    a weight of one number. It is rewritten at ends of epochs by which it has grown by a tenth, and at the end of
    training. `dltool plot --what trajectory` draws it over the contours of J. A resumed training goes on with its rows.

    Args:
        weights: names of weights (`dense/kernel`) or of their numbers (`dense/kernel[0,3]`). None takes all trainable
            ones.
        every: steps between rows, int > 0; the first row is before the first step.
        examples: most examples that J is a mean of, int > 0: the first in stored order of the training split.
        filename: the CSV.
    Raises:
        ValueError: an argument is out of range; there is no such weight; they hold more than 1000 numbers.
    Limits: examples go through the model in one batch. With Nesterov momentum a model holds the points at which
        gradients are taken, which is what is recorded.
    Reference: lecture slides 68-74.
    """

    def __init__(
        self,
        weights: Sequence[str] | str | None = None,
        every: int = 1,
        examples: int = 1000,
        filename: str = "trajectory.csv",
    ) -> None:
        super().__init__(every)
        named = [weights] if isinstance(weights, str) else weights
        if named is not None and (not isinstance(named, list | tuple) or not all(isinstance(n, str) for n in named)):
            raise ValueError(f"'weights' must be names of weights, such as dense/kernel. Got {weights!r}.")
        if isinstance(examples, bool) or not isinstance(examples, int) or examples < 1:
            raise ValueError(f"'examples' must be an int >= 1. Got {examples!r}.")
        if not isinstance(filename, str) or Path(filename).suffix != ".csv":
            raise ValueError(f"'filename' must end in .csv. Got {filename!r}.")
        self.weights, self.examples, self.filename = named, examples, filename
        self.rows: list[dict[str, float]] = []
        self._chosen: list[tuple[Any, list[tuple[str, tuple[int, ...]]]]] = []
        self._batch: Any = None
        self._loss: Any = None
        self._written = 0  # rows in the file

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self._chosen = [*_chosen(model, self.weights)]
        numbers = sum(len(numbers) for _, numbers in self._chosen)
        if numbers > MOST:
            raise ValueError(f"'weights' hold {numbers} numbers, more than {MOST}. Name some: dense/kernel[0,3].")
        self._loss = None

    def set_data(self, train: Pipeline, validation: Pipeline | None) -> None:
        batches = [*train.batches(-(-self.examples // train.batch_size))]
        self._batch = tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0)[: self.examples], *batches)

    def on_train_begin(self, logs: Any = None) -> None:
        self.rows, self._written = [], 0

    def on_step(self, step: int) -> None:
        if self._loss is None:
            self._loss = tf.function(self._training_loss, autograph=False)
        row = {"step": step, "loss": self._measured_loss()}
        for variable, numbers in self._chosen:
            values = np.asarray(variable)
            row |= {name: float(values[index]) for name, index in numbers}
        self.rows.append(row)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if len(self.rows) >= GROWN * self._written:
            self._write()

    def on_train_end(self, logs: Any = None) -> None:
        self._write()

    def _write(self) -> None:
        write_rows(Path(self.filename), self.rows)
        self._written = len(self.rows)

    def _measured_loss(self) -> float:
        """Return J and leave the model's variables as they are: its loss counts in metrics of several outputs."""
        several = self.model.metrics if len(getattr(self.model, "outputs", ())) > 1 else ()
        counted = [variable for metric in several for variable in metric.variables]
        kept = [(v, np.array(v)) for v in (*self.model.non_trainable_variables, *counted)]
        try:
            return float(self._loss(*self._batch))
        finally:
            for variable, value in kept:
                variable.assign(value)

    def _training_loss(self, x: Any, y: Any) -> tf.Tensor:
        loss = self.model.compute_loss(x=x, y=y, y_pred=self.model(x, training=False), training=False)
        return tf.cast(loss, tf.float32)


def _chosen(model: Any, wanted: Sequence[str] | None) -> Iterator[tuple[Any, list[tuple[str, tuple[int, ...]]]]]:
    """Yield variables, each with names and indices of its numbers."""
    known = {variable.path.removeprefix(f"{model.name}/"): variable for variable in model.weights}
    if wanted is None:
        wanted = [name for name, variable in known.items() if variable.trainable]
    for name in wanted:
        part = ELEMENT.fullmatch(name)
        variable = known.get(part[1] if part else name)
        if variable is None:
            raise ValueError(f"the model has no weight '{name}'.{suggest_or_list(name, known, 'Weights')}")
        shape = tuple(variable.shape)
        if part is None:
            yield variable, [(_number_name(name, index, shape), index) for index in np.ndindex(*shape)]
            continue
        index = tuple(int(text) for text in part[2].split(","))
        if len(index) != len(shape) or any(i >= size for i, size in zip(index, shape, strict=True)):
            raise ValueError(f"'{name}' is no number of {part[1]}, which has the shape {shape}")
        yield variable, [(_number_name(part[1], index, shape), index)]


def _number_name(name: str, index: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Return the column of a weight's number: "dense/kernel[0,3]", or "dense/bias" if it is the only one."""
    return name if int(np.prod(shape)) == 1 else f"{name}[{','.join(map(str, index))}]"
