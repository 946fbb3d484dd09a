"""A classifier of images of one size as a net of convolutions that slides over images of any size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from dltool.graph.calls import Call, Unrolled
from dltool.graph.receptive_field import MERGES, is_pointwise

POOLED = {"GlobalAveragePooling2D": keras.layers.AveragePooling2D, "GlobalMaxPooling2D": keras.layers.MaxPooling2D}
PROBE = 5760  # pixels, 2^7 x 3^2 x 5: a multiple of whatever stride a net may have


@dataclass(frozen=True)
class Sliding:
    """A net that gives for each position of a window what the classifier gives for that crop.

    Args:
        model: images (batch, rows, columns, channels) -> (batch, positions down, positions across, outputs).
        window: (rows, columns) that the classifier was trained on.
        stride: pixels between positions, (down, across).
        padded: names of the layers that read zeros beyond the border of a crop, where the sliding net reads the image.
    """

    model: Any
    window: tuple[int, int]
    stride: tuple[int, int]
    padded: tuple[str, ...]


def slide(model: Any) -> Sliding:
    """Return a classifier as a fully convolutional net that shares its weights.

    A `Dense` layer behind `Flatten` becomes a convolution whose window is the whole map, each later one a convolution
    of one position, and global pooling becomes pooling over a window of that size. All other layers stay.

    Args:
        model: a Sequential or functional model of one image, with channels last.
    Raises:
        ValueError: the model has another input or output, or a layer that looks at the image as a whole.
    Reference: Sermanet et al., 2014, OverFeat, section 3.5; Long, Shelhamer & Darrell, 2015, Fully convolutional
        networks for semantic segmentation, section 3.1.
    """
    unrolled = Unrolled(model)
    shape = unrolled.input_shape[1:]
    if len(shape) != 3 or None in shape:
        raise ValueError(f"a map needs a classifier of images of a known size. Its input is {tuple(shape)}.")
    rows, columns, channels = (int(side or 0) for side in shape)
    steps = unrolled.steps
    needed = sorted(unrolled.needed([unrolled.output]))
    flat = _flat_from(unrolled, needed)
    stand_ins = {number: _stand_in(steps[number], flat.get(number)) for number in needed}
    replaced = {number: made for number, made in stand_ins.items() if made is not None}

    def scores_of(down: int | None, across: int | None) -> tuple[Any, Any]:
        images = keras.Input((down, across, channels), dtype=model.inputs[0].dtype)
        return images, unrolled.run(images, [unrolled.output], replaced)[0]

    images, scores = scores_of(None, None)
    if len(scores.shape) != 4:
        raise ValueError(f"a map needs one row of outputs for an image. The model gives {model.output_shape}.")
    found = keras.Model(images, scores, name="sliding")
    _, large = scores_of(rows + PROBE, columns + PROBE)
    _, small = scores_of(rows, columns)
    stride = tuple(PROBE // (many - one) for many, one in zip(large.shape[1:3], small.shape[1:3], strict=True))
    padded = _padded([steps[number] for number in needed])
    return Sliding(found, (rows, columns), (stride[0], stride[1]), padded)


def _flat_from(unrolled: Unrolled, needed: list[int]) -> dict[int, tuple[int, int]]:
    """Return the number of each step that reads a flattened map, and that map's (rows, columns).

    Raises:
        ValueError: a layer reads it of which this is not known how.
    """
    flat: dict[int, tuple[int, int]] = {}  # place -> size of the map that was flattened
    readers = {}
    for number in needed:
        step = unrolled.steps[number]
        kind, taken = type(step.layer).__name__, [flat[place] for place in step.takes if place in flat]
        if kind == "Flatten" and len(step.input_shapes[0]) == 4:
            rows, columns = (int(side or 0) for side in step.input_shapes[0][1:3])
            flat |= dict.fromkeys(step.gives, (rows, columns))
        elif taken and kind == "Dense":
            readers[number] = taken[0]
        elif taken and is_pointwise(step.layer) and not step.layer.weights:
            flat |= dict.fromkeys(step.gives, taken[0])
        elif taken:
            raise ValueError(f"layer '{step.path}' ({kind}) reads a flattened map, which a sliding net does not have.")
    return readers


def _stand_in(step: Call, flattened: tuple[int, int] | None) -> Callable[..., Any] | None:
    """Return what a step does on images of any size, None where that is what it always does.

    Raises:
        ValueError: its layer looks at the whole image.
    """
    layer, kind, shape = step.layer, type(step.layer).__name__, step.input_shapes[0]
    if flattened is not None:
        return _Convolution(layer, flattened)
    if kind == "Flatten":
        return lambda x, **_: x
    if kind == "BatchNormalization" and len(shape) == 2:
        return _ByPosition(layer)
    if kind in POOLED:
        return POOLED[kind]((shape[1], shape[2]), strides=1)
    if kind == "ZeroPadding2D" or _is_window(layer):
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            raise ValueError(f"layer '{step.path}' has channels first; a map needs channels last.")
        return None
    if is_pointwise(layer) and any(math.prod(weight.shape[:-1]) > 1 for weight in layer.weights):
        raise ValueError(f"layer '{step.path}' ({kind}) has weights of its own for each position.")
    if kind == "Dense" or kind in MERGES or is_pointwise(layer) or kind in ("Softmax", "LayerNormalization"):
        return None
    raise ValueError(f"layer '{step.path}' ({kind}) does not slide over images.")


class _Convolution(keras.layers.Layer):
    """What a `Dense` layer does with a flattened map, as a convolution over all such maps of a larger one."""

    def __init__(self, dense: Any, size: tuple[int, int]) -> None:
        super().__init__(dtype=dense.dtype_policy)
        self.dense, self.size = dense, size

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        kernel = ops.reshape(self.dense.kernel, (*self.size, inputs.shape[-1], self.dense.units))
        found = ops.conv(inputs, kernel, strides=1, padding="valid")
        if self.dense.use_bias:
            found = found + self.dense.bias
        return found if self.dense.activation is None else self.dense.activation(found)


class _ByPosition(keras.layers.Layer):
    """A layer of vectors, applied to each position of a map."""

    def __init__(self, layer: Any) -> None:
        super().__init__(dtype=layer.dtype_policy)
        self.layer = layer

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        vectors = ops.reshape(inputs, (-1, inputs.shape[-1]))
        return ops.reshape(self.layer(vectors, training=training), ops.shape(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def _is_window(layer: Any) -> bool:
    """Return whether a layer reads windows of a map, as convolutions and poolings of Keras and dltool do."""
    sizes = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    return isinstance(sizes, tuple) and len(sizes) == 2 and "Transpose" not in type(layer).__name__


def _padded(steps: list[Call]) -> tuple[str, ...]:
    """Return the names of layers that see zeros beyond the border."""
    names = []
    for step in steps:
        window = getattr(step.layer, "kernel_size", getattr(step.layer, "pool_size", (1, 1)))
        same = getattr(step.layer, "padding", None) == "same" and set(window) != {1}
        if same or type(step.layer).__name__ == "ZeroPadding2D":
            names.append(step.path)
    return tuple(names)
