"""GoogLeNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from dltool.library.applications._auxiliary import DeeplySupervised
from dltool.library.layers.branches import Branches
from dltool.library.layers.local_response_normalization import LocalResponseNormalization

SMALLEST = 65  # pixels a side: they leave the 5 x 5 positions that the auxiliary classifiers pool
STAGES = {  # table 1: 1x1, 3x3 after a reduction, 5x5 after a reduction, projection of the pool
    "3": {"3a": (64, (96, 128), (16, 32), 32), "3b": (128, (128, 192), (32, 96), 64)},
    "4": {
        "4a": (192, (96, 208), (16, 48), 64),
        "4b": (160, (112, 224), (24, 64), 64),
        "4c": (128, (128, 256), (24, 64), 64),
        "4d": (112, (144, 288), (32, 64), 64),
        "4e": (256, (160, 320), (32, 128), 128),
    },
    "5": {"5a": (256, (160, 320), (32, 128), 128), "5b": (384, (192, 384), (48, 128), 128)},
}
BEFORE_AUXILIARY = ("4a", "4d")


def GoogLeNet(  # noqa: N802, as Keras's own architectures
    input_shape: Sequence[int] = (224, 224, 3), classes: int = 1000, auxiliary: bool = True
) -> Any:
    """GoogLeNet, 22 layers of inception modules, with its two auxiliary classifiers; outputs are logits.

        image - 7x7/2 - pool - 1x1 - 3x3 - pool - 3a 3b - pool - 4a 4b 4c 4d 4e - pool - 5a 5b - mean - classes
                                                                 |           |
                                                          auxiliary 1   auxiliary 2

    With auxiliary classifiers, training adds 0.3 times the loss of each; evaluation and prediction leave them out.

    Args:
        input_shape: (rows, columns, channels); pixels in [0, 255], brought to [-1, 1] inside; rows and
            columns at least 65.
        classes: outputs.
        auxiliary: whether to have the auxiliary classifiers.
    Returns:
        A Keras model, (batch, rows, columns, channels) -> (batch, classes): 6,998,552 parameters for the defaults,
        13,378,280 with the auxiliary classifiers.
    Raises:
        ValueError: the images are too small.
    Limits: a model with auxiliary classifiers opens only where dltool is installed.
    Reference: Szegedy et al., 2015, Going deeper with convolutions, table 1 and section 5.
    """
    shape = tuple(input_shape)
    if len(shape) != 3 or min(shape[:2]) < SMALLEST:
        raise ValueError(f"GoogLeNet takes images of at least {SMALLEST} x {SMALLEST} pixels. Got {shape}.")
    inputs = x = keras.Input(shape)
    x = _conv(64, 7, strides=2)(layers.Rescaling(1 / 127.5, offset=-1)(x))
    x = LocalResponseNormalization()(_halved(x))
    x = _conv(64, 1)(x)
    x = _conv(192, 3)(x)
    x = _halved(LocalResponseNormalization()(x))
    helpers: list[Any] = []
    for stage, modules in STAGES.items():
        x = x if stage == "3" else _halved(x)
        for name, filters in modules.items():
            x = _inception(*filters)(x)
            if auxiliary and name in BEFORE_AUXILIARY:
                helpers.append(_auxiliary(x, classes, len(helpers) + 1))
    x = layers.GlobalAveragePooling2D()(x)
    main = layers.Dense(classes, name="main")(layers.Dropout(0.4)(x))
    return DeeplySupervised(inputs, [main, *helpers], name="googlenet") if auxiliary else keras.Model(inputs, main)


def _inception(direct: int, three: tuple[int, int], five: tuple[int, int], projection: int) -> Branches:
    """Figure 2b: parallel 1x1, 3x3, 5x5 and pooling, the dear ones after a 1x1 that reduces the channels."""
    return Branches(
        [
            [_conv(direct, 1)],
            [_conv(three[0], 1), _conv(three[1], 3)],
            [_conv(five[0], 1), _conv(five[1], 5)],
            [layers.MaxPooling2D(3, strides=1, padding="same"), _conv(projection, 1)],
        ]
    )


def _auxiliary(x: Any, classes: int, number: int) -> Any:
    x = _conv(128, 1)(layers.AveragePooling2D(5, strides=3)(x))  # 4 x 4 of 14 x 14
    x = layers.Dropout(0.7)(layers.Dense(1024, activation="relu")(layers.Flatten()(x)))
    return layers.Dense(classes, name=f"auxiliary_{number}")(x)


def _conv(filters: int, size: int, strides: int = 1) -> Any:
    return layers.Conv2D(filters, size, strides=strides, padding="same", activation="relu")


def _halved(x: Any) -> Any:
    return layers.MaxPooling2D(3, strides=2, padding="same")(x)
