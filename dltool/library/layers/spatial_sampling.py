"""Images read at places that parameters give: the grid and the sampler of spatial transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dltool.library.layers._bilinear import sample

KINDS = ("affine", "crop", "thin_plate")


@keras.saving.register_keras_serializable("dltool")
class SpatialSampling(keras.layers.Layer):
    """Reads images bilinearly at the places to which a transformation with given parameters moves a regular grid.

    (x, y) is a pixel of the output and (x', y') the place in the input that it is read at, to the right and down, both
    from -1 at one edge of the image to 1 at the other:

        affine:      x' = t11 x + t12 y + t13,  y' = t21 x + t22 y + t23    parameters t11, t12, t13, t21, t22, t23
        crop:        x' = s x + tx,  y' = s y + ty                          parameters s, tx, ty
        thin_plate:  the smoothest map that moves each point c_k of a grid of control points to p_k:
                     x' = a0 + a1 x + a2 y + sum_k w_k U(|(x, y) - c_k|),  U(r) = r^2 log r^2, y' alike
                                                                            parameters p_1x, p_1y, p_2x, ...

    The control points lie on a square grid from -1 to 1, row by row. Places beyond the border read as 0. Each map is
    linear in its parameters, so that it is one product with a fixed matrix. Gradients reach images and parameters.

    Args:
        kind: "affine", "crop" or "thin_plate".
        size: (rows, columns) of the output; by default the input's.
        control_points: along each side of the grid of "thin_plate", int >= 2. Defaults to 4.
    Input shape: images (batch, rows, columns, channels) and parameters (batch, 6, 3 or 2 control_points^2).
    Output shape: (batch, *size, channels).
    Raises:
        ValueError: an argument is out of its range, or the inputs do not fit.
    Limits: the gradient sees the four pixels about each place alone, so that a transformation has to begin near
        what it looks for; where the output has fewer pixels than what it covers, pixels between are left out.
    Reference: Jaderberg, Simonyan, Zisserman & Kavukcuoglu, 2015, Spatial transformer networks, equations 1, 2 and 5;
        Bookstein, 1989, Principal warps: thin-plate splines and the decomposition of deformations.
    """

    moves_pixels = True  # so that masks would have to move alike

    def __init__(
        self, kind: str = "affine", size: Sequence[int] | None = None, control_points: int = 4, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_arguments("SpatialSampling", kind, size, control_points)
        self.kind, self.control_points = kind, control_points
        self.size = None if size is None else (size[0], size[1])

    def build(self, input_shape: Any) -> None:
        images, parameters = _shapes(input_shape)
        if tuple(parameters[1:]) != (len(self.identity),):
            raise ValueError(
                f"SpatialSampling reads {len(self.identity)} parameters for the kind '{self.kind}'. "
                f"Got shape {tuple(parameters)}."
            )
        if None in images[1:]:
            raise ValueError(f"SpatialSampling needs images of known size. Got shape {tuple(images)}.")
        self._grid = _basis(self.kind, *self._size_of(images), self.control_points)  # (rows' columns', terms)

    def call(self, inputs: Any) -> Any:
        images, parameters = (ops.cast(one, self.variable_dtype) for one in inputs)
        if self.kind == "crop":
            seen = self._read_by_axis(images, parameters)
        else:
            seen = sample(images, self.positions(parameters, images.shape), 0.0)
        return ops.cast(seen, self.compute_dtype)

    def _read_by_axis(self, images: Any, parameters: Any) -> Any:
        """Return what `sample` does where rows and columns move alone: two products with matrices, much faster."""
        _, rows, columns, channels = images.shape
        height, width = self._size_of(images.shape)
        scale, x, y = parameters[:, :1], parameters[:, 1:2], parameters[:, 2:]
        down = _weights(scale * _centres(height) + y, rows)  # (batch, rows', rows)
        across = _weights(scale * _centres(width) + x, columns)  # (batch, columns', columns)
        seen = ops.matmul(down, ops.reshape(images, (-1, rows, columns * channels)))
        seen = ops.reshape(seen, (-1, height, columns, channels))
        return ops.matmul(across[:, None], seen)  # (batch, rows', columns', channels)

    def positions(self, parameters: Any, shape: Sequence[int]) -> Any:
        """Return the (row, column) in pixels that each pixel of the output is read at: (batch, rows', columns', 2).

        Args:
            parameters: as the layer's second input.
            shape: of the images, (batch, rows, columns, channels).
        """
        _, rows, columns, _ = shape
        flat = ops.reshape(parameters, (-1, len(self.identity)))
        if self.kind == "crop":
            scale, x, y = flat[:, 0], flat[:, 1], flat[:, 2]
            zero = ops.zeros_like(scale)
            flat = ops.stack([scale, zero, x, zero, scale, y], axis=1)
        if self.kind == "thin_plate":
            terms = ops.transpose(ops.reshape(flat, (-1, self.control_points**2, 2)), (0, 2, 1))
        else:
            terms = ops.reshape(flat, (-1, 2, 3))  # (batch, 2, terms)
        grid = ops.convert_to_tensor(self._grid, dtype=flat.dtype)
        places = ops.matmul(terms, ops.transpose(grid))  # (batch, 2, rows' columns'): x', y'
        places = ops.reshape(places, (-1, 2, *self._size_of(shape)))
        return ops.stack([((places[:, 1] + 1) * rows - 1) / 2, ((places[:, 0] + 1) * columns - 1) / 2], axis=-1)

    @property
    def identity(self) -> list[float]:
        """The parameters that move nothing."""
        return identity(self.kind, self.control_points)

    def explain(self, inputs: Sequence[Any]) -> dict[str, Any]:
        """Return the parameters of each example by their names, each (batch,)."""
        parameters = inputs[1]
        if self.kind == "affine":
            names = [f"theta_{row}{column}" for row in (1, 2) for column in (1, 2, 3)]
        elif self.kind == "crop":
            names = ["scale", "x", "y"]
        else:
            names = [f"{axis}_{point}" for point in range(1, self.control_points**2 + 1) for axis in "xy"]
        return {name: parameters[:, number] for number, name in enumerate(names)}

    def multiply_adds(self, inputs: Sequence[Any], output: Any) -> int:
        """Return those of the grid and of the four neighbours of each pixel."""
        _, rows, columns, channels = output
        return int(rows * columns * (2 * _terms(self.kind, self.control_points) + 4 * channels))

    def compute_output_shape(self, input_shape: Any) -> Any:
        images, _ = _shapes(input_shape)
        return (images[0], *self._size_of(images), images[-1])

    def get_config(self) -> dict[str, Any]:
        own = {"kind": self.kind, "size": self.size, "control_points": self.control_points}
        return {**super().get_config(), **own}

    def _size_of(self, images: Sequence[Any]) -> tuple[int, int]:
        return self.size or (images[1], images[2])


def check_arguments(owner: str, kind: Any, size: Any, control_points: Any) -> None:
    """Raise ValueError if an argument of a sampling is out of its range."""

    def is_count(value: Any, low: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= low

    if kind not in KINDS:
        raise ValueError(f"The 'kind' parameter of {owner} must be one of {', '.join(KINDS)}. Got {kind!r} instead.")
    good = isinstance(size, list | tuple) and len(size) == 2 and all(is_count(one, 1) for one in size)
    if size is not None and not good:
        raise ValueError(
            f"The 'size' parameter of {owner} must be two ints > 0, rows and columns. Got {size!r} instead."
        )
    if not is_count(control_points, 2):
        raise ValueError(
            f"The 'control_points' parameter of {owner} must be an int >= 2. Got {control_points!r} instead."
        )


def identity(kind: str, control_points: int = 4) -> list[float]:
    """Return the parameters of a transformation that moves nothing."""
    if kind == "affine":
        return [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return [1.0, 0.0, 0.0] if kind == "crop" else _control_points(control_points).reshape(-1).tolist()


def _terms(kind: str, control_points: int) -> int:
    """Return how many numbers each coordinate is a sum of."""
    return control_points**2 if kind == "thin_plate" else 3


def _shapes(input_shape: Any) -> tuple[Any, Any]:
    """Return the shapes of images and parameters.

    Raises:
        ValueError: the inputs are not these two.
    """
    is_pair = isinstance(input_shape, list | tuple) and len(input_shape) == 2
    if not is_pair or not all(isinstance(one, list | tuple) for one in input_shape) or len(input_shape[0]) != 4:
        raise ValueError(
            "SpatialSampling reads images (batch, rows, columns, channels) and parameters: "
            f"give both as 'inputs'. Got shape {input_shape}."
        )
    return input_shape[0], input_shape[1]


def _basis(kind: str, rows: int, columns: int, control_points: int) -> np.ndarray:
    """Return what each coordinate of each output pixel is a sum of, float64 (rows * columns, terms)."""
    y, x = np.meshgrid(_centres(rows), _centres(columns), indexing="ij")
    grid = np.stack([x.reshape(-1), y.reshape(-1)], axis=1)
    if kind != "thin_plate":
        return np.hstack([grid, np.ones((len(grid), 1))])
    points = _control_points(control_points)
    count = len(points)
    # the weights and the affine part that move the control points as wanted, without any moment of the weights
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _radial(points, points)
    system[:count, count:] = np.hstack([np.ones((count, 1)), points])
    system[count:, :count] = system[:count, count:].T
    solution = np.linalg.solve(system, np.vstack([np.eye(count), np.zeros((3, count))]))  # (count + 3, count)
    found: np.ndarray = np.hstack([_radial(grid, points), np.ones((len(grid), 1)), grid]) @ solution
    return found


def _weights(places: Any, count: int) -> Any:
    """Return the share of each of `count` pixels at places (batch, places) of an axis: (batch, places, count)."""
    pixels = ((places + 1) * count - 1) / 2
    return ops.relu(1 - ops.abs(pixels[..., None] - np.arange(count)))


def _centres(count: int) -> np.ndarray:
    """Return the middles of pixels where the image reaches from -1 to 1."""
    return (2 * np.arange(count) + 1) / count - 1


def _control_points(side: int) -> np.ndarray:
    """Return (x, y) of a square grid from -1 to 1, row by row: (side^2, 2)."""
    y, x = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side), indexing="ij")
    return np.stack([x.reshape(-1), y.reshape(-1)], axis=1)


def _radial(places: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return U(r) = r^2 log r^2 of the distances of places from points, 0 at r = 0: (places, points)."""
    from scipy.special import xlogy

    squares = ((places[:, None] - points) ** 2).sum(axis=-1)
    found: np.ndarray = xlogy(squares, squares)
    return found
