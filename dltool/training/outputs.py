"""How a compiled model's outputs are read: as logits or probabilities of classes, by its loss and last activation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

PROBABLE = ("softmax", "sigmoid")  # activations that give probabilities
SPARSE, ONE_HOT, BINARY = "sparse", "one-hot", "binary"  # how targets say the class


class CrossEntropy(NamedTuple):
    """The reading of outputs by a cross-entropy: coding of targets, and whether outputs are logits."""

    targets: str
    from_logits: bool


@dataclass(frozen=True)
class Output:
    """One of several outputs of a model, with what is asked of a model that has one.

    Args:
        loss: as compiled, None where it has none.
        layers: the layer that gives it.
        output_shape: with the batch axis.
        metrics: compiled ones, once they are built.
    """

    loss: Any
    layers: Sequence[Any]
    output_shape: tuple[int | None, ...]
    metrics: Sequence[Any] = ()


def each(model: Any) -> dict[str, Any]:
    """Return the outputs of a model by name where it has several, else the model itself under ""."""
    from dltool.graph import keras_internals  # which loads Keras

    outputs = getattr(model, "output", None)
    if not isinstance(outputs, Mapping):
        return {"": model}
    losses, compiled = getattr(model, "loss", None), keras_internals.compiled_metrics(model)
    found = {}
    for name, tensor in outputs.items():
        loss = losses.get(name) if isinstance(losses, Mapping) else losses
        layer, shape = keras_internals.node_of(tensor).operation, tuple(tensor.shape)
        found[name] = Output(loss, [layer], shape, _metrics_of(compiled, name))
    return found


def _metrics_of(compiled: Any, name: str) -> list[Any]:
    from dltool.graph import keras_internals

    if compiled is None or not compiled.built:
        return []
    metrics, weighted = keras_internals.flat_metrics(compiled)
    lists = [one for one in (*metrics, *weighted) if one]
    return [metric for one in lists if one.output_name == name for metric in one.metrics]


def cross_entropy(model: Any) -> CrossEntropy | None:
    """Return how a compiled model's loss reads its outputs, None without a cross-entropy."""
    return coding(model.loss)


def coding(loss: Any) -> CrossEntropy | None:
    """Return how a loss reads outputs, None if it is no cross-entropy."""
    from keras import losses

    loss = losses.get(loss) if isinstance(loss, str) else loss
    kinds = {
        SPARSE: (losses.SparseCategoricalCrossentropy, losses.sparse_categorical_crossentropy),
        ONE_HOT: (
            losses.CategoricalCrossentropy,
            losses.CategoricalFocalCrossentropy,
            losses.categorical_crossentropy,
            losses.categorical_focal_crossentropy,
        ),
        BINARY: (
            losses.BinaryCrossentropy,
            losses.BinaryFocalCrossentropy,
            losses.binary_crossentropy,
            losses.binary_focal_crossentropy,
        ),
    }
    for targets, known in kinds.items():
        if any(isinstance(loss, one) if isinstance(one, type) else loss is one for one in known):
            return CrossEntropy(targets, bool(getattr(loss, "from_logits", False)))
    reads = getattr(loss, "reads", None)  # of own losses that are read like one
    return None if reads is None else CrossEntropy(*reads)


def last_activation(model: Any) -> str | None:
    """Return the name of the activation that a model's outputs come from, or None."""
    from keras import layers

    last = model.layers[-1]
    if isinstance(last, layers.Softmax):
        return "softmax"
    return getattr(getattr(last, "activation", None), "__name__", None)


def every_output(model: Any, x: Any) -> Any:
    """Return a model's outputs at inference for the metrics; a committee adds each member's."""
    return getattr(model, "every_output", model)(x, training=False)


def outputs_problem(model: Any, classes: int | None) -> str | None:
    """Return the fault of a model's outputs for this number of classes: kernels would read beyond their end."""
    loss = cross_entropy(model)
    shape = getattr(model, "output_shape", None)
    shape = shape[0] if isinstance(shape, list) else shape  # the main output comes first
    if loss is None or not classes or not isinstance(shape, tuple) or not isinstance(shape[-1], int):
        return None
    if loss.targets == SPARSE and shape[-1] < classes:
        return f"gives {shape[-1]} outputs, the data have {classes} classes. Use ${{data.num_classes}}."
    if loss.targets == BINARY and shape[-1] == 1 and classes > 2:
        return (
            f"gives 1 output, the data have {classes} classes. Use ${{data.num_classes}} outputs "
            "and SparseCategoricalCrossentropy."
        )
    return None
