"""A net that finds for itself how to turn, scale, shift or bend its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from dltool.library.layers._wiring import Composite, apply, checked, copied
from dltool.library.layers.spatial_sampling import SpatialSampling, check_arguments, identity

LAYER_ARGUMENTS = ("localisation",)  # read by recipe/declarations.py


class SpatialTransformer(Composite):
    """A spatial transformer: y = x read at T_theta(grid), with theta = f(x) by a net of its own.

    A `Dense` layer follows the localisation net and gives the parameters theta; its kernel begins with zeros and its
    bias with the identity, so that training begins with the image as it is. `SpatialSampling` then reads the image.
    Both are trained with the rest of the net by the one loss; nobody says where to look.

    Args:
        localisation: the layers of f, without that Dense layer. Images are flattened where the layers leave a map.
        kind: "affine" (6 parameters), "crop" (scale and shift, 3) or "thin_plate" (2 a control point); the formulas
            are those of `SpatialSampling`.
        size: (rows, columns) of the output; by default the input's.
        control_points: along each side of the grid of "thin_plate", int >= 2. Defaults to 4.
    Input shape: (batch, rows, columns, channels).   Output shape: (batch, *size, channels).
    Raises:
        ValueError: an argument is out of its range, or the input is no image.
    Limits: the localisation net learns by what the classifier can tell of slightly moved images; with a high learning
        rate it looks away from the image, from where no gradient leads back.
    Reference: Jaderberg, Simonyan, Zisserman & Kavukcuoglu, 2015, Spatial transformer networks, section 3.
    """

    def __init__(
        self,
        localisation: Sequence[Any],
        kind: str = "affine",
        size: Sequence[int] | None = None,
        control_points: int = 4,
    ) -> None:
        self.localisation = checked("SpatialTransformer", "localisation", localisation)
        check_arguments("SpatialTransformer", kind, size, control_points)
        self.kind, self.size, self.control_points = kind, size, control_points

    def __call__(self, x: Any) -> Any:
        if len(x.shape) != 4:
            raise ValueError(f"SpatialTransformer takes images. Got shape {tuple(x.shape)}.")
        found = apply(self.localisation, x, "localisation")
        if len(found.shape) > 2:
            found = keras.layers.Flatten()(found)
        start = identity(self.kind, self.control_points)
        # coordinates need more digits than mixed precision computes with
        dtype = keras.config.dtype_policy().variable_dtype
        bias = keras.initializers.Constant(start)
        theta = keras.layers.Dense(len(start), kernel_initializer="zeros", bias_initializer=bias, dtype=dtype)(found)
        return SpatialSampling(self.kind, self.size, self.control_points, dtype=dtype)([x, theta])

    def copy(self) -> SpatialTransformer:
        return SpatialTransformer(copied(self.localisation), self.kind, self.size, self.control_points)
