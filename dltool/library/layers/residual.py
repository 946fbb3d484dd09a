"""A residual block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from dltool.library.layers._wiring import Composite, apply, checked, copied

LAYER_ARGUMENTS = ("layers", "shortcut")  # read by recipe/declarations.py


class Residual(Composite):
    """A residual block: y = activation(F(x) + shortcut(x)).

    Args:
        layers: F, a list of layers.
        shortcut: layers of the shortcut; by default the identity.
        option: what the identity becomes where F changes the shape: "A", subsampled and padded with zero channels,
            without parameters; "B", a 1x1 convolution with batch normalisation, of the momentum and epsilon of F's
            last one where it has one. None: F must keep the shape.
        activation: applied to the sum, a name of Keras's or None.
    Input shape: any that F takes; with an `option`, images (batch, rows, columns, channels).
    Output shape: that of F.
    Raises:
        ValueError: an unknown option, both `shortcut` and `option`, or shapes that cannot be added.
    Reference: He et al., 2016, Deep residual learning for image recognition, section 3.3 (options A and B).
    """

    def __init__(
        self,
        layers: Sequence[Any],
        shortcut: Sequence[Any] | None = None,
        option: str | None = None,
        activation: str | None = None,
    ) -> None:
        if option not in (None, "A", "B"):
            raise ValueError(f"The 'option' parameter of Residual must be A, B or null. Got {option!r}.")
        if option is not None and shortcut:
            raise ValueError("Residual takes a 'shortcut' or an 'option', not both.")
        self.layers = checked("Residual", "layers", layers)
        self.shortcut = checked("Residual", "shortcut", shortcut or [])
        self.option, self.activation = option, activation

    def __call__(self, x: Any) -> Any:
        y = apply(self.layers, x, "layers")
        identity = apply(self.shortcut, x, "shortcut")
        if self.option is not None and tuple(identity.shape) != tuple(y.shape):
            strides, channels = _change(x, y)
            identity = _padded(x, strides, channels) if self.option == "A" else self._projected(x, strides, channels)
        if tuple(identity.shape) != tuple(y.shape):
            remedy = "Change the shortcut." if self.shortcut else "Give it a shortcut, or an option (A or B)."
            if self.option is not None:
                remedy = f"Option {self.option} takes every n-th row and column: use padding: same, or give a shortcut."
            raise ValueError(
                f"Residual adds outputs of shape {tuple(y.shape[1:])} and a shortcut of {tuple(identity.shape[1:])}. "
                f"{remedy}"
            )
        y = keras.layers.Add()([y, identity])
        return y if self.activation is None else keras.layers.Activation(self.activation)(y)

    def _projected(self, x: Any, strides: tuple[int, int], channels: int) -> Any:
        """Return option B: a 1x1 convolution with batch normalisation."""
        last = [layer for layer in self.layers if isinstance(layer, keras.layers.BatchNormalization)][-1:]
        settings = {"momentum": last[0].momentum, "epsilon": last[0].epsilon} if last else {}
        convolution = keras.layers.Conv2D(channels, 1, strides=strides, use_bias=False, kernel_initializer="he_normal")
        return keras.layers.BatchNormalization(**settings)(convolution(x))

    def copy(self) -> Residual:
        return Residual(copied(self.layers), copied(self.shortcut), self.option, self.activation)


def _change(x: Any, y: Any) -> tuple[tuple[int, int], int]:
    """Strides (rows, columns) and channels that lead from the shape of x to that of y, both images."""
    if len(x.shape) != 4 or len(y.shape) != 4:
        raise ValueError(
            f"Residual's options A and B are for images. Got shapes {tuple(x.shape)} and {tuple(y.shape)}."
        )
    strides = tuple(-(-before // after) for before, after in zip(x.shape[1:3], y.shape[1:3], strict=True))
    return (strides[0], strides[1]), y.shape[-1]


def _padded(x: Any, strides: tuple[int, int], channels: int) -> Any:
    """Return option A: every stride-th pixel, and zeros for new channels, half on either side."""
    if channels < x.shape[-1]:
        raise ValueError(f"Residual's option A only adds channels. Got {x.shape[-1]} before and {channels} after.")
    if strides != (1, 1):
        x = keras.layers.AveragePooling2D(1, strides=strides)(x)
    new = channels - x.shape[-1]
    if new == 0:
        return x
    x = keras.layers.Permute((1, 3, 2))(x)  # (batch, rows, channels, columns): ZeroPadding2D pads axes 1 and 2
    x = keras.layers.ZeroPadding2D(((0, 0), (new // 2, new - new // 2)))(x)
    return keras.layers.Permute((1, 3, 2))(x)
