"""The class logits of an image model: what stands before its softmax or sigmoid, if it has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.graph.calls import Unrolled, activation_of, with_activation

ENDS = {"softmax": "softmax", "log_softmax": "softmax", "sigmoid": "sigmoid", "log_sigmoid": "sigmoid",
        "Softmax": "softmax", "LogSoftmax": "softmax", "Sigmoid": "sigmoid", "LogSigmoid": "sigmoid"}  # fmt: skip
PASSES = ("Identity", "Dropout", "Cast")  # nothing changes there at inference


class ClassLogits:
    """An image model seen as images -> class logits.

    A softmax or sigmoid at its end, as a layer, an operation or the last layer's activation, is left out. A model of
    one output has two classes: the logit of class 1 is z, that of class 0 is -z.

    Args:
        model: a built Sequential or functional model of one input, images (rows, columns, channels) or
            (rows, columns), whose (first) output is (classes,).
    Raises:
        ValueError: the model has another form.
    """

    def __init__(self, model: Any) -> None:
        self.graph = Unrolled(model)
        shape = self.graph.input_shape
        if len(shape) not in (3, 4) or None in shape[1:]:
            raise ValueError(f"The model takes inputs of shape {shape[1:]}: no images of a known size.")
        output = self.graph.steps[self.graph.giver(self.graph.output)].shape  # type: ignore[index]
        if len(output) != 2 or output[1] is None:
            raise ValueError(f"The model gives outputs of shape {output[1:]}: no class scores.")
        self.image_shape: tuple[int, ...] = shape[1:]  # type: ignore[assignment]
        self.units: int = output[1]
        self.classes = max(self.units, 2)
        end, self.stand_ins = self._end()
        self.independent = self.units == 1 or end == "sigmoid"

    def logits(self, images: Any, stand_ins: Mapping[int, Callable[..., Any]] | None = None) -> Any:
        """Return the logits (n, units) of images (n, ...)."""
        return self.and_features(images, [], stand_ins)[0]

    def and_features(
        self, images: Any, places: list[int], stand_ins: Mapping[int, Callable[..., Any]] | None = None
    ) -> list[Any]:
        """Return the logits (n, units), and the values at places of the graph."""
        found = self.graph.run(images, [self.graph.output, *places], {**self.stand_ins, **(stand_ins or {})})
        return [tf.cast(found[0], tf.float32), *found[1:]]

    def of_targets(self, logits: Any, targets: Any) -> Any:
        """Return the logit (n,) of each image's class, targets int (n,)."""
        if self.units == 1:
            return tf.where(targets == 1, logits[:, 0], -logits[:, 0])
        return tf.gather(logits, targets, axis=1, batch_dims=1)

    def probabilities(self, logits: Any, targets: Any) -> Any:
        """Return the probability (n,) of each image's class. Use the softmax, or the sigmoid of independent outputs."""
        if self.independent:
            return tf.sigmoid(self.of_targets(logits, targets))
        return tf.gather(tf.nn.softmax(logits), targets, axis=1, batch_dims=1)

    def checked(self, images: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return images as float32 (n, ...) and classes as int32 (n,). One number may stand for all classes.

        Raises:
            ValueError: images of another shape, or classes that the model does not have.
        """
        x = np.asarray(images, np.float32)
        if x.ndim == 0 or x.shape[1:] != self.image_shape:
            raise ValueError(f"The model takes images of shape {self.image_shape}. Got {x.shape[1:]}.")
        classes = np.asarray(targets)
        if classes.dtype.kind not in "iu" or classes.shape not in ((), (len(x),)):
            raise ValueError(f"The 'targets' must be a class number for each of {len(x)} images. Got {targets!r}.")
        if classes.size and not 0 <= classes.min() <= classes.max() < self.classes:
            raise ValueError(f"The 'targets' must be classes in 0..{self.classes - 1}. Got {targets!r}.")
        return x, np.broadcast_to(classes, len(x)).astype(np.int32)

    def predicted(self, images: Any, batch_size: int = 32) -> np.ndarray:
        """Return the class (n,) of the highest logit."""
        x, _ = self.checked(images, 0)
        shape = tf.TensorSpec((None, *self.image_shape))
        run = tf.function(self.logits, autograph=False).get_concrete_function(shape)
        logits = [run(tf.constant(x[i : i + batch_size])).numpy() for i in range(0, len(x), batch_size)]
        found = np.concatenate(logits) if logits else np.zeros((0, self.units))
        return (found[:, 0] > 0).astype(int) if self.units == 1 else found.argmax(1)

    def _end(self) -> tuple[str | None, dict[int, Callable[..., Any]]]:
        """Return the model's last nonlinearity, and the stand-ins that leave it out."""
        place = self.graph.output
        while (number := self.graph.giver(place)) is not None:
            layer = self.graph.steps[number].layer
            activation = activation_of(layer)
            end = ENDS.get(type(layer).__name__) or ENDS.get(getattr(activation, "__name__", ""))
            if end is not None:
                whole = activation is None or isinstance(layer, keras.layers.Activation)
                return end, {number: _first if whole else with_activation(layer, keras.activations.linear)}
            silent = isinstance(layer, keras.layers.Activation) and activation is keras.activations.linear
            if not silent and type(layer).__name__ not in PASSES:
                return None, {}
            place = self.graph.steps[number].takes[0]
        return None, {}


def _first(x: Any, *_: Any, **__: Any) -> Any:
    return x
