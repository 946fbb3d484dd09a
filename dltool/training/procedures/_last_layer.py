"""The last layer of a model apart from the layers before it, which give its features: what linear methods fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data.pipelines.base import Pipeline
from dltool.errors import messages
from dltool.graph import keras_internals
from dltool.training.objective import problem_of_model
from dltool.training.procedures._procedure import Procedure, UnfitSetting

EXAMPLES_AT_ONCE = 512  # at least: batches of training may be of one example


@dataclass(frozen=True)
class LastLayer:
    """The last layer of a model, and a function from inputs to what that layer reads.

    Args:
        layer: a Keras layer.
        features: of a batch of inputs, as at inference.
    """

    layer: Any
    features: Any

    @classmethod
    def of(cls, model: Any) -> LastLayer:
        """Return the last layer of a built model of one output.

        Raises:
            ValueError: the model has several outputs, or its last layer is called with several tensors.
        """
        import keras

        graph = keras_internals.graph_of(model)
        if graph is None or len(graph.outputs) != 1:
            raise ValueError("it fits the last layer of a model of one output, and this model is another")
        node = keras_internals.node_of(graph.outputs[0])
        if len(node.input_tensors) != 1:
            raise ValueError(f"it fits a last layer that reads one tensor, and {node.operation.name} reads several")
        read = node.input_tensors[0]
        if any(read is tensor for tensor in graph.inputs):
            return cls(node.operation, lambda x, training=False: x)
        return cls(node.operation, keras.Model(graph.inputs, read))

    def collect(self, pipeline: Pipeline) -> tuple[np.ndarray, np.ndarray]:
        """Return the features of all examples, float64 (examples, features), and their targets, in stored order.

        Raises:
            ValueError: features are no vectors.
        """
        pairs = list(self.batches(pipeline))
        return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])

    def batches(self, pipeline: Pipeline) -> Any:
        """Yield features and targets of one batch after another, as of `collect`."""
        for x, y in pipeline.in_batches_of(max(pipeline.batch_size, EXAMPLES_AT_ONCE)).batches():
            features = np.asarray(self.features(x, training=False), np.float64)
            if features.ndim != 2:
                raise ValueError(f"the last layer reads {features.shape}, not vectors: put Flatten before it")
            yield features, np.asarray(y)


class LastLayerProcedure(Procedure):
    """A procedure that fits the last layer alone; figures are those of the weights at the end of an epoch."""

    examples_as_they_are = "fits the examples as they are"  # in the message that refuses augment and class_weight

    def __init__(self) -> None:
        self.last: LastLayer | None = None

    def prepare(
        self,
        model: Any,
        steps_per_epoch: int,
        load: Callable[[Path], Any] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Find the layer that is fitted; arguments as of `Procedure`.

        Raises:
            ValueError: the model ends otherwise, or its loss is no loss of this procedure.
        """
        self._check_loss(model.loss)
        self.last = LastLayer.of(model)
        self._check(self.last.layer)
        if (problem := problem_of_model(model)) is not None:
            messages.say(f"{type(self).__name__} computes features as at inference, although in training {problem}.")

    def figures(self) -> dict[str, float]:
        """Return loss and metrics of the training data with the weights at the end of the epoch."""
        return self._figures or super().figures()

    def _begin_fit(self, model: Any, steps_per_epoch: int, epochs: int) -> None:
        if self.last is None:
            self.prepare(model, steps_per_epoch)
        self._figures: dict[str, float] = {}

    def _renew(self) -> None:
        for setting, value in ((("data", "augment"), self.augment), (("fit", "class_weight"), self._execution[0])):
            if value is not None:
                raise UnfitSetting(setting, f"{type(self).__name__} {self.examples_as_they_are}. Remove it")

    def _begin_epoch(self, number: int) -> None:
        self._figures = {}

    def _measure(self) -> None:
        """Take the figures of the training data with the present weights."""
        size = max(self._train.batch_size, EXAMPLES_AT_ONCE)
        self._figures = self.evaluation.run(self._train.in_batches_of(size))

    def _check_loss(self, loss: Any) -> None:
        """Raise ValueError if a compiled loss does not suit; by default any does."""

    def _check(self, layer: Any) -> None:
        """Raise ValueError unless the last layer is one that this procedure fits."""
        raise NotImplementedError


def check_dense(procedure: str, layer: Any, units: int | None = None) -> None:
    """Raise unless a layer is a Dense without activation and penalties.

    Args:
        units: how many it must have; None for any number.
    Raises:
        ValueError: it is not.
    """
    import keras

    one = "a Dense layer" if units is None else f"a Dense layer of {units} unit{'s' * (units > 1)}"
    if not isinstance(layer, keras.layers.Dense) or (units is not None and layer.units != units):
        raise ValueError(f"{procedure} fits the last layer, which must be {one}. Got {type(layer).__name__}")
    if layer.activation is not keras.activations.linear:
        name = getattr(layer.activation, "__name__", layer.activation)
        raise ValueError(f"{procedure} fits {one} without activation. Its activation is {name}: remove it")
    if layer.kernel_regularizer is not None or layer.bias_regularizer is not None:
        raise ValueError(f"{procedure} would ignore the last layer's regularizer: remove it")


def signs_of(targets: np.ndarray, units: int = 1) -> np.ndarray:
    """Return targets of two classes as +1 (class 1) and -1 (class 0), float64 (examples,).

    Of several units each has a class of its own: +1 there, -1 for all others, float64 (examples, units).

    Raises:
        ValueError: there are other targets than 0 and 1, or than the units' numbers.
    """
    flat = np.asarray(targets).reshape(-1)
    if units > 1:
        if len(flat) != len(targets) or not np.isin(flat, range(units)).all():
            raise ValueError(f"the targets must be classes 0 to {units - 1}, one a unit of the last layer")
        return 2.0 * (flat[:, np.newaxis] == np.arange(units)) - 1.0
    if len(flat) != len(targets) or not np.isin(flat, (0, 1)).all():
        raise ValueError("the targets must be two classes, 0 and 1: name two of more with data.classes")
    return 2.0 * flat - 1.0
